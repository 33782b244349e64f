//! One step of a way, as it is put together. Must not know what is looked at.

use ovstunnel_manager_api::{FaultCommand, PathStep, StepResult};

use crate::zone::Side;

pub(super) fn new_step(side: Option<&Side>, check: &str, result: StepResult, evidence: String) -> PathStep {
    let host = side.map(|side| side.host.clone());
    PathStep { host, check: check.to_owned(), result, evidence, remedy: None, commands: Vec::new() }
}

pub(super) fn with_remedy(step: PathStep, remedy: &str, commands: Vec<FaultCommand>) -> PathStep {
    PathStep { remedy: Some(remedy.to_owned()), commands, ..step }
}

pub(super) fn host_command(side: &Side, run: &str) -> FaultCommand {
    FaultCommand { host: Some(side.host.clone()), run: run.to_owned() }
}
