//! Outcomes that are not known: the command was killed, lost the database, or nothing came of what it wrote.
//!
//! What it does: finds out by a new connection what became of the transaction; until that is known nothing is written, least
//! of all a flow. What it must not do: take silence for an answer. On flows that go with a change which has not happened a
//! whole network hangs: the Python plugin's are its split horizon (docs/adr/0021-unknown-outcomes.md).

use std::time::Duration;

use ovstunnel_ovs::CommitError;
use ovstunnel_plan::{Plan, Step, steps_visible};
use tokio::sync::watch;
use tokio::time::Instant;

use super::batch::Desired;
use super::executed::Executed;
use super::{Executor, Task, WriteError};

/// How long whoever asked waits for an answer on a new connection; afterwards it is waited for without them.
const AT_ONCE: Duration = Duration::from_secs(1);

/// How often is planned anew because the outcome of that was not known either.
const ATTEMPTS: usize = 3;

/// Bridges that the reason names.
const NAMED: usize = 4;

/// A transaction of which it is not known whether it took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Open {
    /// What it changed, and how its command ended.
    what: String,
    /// The connection that will tell.
    connection: u64,
}

/// What is not known, if anything. Clones share it.
#[derive(Clone, Debug)]
pub struct Unsettled(watch::Sender<Option<Open>>);

impl Default for Unsettled {
    fn default() -> Self {
        Unsettled(watch::Sender::new(None))
    }
}

impl Unsettled {
    /// Why nothing is written at present.
    pub fn reason(&self) -> Option<String> {
        let open = self.0.borrow();
        let what = &open.as_ref()?.what;
        Some(format!("it is not known yet whether a change took effect ({what}); until it is, nothing is written"))
    }

    fn open_connection(&self) -> Option<u64> {
        self.0.borrow().as_ref().map(|open| open.connection)
    }

    fn set(&self, open: Option<Open>) {
        self.0.send_replace(open);
    }
}

/// How it is known that a transaction took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// By the command, and the mirror shows it.
    AtOnce,
    /// By a new connection. Since it was planned time has passed: what is left to do is planned anew.
    Afterwards,
}

/// What becomes of tunnels that Open vSwitch refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// They go again: whoever asked is told.
    Go,
    /// They stay, in error: their rows are the record, and they are tried again.
    Stay,
}

impl Executor {
    /// Carries out one transaction: with [`Executor::commit_all`] the only way to the database.
    pub(super) async fn commit_steps(&mut self, steps: &[Step]) -> Result<Known, CommitError> {
        self.progress.begin_step();
        match self.switch.commit(steps).await {
            Err(CommitError::Unknown(reason)) => self.find_out(steps, reason).await.map(|()| Known::Afterwards),
            result => result.map(|()| Known::AtOnce),
        }
    }

    /// Carries out transactions, one after the other.
    pub(super) async fn commit_all(&mut self, transactions: Vec<Vec<Step>>) -> Result<Known, CommitError> {
        let mut known = Known::AtOnce;
        for (n, steps) in transactions.iter().enumerate() {
            match self.commit_steps(steps).await {
                Ok(Known::AtOnce) => {}
                Ok(Known::Afterwards) => known = Known::Afterwards,
                Err(error) if n == 0 => return Err(error),
                Err(error) => return Err(error.after_change("ports were removed to make way, then it failed")),
            }
        }
        Ok(known)
    }

    /// Finds out whether a transaction took effect whose command is gone.
    async fn find_out(&mut self, steps: &[Step], reason: String) -> Result<(), CommitError> {
        let connection = self.switch.begin_anew();
        self.unsettled.set(Some(Open { what: format!("{}: {reason}", steps_subject(steps)), connection }));
        tracing::warn!(%reason, "it is not known whether a change took effect; asking by a new connection");
        if !self.settles_within(AT_ONCE).await {
            self.settling.note_failure();
            let until = "until Open vSwitch says what became of it, no flow is changed";
            return Err(CommitError::Unknown(format!("{reason}; {until}")));
        }
        self.unsettled.set(None);
        let there = self.switch.observer().read(|db| {
            let view = db.view();
            steps.iter().filter(|step| steps_visible(std::slice::from_ref(step), &view)).count()
        });
        tracing::warn!(%reason, there, of = steps.len(), "known by a new connection");
        match there {
            all if all == steps.len() => Ok(()),
            0 => Err(CommitError::Undone(reason)),
            _ => Err(CommitError::Partly(reason)),
        }
    }

