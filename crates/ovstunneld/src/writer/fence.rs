//! Which leader of the zone's manager may write (docs/adr/0035-fenced-where-writes-are-in-order.md).
//!
//! What it does: judges the epoch of each write when its turn has come, and records a newer one before anything is written under it.
//! What it must not do: judge what has no epoch, or the daemon's own repairs; both are as they were before there were managers.

use ovstunnel_ovs::Switch;
use ovstunnel_plan::{Epoch, Outcome, Rejected, Standing, Step, View, ids};

use super::execute::reply_job;
use super::{Executor, Job, Planned, WriteError};

/// The column that has it, as a person asks for it.
const PLACE: &str = "external_ids:ovstunnel-epoch";

/// The epoch that is recorded at the switch, as the mirror has it.
///
/// # Errors
/// Where what is there is no epoch: then nobody knows who may write under one.
pub(crate) fn recorded_epoch(switch: &Switch) -> Result<Option<Epoch>, Rejected> {
    let Some(text) = epoch_text(switch) else { return Ok(None) };
    let damaged = |_| {
        let detail = format!(
            "{PLACE} of table Open_vSwitch is {text:?}, which is no epoch; `ovstunnelctl epoch clear` on the host removes it"
        );
        Rejected::Conflict { in_the_way: PLACE.to_owned(), detail }
    };
    text.parse().map(Some).map_err(damaged)
}

fn epoch_text(switch: &Switch) -> Option<String> {
    switch.observer().read(|db| db.view().switch_id(ids::EPOCH))
}

/// The newest of these in the zone of the first.
fn newest_epoch(epochs: impl Iterator<Item = Epoch>) -> Option<Epoch> {
    epochs.reduce(|newest, epoch| if epoch.compare_with(Some(newest)) == Ok(Standing::Newer) { epoch } else { newest })
}

impl Executor {
    /// How the epoch of a write stands to the recorded one; nothing where it has none.
    pub(super) fn judge_epoch(&self, epoch: Option<Epoch>) -> Result<Option<Standing>, WriteError> {
        let Some(epoch) = epoch else { return Ok(None) };
        Ok(Some(epoch.compare_with(recorded_epoch(&self.switch)?)?))
    }

    /// Which of these may be carried out: the newest epoch among them is recorded first, and what is older than that is not any
    /// more, whichever came first. The turn to write is the caller's.
    pub(super) async fn admit_all(&mut self, epochs: &[Option<Epoch>]) -> Vec<Result<(), WriteError>> {
        let judged: Vec<_> = epochs.iter().map(|epoch| self.judge_epoch(*epoch)).collect();
        let newer = epochs.iter().zip(&judged).filter(|(_, judged)| **judged == Ok(Some(Standing::Newer)));
        let Some(newest) = newest_epoch(newer.filter_map(|(epoch, _)| *epoch)) else {
            return judged.into_iter().map(|judged| judged.map(drop)).collect();
        };
        let recorded = self.record_epoch(Some(newest)).await;
        let answer = |(epoch, judged): (&Option<Epoch>, Result<Option<Standing>, WriteError>)| match (epoch, &recorded)
        {
            (Some(epoch), Ok(())) if judged.is_ok() => Ok(epoch.compare_with(Some(newest)).map(drop)?),
            (_, Err(error)) if judged == Ok(Some(Standing::Newer)) => Err(error.clone()),
            _ => judged.map(drop),
        };
        epochs.iter().zip(judged).map(answer).collect()
    }

    /// Whether one write may be carried out. The turn to write is the caller's.
    pub(super) async fn admit_write(&mut self, epoch: Option<Epoch>) -> Result<(), WriteError> {
        self.admit_all(&[epoch]).await.pop().unwrap_or(Ok(()))
    }

    /// The jobs of a batch that may be carried out; the others are answered.
    pub(super) async fn admit_batch(&mut self, batch: Vec<Job>, number: u64) -> Vec<Job> {
        if batch.iter().all(|job| job.ticket.epoch().is_none()) {
            return batch;
        }
        let epochs: Vec<_> = batch.iter().map(|job| job.ticket.epoch()).collect();
        let answers = self.admit_all(&epochs).await;
        let judge = |(job, answer): (Job, Result<(), WriteError>)| match answer {
            Ok(()) => Some(job),
            Err(error) => {
                reply_job(job, Err(error), number);
                None
            }
        };
        batch.into_iter().zip(answers).filter_map(judge).collect()
    }

    /// Records an epoch, or has none recorded any more, as somebody asks who writes under `by`.
    pub(super) async fn set_epoch(&mut self, epoch: Option<Epoch>, by: Option<Epoch>) -> Result<Outcome, WriteError> {
        let _turn = self.ready_turn().await?;
        self.admit_write(by).await?;
        let outcome = self.outcome_of(epoch)?;
        if outcome != Outcome::Unchanged {
            self.record_epoch(epoch).await?;
        }
        Ok(outcome)
    }

    /// What recording an epoch would do.
    pub(super) fn plan_epoch(&self, epoch: Option<Epoch>) -> Result<Planned, WriteError> {
        if let Some(reason) = self.switch.watch_health().borrow().first_trouble() {
            return Err(WriteError::Unavailable(reason.to_owned()));
        }
        let (outcome, step) = (self.outcome_of(epoch)?, Step::RecordEpoch(epoch));
        let (changes, commands) = match outcome {
            Outcome::Unchanged => (vec![], vec![]),
            _ => (vec![step.to_string()], self.switch.print_steps(&[step])),
        };
        Ok(Planned { outcome, changes, commands })
    }

    fn outcome_of(&self, epoch: Option<Epoch>) -> Result<Outcome, WriteError> {
        let Some(epoch) = epoch else {
            // Also of what is no epoch.
            return Ok(if epoch_text(&self.switch).is_some() { Outcome::Removed } else { Outcome::Unchanged });
        };
        let recorded = recorded_epoch(&self.switch)?;
        Ok(match epoch.compare_with(recorded)? {
            Standing::Recorded => Outcome::Unchanged,
            Standing::Newer if recorded.is_some() => Outcome::Updated,
            Standing::Newer => Outcome::Created,
        })
    }

    async fn record_epoch(&mut self, epoch: Option<Epoch>) -> Result<(), WriteError> {
        self.can_begin(false).await?;
        let before = epoch_text(&self.switch).unwrap_or_default();
        self.commit_steps(&[Step::RecordEpoch(epoch)]).await?;
        match epoch {
            Some(epoch) => tracing::info!(%epoch, before, "recorded the epoch of the zone's manager"),
            None => tracing::warn!(before, "cleared the recorded epoch: any zone's manager may record one"),
        }
        Ok(())
    }
}
