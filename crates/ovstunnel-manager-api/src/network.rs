//! Networks of a zone: which hosts each has, and whether it is whole.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Finding;

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

/// A network, as its hosts show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Network {
    /// Its name; `key-<key>` where its key is all that is known of it.
    pub name: String,
    /// Its GRE key.
    pub key: u32,
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
