//! What can go wrong with a request, told apart by what the operator has to do about it.
//!
//! What it does: keeps the daemon's problem whole; finds the one cause that matters in the HTTP client's chain of
//! errors; has hints. What it must not do: print, or put its source into its own text.

use std::error::Error;
use std::io;
#[cfg(feature = "https")]
use std::path::{Path, PathBuf};
use std::time::Duration;

use ovstunnel_api::{Code, Problem};

#[cfg(feature = "https")]
use crate::TlsFault;
use crate::{Peer, Service};

/// How much of an answer that is not ours is shown, in characters.
const EXCERPT: usize = 200;

/// The innermost error of a chain, which is the one that says what happened.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Cause(String);

impl Cause {
    pub(super) fn innermost_error(error: &(dyn Error + 'static)) -> Self {
        Cause(error_sources(error).last().map(ToString::to_string).unwrap_or_default())
    }
}

/// Why a request has no good answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The daemon answered with an error.
    #[error("{}", .0.title)]
    Problem(#[source] Box<Problem>),
    /// There is no connection.
    #[error("cannot reach {peer}")]
    Unreachable {
        /// Who was asked.
        peer: Peer,
        /// What the operating system said, where it was it that refused.
        kind: Option<io::ErrorKind>,
        /// The reason.
        source: Cause,
    },
    /// There is a connection, but no trust.
    #[cfg(feature = "https")]
    #[error("no TLS with {peer}")]
    Tls {
        /// Who was asked.
        peer: Peer,
        /// What kind of failure.
        fault: TlsFault,
        /// The TLS library's words.
        source: Cause,
    },
    /// The deadline passed while the daemon was at work. Whether a change took effect is not known.
    #[error("no answer from {peer} within {}", humantime::format_duration(*.timeout))]
    NoAnswer {
        /// Who was asked.
        peer: Peer,
        /// The deadline.
        timeout: Duration,
    },
    /// The daemon, which is watched, has sent nothing for too long.
    #[error("no word from {peer} for {}", humantime::format_duration(*.silence))]
    Silent {
        /// Who was asked.
        peer: Peer,
        /// How long.
        silence: Duration,
    },
    /// The connection ended before the answer did. Whether a change took effect is not known.
    #[error("the connection to {peer} broke before its answer was there")]
    BrokenOff {
        /// Who was asked.
        peer: Peer,
        /// The reason.
        source: Cause,
    },
    /// There is an answer, but not one of this API.
    #[error("the answer from {} is not one of ovstunnel's API (HTTP status {status}): {excerpt}", peer.at)]
    Unexpected {
        /// Who was asked.
        peer: Peer,
        /// HTTP status.
        status: u16,
        /// How the answer begins.
        excerpt: String,
        /// What the reader expected.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// A certificate or key file is of no use.
    #[cfg(feature = "https")]
    #[error("cannot use {option} {}", path.display())]
    Credentials {
        /// The option that names the file.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The CA of the manager is not the one that the token names.
    #[error("the CA of {} is not the one that the token names; the token was not sent", peer.at)]
    OtherCa {
        /// Who was asked.
        peer: Peer,
    },
    /// A name that no URL can carry.
    #[error("`{}` cannot be the name of a {field}", value.escape_default())]
    Name {
        /// What it was to name.
        field: &'static str,
        /// The name.
        value: String,
    },
    /// The client itself could not be made or could not write its request.
    #[error("cannot prepare the request")]
    Setup {
        /// The reason.
        source: Cause,
    },
}

impl ClientError {
    /// Whether a request without an answer may have been taken all the same: there was a connection to send it by.
    pub fn was_sent(&self) -> bool {
        matches!(self, ClientError::NoAnswer { .. } | ClientError::Silent { .. } | ClientError::BrokenOff { .. })
    }

    #[cfg(feature = "https")]
    pub(super) fn credentials(option: &'static str, path: &Path, source: impl Error + Send + Sync + 'static) -> Self {
        ClientError::Credentials { option, path: path.to_owned(), source: Box::new(source) }
    }

    pub(super) fn unexpected_answer(peer: &Peer, status: u16, body: &[u8], source: Option<serde_json::Error>) -> Self {
        let text = String::from_utf8_lossy(body);
        let mut excerpt: String = text.trim().chars().take(EXCERPT).collect();
        if excerpt.is_empty() {
            excerpt.push_str("(empty)");
        }
        ClientError::Unexpected { peer: peer.clone(), status, excerpt, source }
    }

    /// Sorts an error of the HTTP client, which was connecting or not. TLS comes first: with TLS 1.3 a daemon's refusal of
    /// our certificate arrives only after the handshake, so that it looks like a connection that broke.
    pub(super) fn from_transport(error: &(dyn Error + 'static), connecting: bool, peer: &Peer) -> Self {
        let (peer, source) = (peer.clone(), Cause::innermost_error(error));
        #[cfg(feature = "https")]
        if let Some(tls) = find_source::<rustls::Error>(error) {
            let source = Cause(super::tls::error_message(tls, peer.service));
            return ClientError::Tls { peer, fault: TlsFault::from_error(tls), source };
        }
        match connecting {
            true => {
                let kind = find_source::<io::Error>(error).map(io::Error::kind);
                ClientError::Unreachable { peer, kind, source }
            }
            false => ClientError::BrokenOff { peer, source },
        }
    }

    /// The daemon's problem, where it is one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            ClientError::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// True when the daemon answered, be it with an error.
    pub fn was_answered(&self) -> bool {
        matches!(self, ClientError::Problem(_) | ClientError::Unexpected { .. } | ClientError::OtherCa { .. })
    }

    /// A stable word for programs, for what the daemon did not say itself; a [`Problem`] has its own `code`.
    pub fn code(&self) -> &'static str {
        match self {
            ClientError::Problem(_) => "problem",
            ClientError::Unreachable { peer, .. } if peer.service == Service::Manager => "manager_unreachable",
            ClientError::Unreachable { .. } => "daemon_unreachable",
            #[cfg(feature = "https")]
            ClientError::Tls { .. } => "tls_failed",
            ClientError::NoAnswer { .. } => "no_answer",
            ClientError::Silent { .. } => "silent",
            ClientError::BrokenOff { .. } => "connection_broken",
            ClientError::Unexpected { .. } => "unexpected_answer",
            #[cfg(feature = "https")]
            ClientError::Credentials { .. } => "bad_credentials",
            ClientError::OtherCa { .. } => "other_ca",
            ClientError::Name { .. } => "bad_name",
            ClientError::Setup { .. } => "client_failed",
        }
    }

    /// What the operator can do about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            ClientError::Problem(problem) => return problem_hint(problem),
            ClientError::Unreachable { kind, peer, .. } => unreachable_hint(*kind, peer),
            #[cfg(feature = "https")]
            ClientError::Tls { fault, peer, .. } => return Some(fault.hint(peer.service)),
            // With TLS 1.3 a refusal of our certificate comes after the handshake; where the daemon closes at once, only a
            // broken connection is left of it.
            ClientError::BrokenOff { peer, .. } if peer.is_remote() => {
                return Some(format!(
                    "the {} may not accept the certificate in --cert (its log says so), or it went away: whether a change \
                     took effect is not known then; the same request can be sent again without harm",
                    peer.service.as_str()
                ));
            }
            ClientError::NoAnswer { .. } | ClientError::BrokenOff { .. } => {
                "whether a change took effect is not known; the same request can be sent again without harm"
            }
            ClientError::Silent { peer, .. } => {
                let service = peer.service.as_str();
                return Some(format!("the {service} hangs, or the network in between is cut: ask again"));
            }
            ClientError::Unexpected { peer, .. } => {
                let service = peer.service.as_str();
                return Some(format!("is something else listening there, or a {service} of another version?"));
            }
            #[cfg(feature = "https")]
            ClientError::Credentials { .. } => "`ovstunnelctl pki init` and `pki issue` make such files",
            ClientError::OtherCa { .. } => {
                "is this the address of the zone's manager? After a renewal of its CA, tokens made before are of no use: \
                 `ovstunnelctl zone token create`"
            }
            ClientError::Name { .. } | ClientError::Setup { .. } => return None,
        };
        Some(text.to_owned())
    }
}

fn unreachable_hint(kind: Option<io::ErrorKind>, peer: &Peer) -> &'static str {
    let local = !peer.is_remote();
    match kind {
        Some(io::ErrorKind::PermissionDenied) if local => "the socket is for root: run this as root",
        _ if local && peer.service == Service::Manager => {
            "is the manager running on this host? `systemctl status ovstunnel-manager`; another socket: --socket PATH; \
             elsewhere: --url https://HOST:8444"
        }
        _ if local => "is the service running? `systemctl status ovstunneld`; another socket: --socket PATH",
        Some(io::ErrorKind::ConnectionRefused) => {
            "is the service running there, and is `listen` in [api] of its configuration this address and port?"
        }
        _ => "check the name in --url, the network between the hosts, and firewalls",
    }
}

