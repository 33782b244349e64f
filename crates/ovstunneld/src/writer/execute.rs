//! Carries a batch out and answers each caller.
//!
//! What it does: one transaction, flows, read-back, answers; where the switch refuses a batch, each change by itself.
//! What it must not do: believe an exit status. What is answered is what can be seen in the switch afterwards.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use ovstunnel_ovs::CommitError;
use ovstunnel_plan::{
    Change, Changed, EffectiveSettings, FlowsSeen, Phase, Plan, PortEdit, PortName, Rejected, Step, TunnelHealth, View,
    steps_visible,
};
use ovstunnel_server::{trace, traced_span};
use tracing::Instrument;

use super::answer::{self, Done, Parts, Refusal, Seen, WriteError};
use super::batch::Desired;
use super::executed::Executed;
use super::outcome::{Known, Refused};
use super::{Executor, Job};
use uuid::Uuid;

/// How often a change is planned anew because somebody else changed the switch in between.
const ATTEMPTS: usize = 3;

/// Ids of requests that a batch's lines in the log name; each request's own line names its batch.
const IDS_SHOWN: usize = 8;

impl Executor {
    /// Carries a batch out and answers each caller.
    pub(super) async fn carry_out(&mut self, batch: Vec<Job>) {
        self.batches += 1;
        let number = self.batches;
        let mut ids: Vec<&str> = batch.iter().take(IDS_SHOWN).map(|job| job.id.as_str()).collect();
        if batch.len() > IDS_SHOWN {
            ids.push("…");
        }
        let span = tracing::error_span!("batch", n = number, requests = ids.join(","));
        // Of several requests it is a part of the first one's trace.
        trace::continue_in(&span, batch.first().and_then(|job| trace::parent_of(&job.span)).as_deref());
        let (changes, started) = (batch.len(), Instant::now());
        self.carry_out_batch(batch, number).instrument(span).await;
        self.metrics.count_batch(changes, started.elapsed());
    }

    async fn carry_out_batch(&mut self, batch: Vec<Job>, number: u64) {
        let _turn = match self.ready_turn().await {
            Ok(turn) => turn,
            Err(error) => {
                for job in batch {
                    let fenced = self.judge_epoch(job.ticket.epoch()).err().map(Err);
                    let answer = fenced.or_else(|| self.unchanged_answer(&job)).unwrap_or_else(|| Err(error.clone()));
                    reply_job(job, answer, number);
                }
                return;
            }
        };
        let batch = self.admit_batch(batch, number).await;
        let many = batch.len() > 1;
        let merged = self.change_set(batch.iter().map(|job| &job.change));
        let began = Instant::now();
        let switch = traced_span!("switch", changes = batch.len());
        let writing = self.write_and_remember(&merged.plan, merged.desired, Refused::Go);
        let executed = writing.instrument(switch).await;
        batch.iter().for_each(|job| job.ticket.report_work(began));
        // Refused as a whole: it is not known whose fault it was, so each gets its own transaction.
        let refused = matches!(&executed.failed, Some(CommitError::Refused(_)));
        let jobs = batch.into_iter().zip(merged.results);
        let (alone, done): (Vec<_>, Vec<_>) = jobs.partition(|(_, result)| refused && result.is_ok());
        let planned = (&merged.plan, merged.changes.as_slice());
        let answers = self.batch_answers(done.iter().map(|(job, result)| (job, result.clone())), planned, &executed);
        for ((job, _), answer) in done.into_iter().zip(answers) {
            reply_job(job, answer, number);
        }
        for (job, _) in alone {
            let first = (!many).then_some(executed.failed.as_ref()).flatten();
            let began = Instant::now();
            let answer = self.retry_change(&job, first.cloned()).await;
            job.ticket.report_work(began);
            reply_job(job, answer, number);
        }
    }

    /// The answer to what would change nothing, where the switch hangs: what it has it still has. Of one that has ended, its
    /// flows with it, that cannot be known.
    fn unchanged_answer(&self, job: &Job) -> Option<Result<Done, WriteError>> {
        let health = self.switch.watch_health().borrow().clone();
        let known = health.is_hanging() && health.database.is_ok() && self.expect_settled().is_ok();
        known.then_some(())?;
        let merged = self.change_set([&job.change]);
        let result = merged.results.into_iter().next()?;
        (result.is_ok() && merged.plan.is_empty()).then_some(())?;
        let mut answer = self.batch_answers([(job, result)], (&Plan::default(), &[]), &Executed::default()).pop()?;
        if let Ok(Done { seen: Seen::Bridge(seen), .. }) = &mut answer {
            // It cannot be asked.
            seen.1 = FlowsSeen::Unknown;
        }
        Some(answer)
    }

