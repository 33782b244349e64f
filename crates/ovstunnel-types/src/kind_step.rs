//! The steps by which the tunnels of a bridge change their kind. Must not say what is done for them.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where the change of a bridge's tunnel kind is to be. Each step names a state, so that it can be asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KindStep {
    /// Frames are received by both kinds, and sent by the one that the bridge is to leave.
    Prepare,
    /// Frames are received by both kinds, and sent by the one that it is to have.
    Switch,
    /// It has the new kind alone.
    Finish,
    /// It has the old kind alone.
    Abort,
}

impl KindStep {
    /// All of them, in order.
    pub const ALL: [KindStep; 4] = [KindStep::Prepare, KindStep::Switch, KindStep::Finish, KindStep::Abort];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            KindStep::Prepare => "prepare",
            KindStep::Switch => "switch",
            KindStep::Finish => "finish",
            KindStep::Abort => "abort",
        }
    }
}

impl fmt::Display for KindStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
