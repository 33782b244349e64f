//! One host's side of the way between two hosts in a network, by what it said last. Must not ask it.

use ovstunnel_api::Ipv6Policy;
use ovstunnel_manager_api::Trouble;
use ovstunnel_mesh::proof::Finding;
use ovstunnel_types::{FlowsState, GreKey, HostNumber};

use super::wire::rounded_seconds;
use super::{Meeting, Registered, Zone};

/// What is known of one host's side.
#[derive(Clone, Debug)]
pub struct Side {
    /// The host's name.
    pub host: String,
    /// Where its daemon listens.
    pub api: Option<String>,
    /// Whether it can be asked now.
    pub is_connected: bool,
    /// Seconds since its last sign of life.
    pub age: Option<f64>,
    /// Why it cannot be asked.
    pub silence: Option<Trouble>,
    /// What is wrong with its bridge.
    pub of_bridge: Vec<Finding>,
    /// Whether its bridge was changed and its flows were not read since, or cannot be: what is said of them is no fault yet.
    pub has_unread_flows: bool,
    /// What is wrong with its tunnel to the other host.
    pub of_tunnel: Vec<Finding>,
    /// Its bridge.
    pub bridge: Option<String>,
    /// The port of its tunnel to the other host, and the address that this leads to.
    pub tunnel: Option<(String, String)>,
    /// The port by which frames of the other host come in.
    pub arrival: Option<String>,
    /// Largest MTU of a guest whose frames cross its tunnels in one piece, bytes.
    pub max_guest_mtu: Option<u32>,
    /// What its bridge does with IPv6.
    pub ipv6: Option<Ipv6Policy>,
    /// Whether its daemon can follow packets, and tell what limits of VIFs have dropped.
    pub knows_packets: bool,
}

/// The word of daemons that can.
const PACKETS: &str = "packets";

impl Zone {
    /// A host's side of the way to another one: its network is the first one, and what it sends goes by tunnels of the second.
    pub fn path_side(&self, networks: Meeting, number: HostNumber, other: HostNumber) -> Side {
        let (now, state) = (self.now(), self.lock_state());
        let host = state.hosts.get(&number);
        let seen = state.seen.get(&number);
        let bridge = seen.and_then(|seen| seen.snapshot.as_ref()?.bridges_of(networks.from).next());
        let tunnel_of = |key: GreKey| {
            let mut tunnels = bridge.into_iter().flat_map(|bridge| &bridge.tunnels);
            tunnels.find(|tunnel| tunnel.key == key && tunnel.peer_number() == Some(other))
        };
        let found = |key: GreKey| {
            let network = state.networks.get(&key).map(|known| known.mesh.network);
            network.into_iter().flat_map(|network| state.prover.findings_of(network)).filter(|f| f.host == number)
        };
        let told = host.and_then(Registered::daemon_facts);
        Side {
            host: state.name_of(number),
            api: host.map(|host| host.row.api.clone()),
            is_connected: host.is_some_and(Registered::is_connected),
            age: seen.filter(|seen| seen.snapshot.is_some()).map(|seen| rounded_seconds(now.since(seen.heard))),
            silence: host.and_then(Registered::silence_trouble),
            of_bridge: found(networks.from).filter(|finding| finding.to.is_none()).cloned().collect(),
            has_unread_flows: bridge.is_some_and(|bridge| bridge.flows == FlowsState::Unknown),
            of_tunnel: found(networks.to).filter(|finding| finding.to == Some(other)).cloned().collect(),
            bridge: bridge.map(|bridge| bridge.name.to_string()),
            arrival: tunnel_of(networks.from).map(|tunnel| tunnel.port.to_string()),
            tunnel: tunnel_of(networks.to).map(|tunnel| (tunnel.port.to_string(), tunnel.remote_ip.to_string())),
            max_guest_mtu: bridge.and_then(|bridge| bridge.max_guest_mtu),
            ipv6: bridge.map(|bridge| bridge.ipv6),
            knows_packets: told.is_some_and(|told| told.capabilities.iter().any(|word| word == PACKETS)),
        }
    }

    /// MTU of the guests of the network with this key, bytes, where one is recorded.
    pub fn guest_mtu(&self, key: GreKey) -> Option<u32> {
        self.lock_state().recorded.of_key(key).and_then(|network| network.row.mtu)
    }
}
