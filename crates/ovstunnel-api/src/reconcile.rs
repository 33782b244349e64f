//! Looking and repairing, and readiness.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Answer of `POST /v1/reconcile`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReconcileAnswer {
    /// Managed bridges that were looked at.
    pub bridges: u32,
    /// Tunnels that were looked at.
    pub tunnels: u32,
    /// What differed from the record, in words.
    pub found: Vec<String>,
    /// What was done about it, in words; empty when nothing had to be done.
    pub done: Vec<String>,
    /// What could not be repaired, with the reason.
    pub failed: Vec<String>,
}

/// Answer of `GET /readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ready {
    /// The switch can be reached and was reconciled.
    pub ready: bool,
    /// Why not, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Version of Open vSwitch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ovs_version: Option<String>,
    /// Version of the daemon.
    pub version: String,
}