fn problem_hint(problem: &Problem) -> Option<String> {
    let text = match problem.code {
        Code::Forbidden => "this caller may not do that: use another client certificate, or the Unix socket as root",
        Code::NotFound if problem.detail.contains(" device") => {
            "`ip -brief address` on that host shows its devices; a network's name-label is known where xapi is"
        }
        Code::NotFound | Code::SwitchUnavailable if problem.detail.contains("xapi") => {
            "ask xapi itself: `xe network-list` on that host shows its networks"
        }
        Code::Conflict if problem.detail.contains(" of xapi ") => {
            "`xe network-list` on a host of the pool shows them; one that nobody uses can go: `xe network-destroy uuid=UUID`"
        }
        Code::OutcomeUnknown if problem.detail.contains("xapi") => {
            "look with `ovstunnelctl network show`; the same request can be sent again without harm"
        }
        Code::NotFound => "`ovstunnelctl bridge list` and `tunnel list` show what is there",
        Code::Conflict => match &problem.in_the_way {
            Some(name) => {
                return Some(format!(
                    "`{name}` is in the way: `ovs-vsctl list-ports` and `bridge show` tell what it is"
                ));
            }
            None => "look at what is there with `ovstunnelctl bridge list`",
        },
        Code::StaleEpoch => "another manager of the zone has taken over: ask that one",
        Code::OtherZone => "`ovstunnelctl epoch show` on the host tells which zone it is of; `epoch clear` frees it",
        Code::NotLeader => "ask the manager that leads, by `--url` with its address, and a certificate",
        Code::Draining => {
            "choose another host, or end the draining: `ovstunnelctl zone host add`, with `--mode manage`"
        }
        Code::KeysExhausted => {
            "widen the ranges: `ovstunnelctl zone physical-network add NAME --vnet`; `ovstunnelctl zone keys` says who has which"
        }
        Code::BridgeMissing => "name the bridge in `bridge`, or install this version of ovstunneld on the host",
        Code::TunnelMissing => "`ovstunnelctl zone plan NETWORK` says what is missing; prepare the NIC again",
        Code::Migrating => "say how the migration ended: `ovstunnelctl zone nic migrated` or `rollback`",
        Code::SwitchRefused => "what was refused was taken away again; Open vSwitch's own log may say more",
        Code::Unavailable => "see what it says cannot be reached, and ask again",
        Code::SwitchUnavailable => "is Open vSwitch running? `systemctl status openvswitch openvswitch-switch`",
        Code::OutcomeUnknown => "look with `ovstunnelctl bridge show`; the same request can be sent again without harm",
        Code::Internal => "a fault of the daemon: /var/log/ovstunnel.log has more under the request's id",
        Code::MethodNotAllowed | Code::UnsupportedMediaType => {
            "the daemon may be of another version: `ovstunnelctl status`"
        }
        Code::Unknown => "the daemon is newer than this command: `ovstunnelctl status` shows its version",
        Code::InvalidRequest | Code::TooLarge => return None,
    };
    Some(text.to_owned())
}

