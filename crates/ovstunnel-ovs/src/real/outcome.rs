//! Transactions, and what becomes of them.
//!
//! What it does: carries steps out, by `ovs-vsctl` or natively, and waits until the mirror shows them; where it is not known what became of
//! one, finds that out by a new connection. What it must not do: guess. An older connection does not see a transaction that
//! commits a moment later, a new one does (docs/ovs-facts.md).

use std::time::Duration;

use ovstunnel_plan::{Step, steps_visible};
use tokio::time::Instant;

use super::{Needs, RealSwitch, ended_well};
use crate::{CommitError, control, vsctl};

/// How far the mirror may be behind `ovs-vsctl`, which has waited for everything itself. Beyond that, a new connection tells.
const BEHIND: Duration = Duration::from_secs(2);

/// How long a database that lives may take for an answer.
const ANSWER: Duration = Duration::from_secs(1);

impl RealSwitch {
    pub(crate) async fn commit(&self, steps: &[Step]) -> Result<(), CommitError> {
        self.check_health()?;
        match &self.native {
            Some(native) => self.transact_natively(native, steps).await?,
            None => self.run_vsctl(steps).await?,
        }
        self.wait_settled(steps).await
    }

    async fn run_vsctl(&self, steps: &[Step]) -> Result<(), CommitError> {
        if steps.iter().any(Step::writes_a_secret) {
            let words = "a pre-shared key is not written by `ovs-vsctl`, whose arguments everybody can read: `[ovs] writes` must be \"native\"";
            return Err(CommitError::Refused(words.to_owned()));
        }
        for (n, command) in self.tools.transaction_commands(steps).iter().enumerate() {
            let result = self.run_command(command, Needs::Everything).await;
            ended_well(result, vsctl::classify_failure).map_err(|error| match n {
                0 => error,
                _ => error.after_change(format_args!("only the first {n} transactions of the change were made")),
            })?;
        }
        Ok(())
    }

    /// Waits until the mirror has what was written and vswitchd has taken it up.
    ///
    /// That was waited for already; the mirror hears of it over a connection of its own, in a moment. A port's
    /// number can be wrong before vswitchd has taken up the whole configuration, so that is waited for, too.
    async fn wait_settled(&self, steps: &[Step]) -> Result<(), CommitError> {
        let mut revision = self.observer.watch_revision();
        let deadline = Instant::now() + BEHIND;
        let mut written = None;
        loop {
            revision.borrow_and_update();
            let (shown, (next, current)) =
                self.observer.read(|db| (steps_visible(steps, &db.view()), db.configuration_numbers()));
            if shown && current >= *written.get_or_insert(next) {
                return Ok(());
            }
            if !matches!(tokio::time::timeout_at(deadline, revision.changed()).await, Ok(Ok(()))) {
                let reason = "the change was written, but its effect has not shown in the database".to_owned();
                return Err(CommitError::Unknown(reason));
            }
        }
    }

    /// That the database answers at this moment: before what cannot be left half done.
    pub(crate) async fn database_answers(&self) -> Result<(), CommitError> {
        self.check_health()?;
        let answered = control::database_answers(&self.tools.rundir, ANSWER).await;
        answered.map_err(|error| CommitError::Unavailable(format!("its database does not answer ({error})")))
    }
}
