//! Removals that wait for somebody's word.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which removals a hold is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HoldScope {
    /// All that is removed after `sdn.ovs.controller` was switched on, or after the database was found to be older than the hosts, until nothing is left.
    FirstPass,
    /// All that nobody asked for by name: more than `[brakes] zone` of the zone's tunnels.
    Zone,
    /// Those of one network that nobody asked for by name: more than `[brakes] network` of its tunnels.
    Network,
}

/// How it stands with a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HoldState {
    /// Nobody has said anything.
    Waiting,
    /// It goes.
    Approved,
    /// It stays.
    Refused,
}

/// A tunnel that would go, or lead to another address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeldRemoval {
    /// Its network.
    pub network: String,
    /// The host that has it.
    pub from: String,
    /// Id of the host at the other end, as the tunnel says.
    pub to: String,
    /// Its port.
    pub port: String,
    /// The address that it would lead to, where it would not go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moves_to: Option<String>,
    /// The host whose leaving, or other address, it follows from; absent for a tunnel that is there twice, or that leads to its own host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// Removals that wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Hold {
    /// Its number since the manager's start.
    pub id: u64,
    /// Which removals.
    pub scope: HoldScope,
    /// The network, where it is one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Since when: RFC 3339, UTC.
    pub since: String,
    /// What was said of it.
    pub state: HoldState,
    /// How many tunnels would go, or lead to another address.
    pub tunnels: u32,
    /// Of how many.
    pub of: u32,
    /// How many went in the ten minutes before it, though nobody asked for it by name: they are counted with these.
    #[serde(default)]
    pub gone: u32,
    /// The hosts from whose leaving they follow.
    pub hosts: Vec<String>,
    /// The first 100 of them.
    pub removals: Vec<HeldRemoval>,
}

/// Answer of `GET /v1/holds`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldList {
    /// All that wait.
    pub holds: Vec<Hold>,
}
