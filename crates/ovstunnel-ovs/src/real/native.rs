//! Changes on connections of our own, in place of commands.
//!
//! What it does: bounds each by the deadline of a command and by what it would wait for in vain, tells the log which commands it
//! stands for, and counts it. What it must not do: try anything again.

use std::time::Instant;

use ovstunnel_plan::Step;

use super::{Needs, RealSwitch, RunResult};
use crate::native::{Native, transaction_operations};
use crate::{Command, CommitError};

/// What a transaction is counted as.
const TRANSACT: &str = "transact";

impl RealSwitch {
    /// One transaction, up to when `ovs-vswitchd` has taken it up: what `ovs-vsctl` waits for.
    pub(super) async fn transact_natively(&self, native: &Native, steps: &[Step]) -> Result<(), CommitError> {
        if steps.is_empty() {
            return Ok(());
        }
        let operations = self.observer.read(|db| transaction_operations(steps, db));
        let operations = operations.map_err(|error| CommitError::Refused(error.to_string()))?;
        let written = async {
            let next = native.database.transact(&operations).await?;
            self.taken_up(next).await
        };
        self.run_bounded(TRANSACT, Needs::Everything, written, || self.tools.transaction_commands(steps)).await
    }

    /// Waits until `ovs-vswitchd` says that it has taken this configuration up.
    async fn taken_up(&self, next: i64) -> Result<(), CommitError> {
        let mut revision = self.observer.watch_revision();
        loop {
            revision.borrow_and_update();
            if self.observer.read(|db| db.configuration_numbers().1) >= next {
                return Ok(());
            }
            if revision.changed().await.is_err() {
                return Err(CommitError::Unknown("the database is not followed any more".to_owned()));
            }
        }
    }

    /// A change within the bounds of a command, told as one. What is cut short has an unknown outcome, and its connection is gone.
    pub(super) async fn run_bounded<T>(
        &self,
        name: &str,
        needs: Needs,
        change: impl Future<Output = Result<T, CommitError>>,
        equal: impl FnOnce() -> Vec<Command>,
    ) -> Result<T, CommitError> {
        let started = Instant::now();
        let cut_short = |how: String| CommitError::Unknown(format!("{name} {how} after {:?}", started.elapsed()));
        let result = tokio::select! {
            biased;
            result = change => result,
            () = tokio::time::sleep(self.tools.timeout) => Err(cut_short("was not answered".to_owned())),
            reason = self.wait_gone(needs) => Err(cut_short(format!("waited in vain ({reason})"))),
        };
        let (took, told) = (started.elapsed(), result_of(&result));
        self.hook.report_command(name, told, took);
        let error = result.as_ref().err();
        match error {
            Some(error @ CommitError::Unknown(_)) => tracing::warn!(command = name, %error, "did not run to its end"),
            error => {
                let error = error.map(tracing::field::display);
                if tracing::enabled!(tracing::Level::DEBUG) {
                    tracing::debug!(command = name, equal_to = in_words(&equal()), ?took, error, "ran");
                }
            }
        }
        result
    }
}

fn result_of<T>(result: &Result<T, CommitError>) -> RunResult {
    match result {
        Ok(_) => RunResult::Succeeded,
        Err(CommitError::Unavailable(_)) => RunResult::NotStarted,
        Err(CommitError::Unknown(_)) => RunResult::CutShort,
        Err(_) => RunResult::Failed,
    }
}

/// Commands as a shell takes them.
fn in_words(commands: &[Command]) -> String {
    let quoted = |word: &String| shlex::try_quote(word).map_or_else(|_| word.clone(), |word| word.into_owned());
    let line = |command: &Command| {
        let words = command.argv.iter().map(quoted).collect::<Vec<_>>().join(" ");
        match command.stdin.as_deref().filter(|stdin| !stdin.is_empty()) {
            Some(stdin) => format!("printf %s {} | {words}", quoted(&stdin.to_owned())),
            None => words,
        }
    };
    commands.iter().map(line).collect::<Vec<_>>().join("; ")
}
