//! How tunnels, flows and a bridge as a whole are, in one word each. Must not judge.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether a tunnel carries frames, as read back from the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TunnelState {
    /// `ofport` is a number and `error` is empty.
    Up,
    /// Open vSwitch refused it; `error` has its words.
    Error,
    /// Open vSwitch has not looked at it yet.
    Pending,
}

/// How the flows in the switch compare with those that the bridge must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FlowsState {
    /// Exactly the ones that must be there.
    InSync,
    /// Some are missing, changed or left over; the daemon is about to mend it.
    Drifted,
    /// Not read yet, for example because the switch has just come back.
    Unknown,
}

/// How it is altogether. The larger, the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// Nothing says that frames do not pass exactly once.
    Ok,
    /// It works, but not as it should, or not for all frames.
    Degraded,
    /// Frames of VMs are lost, doubled, or go where they must not.
    Failed,
}

impl HealthState {
    /// The word that stands in the JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            HealthState::Ok => "ok",
            HealthState::Degraded => "degraded",
            HealthState::Failed => "failed",
        }
    }
}
