//! What a bridge must be, and the marks in the database that record it.
//!
//! What it does: writes the record into `external_ids` and reads it back. What it must not do: remember anything itself;
//! the database is the only record (docs/ARCHITECTURE.md, invariant 3).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::desired_tunnel::recorded_encap;
use crate::{
    BridgeKind, BridgeMtu, BridgeName, DesiredTunnel, Encap, GreKey, HostId, Ipv6Policy, Neighbours, NetworkUuid,
    ObservedBridge, PortName, RemoteIp, Second, TunnelOptions, Underlay, UplinkName,
};

/// Keys of `external_ids` and `other_config`. Part of the public contract.
pub mod ids {
    /// Bridge and tunnel port: the GRE key. Its presence marks the row as ours.
    pub const KEY: &str = "ovstunnel-key";
    /// Bridge: id of the VPC of which it has all tiers. Its presence marks the row as ours.
    pub const VPC: &str = "ovstunnel-vpc";
    /// Bridge: begins the keys of the chunks of the last applied topology of a VPC.
    pub const TOPOLOGY: &str = "ovstunnel-topology-";
    /// Bridge: begins the keys of the chunks of the last applied policies of a VPC.
    pub const POLICY: &str = "ovstunnel-policy-";
    /// Bridge: UUID of the network.
    pub const NETWORK_UUID: &str = "ovstunnel-network-uuid";
    /// Bridge: id of this host.
    pub const HOST_ID: &str = "ovstunnel-host-id";
    /// Bridge: `drop` or `allow`.
    pub const IPV6: &str = "ovstunnel-ipv6";
    /// Bridge: `true` where it was there before us.
    pub const ADOPTED: &str = "ovstunnel-adopted";
    /// Bridge: begins the keys that keep what an adopted bridge had, before us, of what we set.
    pub const WAS: &str = "ovstunnel-was-";
    /// Bridge: `begun` while flows of the plugin from which it was taken over may still be there.
    pub const TAKEOVER: &str = "ovstunnel-takeover";
    /// Bridge: `off` while ports may be shut out of flooding because STP was switched off (docs/ovs-facts.md).
    pub const FLOODING: &str = "ovstunnel-flooding";
    /// Bridge: the port that led to the root of STP's tree when the bridge was taken over; the root has none.
    pub const STP_ROOT_PORT: &str = "ovstunnel-stp-root-port";
    /// Bridge: `true` where one of the Python plugin's was ours and was given back with its `gre_key`, so that only who names
    /// it takes it over again.
    pub const RELEASED: &str = "ovstunnel-released";
    /// Bridge: the port that may lead out of its network beside the tunnels.
    pub const UPLINK: &str = "ovstunnel-uplink";
    /// Bridge: the last word of the plugin on whether this host has VMs of the network.
    pub const CLAIM: &str = "ovstunnel-claim";
    /// Bridge: `true` where CloudStack's KVM agent has it, which makes and destroys it.
    pub const AGENT: &str = "ovstunnel-agent";
    /// Bridge and tunnel port: of which kind its tunnels are, and to which UDP port they go, as [`crate::Encap`] writes it; absent
    /// where they are GRE.
    pub const ENCAP: &str = "ovstunnel-encap";
    /// Bridge: while the kind of its tunnels is changed, the one by which frames are received and not sent, as [`crate::Encap`] writes it.
    /// Tunnel port: `true` where it is of that kind.
    pub const SECOND: &str = "ovstunnel-second";
    /// Bridge: what we have written as `mtu_request` of its own interface.
    pub const MTU: &str = "ovstunnel-mtu";
    /// Bridge: addresses of VMs for which the switch answers, behind the number of the list.
    pub const NEIGHBOURS: &str = "ovstunnel-neighbours";
    /// Bridge: those of them that are withdrawn, behind the number of the list.
    pub const WITHDRAWN: &str = "ovstunnel-withdrawn";
    /// Tunnel port: id of this host.
    pub const FROM: &str = "ovstunnel-from";
    /// Tunnel port: id of the host at the other end.
    pub const TO: &str = "ovstunnel-to";
    /// Tunnel port: address of the other end as it was asked for, so that a changed `options:remote_ip` is seen.
    pub const REMOTE_IP: &str = "ovstunnel-remote-ip";
    /// Tunnel port: how often BFD sends, in milliseconds, where it is to run.
    pub const BFD: &str = "ovstunnel-bfd";
    /// Tunnel port: address of this host that it is to use, where the configuration names one.
    pub const LOCAL_IP: &str = "ovstunnel-local-ip";
    /// Bridge: UUID of the network, for other tools.
    pub const XS_NETWORK_UUID: &str = "xs-network-uuid";
    /// The switch itself: changed to have Open vSwitch try ports in error again.
    pub const RETRY: &str = "ovstunnel-retry";
    /// The switch itself: the keys of its `other_config` that are there for the encryption of tunnels and were not before us.
    pub const IPSEC: &str = "ovstunnel-ipsec";
    /// The switch itself: the epoch of the zone's manager that may write, `<zone-uuid>:<number>`.
    pub const EPOCH: &str = "ovstunnel-epoch";
    /// Bridge, `other_config`: the GRE key, for other tools.
    pub const GRE_KEY: &str = "gre_key";
    /// Bridge, `other_config`: number of the last applied topology.
    pub const TOPOLOGY_SEQUENCE: &str = "topology-update-sequence-number";
    /// Bridge, `other_config`: number of the last applied policies.
    pub const POLICY_SEQUENCE: &str = "route-policy-update-sequence-number";
    /// Bridge, `other_config`: size of the table of learnt addresses.
    pub const MAC_TABLE_SIZE: &str = "mac-table-size";

