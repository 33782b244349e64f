//! What is told of a removal: what is not there is a mistyped name, unless `--if-exists` says that it need not be there.
//!
//! What it must not do: ask whether something is there. The daemon's answer says so, and nobody else can come in between.

use ovstunnel_api::{Outcome, OutcomeAnswer, PlanAnswer};

use super::{Failure, Report, show};

/// A removal that was asked for.
#[derive(Debug)]
pub(super) struct Removal {
    /// `bridge xapi12`.
    pub(super) what: String,
    /// It need not be there.
    pub(super) if_exists: bool,
    pub(super) json: bool,
}

impl Removal {
    pub(super) fn planned_report(self, plan: &PlanAnswer) -> Result<Report, Failure> {
        self.expect_existing(plan.outcome != Outcome::Unchanged)?;
        Report::new(self.json, plan, show::plan_page)
    }

    pub(super) fn removed_report(self, answer: &OutcomeAnswer) -> Result<Report, Failure> {
        self.expect_existing(was_there(answer))?;
        Report::new(self.json, answer, |answer| show::removed_page(&self.what, answer.outcome))
    }

    pub(super) fn released_report(self, name: &str, answer: &OutcomeAnswer) -> Result<Report, Failure> {
        self.expect_existing(was_there(answer))?;
        Report::new(self.json, answer, |answer| show::released_page(name, answer.outcome))
    }

    fn expect_existing(&self, there: bool) -> Result<(), Failure> {
        match there || self.if_exists {
            true => Ok(()),
            false => Err(Failure::NotThere(self.what.clone())),
        }
    }
}

/// An older daemon does not say `existed`.
fn was_there(answer: &OutcomeAnswer) -> bool {
    answer.existed || answer.outcome != Outcome::Unchanged
}
