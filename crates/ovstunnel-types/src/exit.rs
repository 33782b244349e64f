//! How the program that CloudStack's KVM agent runs ends where it has created a tunnel. Must not know how it creates one.

use serde::{Deserialize, Serialize};

/// What a success of `create_tunnel` ends with: every agent seen takes 0 for a failure, and anything else for a success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CreateTunnelExit {
    /// 0, and a failure with 1, as all programs do.
    #[default]
    Zero,
    /// 1, and a failure with 0, as those agents take it.
    Inverted,
}

impl CreateTunnelExit {
    /// The status with which `create_tunnel` ends.
    pub const fn exit_status(self, succeeded: bool) -> u8 {
        match (self, succeeded) {
            (CreateTunnelExit::Zero, true) | (CreateTunnelExit::Inverted, false) => 0,
            (CreateTunnelExit::Zero, false) | (CreateTunnelExit::Inverted, true) => 1,
        }
    }
}