    /// Bridge, `other_config`: the ids of the hosts on which CloudStack's KVM agent need not set the bridge up again.
    pub const HOST_SETUP: &str = "ovs-host-setup";
    /// Bridge, `other_config`: that it is a network's, for CloudStack's Python program.
    pub const TUNNEL_NETWORK: &str = "is-ovs-tun-network";

    /// Whether a key of a bridge's `external_ids` is that of a chunk of a VPC's record.
    pub(crate) fn is_chunk(key: &str) -> bool {
        key.starts_with(TOPOLOGY) || key.starts_with(POLICY)
    }
}

/// What CloudStack's KVM agent itself writes as [`ids::HOST_SETUP`] where it makes a bridge: no host.
pub const NO_HOST: &str = "-1";

/// Entries of a bridge's table of learnt addresses: a full one costs vswitchd a whole core (docs/ovs-facts.md).
pub(crate) const MAC_TABLE_SIZE: &str = "50000";

/// What the host's configuration says about all networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// For a new bridge whose request does not say.
    pub ipv6: Ipv6Policy,
    /// A port whose name starts with one of these is a VM interface.
    pub vif_prefixes: Vec<String>,
    /// Broadcast and multicast frames a second that each VIF may send; 0 means any number.
    pub vif_broadcast_pps: u32,
    /// `Bridge.datapath_type` of new bridges: empty for the kernel's, `netdev` for userspace.
    pub datapath_type: String,
    /// Where IPv6 is dropped, whether that which can have IPv6 behind it, unseen by Open vSwitch, is dropped too.
    pub ipv6_drop_opaque: bool,
    /// Whether the switch answers requests for addresses that it was told.
    pub answer_neighbours: bool,
    /// The address of this host that all tunnels to addresses of its family are to use; nothing leaves it to the kernel's routes.
    pub local_ip: Option<RemoteIp>,
    /// How tunnels of bridges are made that become ours from now on; those that are ours keep what they have.
    pub encap: Encap,
    /// What the packets of all tunnels have.
    pub tunnel_options: TunnelOptions,
    /// What is done about the MTU of bridges' own devices.
    pub bridge_mtu: BridgeMtu,
    /// What is known of the network that carries the tunnels; nothing as long as it is not known.
    pub underlay: Option<Arc<Underlay>>,
}

impl Default for Settings {
    fn default() -> Self {
        let vif_prefixes = ["vif", "tap", "vnet"].map(str::to_owned).into();
        Settings {
            ipv6: Ipv6Policy::Drop,
            vif_prefixes,
            vif_broadcast_pps: 0,
            datapath_type: String::new(),
            ipv6_drop_opaque: false,
            answer_neighbours: false,
            local_ip: None,
            encap: Encap::GRE,
            tunnel_options: TunnelOptions::default(),
            bridge_mtu: BridgeMtu::Keep,
            underlay: None,
        }
    }
}

/// Whether a bridge is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It has no mark.
    Foreign,
    /// It is marked, and the record can be read.
    Ours,
    /// It is marked, but its key is none.
    Damaged(String),
}

