//! What a change would do: plans that are not carried out. Must not change anything, or need a switch that answers.

use ovstunnel_ovs::PrintedPlan;
use ovstunnel_plan::{Change, Changed, Outcome, Plan};

use super::{Executor, Planned, WriteError, answer};

/// Begins the words for what no plan can say.
pub(super) const KNOWN_AFTERWARDS: &str = "known only once it is carried out: ";

impl Executor {
    /// What a change would do. That takes the mirror, and not a switch that answers; where it does not, the plan says so.
    pub(super) async fn plan_change(&self, change: &Change) -> Result<Planned, WriteError> {
        let health = self.switch.watch_health().borrow().clone();
        if let Some(reason) = health.first_trouble().filter(|_| !health.is_hanging() || health.database.is_err()) {
            return Err(WriteError::Unavailable(reason.to_owned()));
        }
        self.expect_settled()?;
        let merged = self.change_set([change]);
        let port = merged.results.into_iter().next().unwrap_or(Ok(None))?;
        let outcome = answer::change_outcome(
            change,
            answer::Parts::from_plan(&merged.plan, &[]).items_about(change, port.as_ref()),
        );
        Ok(self.print_planned(outcome, &merged.plan).await)
    }

    /// What each part of a plan changes of what is there now.
    pub(super) fn changes_of(&self, plan: &Plan) -> Vec<Vec<Changed>> {
        self.switch.observer().read(|db| {
            let view = db.view();
            plan.items().map(|item| Changed::changes_by(item, &view)).collect()
        })
    }

    /// A plan, printed: in words and as the commands that carrying it out would run.
    pub(super) async fn print_planned(&self, outcome: Outcome, plan: &Plan) -> Planned {
        let PrintedPlan { commands, afterwards } = self.switch.print_plan(plan).await;
        let mut changes: Vec<String> = plan.items().map(|item| item.to_string()).collect();
        changes.extend(afterwards.into_iter().map(|words| format!("{KNOWN_AFTERWARDS}{words}")));
        if let Some(reason) = self.switch.watch_health().borrow().first_trouble() {
            changes.insert(0, format!("at present nothing can be changed: {reason}"));
        }
        Planned { outcome, changes, commands }
    }
}
