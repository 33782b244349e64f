//! Carries plans out, one at a time, and remembers what came of them.
//!
//! What it does: waits for the turn to write; `execute`, `flow_change` and `outcome` write and find out what became of it. What it
//! must not do: decide when something is looked at: it only says, by `resync`, that a whole look is due.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ovstunnel_ovs::Switch;
use ovstunnel_plan::{DesiredCache, Settings};
use tokio::sync::watch;

use super::lock::{Turn, WriterLock};
use super::{FlowTable, Progress, Unsettled, WriteError, retry, unplaced};
use crate::metrics::Metrics;

/// Whoever waits so long for the turn has waited for somebody.
const WAITED: Duration = Duration::from_millis(5);

/// What writes, and what is known of what was written.
pub(super) struct Executor {
    pub switch: Switch,
    pub settings: Arc<Settings>,
    pub flows: FlowTable,
    pub cache: DesiredCache,
    /// The generation of `ovs-vswitchd` of which everything was looked at.
    pub reconciled: watch::Sender<Option<u64>>,
    /// When everything is looked at again, because something failed.
    pub resync: retry::Retry,
    /// What became of a change, where that is not known; and when it is asked for again.
    pub unsettled: Unsettled,
    pub settling: retry::Retry,
    /// VIFs of which the log has told that they are in no tier.
    pub unplaced: unplaced::Unplaced,
    pub batches: u64,
    pub metrics: Metrics,
    pub progress: Progress,
    pub lock: WriterLock,
}

impl Executor {
    /// That the switch can be worked with and it is our turn to write.
    pub(super) async fn ready_turn(&mut self) -> Result<Turn, WriteError> {
        if let Some(reason) = self.switch.watch_health().borrow().first_trouble() {
            return Err(WriteError::Unavailable(reason.to_owned()));
        }
        self.wait_turn().await
    }

    /// Waits for the turn to write. Where somebody else has written since the last one, what was known of flows is
    /// forgotten, and a look at everything is due.
    pub(super) async fn wait_turn(&mut self) -> Result<Turn, WriteError> {
        self.expect_settled()?;
        let asked = Instant::now();
        let turn = self.lock.take_turn().await?;
        if self.reconciled.borrow().is_none() && asked.elapsed() >= WAITED {
            self.begin_anew().await?;
        }
        turn.lock_file().into_iter().for_each(|file| self.switch.keep_open(file));
        if self.flows.enter_turn(turn.epoch()) {
            tracing::info!("another ovstunneld has written; starting a reconcile run");
            self.resync.note_failure();
        }
        Ok(turn)
    }
}
