//! The epoch of the zone's manager that may write to a host's switch: what is recorded, and what a manager records.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Outcome;

/// The header in which a manager says under which epoch it writes: `<zone-uuid>:<number>`.
pub const EPOCH_HEADER: &str = "ovstunnel-epoch";

/// The header in which a manager says, on `GET /v1/watch`, whether it acts (`on`) or only looks (`off`).
pub const CONTROLLER_HEADER: &str = "ovstunnel-controller";

/// What is recorded; without fields where nothing is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::epoch_state()))]
pub struct EpochState {
    /// UUID of the zone whose manager may write here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The number of that manager's leadership; what an older one writes is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

/// Records an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!(crate::example::put_epoch()))]
pub struct PutEpoch {
    /// UUID of the zone.
    #[schema(value_type = ovstunnel_types::NetworkUuid)]
    pub zone: String,
    /// The number of the leadership, from 1 on: not below the one that is recorded.
    #[schema(value_type = crate::schema::EpochNumber)]
    pub epoch: u64,
}

/// Answer to its recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::epoch_answer()))]
pub struct EpochAnswer {
    /// `created` where none was recorded, `updated` where an older one was, or `unchanged`.
    pub outcome: Outcome,
    /// UUID of the zone.
    pub zone: String,
    /// The number that is recorded now.
    pub epoch: u64,
}
