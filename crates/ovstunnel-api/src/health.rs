//! Whether a bridge, or the host, carries its networks' frames, and why not. Must not judge.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::HealthState;

/// How bad one reason is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It works, but not as it should, or not for all frames.
    Degraded,
    /// Frames of VMs are lost, doubled, or go where they must not.
    Failed,
}

/// One reason why it is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::reason()))]
pub struct Reason {
    /// Which requirement does not hold: a stable word for programs, listed in the operator's guide.
    pub what: String,
    /// The bridge, port, VIF, device or address that it is about.
    pub subject: String,
    /// How bad it is.
    pub severity: Severity,
    /// What was seen.
    pub evidence: String,
    /// What takes it away; a command stands in backquotes.
    pub remedy: String,
}

/// How a bridge or a host is, with the reasons, the worst first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::health()))]
pub struct Health {
    /// The worst of the reasons, or `ok` where there is none.
    pub state: HealthState,
    /// How old this knowledge is at most: when flows were last confirmed or the switch was last asked. RFC 3339, UTC; absent
    /// before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// What is wrong.
    pub reasons: Vec<Reason>,
}