    /// Tries one change by itself, planned anew, as long as the plan differs from what was refused.
    async fn retry_change(&mut self, job: &Job, mut refused: Option<CommitError>) -> Result<Done, WriteError> {
        let mut before: Option<Plan> = None;
        for _ in 0..ATTEMPTS {
            let merged = self.change_set([&job.change]);
            if before.as_ref() == Some(&merged.plan) {
                break;
            }
            let executed = self.write_and_remember(&merged.plan, merged.desired, Refused::Go).await;
            let Some(error @ CommitError::Refused(_)) = executed.failed.clone() else {
                let result = merged.results.into_iter().next().unwrap_or(Ok(None));
                let answer = self.batch_answers([(job, result)], (&merged.plan, &merged.changes), &executed).pop();
                return answer.unwrap_or(Err(WriteError::Ended));
            };
            before = Some(merged.plan);
            refused = Some(error);
        }
        Err(refused.map_or(WriteError::Ended, WriteError::from))
    }

    /// Carries a plan out, phase by phase and as far as it can be, and says what came of it. Tunnels that Open vSwitch refuses stay.
    pub(super) async fn write_plan(&mut self, plan: &Plan) -> Executed {
        let mut executed = Executed::default();
        if plan.is_empty() {
            return executed;
        }
        plan.items().for_each(|item| tracing::debug!(step = %item, "step"));
        if let Err(error) = self.can_begin(!plan.flows_before().is_empty()).await {
            executed.failed = Some(error);
            return executed;
        }
        let mut plan = Cow::Borrowed(plan);
        for phase in Phase::ORDER {
            match phase {
                Phase::FlowsBefore => {
                    executed.held_back = self.change_flows(plan.flows_before()).await;
                    if !executed.held_back.is_empty() {
                        plan = Cow::Owned(plan.without_bridges(|bridge| executed.held_back.contains_key(bridge)));
                    }
                }
                Phase::FloodsBefore => executed.failed = self.flood_again(&plan.floods_before()).await.err(),
                Phase::Database => self.write_database(&plan, &mut executed).await,
                Phase::FloodsAfter => self.end_spanning_tree(&plan).await,
                Phase::FlowsAfter => self.write_flows_after(&plan, &mut executed).await,
            }
            if executed.failed.is_some() {
                break;
            }
        }
        executed
    }

    /// The transactions, and what Open vSwitch says of what they made.
    async fn write_database(&mut self, plan: &Plan, executed: &mut Executed) {
        let committed = self.commit_all(plan.transactions()).await;
        executed.plan_anew = committed == Ok(Known::Afterwards);
        executed.failed = committed.err();
        // Flows that went before what is not in the database: the look brings back those that the record says. So it does
        // where only a part is in the database.
        let flows_went_first = !plan.flows_before().is_empty();
        let by_halves = flows_went_first || matches!(executed.failed, Some(CommitError::Partly(_)));
        if !executed.held_back.is_empty() || (executed.failed.is_some() && by_halves) {
            self.resync.note_failure();
        }
        if executed.failed.is_some() {
            return;
        }
        let gone = |step: &Step| if let Step::DeleteBridge { uuid, .. } = step { Some(*uuid) } else { None };
        plan.database_steps().filter_map(gone).for_each(|bridge| self.flows.forget_bridge(bridge));
    }

    /// What Open vSwitch has refused, and, where it is known what became of all, the flows.
    async fn write_flows_after(&mut self, plan: &Plan, executed: &mut Executed) {
        self.take_away_refused_bridges(plan, executed).await;
        executed.refused = self.refused_tunnels(plan);
        for refusal in &executed.refused {
            tracing::warn!(bridge = %refusal.bridge, port = %refusal.tunnel.port_name(), error = refusal.message, "Open vSwitch refused a tunnel");
        }
        if executed.plan_anew || self.expect_settled().is_err() {
            return;
        }
        executed.flows_failed = self.change_flows(plan.flows_after()).await;
        if !executed.flows_failed.is_empty() {
            self.resync.note_failure();
        }
    }

    /// That what became of all earlier changes is known, and, where flows go before the transaction, that the database will
    /// take it.
    pub(super) async fn can_begin(&self, flows_go_first: bool) -> Result<(), CommitError> {
        if let Some(reason) = self.unsettled.reason() {
            return Err(CommitError::Unavailable(reason));
        }
        if flows_go_first { self.switch.database_answers().await } else { Ok(()) }
    }

