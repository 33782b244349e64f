//! NICs of VMs: where they are, and what their preparation leads to.

use ovstunnel_api::Outcome;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::NetworkPlan;

/// How a NIC gets to another host than it is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MoveWord {
    /// Both hosts have it until `migrated` or `rollback` says how that ended.
    #[default]
    Migrate,
    /// The new host has it, and nobody else: high availability has started the VM anew there.
    Replace,
}

/// Body of `PUT /v1/networks/{network}/nics/{nic}`: a NIC is, or is going to be, on a host. What is left out stays as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutNic {
    /// Name of the host.
    #[schema(pattern = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$")]
    pub host: String,
    /// The VM, in the cloud's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub vm: Option<String>,
    /// Its MAC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "06:5a:00:00:00:07")]
    pub mac: Option<String>,
    /// Its address, IPv4 or IPv6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "10.1.1.7")]
    pub ip: Option<String>,
    /// The bridge for the network on this host, where it has none yet and it is not to be named by the manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,14}$")]
    pub bridge: Option<String>,
    /// For how long to wait for tunnels that are still to come, up to a minute. Nothing is waited for while `sdn.ovs.controller` is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "5s")]
    pub wait: Option<String>,
    /// How it gets there, where it is on another host.
    #[serde(rename = "move", default, skip_serializing_if = "Option::is_none")]
    pub how: Option<MoveWord>,
}

/// A NIC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Nic {
    /// Its id, unique in its network.
    pub id: String,
    /// The VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm: Option<String>,
    /// Its MAC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// The host that it is on.
    pub host: String,
    /// The host that it is moving to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving_to: Option<String>,
}

/// Answer of `GET /v1/networks/{network}/nics`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NicList {
    /// The network's NICs, by id.
    pub nics: Vec<Nic>,
    /// How many it has, on this page or not.
    #[serde(default)]
    #[schema(required = true)]
    pub total: u32,
    /// Where there are more: `after` to ask for those with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// How a NIC's preparation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NicOutcome {
    /// Each tunnel to the host and from it is up.
    Ready,
    /// Some are, and others failed; they are tried again.
    Partial,
    /// Some are still to come.
    Pending,
    /// `sdn.ovs.controller` is off: the NIC is recorded, and nothing was sent to any host.
    Disabled,
}

impl NicOutcome {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            NicOutcome::Ready => "ready",
            NicOutcome::Partial => "partial",
            NicOutcome::Pending => "pending",
            NicOutcome::Disabled => "disabled",
        }
    }
}

/// The tunnels to a host and from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NicTunnels {
    /// How many there must be, each direction for itself.
    pub wanted: u32,
    /// How many are there, as the hosts say.
    pub up: u32,
    /// Those that could not be made; none while nothing is sent.
    pub failed: Vec<FailedTunnel>,
}

/// A tunnel that could not be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailedTunnel {
    /// The other host.
    pub host: String,
    /// Why.
    pub reason: String,
    /// In how many seconds it is tried again.
    pub retry_in: u32,
}

/// Answer of `PUT /v1/networks/{network}/nics/{nic}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NicAnswer {
    /// How it ended.
    pub outcome: NicOutcome,
    /// What became of the record: `created`, `updated`, `unchanged`.
    pub recorded: Outcome,
    /// The NIC as it is recorded, or with `dry_run` would be.
    pub nic: Nic,
    /// The network's key; absent as long as it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<u32>,
    /// The network's bridge on the host: the one that is there, or that would be made; absent where none can be made by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    /// Largest MTU of a guest whose frames reach each host of the network in one piece, bytes; absent while no host has told one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Counts the changes of the network's mesh since the manager's start; absent as long as it has no key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The tunnels to the host and from it.
    pub tunnels: NicTunnels,
    /// What would be sent to whom. Of a network without a key it has the one that would be allocated.
    pub plan: NetworkPlan,
}

/// Answer of `DELETE /v1/networks/{network}/nics/{nic}`, of `migrated` and of `rollback`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NicReleased {
    /// What was done.
    pub outcome: Outcome,
    /// The NIC as it is now; absent where nobody has it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nic: Option<Nic>,
}
