//! What a change would do: plans that are not carried out. Must not change anything, or need a switch that answers.

use ovstunnel_plan::{Change, Changed, Outcome, Step};

use super::{Planned, Task, WriteError, answer};

impl Task {
    /// What a change would do. That takes the mirror, and not a switch that answers; where it does not, the plan says so.
    pub(super) fn plan(&self, change: &Change) -> Result<Planned, WriteError> {
        let health = self.switch.health().borrow().clone();
        if let Some(reason) = health.trouble().filter(|_| !health.hangs() || health.database.is_err()) {
            return Err(WriteError::Unavailable(reason.to_owned()));
        }
        self.expect_settled()?;
        let drafted = self.draft([change]);
        let port = drafted.results.into_iter().next().unwrap_or(Ok(None))?;
        let outcome = answer::outcome(change, answer::Parts::of(&drafted.steps, &[]).about(change, port.as_ref()));
        Ok(self.planned(outcome, drafted.steps))
    }

    /// What each step changes of what is there now.
    pub(super) fn changes_of(&self, steps: &[Step]) -> Vec<Vec<Changed>> {
        self.switch.observer().read(|db| steps.iter().map(|step| Changed::by(step, &db.view())).collect())
    }

    pub(super) fn planned(&self, outcome: Outcome, steps: Vec<Step>) -> Planned {
        let mut changes: Vec<String> = steps.iter().map(ToString::to_string).collect();
        if let Some(reason) = self.switch.health().borrow().trouble() {
            changes.insert(0, format!("at present nothing can be changed: {reason}"));
        }
        Planned { outcome, changes, commands: self.switch.commands(&steps) }
    }
}
