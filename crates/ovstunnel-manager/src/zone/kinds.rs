//! The kinds that networks' tunnels are to have: for which hosts a change waits, and how far it is.
//!
//! What it must not do: decide which step is next; `ovstunnel-mesh` does.

use ovstunnel_manager_api::{Blocked, HostKind, NetworkKind};
use ovstunnel_mesh::Mesh;
use ovstunnel_mesh::kind_change::{KindChange, Obstacle, Paused};
use ovstunnel_types::{GreKey, HostNumber, TunnelKind};
use time::OffsetDateTime;

use super::{State, Zone};

/// The word of daemons that can change the kind of a bridge that carries frames.
const KIND: &str = "kind";

/// Why a change waits for a host, in words.
pub fn obstacle_sentence(obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle::Unregistered => "it is not registered".to_owned(),
        Obstacle::Unseen => "it has not said yet what it has".to_owned(),
        Obstacle::Silent => "it does not answer".to_owned(),
        Obstacle::SwitchUnreachable => "its daemon cannot ask Open vSwitch".to_owned(),
        Obstacle::Observed => "it is only to be looked at, or has not taken this manager's epoch".to_owned(),
        Obstacle::Maintenance => "it is in maintenance".to_owned(),
        Obstacle::TooOld => {
            "its daemon cannot change the kind of tunnels (it does not say `kind`); install this version there"
                .to_owned()
        }
        Obstacle::SeveralBridges(bridges) => {
            let bridges: Vec<&str> = bridges.iter().map(|bridge| bridge.as_str()).collect();
            format!("several bridges have the network's key: {}", bridges.join(", "))
        }
        Obstacle::OtherPort(own, others) => format!(
            "its new tunnels go to UDP port {own}, those of most hosts to {others}: give it the same `[tunnel] dst_port`, and `ovstunnelctl bridge kind` there with `--step abort`; it is prepared anew"
        ),
        Obstacle::Vpc(bridge) => format!("its bridge {bridge} is a VPC's, whose flows name tunnels"),
        Obstacle::OtherChange(kind, second) => {
            format!("its bridge is in the middle of a change between {kind} and {second}; bring that to an end first")
        }
    }
}

impl State {
    /// The hosts for which a change of kind waits, beside those that do not answer or are only looked at.
    pub(super) fn paused_hosts(&self) -> Paused {
        let now = OffsetDateTime::now_utc();
        let paused = self.hosts.iter().filter_map(|(number, host)| {
            let can = |words: &[String]| words.iter().any(|word| word == KIND);
            let is_old = host.daemon_facts().is_some_and(|told| !can(&told.capabilities));
            let obstacle = match host.maintenance_until(now) {
                Some(_) => Some(Obstacle::Maintenance),
                None => is_old.then_some(Obstacle::TooOld),
            };
            Some((*number, obstacle?))
        });
        paused.collect()
    }

    /// Whether two hosts send by the same kind of tunnels. Where they do not, because the network is changing its kind, each receives by the
    /// other one, of which neither BFD nor counters tell.
    pub(super) fn same_kind(&self, key: GreKey, one: HostNumber, other: HostNumber) -> bool {
        let kind = |host| self.bridge_with_key(host, key).map(|bridge| bridge.kind);
        kind(one) == kind(other)
    }

    fn kind_change(&self, mesh: &Mesh, to: TunnelKind) -> KindChange {
        KindChange::new(mesh, &self.seen, to, &self.paused_hosts())
    }

    /// How far a network is on the way to its kind.
    pub(super) fn kind_to_wire(&self, key: GreKey, mesh: &Mesh) -> Option<NetworkKind> {
        // Its mesh is that of the last proof, from which on another kind may have been recorded.
        let change = self.kind_change(mesh, self.recorded.of_key(key)?.kind?);
        let host = |number: &HostNumber| {
            let bridge = self.bridge_with_key(*number, key)?;
            Some(HostKind { host: self.name_of(*number), kind: bridge.kind, second: bridge.second })
        };
        let waits = |(number, obstacle): &(HostNumber, Obstacle)| Blocked {
            host: self.name_of(*number),
            reason: obstacle_sentence(obstacle),
        };
        Some(NetworkKind {
            to: change.to,
            next: change.next.and_then(|stage| stage.leading_step()),
            hosts: change.stages.keys().filter_map(host).collect(),
            waits_for: change.waits_for.iter().map(waits).collect(),
            held: None,
        })
    }
}

impl Zone {
    /// A host on which a network's kind cannot become this one, and why; those that only have to be waited for are none.
    pub fn kind_refusal(&self, key: GreKey, to: TunnelKind) -> Option<(String, String)> {
        let (now, state) = (self.now(), self.lock_state());
        let network = state.recorded.of_key(key);
        let hosts = state.host_attachments(key, network, now);
        let change = state.kind_change(&state.network_mesh(key, network, &hosts)?, to);
        let is_final =
            |obstacle: &Obstacle| matches!(obstacle, Obstacle::TooOld | Obstacle::Vpc(_) | Obstacle::OtherChange(..));
        let (number, obstacle) = change.waits_for.iter().find(|(_, obstacle)| is_final(obstacle))?;
        Some((state.name_of(*number), obstacle_sentence(obstacle)))
    }

    /// The name under which a network is recorded, by that name or by `key-KEY`.
    pub fn recorded_name(&self, name: &str) -> Option<String> {
        let state = self.lock_state();
        let by_key = || state.recorded.of_key(name.strip_prefix("key-")?.parse().ok()?);
        state.recorded.by_name(name).or_else(by_key).map(|network| network.row.name.clone())
    }
}
