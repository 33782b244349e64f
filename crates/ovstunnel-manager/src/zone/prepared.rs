//! What a network's hosts would get: for the plan of a network, and for the answer to a NIC's preparation.
//!
//! What it must not do: change anything, or send it.

use std::collections::BTreeMap;
use std::time::Duration;

use ovstunnel_mesh::difference::{Circumstances, Difference};
use ovstunnel_mesh::kind_change::{Answered, Paused};
use ovstunnel_mesh::{Holds, Mesh, Moment, Plan, difference, plan_requests};
use ovstunnel_types::{BridgeName, GreKey, HostNumber, TunnelState};

use super::{Names, Recorded, State, Zone};

/// What is planned for a network: what differs, what would be sent, and the names of its hosts.
pub type Planned = (Difference, Plan, Names);

/// How a network is on a host, for whoever prepares a NIC there.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The network's bridge there: the one that is there, that was asked for, or that would be made. None where none can be made by name.
    pub bridge: Option<BridgeName>,
    /// Whether that bridge is there.
    pub is_there: bool,
    /// Largest MTU of a guest whose frames reach each host in one piece, bytes; none while no host has told one.
    pub mtu: Option<u32>,
    /// Counts the changes of the network's mesh; none as long as it has no key.
    pub generation: Option<u64>,
    /// How many tunnels there must be to the host and from it.
    pub wanted: u32,
    /// How many of them are up.
    pub up: u32,
    /// What would be sent to whom.
    pub planned: Planned,
}

impl State {
    fn plan_network(&self, mesh: &Mesh, network: Option<&Recorded>, now: Moment, dead_after: Duration) -> Planned {
        let difference = self.mesh_difference(mesh, network, now, dead_after);
        let plan = plan_requests(&difference, &Holds::default(), &Answered::default());
        let names = mesh.members().chain(mesh.left_hosts()).map(|number| (number, self.name_of(number))).collect();
        (difference, plan, names)
    }

    /// What differs between the mesh that a network must have and what its hosts say they have.
    pub(super) fn mesh_difference(
        &self,
        mesh: &Mesh,
        network: Option<&Recorded>,
        now: Moment,
        dead_after: Duration,
    ) -> Difference {
        let mut asked = self.made.get(&mesh.key).cloned().unwrap_or_default();
        asked.extend(network.iter().flat_map(|network| network.asked.clone()));
        let named = self.released_hosts(mesh.key, network);
        let paused = if mesh.kind.is_some() { self.paused_hosts() } else { Paused::new() };
        difference::mesh_difference(mesh, &self.seen, &Circumstances { now, dead_after, asked, named, paused })
    }

    fn has_bridge(&self, host: HostNumber, key: GreKey) -> bool {
        self.bridge_with_key(host, key).is_some()
    }

    fn bridge_on(&self, host: HostNumber, key: GreKey, network: &Recorded) -> Option<BridgeName> {
        let seen = self.seen.get(&host);
        let there = self.bridge_with_key(host, key).map(|bridge| bridge.name.clone());
        // Where a host has not spoken yet it is not known whether bridges can be made by name there.
        let by_name = seen.filter(|seen| seen.snapshot.is_some() && !seen.has_xapi);
        let by_name = by_name.and_then(|_| format!("ovt{key}").parse().ok());
        let made = || self.made.get(&key)?.get(&host).cloned();
        there.or_else(|| network.asked.get(&host).cloned()).or_else(made).or(by_name)
    }

    /// Whether a network has a bridge on a host, or one can be made there. Where the host has not spoken yet, it will tell.
    fn can_have_bridge(&self, host: HostNumber, key: GreKey, network: &Recorded) -> bool {
        let Some(seen) = self.seen.get(&host).filter(|seen| seen.snapshot.is_some()) else { return true };
        !seen.has_xapi || self.makes_networks(host) || self.bridge_on(host, key, network).is_some()
    }

    /// Whether a host has a tunnel to another one as it must be.
    fn has_tunnel(&self, key: GreKey, from: HostNumber, to: HostNumber) -> bool {
        let snapshot = self.seen.get(&from).and_then(|seen| seen.snapshot.as_ref());
        let mut tunnels =
            snapshot.into_iter().flat_map(|snapshot| snapshot.bridges_of(key)).flat_map(|bridge| &bridge.tunnels);
        tunnels.any(|tunnel| {
            tunnel.key == key
                && tunnel.peer_number() == Some(to)
                && tunnel.state == TunnelState::Up
                && self.endpoints.address_of(to) == Some(tunnel.remote_ip)
        })
    }

    fn guest_mtu(&self, mesh: &Mesh, network: &Recorded) -> Option<u32> {
        let of_host = |host: HostNumber| Some(self.hosts.get(&host)?.interface()?.max_guest_mtu);
        mesh.members().filter_map(of_host).chain(network.row.mtu).min()
    }
}

impl Zone {
    /// What would be sent to a network's hosts to make it whole, and what cannot be.
    pub fn network_plan(&self, key: GreKey, dead_after: Duration) -> Option<Planned> {
        let (now, state) = (self.now(), self.lock_state());
        let network = state.recorded.of_key(key);
        let hosts = state.host_attachments(key, network, now);
        let mesh = state.network_mesh(key, network, &hosts)?;
        Some(state.plan_network(&mesh, network, now, dead_after))
    }

    /// Whether a network has a bridge on a host, or one can be made there.
    pub fn can_have_bridge(&self, host: HostNumber, key: GreKey, network: &Recorded) -> bool {
        self.lock_state().can_have_bridge(host, key, network)
    }

    /// The same for a network as it would be with this key.
    pub fn plan_with(&self, network: &Recorded, key: GreKey, dead_after: Duration) -> Option<Planned> {
        let (now, state) = (self.now(), self.lock_state());
        let hosts = state.host_attachments(key, Some(network), now);
        let mesh = state.network_mesh(key, Some(network), &hosts)?;
        Some(state.plan_network(&mesh, Some(network), now, dead_after))
    }

    /// How a network as it would be with this key is on a host.
    pub fn prepared_on(
        &self,
        network: &Recorded,
        key: GreKey,
        host: HostNumber,
        dead_after: Duration,
    ) -> Option<Prepared> {
        let (now, state) = (self.now(), self.lock_state());
        let hosts = state.host_attachments(key, Some(network), now);
        let mesh = state.network_mesh(key, Some(network), &hosts)?;
        let (mut wanted, mut up) = (0, 0);
        for other in mesh.members().filter(|other| *other != host) {
            wanted += 2;
            up += u32::from(state.has_tunnel(key, host, other)) + u32::from(state.has_tunnel(key, other, host));
        }
        Some(Prepared {
            bridge: state.bridge_on(host, key, network),
            is_there: state.has_bridge(host, key),
            mtu: state.guest_mtu(&mesh, network),
            generation: network.row.key.and_then(|key| Some(state.networks.get(&key)?.generation)),
            wanted,
            up,
            planned: state.plan_network(&mesh, Some(network), now, dead_after),
        })
    }

    /// A host's name by its number; the number where it is not registered.
    pub fn host_names(&self) -> BTreeMap<HostNumber, String> {
        self.lock_state().hosts.iter().map(|(number, host)| (*number, host.row.name.clone())).collect()
    }
}
