//! Networks of a zone: which hosts each has, and whether it is whole.

use ovstunnel_api::{Ipv6Policy, KindStep, Outcome, TunnelKind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Blocked, CloudStackNetwork, Disagreement, Finding};

/// How a network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NetworkState {
    /// Something is missing, too many or wrong, and has been for longer than a change takes.
    Broken,
    /// Something differs since a moment ago, as it does while a host joins or leaves.
    Settling,
    /// Each frame reaches each host of it exactly once, as far as the hosts' own words can tell.
    Whole,
}

impl NetworkState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            NetworkState::Broken => "broken",
            NetworkState::Settling => "settling",
            NetworkState::Whole => "whole",
        }
    }
}

/// A host of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// The host's name; its number where it is not registered.
    pub host: String,
    /// Its bridge for the network; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    /// How many VIFs are plugged there.
    pub vifs: u32,
    /// How many tunnels of the network it has.
    pub tunnels: u32,
}

/// What is recorded of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkRecord {
    /// Its number, unique in the zone.
    pub number: u64,
    /// The physical network that its key comes from.
    pub physical_network: String,
    /// What it does with IPv6; each host's own default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Ipv6Policy>,
    /// MTU of its guests, bytes, where one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The kind that its tunnels are to have on all hosts; on each the one that its configuration says where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<TunnelKind>,
    /// How many NICs it has.
    pub nics: u32,
}

/// Body of `PUT /v1/networks/{network}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutNetwork {
    /// The physical network that its key comes from. It never changes.
    #[schema(pattern = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$")]
    pub physical_network: String,
    /// Its number: CloudStack's id of the network. Where it is absent, a new network gets the next free one, and a known one keeps its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_isize)]
    pub number: Option<u64>,
    /// Its GRE key, which must be free and in the ranges of its physical network. Where it is absent, a known network keeps its own, and a
    /// new one has none until its first NIC is prepared by a manager that may act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 2_147_483_647)]
    pub key: Option<u32>,
    /// That the bridges with this key which hosts have already are this network's. Without it such a key is not free.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopt: bool,
    /// What it does with IPv6; each host's own default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Ipv6Policy>,
    /// MTU of its guests, bytes; where absent, what all its hosts can carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 576, maximum = 65_535)]
    pub mtu: Option<u32>,
}

/// Body of `PUT /v1/networks/{network}/kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutNetworkKind {
    /// The kind that its tunnels are to have on all hosts.
    pub kind: TunnelKind,
}

/// How far a network is on the way to the kind that its tunnels are to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkKind {
    /// That kind.
    pub to: TunnelKind,
    /// The step that is next: it begins once each host has done the one before. Absent once all have this kind alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<KindStep>,
    /// What the bridge of each host has now.
    pub hosts: Vec<HostKind>,
    /// The hosts for which the next step waits, with the reasons.
    pub waits_for: Vec<Blocked>,
    /// Why no step is taken whatever hosts say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
}

/// The kinds of tunnels of one host's bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostKind {
    /// The host.
    pub host: String,
    /// The kind by which it sends.
    pub kind: TunnelKind,
    /// The kind by which it receives too, while the kind changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<TunnelKind>,
}

/// Answer of `PUT` and `DELETE /v1/networks/{network}`, and of `PUT /v1/networks/{network}/kind`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkAnswer {
    /// What was done.
    pub outcome: Outcome,
    /// The network as it is now; absent once it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
}

/// A network, as its hosts show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Network {
    /// Its name; `key-<key>` where its key is all that is known of it.
    pub name: String,
    /// Its GRE key; absent where it is recorded and has none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<u32>,
    /// How it is.
    pub state: NetworkState,
    /// Since when it is so: RFC 3339, UTC.
    pub since: String,
    /// How many hosts it has.
    pub hosts: u32,
    /// How many tunnels there must be, each direction for itself.
    pub wanted: u64,
    /// How many of them are proven.
    pub proven: u64,
    /// The first reason why it is not whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Finding>,
    /// What is recorded of it; absent where it is only seen on hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<NetworkRecord>,
    /// How far its hosts are on the way to the kind of tunnels that is recorded; absent where none is, and in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<NetworkKind>,
    /// What CloudStack tells of it, where that is asked; only in the answer to one network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloudstack: Option<CloudStackNetwork>,
    /// Hosts of which witnesses have said for over a minute that they have VMs of it, and that they have none; only in the answer to one network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disagreements: Vec<Disagreement>,
    /// Its hosts; only in the answer to one network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<Member>>,
}

/// Answer of `GET /v1/networks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkList {
    /// The networks that were asked for, the worst first, then by key.
    pub networks: Vec<Network>,
    /// How many there are of those that were asked for, on all pages.
    pub total: u32,
    /// Where there are more pages: the number of the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
}