/// `error` and its sources, outermost first. An `io::Error` hides its inner error from `source`; it is looked into.
fn error_sources<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&e| match e.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner as &(dyn Error + 'static)),
        None => e.source(),
    })
}

fn find_source<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    error_sources(error).find_map(|e| e.downcast_ref::<E>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "https")]
    #[test]
    fn the_cause_inside_an_io_error_is_found() {
        let outer = io::Error::other(io::Error::other(rustls::Error::NoCertificatesPresented));
        assert!(find_source::<rustls::Error>(&outer).is_some());
        assert_eq!(Cause::innermost_error(&outer).to_string(), rustls::Error::NoCertificatesPresented.to_string());
    }

    #[test]
    fn a_foreign_answer_is_shown_in_part() {
        let error = ClientError::unexpected_answer(&Peer::daemon_at("sock"), 502, "x".repeat(1000).as_bytes(), None);
        assert!(error.to_string().len() < 300);
        assert_eq!(error.code(), "unexpected_answer");
        assert!(error.was_answered());
    }

    #[test]
    fn hints_fit_the_way_of_the_connection() {
        use io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied};
        let hint = |kind, at| unreachable_hint(kind, &Peer::daemon_at(at));
        assert!(hint(Some(NotFound), "/run/x.sock").contains("systemctl status ovstunneld"));
        assert!(hint(Some(PermissionDenied), "/run/x.sock").contains("root"));
        assert!(hint(Some(ConnectionRefused), "https://h:1").contains("listen"));
        assert!(hint(None, "https://h:1").contains("--url"));
    }
}