/// A bridge that must be there, with all tunnels that must be on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredBridge {
    /// Name of the bridge.
    pub name: BridgeName,
    /// What it is for.
    pub kind: BridgeKind,
    /// UUID of its network.
    pub network_uuid: Option<NetworkUuid>,
    /// Id of this host.
    pub host_id: Option<HostId>,
    /// What its network does with IPv6.
    pub ipv6: Ipv6Policy,
    /// Whether it was there before us.
    pub adopted: bool,
    /// The port that may lead out of its network beside the tunnels.
    pub uplink: Option<UplinkName>,
    /// The last word of the plugin on whether this host has VMs of the network, as whoever took it wrote it.
    pub claim: Option<String>,
    /// Whether CloudStack's KVM agent has it: then it goes as a whole, whoever made it, and says of itself what the agent reads.
    pub agent: bool,
    /// The kind and UDP port of all its tunnels.
    pub encap: Encap,
    /// Its tunnels by port name: those by which frames are sent.
    pub tunnels: BTreeMap<PortName, DesiredTunnel>,
    /// While their kind changes, the other kind, of which each pair has a tunnel that receives.
    pub second: Option<Second>,
    /// Addresses for which the switch answers.
    pub neighbours: Neighbours,
}

impl DesiredBridge {
    /// What the record in a bridge's marks and those of its ports says; nothing where the bridge is not ours.
    pub fn from_record(bridge: &ObservedBridge) -> Option<Self> {
        let id = |name: &str| bridge.external_ids.get(name).map(String::as_str);
        let (encap, tunnels) = Self::recorded_tunnels(bridge);
        let second = Second::recorded(bridge).filter(|second| second.encap != encap.unwrap_or_default());
        let mut recorded = DesiredBridge {
            name: bridge.name.parse().ok()?,
            kind: BridgeKind::from_record(bridge)?,
            network_uuid: id(ids::NETWORK_UUID).and_then(|text| text.parse().ok()),
            host_id: id(ids::HOST_ID).and_then(|text| text.parse().ok()),
            ipv6: if id(ids::IPV6) == Some("allow") { Ipv6Policy::Allow } else { Ipv6Policy::Drop },
            adopted: Self::recorded_as_adopted(bridge),
            uplink: id(ids::UPLINK).and_then(|text| text.parse().ok()),
            claim: id(ids::CLAIM).map(str::to_owned),
            agent: Self::recorded_as_agents(bridge),
            encap: encap.unwrap_or_default(),
            tunnels,
            second,
            neighbours: Neighbours::from_record(bridge),
        };
        recorded.pair();
        Some(recorded)
    }

    /// The tunnels that the marks of a bridge's ports record, whatever its own marks say, and how they are made, where anything says it.
    ///
    /// A bridge is of one kind: its own mark says which, and where that has been lost, its tunnels' marks, if all say the same.
    /// What has no mark is GRE (docs/adr/0050-a-bridge-is-of-one-tunnel-kind.md).
    pub(crate) fn recorded_tunnels(bridge: &ObservedBridge) -> (Option<Encap>, BTreeMap<PortName, DesiredTunnel>) {
        let first = bridge.ports.values().filter(|port| !port.is_marked_second());
        let first = first.filter_map(DesiredTunnel::from_record);
        let mut tunnels: BTreeMap<PortName, DesiredTunnel> = first.map(|tunnel| (tunnel.port_name(), tunnel)).collect();
        let by_tunnels = || {
            let first = tunnels.values().next()?.encap;
            Some(if tunnels.values().all(|tunnel| tunnel.encap == first) { first } else { Encap::GRE })
        };
        let encap = recorded_encap(&bridge.external_ids).or_else(by_tunnels);
        tunnels.values_mut().for_each(|tunnel| tunnel.encap = encap.unwrap_or_default());
        (encap, tunnels)
    }

    pub(crate) fn recorded_as_adopted(bridge: &ObservedBridge) -> bool {
        bridge.external_ids.get(ids::ADOPTED).is_some_and(|text| text == "true")
    }

    pub(crate) fn recorded_as_agents(bridge: &ObservedBridge) -> bool {
        bridge.external_ids.get(ids::AGENT).is_some_and(|text| text == "true")
    }

    /// The keys that a bridge of ours is recorded to have, whatever ports it has: that of its network, or a VPC's tiers'.
    pub fn recorded_keys(bridge: &ObservedBridge) -> Vec<GreKey> {
        BridgeKind::from_record(bridge).map(|kind| kind.keys()).unwrap_or_default()
    }

