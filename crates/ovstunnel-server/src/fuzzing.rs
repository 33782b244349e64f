//! A door to the reader of client certificates, for tests/fuzz only. Must not be used by the product.
#![doc(hidden)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::listen::{Peer, PeerCertificate};

/// The owner of a certificate in DER, as the log shows it.
pub fn peer_name(der: &[u8]) -> String {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    Peer::Certificate(Arc::new(PeerCertificate::from_chain(&[der.into()], address))).to_string()
}
