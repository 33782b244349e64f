//! What a request wants, what it works on, and why it may be rejected. Must not look at the switch; a change set does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use std::sync::Arc;

use crate::{
    BfdInterval, BridgeName, GreKey, HostFacts, HostId, Ipv6Policy, KindStep, Mac, NetworkUuid, Policies, PortName,
    RemoteIp, Topology, TunnelKind, UplinkName, VpcId,
};

/// One tunnel of a complete set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelSpec {
    /// Id of the host at the other end.
    pub to: HostId,
    /// Its address.
    pub remote_ip: RemoteIp,
    /// Id of this host, where it is not the bridge's `host_id`.
    pub from: Option<HostId>,
}

/// Set up a bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupBridge {
    /// The bridge.
    pub bridge: BridgeName,
    /// GRE key of its network.
    pub key: GreKey,
    /// UUID of its network; as it is when absent.
    pub network_uuid: Option<NetworkUuid>,
    /// Id of this host; as it is when absent.
    pub host_id: Option<HostId>,
    /// What to do with IPv6; as it is when absent.
    pub ipv6: Option<Ipv6Policy>,
    /// The port that may lead out of its network: none, or this one; as it is when absent.
    pub uplink: Option<Option<UplinkName>>,
    /// The kind of its tunnels; as it is when absent, and for a bridge that becomes ours as configured.
    pub tunnel_kind: Option<TunnelKind>,
    /// The complete set of tunnels; as they are when absent.
    pub tunnels: Option<Vec<TunnelSpec>>,
    /// Addresses for which the switch answers, told anew; as they are when absent.
    pub neighbours: Option<BTreeMap<IpAddr, Mac>>,
    /// What is known of the host, where the bridge is there and not ours yet.
    pub host: HostFacts,
    /// CloudStack's KVM agent asks for it; whoever has it, keeps it when this is false.
    pub agent: bool,
}

/// Set up the bridge of a VPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupVpc {
    /// The bridge.
    pub bridge: BridgeName,
    /// The VPC.
    pub vpc: VpcId,
    /// UUID of its network; as it is when absent.
    pub network_uuid: Option<NetworkUuid>,
    /// Id of this host; as it is when absent.
    pub host_id: Option<HostId>,
    /// What is known of the host, where the bridge is there and not ours yet.
    pub host: HostFacts,
}

/// What a VPC is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VpcUpdate {
    /// Which tiers and VMs there are.
    Topology(Arc<Topology>),
    /// What may pass between the tiers.
    Policies(Arc<Policies>),
}

/// Tell the bridge of a VPC something new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateVpc {
    /// The bridge.
    pub bridge: BridgeName,
    /// Number of the update: it is applied only if it is larger than the last applied one of its kind.
    pub sequence: u64,
    /// What it says.
    pub update: VpcUpdate,
}

/// Create a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTunnel {
    /// The bridge.
    pub bridge: BridgeName,
    /// Id of this host.
    pub from: HostId,
    /// Id of the host at the other end.
    pub to: HostId,
    /// Its address.
    pub remote_ip: RemoteIp,
    /// GRE key; the bridge's when absent.
    pub key: Option<GreKey>,
    /// UUID of the network, to be compared with the bridge's.
    pub network_uuid: Option<NetworkUuid>,
    /// Another `from` than the bridge knows means that this host has another id now, and another `to` for a known address that the
    /// other host has; else it is refused.
    pub renumbers: bool,
}

/// Have BFD run on some tunnels of a bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetBfd {
    /// The bridge.
    pub bridge: BridgeName,
    /// The ports of all tunnels on which it is to run, each once.
    pub ports: Vec<PortName>,
    /// How often each end sends.
    pub interval: BfdInterval,
}

/// Bring the change of a bridge's tunnel kind to a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeKind {
    /// The bridge.
    pub bridge: BridgeName,
    /// The kind that it is to have in the end.
    pub to: TunnelKind,
    /// Where the change is to be.
    pub step: KindStep,
    /// What might lose frames is done all the same.
    pub force: bool,
    /// The ports by which something has come.
    pub heard: BTreeSet<String>,
}