    /// Whose a bridge is.
    pub fn bridge_mark(bridge: &ObservedBridge) -> Mark {
        let damaged = || [ids::KEY, ids::VPC].into_iter().find_map(|id| Some((id, bridge.external_ids.get(id)?)));
        match (BridgeKind::from_record(bridge), damaged()) {
            (Some(_), _) => Mark::Ours,
            (None, None) => Mark::Foreign,
            (None, Some((id, text))) => Mark::Damaged(format!("external_ids:{id} is {text:?}")),
        }
    }

    /// The marks of the bridge: each key with its value, or with none where it must not be there.
    pub fn external_ids(&self) -> Vec<(String, Option<String>)> {
        let network = self.network_uuid.map(|uuid| uuid.to_string());
        let marks = [
            (ids::NETWORK_UUID, network.clone()),
            (ids::HOST_ID, self.host_id.as_ref().map(HostId::to_string)),
            (ids::IPV6, Some(self.ipv6.as_str().to_owned())),
            (ids::ADOPTED, self.adopted.then(|| "true".to_owned())),
            (ids::RELEASED, None),
            (ids::UPLINK, self.uplink.as_ref().map(UplinkName::to_string)),
            (ids::CLAIM, self.claim.clone()),
            (ids::AGENT, self.agent.then(|| "true".to_owned())),
            (ids::ENCAP, (self.encap != Encap::GRE).then(|| self.encap.to_string())),
            (ids::SECOND, self.second.as_ref().map(|second| second.encap.to_string())),
            (ids::XS_NETWORK_UUID, network),
        ];
        let marks = marks.into_iter().chain(self.neighbours.marks()).map(|(key, value)| (key.to_owned(), value));
        self.kind.external_ids().into_iter().chain(marks).collect()
    }

    /// What `other_config` must have.
    pub fn other_config(&self) -> Vec<(&'static str, String)> {
        let mut config = self.kind.other_config();
        config.push((ids::MAC_TABLE_SIZE, MAC_TABLE_SIZE.to_owned()));
        if self.agent {
            config.push((ids::TUNNEL_NETWORK, "True".to_owned()));
            config.push((ids::HOST_SETUP, self.host_setup()));
        }
        config
    }

    /// What the agent reads to know whether it has to call set-up. It takes the ids apart at the commas of what `ovs-vsctl` prints, quotes
    /// and all, so one at either end is never found. Once it has no more VM of the network, it is to call again.
    fn host_setup(&self) -> String {
        let left = self.claim.as_deref().is_some_and(|claim| claim.starts_with("out "));
        match self.host_id.as_ref().filter(|_| !left) {
            Some(host) => format!("{none},{host},{none}", none = NO_HOST),
            None => NO_HOST.to_owned(),
        }
    }

    /// The id under which this host is known here: the recorded one, else the one that all its tunnels have.
    pub fn host_id(&self) -> Option<&HostId> {
        let mut tunnels = self.tunnels.values().map(|tunnel| &tunnel.from);
        self.host_id.as_ref().or_else(|| tunnels.next().filter(|first| tunnels.all(|from| from == *first)))
    }

    /// Whether its uplink is there and carries frames.
    pub(crate) fn uplink_on(&self, bridge: &ObservedBridge) -> bool {
        let port = self.uplink.as_ref().and_then(|uplink| bridge.ports.get(uplink.as_str()));
        port.is_some_and(|port| port.interfaces.iter().any(|interface| interface.openflow_port().is_some()))
    }

    /// The tunnel to a host, whatever this host's id was when it was made. Where several lead there, any of them.
    pub fn tunnel_to(&self, to: &HostId, key: GreKey) -> Option<&DesiredTunnel> {
        self.tunnels.values().find(|tunnel| tunnel.to == *to && tunnel.key == key)
    }

    /// This host has another id from now on. The names of ports stay: the management server has stored them.
    pub(crate) fn renumber_host(&mut self, host: &HostId) {
        self.host_id = Some(host.clone());
        self.tunnels.values_mut().for_each(|tunnel| tunnel.from = host.clone());
        self.pair();
    }

    /// Whether nothing may pass where there are no flows: where NORMAL would lead around what the flows forbid.
    pub fn needs_flows(&self) -> bool {
        self.kind.vpc().is_some()
    }
}
