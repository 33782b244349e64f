//! Why a host cannot be asked, by what its client says. Must not ask it.

use ovstunnel_client::{ClientError, TlsFault};
use ovstunnel_types::text::error_chain;

use crate::zone::Silence;

impl From<&ClientError> for Silence {
    fn from(error: &ClientError) -> Silence {
        let remedy = match error {
            ClientError::Tls { fault, .. } => of_tls(*fault),
            ClientError::Problem(problem) if problem.status == 403 => Some(not_allowed("viewer")),
            _ => None,
        };
        let evidence = match error.problem() {
            Some(problem) => format!("{}: {}", problem.title, problem.detail),
            None => error_chain(error),
        };
        match remedy {
            Some(remedy) => Silence { kind: "certificate_refused", evidence, remedy: remedy.to_owned() },
            None => Silence::from(evidence),
        }
    }
}

/// What to do where a daemon refuses the manager for its role: it needs this one.
pub(super) fn not_allowed(role: &str) -> &'static str {
    match role {
        "operator" => {
            "give the manager's name the role operator under [[tls.clients]] of the host's ovstunneld.toml, then `systemctl reload \
             ovstunneld` there"
        }
        _ => {
            "give the manager's name the role viewer under [[tls.clients]] of the host's ovstunneld.toml, then `systemctl reload \
             ovstunneld` there"
        }
    }
}

/// What to do about certificates; nothing where it is not they that are wrong.
fn of_tls(fault: TlsFault) -> Option<&'static str> {
    match fault {
        TlsFault::UnknownDaemon => Some(
            "the daemon's certificate must be of the authority in `ca` of the manager's [hosts]: issue it by that one with `ovstunnelctl pki \
             issue --host NAME`, or put its authority's certificate there",
        ),
        TlsFault::WrongName => Some(
            "register the host by a name or address that its daemon's certificate has, or issue one that has it: `ovstunnelctl pki issue \
             --host NAME --address IP`",
        ),
        TlsFault::DaemonOutOfTime => Some(
            "compare the clocks of both machines; where they agree, the daemon needs a new certificate: `ovstunnelctl pki renew`",
        ),
        TlsFault::UnfitDaemon => {
            Some("the daemon needs a certificate for servers: `ovstunnelctl pki issue --host NAME` makes one")
        }
        TlsFault::RefusedUs => Some(
            "the certificate in the manager's [hosts] must be one for clients, from the CA that `client_ca` in [tls] of the host's \
             ovstunneld.toml names: `ovstunnelctl pki issue --manager NAME`",
        ),
        TlsFault::WeOutOfTime => Some(
            "compare the clocks of both machines; where they agree, the manager needs a new certificate: `ovstunnelctl pki renew`",
        ),
        TlsFault::NotTls | TlsFault::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refused_certificate_has_its_own_remedy() {
        let certificates = [
            TlsFault::UnknownDaemon,
            TlsFault::WrongName,
            TlsFault::DaemonOutOfTime,
            TlsFault::UnfitDaemon,
            TlsFault::RefusedUs,
            TlsFault::WeOutOfTime,
        ];
        let mut remedies: Vec<_> = certificates.into_iter().filter_map(of_tls).collect();
        remedies.sort_unstable();
        remedies.dedup();
        assert_eq!(remedies.len(), certificates.len(), "each has its own remedy");
        assert_eq!((of_tls(TlsFault::NotTls), of_tls(TlsFault::Other)), (None, None));
    }
}
