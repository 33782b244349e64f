//! Who may do what.
//!
//! What it does: judges each request by its client's certificate as it is seen today, and by the client's role. Root on
//! this host, over the Unix socket, may do everything. What it must not do: know any route (a service that has more roles than two says
//! what they may, [`Rules`]), or look into a request: a role that may only read has `GET` and `HEAD`, whatever else a request
//! says of itself (docs/adr/0015-viewers-and-operators.md).

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, Method};

use crate::config::{Role, Tls, TlsClient};
use crate::forwarded::{CLIENT_CERT, read_client};
use crate::listen::{Guest, Peer, PeerCertificate};
use crate::problem::ApiError;
use crate::tls::{Loaded, TlsError, TlsStore, Visitors};
use ovstunnel_types::text::excerpt;

/// What a service makes of roles. `names` are all those of the client's certificate.
pub trait Rules: fmt::Debug + Send + Sync {
    /// The role of a client where there is no list.
    fn unlisted_role(&self, names: &[&str]) -> Role;

    /// Whether a role may send a request with this method to this path.
    ///
    /// # Errors
    /// Why not, as it reads on after the client's name.
    fn check_request(&self, role: Role, names: &[&str], method: &Method, path: &str) -> Result<(), String>;

    /// Whom a service knows who shows no certificate, by what the request says of itself.
    fn recognise_guest(&self, _headers: &HeaderMap, _address: SocketAddr) -> Option<Guest> {
        None
    }

    /// From whom requests are taken that they send on for others: the common names of their certificates. None: nothing is known here of sending
    /// on, and what a request says of it counts for nothing.
    fn forwarders(&self) -> Option<&[String]> {
        None
    }

    /// Whether a guest, whose role may it, may also as a guest send a request with this method to this path.
    ///
    /// # Errors
    /// Why not, as it reads on after the guest's name.
    fn may_as_guest(&self, _method: &Method, _path: &str) -> Result<(), String> {
        Err("has no certificate".to_owned())
    }

    /// Whether anybody at all may send a request with this method to this path.
    fn is_for_all(&self, _method: &Method, _path: &str) -> bool {
        false
    }
}

/// What is said to a client without a certificate, of all that is not for everybody.
pub const NEEDS_CERTIFICATE: &str = "the client shows no certificate";

/// Operators and viewers, by method alone.
#[derive(Clone, Copy, Debug)]
struct ByMethod;

impl Rules for ByMethod {
    fn unlisted_role(&self, _: &[&str]) -> Role {
        Role::Operator
    }

    fn check_request(&self, role: Role, _: &[&str], method: &Method, _: &str) -> Result<(), String> {
        match role {
            Role::Operator | Role::Admin => Ok(()),
            Role::Viewer if is_reading(method) => Ok(()),
            Role::Viewer => Err(format!(
                "is a viewer in [[tls.clients]] and may only read: {} is for operators",
                excerpt(method.as_str())
            )),
            Role::Host => Err("is a host in [[tls.clients]], which is a role of a zone's manager".to_owned()),
        }
    }
}

/// Whether a request with this method only reads.
pub fn is_reading(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// The judge of all requests. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Access {
    tls: Option<Arc<TlsStore>>,
    rules: Arc<dyn Rules>,
}

impl Default for Access {
    fn default() -> Self {
        Access { tls: None, rules: Arc::new(ByMethod) }
    }
}

impl Access {
    /// Reads the certificate files of HTTPS; there are none where it is off.
    ///
    /// # Errors
    /// When one cannot be read or used.
    pub fn open(https: Option<&Tls>) -> Result<Self, TlsError> {
        let store = https.map(TlsStore::open).transpose()?;
        Ok(Access { tls: store.map(Arc::new), ..Access::default() })
    }

    /// The same for a service that lets clients in who show no certificate, and says by its rules what these may.
    ///
    /// # Errors
    /// As [`Access::open`].
    pub fn open_to_visitors(https: Option<&Tls>) -> Result<Self, TlsError> {
        let store = https.map(|files| TlsStore::open_to(files, Visitors::LetIn)).transpose()?;
        Ok(Access { tls: store.map(Arc::new), ..Access::default() })
    }

    /// A visitor whom the service knows becomes a guest, and one who may send requests on for others becomes the one for whom; everybody else stays
    /// who they are.
    ///
    /// # Errors
    /// Somebody sends a request on who may not: who says it, and why it is refused. It must not count as that one's own either.
    pub fn recognise_peer(&self, peer: Peer, headers: &HeaderMap) -> Result<Peer, (Peer, ApiError)> {
        if let Some(forwarders) = self.rules.forwarders().filter(|_| headers.contains_key(CLIENT_CERT)) {
            return match self.client_of_forwarder(&peer, forwarders, headers) {
                Ok(client) => Ok(Peer::Certificate(Arc::new(client))),
                Err(error) => Err((peer, error)),
            };
        }
        Ok(match peer {
            Peer::Visitor(address) => {
                self.rules.recognise_guest(headers, address).map_or(peer, |guest| Peer::Guest(Arc::new(guest)))
            }
            other => other,
        })
    }

