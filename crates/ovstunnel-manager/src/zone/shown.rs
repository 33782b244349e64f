//! Whether what a host has carried out is in what it says it has.
//!
//! What it must not do: judge whether that is right; only whether the host's word is newer than the change.

use std::collections::BTreeSet;

use ovstunnel_mesh::Request;
use ovstunnel_mesh::observed::{Bridge, Snapshot, Tunnel};
use ovstunnel_types::{BridgeName, HostNumber, RemoteIp};

use super::Zone;

fn find_bridge<'a>(snapshot: &'a Snapshot, name: &BridgeName) -> Option<&'a Bridge> {
    snapshot.bridges().iter().map(AsRef::as_ref).find(|bridge| bridge.name == *name)
}

/// Whether a host that says this has carried the request out, as far as can be seen.
fn is_shown(snapshot: &Snapshot, request: &Request) -> bool {
    let has = |bridge: &BridgeName, wanted: &dyn Fn(&Tunnel) -> bool| {
        find_bridge(snapshot, bridge).is_some_and(|bridge| bridge.tunnels.iter().any(wanted))
    };
    match request {
        Request::PutBridge { bridge, tunnels, .. } => find_bridge(snapshot, bridge).is_some_and(|bridge| {
            let there: BTreeSet<RemoteIp> = bridge.tunnels.iter().map(|tunnel| tunnel.remote_ip).collect();
            there == tunnels.values().copied().collect()
        }),
        Request::PostTunnel { bridge, to, remote_ip, .. } => {
            has(bridge, &|tunnel| tunnel.peer_number() == Some(*to) && tunnel.remote_ip == *remote_ip)
        }
        Request::DeleteTunnel { bridge, port } => !has(bridge, &|tunnel| tunnel.port == *port),
        Request::DeleteBridge { bridge } => find_bridge(snapshot, bridge).is_none(),
        // What a step has come to is answered with it.
        Request::ChangeKind { .. } => true,
    }
}

impl Zone {
    /// Whether all of these requests, which a host has carried out, are in what it says it has. One that says nothing is not waited for.
    pub fn shows_requests(&self, host: HostNumber, requests: &[Request]) -> bool {
        let state = self.lock_state();
        let seen = state.seen.get(&host).filter(|seen| seen.is_connected);
        let snapshot = seen.and_then(|seen| seen.snapshot.as_ref());
        snapshot.is_none_or(|snapshot| requests.iter().all(|request| is_shown(snapshot, request)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::collections::BTreeMap;

    use ovstunnel_types::HostId;

    use super::*;

    #[test]
    fn a_host_shows_a_bridge_that_is_gone_and_not_one_to_come() {
        let (empty, bridge) = (Snapshot::new("i", 1, Vec::<Bridge>::new()), "b1".parse::<BridgeName>().unwrap());
        let to = HostNumber::try_from(2).unwrap();
        let ip: RemoteIp = "192.0.2.2".parse().unwrap();
        let key = 7.try_into().unwrap();
        let tunnels = BTreeMap::from([(HostId::from(to), ip)]);
        let put = Request::PutBridge { bridge: bridge.clone(), key, ipv6: None, kind: None, tunnels };
        let post = Request::PostTunnel { bridge: bridge.clone(), key, to, remote_ip: ip };
        assert!(!is_shown(&empty, &put) && !is_shown(&empty, &post));
        let port = "t7-1-2".parse().unwrap();
        assert!(is_shown(&empty, &Request::DeleteTunnel { bridge: bridge.clone(), port }));
        assert!(is_shown(&empty, &Request::DeleteBridge { bridge }));
    }
}
