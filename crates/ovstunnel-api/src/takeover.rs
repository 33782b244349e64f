//! Taking bridges over from CloudStack's Python plugin.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Changed, Ipv6Policy, Outcome, PlanAnswer};

/// Body of `POST /v1/takeover`; it may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!(crate::example::takeover_request()))]
pub struct TakeoverRequest {
    /// The bridges to take over; all that are found when absent or empty.
    #[serde(default)]
    #[schema(value_type = Vec<ovstunnel_types::BridgeName>)]
    pub bridges: Vec<String>,
}

/// What became of one bridge, or would.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TakeoverState {
    /// It is ours now, or would be; of one that was ours before, what was left of the plugin's flows went.
    TakenOver,
    /// It is ours, and nothing of the plugin's is on it.
    Unchanged,
    /// It stays as it is; `left` says why.
    Left,
    /// Something went wrong; `left` says what. Asking again is safe.
    Failed,
}

/// One bridge in a take-over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::takeover_bridge()))]
pub struct TakeoverBridge {
    /// Name of the bridge.
    pub bridge: String,
    /// What became of it, or would.
    pub state: TakeoverState,
    /// GRE key of its network, where it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<u32>,
    /// UUID of its network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_uuid: Option<String>,
    /// Id of this host, from the names of its tunnels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_id: Option<String>,
    /// What happens to its IPv6, or would: of a bridge that is taken over what happened before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Ipv6Policy>,
    /// Its tunnels, by port name.
    pub tunnels: Vec<String>,
    /// Its VM interfaces.
    pub vifs: Vec<String>,
    /// Flows of the plugin's that were found on it.
    pub plugin_flows: u32,
    /// Flows of others in its first table; they stay.
    pub other_flows: u32,
    /// The spanning tree in which it was found; absent where STP was off, or where Open vSwitch cannot say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spanning_tree: Option<SpanningTree>,
    /// Addresses of its VMs that were announced to the other hosts: where it was in a spanning tree and not its root.
    #[serde(default)]
    pub announced: u32,
    /// What was done, in words; in a dry run, what would be.
    pub done: Vec<String>,
    /// What of that was changed, each thing with what it was and what it is; in a dry run, what it would be.
    #[serde(default)]
    pub changes: Vec<Changed>,
    /// What was left as it is, and why.
    pub left: Vec<String>,
}

/// The spanning tree of STP, as a bridge sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::spanning_tree()))]
pub struct SpanningTree {
    /// Id of the bridge, such as `8000.42cd07800645`. Hosts are to be taken over from the highest id to the lowest, the root's.
    pub bridge_id: String,
    /// Id of the root.
    pub root_id: String,
    /// The port that leads to the root; absent on the root itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_port: Option<String>,
}

/// Answer of `POST /v1/takeover`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::takeover_answer()))]
pub struct TakeoverAnswer {
    /// `updated`, or `unchanged` where nothing was done.
    pub outcome: Outcome,
    /// The bridges, by name.
    pub bridges: Vec<TakeoverBridge>,
}

/// Answer of `POST /v1/takeover?dry_run=true`: a plan, and the bridges as they were found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::takeover_plan()))]
pub struct TakeoverPlan {
    /// The plan.
    #[serde(flatten)]
    pub plan: PlanAnswer,
    /// The bridges, by name.
    pub bridges: Vec<TakeoverBridge>,
}
