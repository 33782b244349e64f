//! Who may do what.
//!
//! What it does: judges each request by its client's certificate as it is seen today, and by the client's role. Root on
//! this host, over the Unix socket, may do everything. What it must not do: know any route, or look into a request: a role
//! that may only read has `GET` and `HEAD`, whatever else a request says of itself
//! (docs/adr/0015-viewers-and-operators.md).

use std::sync::Arc;

use http::Method;

use crate::config::{Role, Tls, TlsClient};
use crate::listen::{Peer, PeerCertificate};
use crate::problem::ApiError;
use crate::tls::{Loaded, TlsError, TlsStore};
use ovstunnel_types::text::excerpt;

/// The judge of all requests. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Access(Option<Arc<TlsStore>>);

impl Access {
    /// Reads the certificate files of HTTPS; there are none where it is off.
    ///
    /// # Errors
    /// When one cannot be read or used.
    pub fn open(https: Option<&Tls>) -> Result<Self, TlsError> {
        let store = https.map(TlsStore::open).transpose()?;
        Ok(Access(store.map(Arc::new)))
    }

    /// The settings of HTTPS; none where it is off.
    pub fn tls(&self) -> Option<Arc<TlsStore>> {
        self.0.clone()
    }

    /// Whether `peer` may send a request with this method.
    ///
    /// # Errors
    /// `forbidden`, with the reason.
    pub fn judge(&self, peer: Option<&Peer>, method: &Method) -> Result<(), ApiError> {
        match (peer, &self.0) {
            (Some(Peer::Root { .. }), _) => Ok(()),
            (Some(Peer::Certificate(certificate)), Some(tls)) => judge(certificate, &tls.loaded(), method),
            // Neither can be; if it were, nobody is to get in by it.
            (Some(Peer::Certificate(_)), None) => Err(ApiError::forbidden("HTTPS is off")),
            (None, _) => Err(ApiError::internal("the request has no peer")),
        }
    }
}

fn judge(certificate: &PeerCertificate, tls: &Loaded, method: &Method) -> Result<(), ApiError> {
    let name = certificate.name();
    tls.accepts(&certificate.chain)
        .map_err(|e| ApiError::forbidden(format!("the certificate of {name} is not accepted any more: {e}")))?;
    if let Some(what) = certificate.unread {
        return Err(ApiError::forbidden(format!("{what} of {name} cannot be read, so it is not known whose it is")));
    }
    if certificate.all_names().next().is_none() {
        let detail =
            "the client's certificate has no name: neither a common name nor a DNS name, e-mail address or URI";
        return Err(ApiError::forbidden(detail));
    }
    match role(certificate, &tls.clients) {
        Some(Role::Operator) => Ok(()),
        Some(Role::Viewer) if matches!(*method, Method::GET | Method::HEAD) => Ok(()),
        Some(Role::Viewer) => Err(ApiError::forbidden(format!(
            "{name} is a viewer in [[tls.clients]] and may only read: {} is for operators",
            excerpt(method.as_str())
        ))),
        None => Err(ApiError::forbidden(format!(
            "none of the names in the client's certificate is in [[tls.clients]]: {}",
            names(certificate)
        ))),
    }
}

/// The least that any of the certificate's names may. Without any list everybody is an operator.
fn role(certificate: &PeerCertificate, clients: &[TlsClient]) -> Option<Role> {
    if clients.is_empty() {
        return Some(Role::Operator);
    }
    let is_its = |client: &&TlsClient| certificate.all_names().any(|name| name == client.name);
    let mut roles = clients.iter().filter(is_its).map(|client| client.role);
    let first = roles.next()?;
    Some(if roles.any(|role| role == Role::Viewer) { Role::Viewer } else { first })
}

fn names(certificate: &PeerCertificate) -> String {
    let names: Vec<_> = certificate.all_names().take(5).map(excerpt).collect();
    if names.is_empty() { "it has none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn certificate(names: &[&str]) -> PeerCertificate {
        let mut names = names.iter().map(|name| (*name).to_owned());
        PeerCertificate {
            common_names: names.next().into_iter().collect(),
            names: names.collect(),
            unread: None,
            address: "192.0.2.1:9".parse().unwrap(),
            chain: Vec::new(),
        }
    }

    #[test]
    fn a_role_goes_by_any_name_and_the_least_one_counts() {
        let client = |name: &str, role| TlsClient { name: name.to_owned(), role };
        let clients = [client("ops", Role::Operator), client("graphs", Role::Viewer), client("uri:x", Role::Operator)];
        let role = |names: &[&str]| role(&certificate(names), &clients);
        assert_eq!(role(&["ops"]), Some(Role::Operator));
        assert_eq!(role(&["host9", "uri:x"]), Some(Role::Operator));
        assert_eq!(role(&["ops", "graphs"]), Some(Role::Viewer));
        assert_eq!(role(&["graphs", "ops"]), Some(Role::Viewer));
        for strange in [&["OPS"][..], &["ops."], &["stranger", "op"], &[]] {
            assert_eq!(role(strange), None, "{strange:?}");
        }
    }

    #[test]
    fn without_a_list_everybody_is_an_operator() {
        assert_eq!(role(&certificate(&["anyone"]), &[]), Some(Role::Operator));
        assert_eq!(role(&certificate(&[]), &[]), Some(Role::Operator));
    }

    #[test]
    fn who_is_not_known_to_be_anybody_gets_nothing() {
        assert_eq!(Access::default().judge(None, &Method::GET).unwrap_err().problem().status, 500);
        let peer = Peer::Certificate(Arc::new(certificate(&["ops"])));
        assert_eq!(Access::default().judge(Some(&peer), &Method::GET).unwrap_err().problem().status, 403);
        assert_eq!(Access::default().judge(Some(&Peer::Root { pid: None }), &Method::PUT), Ok(()));
    }
}