    /// Where STP was switched off, has all ports flooded to again, and says so in the record.
    async fn end_spanning_tree(&mut self, plan: &Plan) {
        let bridges = plan.floods_after();
        if bridges.is_empty() {
            return;
        }
        let ended = match self.flood_again(&bridges).await {
            Ok(()) => self.commit_steps(&plan.says_flooding()).await.map(drop),
            failed => failed,
        };
        if let Err(error) = ended {
            tracing::error!(%error, "ports are not flooded to since STP was switched off; it is tried again");
            self.resync.note_failure();
        }
    }

    async fn flood_again(&self, bridges: &[&str]) -> Result<(), CommitError> {
        for name in bridges {
            self.progress.begin_step();
            if let Some(bridge) = self.switch.observer().read(|db| db.view().bridge(name)) {
                self.switch.flood_again(&bridge).await?;
            }
        }
        Ok(())
    }

    /// Remembers what was carried out. Of what failed nothing is remembered: there the record counts again.
    pub(super) fn remember_desired(&mut self, desired: Desired, executed: &Executed) {
        let rows: Vec<Option<Uuid>> = self.switch.observer().read(|db| {
            let view = db.view();
            let vpcs = desired.values().flatten().filter(|desired| desired.kind.vpc().is_some());
            for (desired, observed) in vpcs.filter_map(|vpc| Some((vpc, view.bridge(vpc.name.as_str())?))) {
                self.unplaced.log_new(desired, &observed, &self.settings);
            }
            desired.keys().map(|name| view.bare_bridge(name.as_str()).map(|bridge| bridge.uuid)).collect()
        });
        for ((name, desired), row) in desired.into_iter().zip(rows) {
            if executed.held_back.contains_key(name.as_str()) {
                // Nothing of it was changed: what was remembered still counts.
                continue;
            }
            match (desired, row, &executed.failed) {
                (Some(mut desired), Some(row), None) => {
                    let gone = executed.refused.iter().filter(|refusal| executed.taken_away && refusal.bridge == name);
                    gone.for_each(|refusal| desired.give_up(&refusal.tunnel.port_name()));
                    self.cache.remember_bridge(row, desired);
                }
                (None, Some(row), None) if self.cache.get(name.as_str(), row).is_some() => {
                    self.cache.forget_bridge(name.as_str());
                    self.cache.remember_release(row);
                }
                _ => self.cache.forget_bridge(name.as_str()),
            }
        }
    }

    /// Takes away what Open vSwitch refused: its row is there, but it carries nothing.
    pub(super) async fn take_away_refused(&mut self, executed: &mut Executed) {
        if executed.refused.is_empty() || self.expect_settled().is_err() {
            return;
        }
        executed.taken_away = true;
        let removals = self.switch.observer().read(|db| {
            let view = db.view();
            let bridges: BTreeMap<&str, _> =
                executed.refused.iter().map(|r| (r.bridge.as_str(), view.bridge(r.bridge.as_str()))).collect();
            let removal = |refusal: &Refusal| {
                let bridge = bridges.get(refusal.bridge.as_str())?.as_ref()?;
                let port = bridge.ports.get(refusal.tunnel.port_name().as_str())?;
                Some(Step::RemoveTunnel {
                    bridge: bridge.name.clone(),
                    port: port.name.clone(),
                    uuid: port.uuid,
                    releases: None,
                })
            };
            executed.refused.iter().filter_map(removal).collect::<Vec<Step>>()
        });
        if let Err(error) = self.commit_steps(&removals).await {
            tracing::error!(%error, "refused tunnels could not be taken away");
            let what = format!("refused tunnels are still there, for they could not be taken away: {error}");
            executed.failed = Some(CommitError::Unknown(what));
        }
    }

    /// The tunnels of a plan that Open vSwitch has refused.
    fn refused_tunnels(&self, plan: &Plan) -> Vec<Refusal> {
        self.switch.observer().read(|db| {
            let view = db.view();
            let refused = plan.database_steps().filter_map(|step| {
                let (bridge, port) = match step {
                    Step::AddTunnel { bridge, tunnel } => (bridge, tunnel.port_name()),
                    Step::EditTunnel { edits, .. } if edits.contains(&PortEdit::Detach) => return None,
                    Step::EditTunnel { bridge, port, .. } => (bridge, port.clone()),
                    _ => return None,
                };
                let port = &view.port(bridge.as_str(), port.as_str())?;
                let TunnelHealth::Refused(message) = port.interface()?.health() else { return None };
                let tunnel = ovstunnel_plan::DesiredTunnel::from_record(port)?;
                Some(Refusal { bridge: bridge.clone(), tunnel, message })
            });
            refused.collect()
        })
    }