/// A request that changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A bridge is to be there.
    SetupBridge(SetupBridge),
    /// The bridge of a VPC is to be there.
    SetupVpc(SetupVpc),
    /// The bridge of a VPC is to follow an update.
    UpdateVpc(UpdateVpc),
    /// A bridge is to be gone. The VIFs that are named have no device any more: their rows are no VM's, and not in the way.
    DestroyBridge(BridgeName, BTreeSet<String>),
    /// A bridge of CloudStack's KVM agent is to be gone with all tunnels on it, whoever made it. The devices that are named are gone.
    DeleteBridge(BridgeName, BTreeSet<String>),
    /// A bridge is to be a plain one, with all on it that is not ours.
    ReleaseBridge(BridgeName),
    /// A tunnel is to be there.
    CreateTunnel(CreateTunnel),
    /// A tunnel is to be gone.
    DestroyTunnel {
        /// Its bridge.
        bridge: BridgeName,
        /// Its port.
        port: PortName,
    },
    /// BFD is to run on these tunnels of a bridge and on no other.
    SetBfd(SetBfd),
    /// The change of a bridge's tunnel kind is to be at this step.
    ChangeKind(ChangeKind),
    /// A change that the plugin calls for, and its word to be recorded on the bridge with it.
    Claimed(Box<Change>, String),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::SetupBridge(SetupBridge { bridge, key, tunnels, .. }) => match tunnels {
                Some(tunnels) => write!(f, "set up bridge {bridge}, key {key}, with {} tunnels", tunnels.len()),
                None => write!(f, "set up bridge {bridge}, key {key}"),
            },
            Change::SetupVpc(SetupVpc { bridge, vpc, .. }) => write!(f, "set up bridge {bridge} of VPC {vpc}"),
            Change::UpdateVpc(UpdateVpc { bridge, sequence, update }) => match update {
                VpcUpdate::Topology(topology) => {
                    let (tiers, nics) = (topology.tiers.len(), topology.nics.len());
                    write!(f, "topology {sequence} of bridge {bridge}, {tiers} tiers and {nics} cards")
                }
                VpcUpdate::Policies(policies) => {
                    write!(f, "policies {sequence} of bridge {bridge}, {} ACLs", policies.acls.len())
                }
            },
            Change::DestroyBridge(bridge, _) => write!(f, "destroy bridge {bridge}"),
            Change::DeleteBridge(bridge, _) => write!(f, "delete bridge {bridge}"),
            Change::ReleaseBridge(bridge) => write!(f, "release bridge {bridge}"),
            Change::CreateTunnel(CreateTunnel { bridge, from, to, remote_ip, .. }) => {
                write!(f, "create tunnel on bridge {bridge}, host {from} to host {to} at {remote_ip}")
            }
            Change::SetBfd(SetBfd { bridge, ports, interval }) => {
                write!(f, "BFD on {} tunnels of bridge {bridge}, every {interval} ms", ports.len())
            }
            Change::ChangeKind(ChangeKind { bridge, to, step, .. }) => {
                write!(f, "change the tunnels of bridge {bridge} to {to}: {step}")
            }
            Change::Claimed(change, _) => change.fmt(f),
            Change::DestroyTunnel { bridge, port } => write!(f, "destroy tunnel {port} of bridge {bridge}"),
        }
    }
}

/// What a request works on: requests that work on the same thing must not be in one batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Footprint {
    /// A bridge and all that is on it.
    Bridge(BridgeName),
    /// One tunnel of a bridge, by the host at the other end or by the port's name, as the request says it.
    Tunnel(BridgeName, String),
}

impl Footprint {
    /// Whether two requests can be carried out together, each with an answer of its own.
    pub fn independent_of(&self, other: &Footprint) -> bool {
        match (self, other) {
            (Footprint::Tunnel(a, x), Footprint::Tunnel(b, y)) => a != b || x != y,
            _ => self.bridge() != other.bridge(),
        }
    }

    fn bridge(&self) -> &BridgeName {
        match self {
            Footprint::Bridge(bridge) | Footprint::Tunnel(bridge, _) => bridge,
        }
    }
}

/// Why a request cannot be carried out; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// A field breaks a rule that only the state of the switch can tell.
    #[error("{field}: {rule}; got {value:?}")]
    Invalid {
        /// The field.
        field: String,
        /// The rule.
        rule: String,
        /// Its value.
        value: String,
    },
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// Something is in the way.
    #[error("{detail}")]
    Conflict {
        /// The bridge or port in the way.
        in_the_way: String,
        /// What is wrong with it.
        detail: String,
    },
}

pub(crate) fn conflict(in_the_way: impl Into<String>, detail: impl Into<String>) -> Rejected {
    Rejected::Conflict { in_the_way: in_the_way.into(), detail: detail.into() }
}

pub(crate) fn invalid(field: impl Into<String>, rule: impl Into<String>, value: impl ToString) -> Rejected {
    Rejected::Invalid { field: field.into(), rule: rule.into(), value: value.to_string() }
}

impl Change {
    /// A bridge is to be gone, of whose VIFs none is known to be dead.
    pub fn destroy_bridge(bridge: BridgeName) -> Self {
        Change::DestroyBridge(bridge, BTreeSet::new())
    }

    /// The bridge it works on.
    pub fn bridge(&self) -> &BridgeName {
        match self {
            Change::SetupBridge(setup) => &setup.bridge,
            Change::SetupVpc(setup) => &setup.bridge,
            Change::UpdateVpc(update) => &update.bridge,
            Change::DestroyBridge(bridge, _)
            | Change::DeleteBridge(bridge, _)
            | Change::ReleaseBridge(bridge)
            | Change::DestroyTunnel { bridge, .. } => bridge,
            Change::CreateTunnel(create) => &create.bridge,
            Change::SetBfd(set) => &set.bridge,
            Change::ChangeKind(change) => &change.bridge,
            Change::Claimed(change, _) => change.bridge(),
        }
    }

    /// The same without the plugin's word.
    pub fn without_claim(&self) -> &Change {
        match self {
            Change::Claimed(change, _) => change.without_claim(),
            change => change,
        }
    }
}