    fn client_of_forwarder(
        &self,
        peer: &Peer,
        forwarders: &[String],
        headers: &HeaderMap,
    ) -> Result<PeerCertificate, ApiError> {
        let refuse = |why: &str| ApiError::forbidden(format!("{} {why}", peer.name()));
        let (Peer::Certificate(certificate), Some(tls)) = (peer, &self.tls) else {
            return Err(refuse("shows no certificate, and may send on no request for others"));
        };
        check_certificate(certificate, &tls.loaded())?;
        let [name] = &certificate.common_names[..] else {
            return Err(refuse("has not one common name, and may send on no request for others"));
        };
        if !forwarders.contains(name) {
            return Err(refuse("may send on no request for others: it is not in the list of those who may"));
        }
        read_client(headers, name).ok_or_else(|| refuse("says of nobody for whom it asks"))?.map_err(|why| refuse(&why))
    }

    /// The same for a service with rules of its own.
    #[must_use]
    pub fn with_rules(self, rules: Arc<dyn Rules>) -> Self {
        Access { rules, ..self }
    }

    /// The settings of HTTPS; none where it is off.
    pub fn tls_store(&self) -> Option<Arc<TlsStore>> {
        self.tls.clone()
    }

    /// In which role `peer` sends a request with this method to this path. Root is an admin.
    ///
    /// # Errors
    /// `forbidden`, with the reason.
    pub fn judge_request(&self, peer: Option<&Peer>, method: &Method, path: &str) -> Result<Role, ApiError> {
        match (peer, &self.tls) {
            (Some(Peer::Root { .. }), _) => Ok(Role::Admin),
            (Some(Peer::Certificate(certificate)), Some(tls)) => {
                let loaded = tls.loaded();
                check_certificate(certificate, &loaded)?;
                self.judge_role(certificate, &loaded.clients, method, path)
            }
            (Some(Peer::Guest(guest)), Some(_)) => {
                let refuse = |why| ApiError::forbidden(format!("{} {why}", excerpt(&guest.name)));
                self.rules.may_as_guest(method, path).map_err(refuse)?;
                self.rules.check_request(guest.role, &[], method, path).map_err(refuse).map(|()| guest.role)
            }
            (Some(Peer::Visitor(_)), Some(_)) if self.rules.is_for_all(method, path) => Ok(Role::Host),
            (Some(Peer::Visitor(_)), Some(_)) => Err(ApiError::forbidden(NEEDS_CERTIFICATE)),
            // Neither can be; if it were, nobody is to get in by it.
            (Some(Peer::Certificate(_) | Peer::Guest(_) | Peer::Visitor(_)), None) => {
                Err(ApiError::forbidden("HTTPS is off"))
            }
            (None, _) => Err(ApiError::internal("the request has no peer")),
        }
    }

    fn judge_role(
        &self,
        certificate: &PeerCertificate,
        clients: &[TlsClient],
        method: &Method,
        path: &str,
    ) -> Result<Role, ApiError> {
        let all: Vec<&str> = certificate.all_names().collect();
        let role =
            if clients.is_empty() { Some(self.rules.unlisted_role(&all)) } else { listed_role(certificate, clients) };
        let Some(role) = role else {
            return Err(ApiError::forbidden(format!(
                "none of the names in the client's certificate is in [[tls.clients]]: {}",
                certificate_names(certificate)
            )));
        };
        let refuse = |why| ApiError::forbidden(format!("{} {why}", certificate.name()));
        self.rules.check_request(role, &all, method, path).map_err(refuse).map(|()| role)
    }
}

/// That a certificate is accepted today, and says whose it is.
fn check_certificate(certificate: &PeerCertificate, tls: &Loaded) -> Result<(), ApiError> {
    let name = certificate.name();
    tls.check_chain(&certificate.chain)
        .map_err(|e| ApiError::forbidden(format!("the certificate of {name} is not accepted any more: {e}")))?;
    if let Some(what) = certificate.unread {
        return Err(ApiError::forbidden(format!("{what} of {name} cannot be read, so it is not known whose it is")));
    }
    if certificate.all_names().next().is_none() {
        let detail =
            "the client's certificate has no name: neither a common name nor a DNS name, e-mail address or URI";
        return Err(ApiError::forbidden(detail));
    }
    Ok(())
}

/// The least that any of the certificate's names may.
fn listed_role(certificate: &PeerCertificate, clients: &[TlsClient]) -> Option<Role> {
    let is_its = |client: &&TlsClient| certificate.all_names().any(|name| name == client.name);
    clients.iter().filter(is_its).map(|client| client.role).min()
}

fn certificate_names(certificate: &PeerCertificate) -> String {
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
            via: None,
        }
    }

    #[test]
    fn a_role_goes_by_any_name_and_the_least_one_counts() {
        let client = |name: &str, role| TlsClient { name: name.to_owned(), role };
        let clients = [client("ops", Role::Operator), client("graphs", Role::Viewer), client("uri:x", Role::Operator)];
        let role = |names: &[&str]| listed_role(&certificate(names), &clients);
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
        let asks = |method| Access::default().judge_role(&certificate(&["anyone"]), &[], &method, "/v1/x");
        assert_eq!((asks(Method::GET), asks(Method::DELETE)), (Ok(Role::Operator), Ok(Role::Operator)));
    }

    #[test]
    fn who_is_not_known_to_be_anybody_gets_nothing() {
        assert_eq!(Access::default().judge_request(None, &Method::GET, "/").unwrap_err().problem().status, 500);
        let peer = Peer::Certificate(Arc::new(certificate(&["ops"])));
        assert_eq!(Access::default().judge_request(Some(&peer), &Method::GET, "/").unwrap_err().problem().status, 403);
        assert_eq!(
            Access::default().judge_request(Some(&Peer::Root { pid: None }), &Method::PUT, "/"),
            Ok(Role::Admin)
        );
    }
}
