//! Physical networks and keys: where networks get their keys from, and which keys cannot be given.

use ovstunnel_api::Outcome;
use ovstunnel_types::Isolation;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Trouble;

/// Body of `PUT /v1/physical-networks/{physical_network}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutPhysicalNetwork {
    /// How its networks are told apart.
    pub isolation: Isolation,
    /// The keys of its networks: ranges and single numbers, from 1 to 2147483647, and to 4096 where the isolation is not `GRE`.
    #[schema(
        pattern = "^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$",
        max_length = 4096,
        example = "1001-65535,70000-80000"
    )]
    pub vnet: String,
    /// The device, bridge or network of a host whose address its tunnels end at, where the host has no label of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 45, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub label: Option<String>,
    /// The same on XenServer and XCP-ng.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 45, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub label_xen: Option<String>,
    /// The same on all other hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 45, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub label_kvm: Option<String>,
}

/// How full the ranges of a physical network are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyUsage {
    /// How many keys its ranges have.
    pub size: u64,
    /// How many belong to a network.
    pub in_use: u64,
    /// How many were released, and wait until each host that may have them was seen without.
    pub quarantined: u64,
    /// How many are on hosts without a network.
    pub withdrawn: u64,
    /// How many can be given.
    pub free: u64,
    /// Whether 80 % or more cannot be given.
    pub warned: bool,
}

/// A physical network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PhysicalNetwork {
    /// Its name.
    pub name: String,
    /// How its networks are told apart.
    pub isolation: Isolation,
    /// The keys of its networks.
    pub vnet: String,
    /// The device, bridge or network of a host whose address its tunnels end at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The same on XenServer and XCP-ng.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_xen: Option<String>,
    /// The same on all other hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_kvm: Option<String>,
    /// How full its ranges are.
    pub keys: KeyUsage,
}

/// Answer of `GET /v1/physical-networks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PhysicalNetworkList {
    /// All of them, by name.
    pub physical_networks: Vec<PhysicalNetwork>,
}

/// Answer of `PUT` and `DELETE /v1/physical-networks/{physical_network}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PhysicalNetworkAnswer {
    /// What was done.
    pub outcome: Outcome,
    /// The physical network as it is now; absent once it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub physical_network: Option<PhysicalNetwork>,
}

/// The ranges of one physical network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRange {
    /// Name of the physical network.
    #[schema(pattern = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$")]
    pub physical_network: String,
    /// Its keys: ranges and single numbers.
    #[schema(
        pattern = "^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$",
        max_length = 4096,
        example = "1001-65535,70000-80000"
    )]
    pub vnet: String,
}

/// Answer of `GET /v1/keys/ranges`, and body of `PUT`: the ranges of physical networks. Those that a body does not name stay as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRanges {
    /// By physical network.
    pub ranges: Vec<KeyRange>,
}

/// Answer of `PUT /v1/keys/ranges`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyRangesAnswer {
    /// What was done.
    pub outcome: Outcome,
    /// All ranges as they are now.
    pub ranges: Vec<KeyRange>,
}

/// Why a key cannot be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// A network has it.
    Allocated,
    /// It was released, and hosts may have it still.
    Quarantined,
    /// Hosts have it, and no network does.
    Withdrawn,
}

impl KeyState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            KeyState::Allocated => "allocated",
            KeyState::Quarantined => "quarantined",
            KeyState::Withdrawn => "withdrawn",
        }
    }
}

/// A key that cannot be given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Key {
    /// The key.
    pub key: u32,
    /// Why it cannot be given.
    pub state: KeyState,
    /// The network that has it, or that had it; its number where it is not recorded any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Since when it is allocated or quarantined: RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The hosts that have it; of a quarantined one those that were not seen without it since.
    pub hosts: Vec<String>,
    /// What is wrong with it: `key_leaked`, `key_doubled`.
    pub troubles: Vec<Trouble>,
}

/// Answer of `GET /v1/keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyList {
    /// The keys that were asked for, in order. Free ones are never listed.
    pub keys: Vec<Key>,
    /// Where there are more: `after` to ask for those with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
    /// The physical networks, with how full their ranges are.
    pub physical_networks: Vec<PhysicalNetwork>,
}
