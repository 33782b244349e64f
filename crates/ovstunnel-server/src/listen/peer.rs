//! Who is at the other end of a connection.
//!
//! What it does: reads the names out of a client certificate that TLS has verified. What it must not do: verify one, or
//! decide what its owner may do.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::Role;
use crate::problem::ApiError;
use ovstunnel_types::text::excerpt;

/// Who sent a request; an extension of each request, and an extractor for handlers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A process of root's, or of the user that the daemon runs as, over the Unix socket.
    Root {
        /// The process, where the kernel tells.
        pid: Option<i32>,
    },
    /// The owner of a client certificate, over HTTPS.
    Certificate(Arc<PeerCertificate>),
    /// Somebody without a client certificate, over HTTPS; only where a service lets such in at all.
    Visitor(SocketAddr),
    /// Somebody without one whom the service knows.
    Guest(Arc<Guest>),
}

/// Somebody whom a service knows by what the request says, not by a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// What the log calls them.
    pub name: String,
    /// Which of their visits it is; says nothing that would let anybody in.
    pub id: String,
    /// What they may.
    pub role: Role,
    /// Address and port of the client.
    pub address: SocketAddr,
}

impl Peer {
    /// What the log and a page call them, without an address.
    pub fn name(&self) -> String {
        match self {
            Peer::Root { .. } => "root".to_owned(),
            Peer::Certificate(certificate) => certificate.name(),
            Peer::Visitor(_) => "nobody".to_owned(),
            Peer::Guest(guest) => excerpt(&guest.name),
        }
    }

    /// Address and port of the client; none on the Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Peer::Root { .. } => None,
            Peer::Certificate(certificate) => Some(certificate.address),
            Peer::Visitor(address) => Some(*address),
            Peer::Guest(guest) => Some(guest.address),
        }
    }
}

/// The names of a verified client certificate, and where its owner is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Common names of the subject: one, as a rule.
    pub common_names: Vec<String>,
    /// Alternative names: DNS names, e-mail addresses, URIs.
    pub names: Vec<String>,
    /// Address and port of the client.
    pub address: SocketAddr,
    /// What of its names cannot be read: a role that goes by the other ones might be another.
    pub unread: Option<&'static str>,
    /// The certificate in DER, followed by those of intermediate authorities that the client sent.
    pub chain: Vec<CertificateDer<'static>>,
    /// The service of our own that sends the request on for this client, where it did not come by itself: by its certificate's common name.
    pub via: Option<String>,
}

impl PeerCertificate {
    /// Reads the names from the first certificate, and notes what of them cannot be read.
    pub(crate) fn from_chain(chain: &[CertificateDer<'_>], address: SocketAddr) -> Self {
        let own = chain.first().map(AsRef::as_ref).unwrap_or_default();
        let chain = chain.iter().map(|der| der.clone().into_owned()).collect();
        let (common_names, names) = (Vec::new(), Vec::new());
        let mut peer = PeerCertificate { common_names, names, address, unread: None, chain, via: None };
        let Ok((_, certificate)) = X509Certificate::from_der(own) else {
            peer.unread = Some("the certificate");
            return peer;
        };
        for name in certificate.subject().iter_common_name() {
            match name.as_str() {
                Ok(name) => peer.common_names.push(name.to_owned()),
                Err(_) => peer.unread = Some("a common name"),
            }
        }
        match certificate.subject_alternative_name() {
            Ok(None) => {}
            Ok(Some(names)) => names.value.general_names.iter().for_each(|name| match name {
                GeneralName::DNSName(n) | GeneralName::RFC822Name(n) | GeneralName::URI(n) => {
                    peer.names.push((*n).to_owned());
                }
                GeneralName::Invalid(..) => peer.unread = Some("an alternative name"),
                _ => {}
            }),
            Err(_) => peer.unread = Some("its alternative names"),
        }
        peer
    }

    /// The name under which the log speaks of its owner, as it may be shown: the common name, all of them where there are
    /// several, or else the first alternative name.
    pub fn name(&self) -> String {
        match self.common_names.as_slice() {
            [] => excerpt(self.names.first().map_or("?", String::as_str)),
            several => excerpt(&several.join(" + ")),
        }
    }

    /// All names.
    pub fn all_names(&self) -> impl Iterator<Item = &str> {
        self.common_names.iter().chain(&self.names).map(String::as_str)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Root { .. } => f.write_str("root"),
            Peer::Certificate(c) => match &c.via {
                None => write!(f, "{}@{}", c.name(), c.address),
                Some(via) => write!(f, "{}@{} via {}", c.name(), c.address, excerpt(via)),
            },
            Peer::Visitor(address) => write!(f, "nobody@{address}"),
            Peer::Guest(guest) => write!(f, "{}@{}", excerpt(&guest.name), guest.address),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get().cloned().ok_or_else(|| ApiError::internal("the request has no peer"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair};

    use super::*;

    #[test]
    fn the_names_of_a_certificate_are_read_and_shown_safely() {
        let mut params = CertificateParams::new(["manager.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "man\nager");
        let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let peer = PeerCertificate::from_chain(&[der.der().clone()], "192.0.2.1:9".parse().unwrap());
        assert_eq!((peer.common_names.as_slice(), peer.unread), (&["man\nager".to_owned()][..], None));
        assert_eq!(peer.names, ["manager.example"]);
        assert_eq!(Peer::Certificate(Arc::new(peer)).to_string(), r"man\nager@192.0.2.1:9");
        let unread = PeerCertificate::from_chain(&[b"junk".to_vec().into()], "192.0.2.1:9".parse().unwrap());
        assert_eq!(unread.unread, Some("the certificate"));
        assert_eq!(Peer::Certificate(Arc::new(unread)).to_string(), "?@192.0.2.1:9");
    }
    /// Else a certificate would be judged by the name that its owner has put first.
    #[test]
    fn all_common_names_are_read_and_one_that_cannot_be_is_noted() {
        let read = |second: DnValue| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name.push(DnType::CommonName, "ops");
            params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 3]), second);
            let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            PeerCertificate::from_chain(&[der.der().clone()], "192.0.2.1:9".parse().unwrap())
        };
        let two = read(DnValue::Utf8String("graphs".to_owned()));
        assert_eq!((two.common_names.as_slice(), two.unread), (&["ops".to_owned(), "graphs".to_owned()][..], None));
        assert_eq!(two.name(), "ops + graphs");
        assert_eq!(read(DnValue::BmpString("graphs".try_into().unwrap())).unread, Some("a common name"));
    }
}