    /// Each caller's answer, from what came of the whole batch and from one look at the switch.
    fn batch_answers<'a>(
        &self,
        jobs: impl IntoIterator<Item = (&'a Job, Result<Option<PortName>, Rejected>)>,
        (plan, changes): (&Plan, &[Changed]),
        executed: &Executed,
    ) -> Vec<Result<Done, WriteError>> {
        let parts = Parts::from_plan(plan, changes);
        let settings = Arc::new(self.switch.effective_settings(&self.settings));
        self.switch.observer().read(|db| {
            let view = db.view();
            let answer = |(job, result)| self.job_answer(&view, job, result, &parts, (executed, &settings));
            jobs.into_iter().map(answer).collect()
        })
    }

    fn job_answer(
        &self,
        view: &dyn View,
        job: &Job,
        result: Result<Option<PortName>, Rejected>,
        parts: &Parts<'_>,
        (executed, settings): (&Executed, &Arc<EffectiveSettings>),
    ) -> Result<Done, WriteError> {
        let port = result?;
        let bridge = job.change.bridge().clone();
        let mine = parts.items_about(&job.change, port.as_ref());
        let whole_bridge = port.is_none();
        if let (Some(error), false) = (&executed.failed, mine.is_empty()) {
            // Where a part of the whole was made, what can be seen of a tunnel counts; a bridge waits for its flows, too.
            let mine: Vec<Step> = mine.iter().filter_map(|item| item.step().cloned()).collect();
            if whole_bridge || !matches!(error, CommitError::Partly(_)) || !steps_visible(&mine, view) {
                return Err(error.clone().into());
            }
        }
        if let (Some(error), false) = (executed.held_back.get(bridge.as_str()), mine.is_empty()) {
            return Err(error.clone().into());
        }
        if let Some(words) = executed.bridges_refused.get(&bridge) {
            return Err(WriteError::Refused(words.clone()));
        }
        let concerns =
            |r: &&Refusal| r.bridge == bridge && port.as_ref().is_none_or(|port| r.tunnel.port_name() == *port);
        let refused: Vec<Refusal> = executed.refused.iter().filter(concerns).cloned().collect();
        if !refused.is_empty() {
            return Err(WriteError::TunnelsRefused(refused));
        }
        match executed.flows_failed.get(bridge.as_str()) {
            Some(error) if whole_bridge => Err(WriteError::Unknown(format!(
                "bridge {bridge} was changed, but its flows could not be: {error}; they are tried again"
            ))),
            _ => {
                let (outcome, seen) =
                    (answer::change_outcome(&job.change, mine), self.seen_after(view, &job.change, port.as_ref()));
                let changes = parts.changes_of(&job.change, port.as_ref());
                Ok(Done { outcome, changes, bridge, seen, settings: Arc::clone(settings) })
            }
        }
    }

    /// What is in the switch of what a change made.
    fn seen_after(&self, view: &dyn View, change: &Change, port: Option<&PortName>) -> Seen {
        let name = change.bridge().as_str();
        let seen = match (change.without_claim(), port) {
            (
                Change::SetupBridge(_)
                | Change::SetupVpc(_)
                | Change::UpdateVpc(_)
                | Change::SetBfd(_)
                | Change::ChangeKind(_),
                _,
            ) => view.bridge(name).map(|bridge| {
                let flows = self.flows.get(bridge.uuid);
                Seen::Bridge(Box::new((bridge, flows)))
            }),
            (Change::CreateTunnel(_), Some(port)) => {
                view.port(name, port.as_str()).map(|port| Seen::Tunnel(Box::new(port)))
            }
            _ => None,
        };
        seen.unwrap_or(Seen::Nothing)
    }
}

/// Answers a caller, and says in the log, under its request's id, what was done.
pub(super) fn reply_job(job: Job, answer: Result<Done, WriteError>, batch: u64) {
    let _in_request = job.span.enter();
    let change = &job.change;
    match &answer {
        Ok(done) => tracing::info!(batch, outcome = %done.outcome, "{change}"),
        Err(WriteError::Rejected(why)) => tracing::info!(batch, outcome = "rejected", %why, "{change}"),
        Err(WriteError::Fenced(why)) => tracing::warn!(batch, outcome = "fenced", %why, "{change}"),
        Err(error) => tracing::error!(batch, outcome = "failed", %error, "{change}"),
    }
    if job.reply.send(answer).is_err() {
        tracing::info!(batch, "the caller did not wait for the answer");
    }
}
