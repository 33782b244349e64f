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

use crate::problem::{ApiError, echo};

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
}

/// The names of a verified client certificate, and where its owner is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Common name of the subject.
    pub common_name: Option<String>,
    /// Alternative names: DNS names, e-mail addresses, URIs.
    pub names: Vec<String>,
    /// Address and port of the client.
    pub address: SocketAddr,
    /// The certificate in DER, followed by those of intermediate authorities that the client sent.
    pub chain: Vec<CertificateDer<'static>>,
}

impl PeerCertificate {
    /// Reads the names from the first certificate. What cannot be read is left out: TLS has verified it all the same.
    pub(super) fn read(chain: &[CertificateDer<'_>], address: SocketAddr) -> Self {
        let own = chain.first().map(AsRef::as_ref).unwrap_or_default();
        let chain = chain.iter().map(|der| der.clone().into_owned()).collect();
        let Ok((_, certificate)) = X509Certificate::from_der(own) else {
            return PeerCertificate { common_name: None, names: Vec::new(), address, chain };
        };
        let common_name =
            certificate.subject().iter_common_name().next().and_then(|n| n.as_str().ok()).map(str::to_owned);
        let alternative = certificate.subject_alternative_name().ok().flatten();
        let names = alternative.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
            GeneralName::DNSName(n) | GeneralName::RFC822Name(n) | GeneralName::URI(n) => Some((*n).to_owned()),
            _ => None,
        });
        PeerCertificate { common_name, names: names.collect(), address, chain }
    }

    /// The name under which the log speaks of its owner, as it may be shown.
    pub fn name(&self) -> String {
        echo(self.common_name.as_ref().or(self.names.first()).map_or("?", String::as_str))
    }

    /// All names.
    pub fn all_names(&self) -> impl Iterator<Item = &str> {
        self.common_name.iter().chain(&self.names).map(String::as_str)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Root { .. } => f.write_str("root"),
            Peer::Certificate(c) => write!(f, "{}@{}", c.name(), c.address),
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
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    #[test]
    fn the_names_of_a_certificate_are_read_and_shown_safely() {
        let mut params = CertificateParams::new(["manager.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "man\nager");
        let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let peer = PeerCertificate::read(&[der.der().clone()], "192.0.2.1:9".parse().unwrap());
        assert_eq!(peer.common_name.as_deref(), Some("man\nager"));
        assert_eq!(peer.names, ["manager.example"]);
        assert_eq!(Peer::Certificate(Arc::new(peer)).to_string(), r"man\nager@192.0.2.1:9");
        let unread = PeerCertificate::read(&[b"junk".to_vec().into()], "192.0.2.1:9".parse().unwrap());
        assert_eq!(Peer::Certificate(Arc::new(unread)).to_string(), "?@192.0.2.1:9");
    }
}
