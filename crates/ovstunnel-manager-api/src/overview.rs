//! The zone in a few numbers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Trouble;

/// How many networks are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkCount {
    /// All.
    pub all: u32,
    /// Those that are whole.
    pub whole: u32,
    /// Those that differ since a moment ago.
    pub settling: u32,
    /// Those that are not whole.
    pub broken: u32,
}

/// How many hosts are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostCount {
    /// All that are registered.
    pub all: u32,
    /// Connected, and nothing is wrong.
    pub ok: u32,
    /// Connected, and something is wrong.
    pub degraded: u32,
    /// Not heard of yet.
    pub connecting: u32,
    /// Not answering.
    pub silent: u32,
}

/// Tunnels of all networks, each direction for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TunnelCount {
    /// How many there must be.
    pub wanted: u64,
    /// How many of them are proven.
    pub proven: u64,
}

/// Which manager leads a zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Leadership {
    /// Its name.
    pub name: String,
    /// By what address its API is reached, such as `https://m1.example.net:8444`; absent where it serves no HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The number of its leadership: hosts refuse what is written under an older one.
    pub epoch: u64,
    /// Since when it leads, RFC 3339; absent while that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// Answer of `GET /v1/overview`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Overview {
    /// The zone's name.
    pub zone: String,
    /// The zone's UUID, made with its database.
    pub uuid: String,
    /// Version of the manager.
    pub version: String,
    /// Whether the manager may change hosts: `sdn.ovs.controller`. Where it is off it only looks.
    pub controller: bool,
    /// Name of the manager that answers.
    #[serde(default)]
    pub replica: String,
    /// Whether the manager that answers leads the zone, and may change hosts now.
    #[serde(default)]
    pub leads: bool,
    /// Which manager leads the zone, as the database said last; absent where none is known to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<Leadership>,
    /// Its networks.
    pub networks: NetworkCount,
    /// Its hosts.
    pub hosts: HostCount,
    /// Its tunnels.
    pub tunnels: TunnelCount,
    /// How many faults there are: `GET /v1/faults`.
    #[serde(default)]
    pub faults: u32,
    /// Seconds since the sign of life of the connected host that was heard of longest ago; absent where none is connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<f64>,
    /// What is wrong with the manager itself, such as a certificate of its own that ends soon.
    #[serde(default)]
    pub troubles: Vec<Trouble>,
}

/// Answer of `GET /readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ready {
    /// The database answers, and each host has been heard of or was tried.
    pub ready: bool,
    /// Why not, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Version of the manager.
    pub version: String,
}
