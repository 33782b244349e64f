//! What a host's daemon says of its bridges, as values of the mesh.
//!
//! What it does: reads the wire's texts into types that are valid by construction, and says which of them are not. What it must not do:
//! judge what is there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ovstunnel_api::{Bfd, Bridge, Claim, ClaimSays, Neighbour, Tunnel};
use ovstunnel_mesh::Moment;
use ovstunnel_mesh::membership::{Call, LastCall, TUNNEL_CALL_LASTS};
use ovstunnel_mesh::observed::{self, Carries, Session, Snapshot};
use ovstunnel_types::{GreKey, Invalid};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::zone::unmet_requirement;

/// All that a host has said of its bridges, bridge by bridge. They are shared with the snapshots that are made of it.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    bridges: BTreeMap<String, Arc<observed::Bridge>>,
}

/// A bridge that cannot be read: a daemon said what none of this version would.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bridge {bridge}: {field} {rule}, not `{value}`")]
pub struct Unreadable {
    /// The bridge.
    pub bridge: String,
    /// What of it.
    pub field: &'static str,
    /// The rule that is broken.
    pub rule: &'static str,
    /// What was said.
    pub value: String,
}

impl Picture {
    /// Everything, anew. `origin` is when the zone's time began, by the clock of the world.
    ///
    /// # Errors
    /// A bridge cannot be read.
    pub fn new(bridges: &[Bridge], origin: OffsetDateTime) -> Result<Picture, Unreadable> {
        let mut picture = Picture::default();
        bridges.iter().try_for_each(|bridge| picture.put_bridge(bridge, origin))?;
        Ok(picture)
    }

    /// A bridge is new or has changed.
    ///
    /// # Errors
    /// It cannot be read. The picture stays as it was.
    pub fn put_bridge(&mut self, bridge: &Bridge, origin: OffsetDateTime) -> Result<(), Unreadable> {
        let read = read_bridge(bridge, origin)?;
        self.bridges.insert(bridge.name.clone(), Arc::new(read));
        Ok(())
    }

    /// A bridge is gone. Gives what it was.
    pub fn remove_bridge(&mut self, name: &str) -> Option<Arc<observed::Bridge>> {
        self.bridges.remove(name)
    }

    /// All of it, as it is at this version.
    pub fn snapshot_at(&self, instance: &str, version: u64) -> Snapshot {
        Snapshot::new(instance, version, self.bridges.values().cloned())
    }
}

/// The plugin's last call. One of which the time cannot be read, or that says nothing any more, is none. One from before the zone's time
/// began counts as of then.
fn last_call(claim: &Claim, origin: OffsetDateTime) -> Option<LastCall> {
    let at = OffsetDateTime::parse(&claim.at, &Rfc3339).ok()?;
    let call = match claim.says {
        ClaimSays::In => Call::SetUp,
        ClaimSays::Out => Call::Destroy,
        ClaimSays::Tunnel if origin - at < TUNNEL_CALL_LASTS => Call::CreateTunnel,
        ClaimSays::Tunnel => return None,
    };
    Some(LastCall { call, at: Moment(Duration::try_from(at - origin).unwrap_or_default()) })
}

fn bfd_session(bfd: &Bfd) -> Box<Session> {
    Box::new(Session {
        state: bfd.state,
        remote_state: bfd.remote_state,
        diagnostic: bfd.diagnostic.clone(),
        flaps: bfd.flaps,
    })
}