    /// Whoever had the lock may have been killed, and a command of its have lived on until now: what that wrote is for certain
    /// on a new connection only.
    pub(super) async fn begin_anew(&mut self) -> Result<(), WriteError> {
        let connection = self.switch.begin_anew();
        let what = "a command of another ovstunneld that has just ended".to_owned();
        self.unsettled.set(Some(Open { what, connection }));
        if !self.settles_within(AT_ONCE).await {
            self.settling.note_failure();
            return self.expect_settled();
        }
        self.unsettled.set(None);
        Ok(())
    }

    async fn settles_within(&self, patience: Duration) -> bool {
        let Some(connection) = self.unsettled.open_connection() else { return true };
        let (deadline, mut revision) = (Instant::now() + patience, self.switch.observer().watch_revision());
        loop {
            revision.borrow_and_update();
            if self.switch.observer().has_caught_up(connection) {
                return true;
            }
            if !matches!(tokio::time::timeout_at(deadline, revision.changed()).await, Ok(Ok(()))) {
                return false;
            }
        }
    }

    /// That what became of all changes is known.
    pub(super) fn expect_settled(&self) -> Result<(), WriteError> {
        self.unsettled.reason().map_or(Ok(()), |reason| Err(WriteError::Unsettled(reason)))
    }

    /// Carries a plan out and remembers what came of it. Where that was known only afterwards, the rest is planned anew.
    pub(super) async fn write_and_remember(&mut self, plan: &Plan, desired: Desired, refused: Refused) -> Executed {
        let mut executed = self.write_plan(plan).await;
        if refused == Refused::Go {
            self.take_away_refused(&mut executed).await;
        }
        self.remember_desired(desired, &executed);
        for _ in 0..ATTEMPTS {
            if !std::mem::take(&mut executed.plan_anew) {
                return executed;
            }
            let names = plan
                .bridges()
                .iter()
                .filter_map(|plan| plan.bridge.parse().ok())
                .collect::<std::collections::BTreeSet<_>>();
            let repairs = self.plan_repairs(&names);
            let rest = self.write_plan(&repairs.plan).await;
            self.remember_desired(repairs.desired, &rest);
            executed.and_then(rest);
        }
        if std::mem::take(&mut executed.plan_anew) {
            self.resync.note_failure();
        }
        executed
    }
}

/// What steps are about, in few words.
fn steps_subject(steps: &[Step]) -> String {
    let mut bridges: Vec<&str> = steps.iter().map(Step::bridge).filter(|bridge| !bridge.is_empty()).collect();
    bridges.sort_unstable();
    bridges.dedup();
    let more = bridges.len().saturating_sub(NAMED);
    bridges.truncate(NAMED);
    match (bridges.as_slice(), more) {
        ([], _) => "Open vSwitch".to_owned(),
        ([one], _) => format!("bridge {one}"),
        (some, 0) => format!("bridges {}", some.join(", ")),
        (some, more) => format!("bridges {} and {more} more", some.join(", ")),
    }
}

impl Task {
    /// Takes up what is known by now; then everything is looked at, since nothing was written meanwhile.
    pub(super) async fn settle_outcome(&mut self) {
        let Some(connection) = self.executor.unsettled.open_connection() else { return };
        if self.executor.switch.watch_health().borrow().first_trouble().is_some()
            || !self.executor.switch.observer().has_caught_up(connection)
        {
            return;
        }
        tracing::warn!("what became of the change is in the mirror now; starting a reconcile run");
        self.executor.unsettled.set(None);
        self.executor.settling.note_success();
        drop(self.reconcile_all("the outcome of a change has become known").await);
    }

    /// Asks once more, where nothing has been answered.
    pub(super) async fn ask_again(&mut self) {
        self.executor.settling.begin_try();
        self.settle_outcome().await;
        let Some(connection) = self.executor.unsettled.open_connection() else { return };
        self.executor.settling.note_failure();
        if !self.executor.switch.observer().has_begun_anew(connection) {
            let connection = self.executor.switch.begin_anew();
            self.executor.unsettled.0.send_modify(|open| open.iter_mut().for_each(|open| open.connection = connection));
        }
    }
}
