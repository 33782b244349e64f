//! Physical networks and keys: where networks get their keys from, and which keys cannot be given.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How the networks of a physical network are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Isolation {
    /// By tunnels with GRE keys.
    Gre,
    /// By VLANs, of which there are at most 4096.
    Vlan,
}

impl Isolation {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Isolation::Gre => "GRE",
            Isolation::Vlan => "VLAN",
        }
    }
}