fn read_bridge(bridge: &Bridge, origin: OffsetDateTime) -> Result<observed::Bridge, Unreadable> {
    let bad = |field: &'static str| {
        move |Invalid { rule, value }| Unreadable { bridge: bridge.name.clone(), field, rule, value }
    };
    let key = |key: u32| GreKey::try_from(i64::from(key)).map_err(bad("key"));
    let carries = match (&bridge.vpc, bridge.key) {
        (Some(vpc), _) => Carries::Vpc(vpc.tiers.iter().map(|tier| key(tier.key)).collect::<Result<_, _>>()?),
        (None, Some(own)) => Carries::Network(key(own)?),
        (None, None) => Carries::Vpc(Vec::new()),
    };
    let tunnel = |tunnel: &Tunnel| {
        Ok(observed::Tunnel {
            port: tunnel.port.parse().map_err(bad("port"))?,
            to: tunnel.to.parse().map_err(bad("to"))?,
            remote_ip: tunnel.remote_ip.parse().map_err(bad("remote_ip"))?,
            key: key(tunnel.key)?,
            state: tunnel.state,
            protected: tunnel.protected,
            bfd: tunnel.bfd.as_ref().map(bfd_session),
            error: tunnel.error.clone(),
        })
    };
    let neighbour = |Neighbour { ip, mac, .. }: &Neighbour| {
        let no_address = |_| Invalid::new("must be an IP address", ip);
        Ok((ip.parse().map_err(no_address).map_err(bad("neighbours"))?, mac.parse().map_err(bad("neighbours"))?))
    };
    Ok(observed::Bridge {
        name: bridge.name.parse().map_err(bad("name"))?,
        carries,
        host_id: bridge.host_id.as_deref().map(str::parse).transpose().map_err(bad("host_id"))?,
        ipv6: bridge.ipv6,
        kind: bridge.kind,
        second: bridge.second.as_ref().map(|second| second.kind),
        ports: [bridge.dst_port, bridge.second.as_ref().and_then(|second| second.dst_port)],
        tunnels: bridge.tunnels.iter().map(tunnel).collect::<Result<_, _>>()?,
        last_call: bridge.claim.as_ref().and_then(|claim| last_call(claim, origin)),
        vifs: bridge.vifs.len(),
        live_vifs: bridge.vifs.iter().filter(|vif| vif.ofport.is_some()).count(),
        flows: bridge.flows.state,
        health: bridge.health.state,
        unmet: bridge.health.reasons.iter().map(unmet_requirement).collect(),
        neighbours: bridge.neighbours.iter().map(neighbour).collect::<Result<_, _>>()?,
        max_guest_mtu: bridge.max_guest_mtu,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use serde_json::json;

    use super::*;

    fn bridge(name: &str, host_id: &str) -> Bridge {
        serde_json::from_value(json!({
            "name": name, "key": 1001, "host_id": host_id, "ipv6": "drop", "adopted": false,
            "tunnels": [{
                "port": "t1001-1-2", "from": "1", "to": "2", "remote_ip": "192.0.2.2", "key": 1001, "ofport": 3, "state": "up",
            }],
            "vifs": [{"name": "vif1.0", "ofport": 1}], "other_ports": [],
            "flows": {"state": "in_sync", "expected": 4, "installed": 4}, "health": {"state": "ok", "reasons": []},
        }))
        .unwrap()
    }

    #[test]
    fn a_picture_follows_what_is_said() {
        let mut picture =
            Picture::new(&[bridge("xapi1", "1"), bridge("xapi2", "1")], OffsetDateTime::UNIX_EPOCH).unwrap();
        let names = |picture: &Picture| {
            picture.snapshot_at("a", 1).bridges().iter().map(|bridge| bridge.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(&picture), ["xapi1", "xapi2"]);
        picture.remove_bridge("xapi1");
        assert_eq!(names(&picture), ["xapi2"]);
        let seen = &picture.snapshot_at("a", 2).bridges()[0].clone();
        assert_eq!((seen.vifs, seen.tunnels[0].peer_number().map(|peer| peer.get())), (1, Some(2)));
        assert!(seen.tunnels[0].protected, "a daemon that does not say it has it in the bridge's health");
    }

    #[test]
    fn what_cannot_be_read_is_named_and_changes_nothing() {
        let mut picture = Picture::new(&[bridge("xapi1", "1")], OffsetDateTime::UNIX_EPOCH).unwrap();
        let error = picture.put_bridge(&bridge("xapi1", "a b"), OffsetDateTime::UNIX_EPOCH).unwrap_err();
        assert!(error.to_string().starts_with("bridge xapi1: host_id must have"), "{error}");
        assert_eq!(picture.snapshot_at("a", 1).bridges()[0].host_id.as_ref().unwrap().as_str(), "1");
    }
}
