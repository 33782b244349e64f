//! What CloudStack's API told, and where witnesses contradict each other.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What CloudStack tells of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CloudStackHost {
    /// Its name there.
    pub name: String,
    /// Its zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Its pod: most operators have one for a rack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Its cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// How it is by CloudStack's word, such as `Up`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// What CloudStack tells of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CloudStackNetwork {
    /// Its id there, a UUID.
    pub id: String,
    /// Its name there.
    pub name: String,
    /// The account that it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The project that it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The domain that it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Its zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// How many NICs of VMs it has on hosts that are registered here.
    pub nics: u32,
}

/// What a witness says of whether a host has VMs of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WitnessWord {
    /// Which: `api`, `bridges`, `vifs` or `cloudstack`.
    pub witness: String,
    /// `in`, or `out`.
    pub says: String,
    /// How old that is, seconds.
    pub age: u64,
}

/// Witnesses that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Disagreement {
    /// The host of which they do.
    pub host: String,
    /// For how long, seconds.
    pub lasts: u64,
    /// What each says.
    pub says: Vec<WitnessWord>,
}

/// Answer of `GET /v1/cloudstack`: how far the manager is with reading CloudStack's API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CloudStackState {
    /// Whether `[cloudstack] url` names one.
    pub enabled: bool,
    /// Host and port of the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// How old what it told last is, in seconds; absent before it has told anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<u64>,
    /// Why the last reading failed, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its hosts, and how many of them are registered here.
    pub hosts: u32,
    /// How many of them are registered here.
    pub registered: u32,
    /// Its networks.
    pub networks: u32,
    /// How many of them have a GRE key.
    pub keyed: u32,
    /// NICs of VMs that are there.
    pub nics: u32,
    /// Names of hosts that have VMs of such networks by CloudStack's word, and that are not registered here.
    pub strangers: Vec<String>,
    /// Webhooks of CloudStack's that were taken as a hint to read.
    pub hints: u64,
}
