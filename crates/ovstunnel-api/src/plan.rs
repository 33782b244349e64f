//! What `?dry_run=true` answers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Outcome;

/// The plan of a changing request that was only asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::plan_answer()))]
pub struct PlanAnswer {
    /// Always true: nothing was changed.
    pub dry_run: bool,
    /// What the request would have answered.
    pub outcome: Outcome,
    /// The changes, in words, in order.
    pub changes: Vec<String>,
    /// The exact commands, each as its argument vector; flows that go to a command's standard input follow it in `stdin`.
    pub commands: Vec<PlannedCommand>,
}

/// One command of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::planned_command()))]
pub struct PlannedCommand {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Text for its standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
}
