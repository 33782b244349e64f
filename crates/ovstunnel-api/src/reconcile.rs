//! Reconcile runs, and readiness.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Changed, Health};

/// Answer of `POST /v1/reconcile`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::reconcile_answer()))]
pub struct ReconcileAnswer {
    /// Managed bridges that were compared with their record.
    pub bridges: u32,
    /// Tunnels that were compared with their record.
    pub tunnels: u32,
    /// What differed from the record, in words.
    pub found: Vec<String>,
    /// What was done about it, in words; empty when nothing had to be done.
    pub done: Vec<String>,
    /// What of that was changed, each thing with what it was and what it is.
    #[serde(default)]
    pub changes: Vec<Changed>,
    /// What could not be repaired, with the reason.
    pub failed: Vec<String>,
}

/// A reconcile run, or a repair of what somebody else has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::reconcile_run()))]
pub struct ReconcileRun {
    /// When it ended: RFC 3339, UTC.
    pub at: String,
    /// What called for it, in words.
    pub why: String,
    /// How much differed from the record.
    pub found: u32,
    /// How much of that could not be repaired.
    pub failed: u32,
    /// What could not be repaired, then what was found, in words: the first twenty.
    pub words: Vec<String>,
}

/// Answer of `GET /readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::ready()))]
pub struct Ready {
    /// The switch can be reached and was reconciled, and its tunnels can carry something.
    pub ready: bool,
    /// Why not, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Version of Open vSwitch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ovs_version: Option<String>,
    /// Version of the daemon.
    pub version: String,
    /// The last reconcile run; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reconcile: Option<ReconcileRun>,
    /// The last time that something had drifted; absent where nothing has since the daemon started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_repair: Option<ReconcileRun>,
    /// Whether the tunnels and the managed bridges carry their networks' frames: reasons that concern the whole host first, then
    /// the worst of single bridges, twenty at most. Absent while the switch cannot be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// What is configured and cannot be had, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}
