//! How networks of a physical network are told apart. Must not know which keys are in use.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Invalid;

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
    const RULE: &'static str = "must be GRE or VLAN";

    /// The word for it, in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Isolation::Gre => "GRE",
            Isolation::Vlan => "VLAN",
        }
    }
}

impl FromStr for Isolation {
    type Err = Invalid;

    /// Reads that word.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "GRE" => Ok(Isolation::Gre),
            "VLAN" => Ok(Isolation::Vlan),
            _ => Err(Invalid::new(Isolation::RULE, text)),
        }
    }
}
