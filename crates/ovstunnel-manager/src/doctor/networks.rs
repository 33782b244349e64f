//! The networks that are not whole, with the first reason of each. Must not prove one.

use ovstunnel_api::Finding;
use ovstunnel_manager_api::{Network, NetworkCount, NetworkState};
use ovstunnel_server::doctor::finding::{About, fail, ok, or_ok, warn};

/// Networks that are told of, each for itself.
pub(super) const TOLD: usize = 20;

/// `worst` are those of all that are not whole that are told of.
pub(super) fn check_networks(count: NetworkCount, worst: &[Network]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = worst.iter().map(network_finding).collect();
    let more = ((count.settling + count.broken) as usize).saturating_sub(worst.len());
    if more > 0 && !worst.is_empty() {
        let reason = format!("{more} more networks are not whole");
        findings.push(warn("network", reason, "`ovstunnelctl zone networks --state broken,settling` lists them"));
    }
    or_ok(findings, || match count.all {
        0 => ok("network", "no host has a bridge of any yet"),
        all => ok("network", format!("all {all} are whole")),
    })
}

fn network_finding(network: &Network) -> Finding {
    let Network { name, wanted, proven, reason, since, .. } = network;
    let why = reason.as_ref().map_or_else(
        || "no reason is known".to_owned(),
        |first| {
            let to = first.to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
            format!("{} on {}{to}: {}", first.what, first.host, first.evidence)
        },
    );
    let (reason, remedy) = (
        format!("not whole since {since}, {proven} of {wanted} tunnels are proven: {why}"),
        reason.as_ref().map_or_else(String::new, |first| format!("{}; ", first.remedy)),
    );
    let remedy = format!("{remedy}all reasons: `ovstunnelctl zone proof {name}`");
    match network.state {
        NetworkState::Broken => fail("network", reason, remedy),
        _ => warn("network", reason, remedy),
    }
    .about(name)
}

#[cfg(test)]
mod tests {
    use ovstunnel_api::Level;
    use ovstunnel_manager_api::Finding as Reason;

    use super::*;

    #[test]
    fn the_first_reason_of_each_is_told() {
        let reason = Reason {
            what: "tunnel_missing".into(),
            host: "h1".into(),
            to: Some("h2".into()),
            evidence: "no tunnel".into(),
            remedy: "reconcile the network".into(),
        };
        let network = Network {
            name: "key-7".into(),
            key: Some(7),
            state: NetworkState::Broken,
            since: "2026-01-01T00:00:00Z".into(),
            hosts: 2,
            wanted: 2,
            proven: 1,
            reason: Some(reason),
            record: None,
            kind: None,
            cloudstack: None,
            disagreements: Vec::new(),
            members: None,
        };
        let count = NetworkCount { all: 9, whole: 5, settling: 1, broken: 3 };
        let settling = Network { state: NetworkState::Settling, ..network.clone() };
        let found = check_networks(count, &[network, settling]);
        assert_eq!(found.iter().map(|f| f.level).collect::<Vec<_>>(), [Level::Fail, Level::Warn, Level::Warn]);
        assert!(found[0].reason.ends_with("1 of 2 tunnels are proven: tunnel_missing on h1 to h2: no tunnel"));
        assert!(
            found[0].remedy.as_ref().is_some_and(|remedy| remedy.starts_with("reconcile the network; all reasons"))
        );
        assert!(found[2].reason.starts_with("2 more networks"));
        assert_eq!(check_networks(NetworkCount { all: 3, whole: 3, ..count }, &[])[0].level, Level::Ok);
    }
}
