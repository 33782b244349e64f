//! What hosts say they have. Must not judge it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ovstunnel_types::{
    BfdState, BridgeName, FlowsState, GreKey, HealthState, HostId, HostNumber, Ipv6Policy, Mac, PortName, RemoteIp,
    TunnelKind, TunnelState,
};

use crate::Moment;
use crate::membership::LastCall;

/// One tunnel of a bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Name of its port.
    pub port: PortName,
    /// Id of the host at the other end, as the bridge records it. It may be no number of this zone.
    pub to: HostId,
    /// Address of the other end.
    pub remote_ip: RemoteIp,
    /// GRE key.
    pub key: GreKey,
    /// Whether the switch has it.
    pub state: TunnelState,
    /// Whether its port is protected: what comes in by a tunnel does not leave by it.
    pub protected: bool,
    /// Its BFD session, where one is to run.
    pub bfd: Option<Box<Session>>,
    /// Open vSwitch's own words, where it refused the tunnel.
    pub error: Option<String>,
}

impl Tunnel {
    /// The other end's number, where it is one.
    pub fn peer_number(&self) -> Option<HostNumber> {
        HostNumber::try_from(&self.to).ok()
    }
}

/// A BFD session, as the host with the port tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its state; none where the switch has not begun it.
    pub state: Option<BfdState>,
    /// The state at the other end, as that last said.
    pub remote_state: Option<BfdState>,
    /// Why it last changed.
    pub diagnostic: Option<String>,
    /// How often it has come up or gone down.
    pub flaps: u32,
}

/// Whose frames a bridge carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carries {
    /// One network's, by its key.
    Network(GreKey),
    /// Those of a distributed-routing VPC, with a key for each tier.
    Vpc(Vec<GreKey>),
}

/// A managed bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Its name.
    pub name: BridgeName,
    /// Whose frames it carries.
    pub carries: Carries,
    /// The id that it has of its host.
    pub host_id: Option<HostId>,
    /// What it does with IPv6.
    pub ipv6: Ipv6Policy,
    /// The kind of its tunnels: the one by which it sends.
    pub kind: TunnelKind,
    /// While its kind changes, the other one by which it receives too.
    pub second: Option<TunnelKind>,
    /// The UDP ports of the one and of the other, where they have any and the daemon says so.
    pub ports: [Option<u16>; 2],
    /// Its tunnels, those of the second kind left out: of these each has one beside it.
    pub tunnels: Vec<Tunnel>,
    /// The plugin's last call for it; none where somebody else set it up.
    pub last_call: Option<LastCall>,
    /// How many VIFs are plugged on it.
    pub vifs: usize,
    /// How many of them have a device.
    pub live_vifs: usize,
    /// Whether its flows are those that it must have.
    pub flows: FlowsState,
    /// Whether it carries its network's frames.
    pub health: HealthState,
    /// What of its needs is not met, as the daemon says.
    pub unmet: Vec<Unmet>,
    /// The addresses of VMs for which its switch was told to answer, each with its card.
    pub neighbours: BTreeMap<IpAddr, Mac>,
    /// Largest MTU of a guest whose frames cross all its tunnels in one piece, bytes; none where the daemon does not say.
    pub max_guest_mtu: Option<u32>,
}

/// A requirement that is not met, in the words of the host's daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// The word of the requirement, such as `stp`.
    pub what: String,
    /// The bridge, port or device that it is about.
    pub subject: String,
    /// Whether frames of VMs are lost or doubled by it; otherwise not all is as it should be.
    pub is_failure: bool,
    /// What was seen.
    pub evidence: String,
    /// What takes it away.
    pub remedy: String,
}

impl Bridge {
    /// Whether it carries the frames of this key.
    pub fn has_key(&self, key: GreKey) -> bool {
        match &self.carries {
            Carries::Network(own) => *own == key,
            Carries::Vpc(tiers) => tiers.contains(&key),
        }
    }

    /// The keys of which it carries frames.
    pub fn keys(&self) -> &[GreKey] {
        match &self.carries {
            Carries::Network(key) => std::slice::from_ref(key),
            Carries::Vpc(tiers) => tiers,
        }
    }

    /// Whether it is a VPC's.
    pub fn is_vpc(&self) -> bool {
        matches!(self.carries, Carries::Vpc(_))
    }
}

/// All managed bridges of a host, as they were at one version. Those that are the same in the next one are shared with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Which life of the daemon the version counts in.
    pub instance: String,
    /// Counts what has changed.
    pub version: u64,
    bridges: Vec<Arc<Bridge>>,
    by_key: BTreeMap<GreKey, Vec<usize>>,
}

impl Snapshot {
    /// What a host has, completely.
    pub fn new(
        instance: impl Into<String>,
        version: u64,
        bridges: impl IntoIterator<Item = impl Into<Arc<Bridge>>>,
    ) -> Snapshot {
        let bridges: Vec<Arc<Bridge>> = bridges.into_iter().map(Into::into).collect();
        let mut by_key: BTreeMap<GreKey, Vec<usize>> = BTreeMap::new();
        for (index, bridge) in bridges.iter().enumerate() {
            bridge.keys().iter().for_each(|key| by_key.entry(*key).or_default().push(index));
        }
        Snapshot { instance: instance.into(), version, bridges, by_key }
    }

    /// All bridges.
    pub fn bridges(&self) -> &[Arc<Bridge>] {
        &self.bridges
    }

    /// The bridges that carry the frames of this key: one, where all is well.
    pub fn bridges_of(&self, key: GreKey) -> impl Iterator<Item = &Bridge> {
        self.by_key.get(&key).into_iter().flatten().map(|index| &*self.bridges[*index])
    }
}

/// What may be done to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is kept as it must be.
    Manage,
    /// It is looked at, and never written to.
    Observe,
    /// It gets no new NIC; what it has is kept as it must be.
    Drain,
}

/// A registered host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// What may be done to it.
    pub mode: Mode,
    /// Whether bridges are xapi's there, and not made by name.
    pub has_xapi: bool,
    /// What it said last, to whoever decides now; none until it has said everything once.
    pub snapshot: Option<Snapshot>,
    /// When it last gave a sign of life; from the beginning of the watch on, where it never did.
    pub heard: Moment,
    /// Whether it can be asked now.
    pub is_connected: bool,
    /// Whether it has said at which address its tunnels end, or that there is none. Before that nobody knows.
    pub has_told_address: bool,
    /// Why its daemon cannot ask Open vSwitch, where it cannot: what it said of its bridges is a memory then.
    pub switch_fault: Option<Unmet>,
}
