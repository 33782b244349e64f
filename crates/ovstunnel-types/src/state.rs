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

/// State of a BFD session (RFC 5880, section 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BfdState {
    /// Somebody holds it down.
    AdminDown,
    /// Nothing is heard.
    Down,
    /// The other end is heard, and has not heard this one yet.
    Init,
    /// Both ends hear each other.
    Up,
}

impl BfdState {
    /// The word that stands in the JSON and in Open vSwitch's database.
    pub fn as_str(self) -> &'static str {
        match self {
            BfdState::AdminDown => "admin_down",
            BfdState::Down => "down",
            BfdState::Init => "init",
            BfdState::Up => "up",
        }
    }

    /// The state that this word stands for.
    pub fn from_word(word: &str) -> Option<BfdState> {
        [BfdState::AdminDown, BfdState::Down, BfdState::Init, BfdState::Up].into_iter().find(|it| it.as_str() == word)
    }
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
