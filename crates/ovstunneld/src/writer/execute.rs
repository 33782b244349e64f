//! Carries a batch out and answers each caller.
//!
//! What it does: one transaction, flows, read-back, answers; where the switch refuses a batch, each change by itself.
//! What it must not do: believe an exit status. What is answered is what can be seen in the switch afterwards.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use ovstunnel_core::{
    BridgeEdit, BridgeName, Change, FlowChange, FlowsSeen, Phases, PortEdit, PortName, Rejected, Step, TunnelHealth,
    View, ids, phases, stages, visible,
};
use ovstunnel_ovs::CommitError;
use tracing::Instrument;

use super::answer::{self, Done, Parts, Refusal, Seen, WriteError};
use super::batch::Desired;
use super::{Job, Task};
use uuid::Uuid;

/// Flow changes of several bridges that run at the same time. Each mostly waits: a vswitchd that has just started answers
/// all of them in one round of its main loop, and such a round takes long.
const FLOWS_AT_ONCE: usize = 64;

/// How long the mirror may be behind the database when the effect of a change is looked for.
const LOOK: Duration = Duration::from_millis(500);

/// How often a change is planned anew because somebody else changed the switch in between.
const ATTEMPTS: usize = 3;

/// Ids of requests that a batch's lines in the log name; each request's own line names its batch.
const IDS_SHOWN: usize = 8;

/// What came of steps.
#[derive(Debug, Default)]
pub(super) struct Effect {
    /// The database was not changed as planned.
    pub failed: Option<CommitError>,
    /// Tunnels that Open vSwitch refused.
    pub refused: Vec<Refusal>,
    /// Those are gone again; else their rows stay, in error.
    pub taken_away: bool,
    /// Bridges that Open vSwitch refused and that are gone again, with its words.
    pub bridges_refused: BTreeMap<BridgeName, String>,
    /// Bridges whose flows had to be changed first and could not be: of them nothing was changed in the database.
    pub held_back: BTreeMap<String, CommitError>,
    /// Bridges whose flows could not be changed.
    pub flows_failed: BTreeMap<String, CommitError>,
}

impl Effect {
    /// Why a step was not carried out, if it was not.
    pub fn failure_of(&self, step: &Step) -> Option<&CommitError> {
        let of_flows = self.flows_failed.get(step.bridge()).filter(|_| step.is_flows());
        of_flows.or_else(|| self.held_back.get(step.bridge())).or(self.failed.as_ref())
    }
}

impl Task {
    /// Carries a batch out and answers each caller.
    pub(super) async fn carry_out(&mut self, batch: Vec<Job>) {
        self.batches += 1;
        let number = self.batches;
        let mut ids: Vec<&str> = batch.iter().take(IDS_SHOWN).map(|job| job.id.as_str()).collect();
        if batch.len() > IDS_SHOWN {
            ids.push("…");
        }
        let span = tracing::error_span!("batch", n = number, requests = ids.join(","));
        let (changes, started) = (batch.len(), Instant::now());
        self.carry_out_batch(batch, number).instrument(span).await;
        self.metrics.batch(changes, started.elapsed());
    }

    async fn carry_out_batch(&mut self, batch: Vec<Job>, number: u64) {
        // Also for what would be unchanged: that cannot be known of a switch that does not answer.
        let _turn = match self.ready().await {
            Ok(turn) => turn,
            Err(error) => return batch.into_iter().for_each(|job| reply(job, Err(error.clone()), number)),
        };
        let many = batch.len() > 1;
        let drafted = self.draft(batch.iter().map(|job| &job.change));
        let effect = self.execute(&drafted.steps).await;
        self.remember(drafted.desired, &effect);
        // Refused as a whole: it is not known whose fault it was, so each gets its own transaction.
        let refused = matches!(&effect.failed, Some(CommitError::Refused(_)));
        let jobs = batch.into_iter().zip(drafted.results);
        let (alone, done): (Vec<_>, Vec<_>) = jobs.partition(|(_, result)| refused && result.is_ok());
        let answers = self.answers(done.iter().map(|(job, result)| (job, result.clone())), &drafted.steps, &effect);
        for ((job, _), answer) in done.into_iter().zip(answers) {
            reply(job, answer, number);
        }
        for (job, _) in alone {
            let first = (!many).then_some(effect.failed.as_ref()).flatten();
            let answer = self.retry(&job, first.cloned()).await;
            reply(job, answer, number);
        }
    }

    /// Tries one change by itself, planned anew, as long as the plan differs from what was refused.
    async fn retry(&mut self, job: &Job, mut refused: Option<CommitError>) -> Result<Done, WriteError> {
        let mut before: Option<Vec<Step>> = None;
        for _ in 0..ATTEMPTS {
            let drafted = self.draft([&job.change]);
            if before.as_ref() == Some(&drafted.steps) {
                break;
            }
            let effect = self.execute(&drafted.steps).await;
            self.remember(drafted.desired, &effect);
            let Some(error @ CommitError::Refused(_)) = effect.failed.clone() else {
                let result = drafted.results.into_iter().next().unwrap_or(Ok(None));
                let answer = self.answers([(job, result)], &drafted.steps, &effect).pop();
                return answer.unwrap_or(Err(WriteError::Ended));
            };
            before = Some(drafted.steps);
            refused = Some(error);
        }
        Err(refused.map_or(WriteError::Ended, WriteError::from))
    }

    /// Carries out what was asked for. Tunnels that Open vSwitch refuses go again: whoever asked is told.
    async fn execute(&mut self, steps: &[Step]) -> Effect {
        let mut effect = self.write(steps).await;
        self.take_away_refused(&mut effect).await;
        effect
    }

    /// Carries steps out, as far as they can be, and says what came of them. Tunnels that Open vSwitch refuses stay, in
    /// error: their rows are the record, and they are tried again.
    pub(super) async fn write(&mut self, steps: &[Step]) -> Effect {
        let mut effect = Effect::default();
        if steps.is_empty() {
            return effect;
        }
        steps.iter().for_each(|step| tracing::debug!(%step, "step"));
        let Phases { before, mut database, after } = phases(steps);
        let flows_went_first = !before.is_empty();
        effect.held_back = self.change_flows(before).await;
        database.retain(|step| !effect.held_back.contains_key(step.bridge()));
        if let Err(error) = self.flood_again(&bridges_of(steps, Step::says_flooding)).await {
            effect.failed = Some(error);
            return effect;
        }
        let database: Vec<Step> = database.into_iter().cloned().collect();
        effect.failed = self.commit(&database).await.err();
        if let Some(CommitError::Unknown(reason)) = &effect.failed {
            // The next step after 'unknown' is to look.
            let seen = self.look(&database).await;
            tracing::warn!(%reason, seen, "looked whether the change took effect");
            if seen {
                effect.failed = None;
            }
        }
        // Flows that went before what is not in the database: the look brings back those that the record says.
        if !effect.held_back.is_empty() || (flows_went_first && effect.failed.is_some()) {
            self.retry.failed();
        }
        if matches!(effect.failed, Some(CommitError::Unavailable(_) | CommitError::Refused(_))) {
            return effect;
        }
        let gone = |step: &Step| if let Step::DeleteBridge { uuid, .. } = step { Some(*uuid) } else { None };
        steps.iter().filter_map(gone).for_each(|bridge| self.flows.forget(bridge));
        self.end_spanning_tree(steps).await;
        self.take_away_refused_bridges(steps, &mut effect).await;
        let after = after.into_iter().filter(|(bridge, _)| !effect.held_back.contains_key(*bridge)).collect();
        effect.flows_failed = self.change_flows(after).await;
        if !effect.flows_failed.is_empty() {
            self.retry.failed();
        }
        effect.refused = self.refused(steps);
        for refusal in &effect.refused {
            tracing::warn!(bridge = %refusal.bridge, port = %refusal.tunnel.port(), error = refusal.words, "Open vSwitch refused a tunnel");
        }
        effect
    }

    /// Where STP was switched off, has all ports flooded to again, and says so in the record.
    async fn end_spanning_tree(&mut self, steps: &[Step]) {
        let bridges = bridges_of(steps, Step::stops_flooding);
        if bridges.is_empty() {
            return;
        }
        let says = |bridge: &BridgeName| Step::EditBridge {
            bridge: bridge.clone(),
            edits: vec![BridgeEdit::DropId(ids::FLOODING.to_owned())],
        };
        let said: Vec<Step> = bridges.iter().map(says).collect();
        let ended = match self.flood_again(&bridges).await {
            Ok(()) => self.switch.commit(&said).await,
            failed => failed,
        };
        if let Err(error) = ended {
            tracing::error!(%error, "ports are not flooded to since STP was switched off; it is tried again");
            self.retry.failed();
        }
    }

    async fn flood_again(&self, bridges: &[BridgeName]) -> Result<(), CommitError> {
        for name in bridges {
            self.progress.step();
            if let Some(bridge) = self.switch.observer().read(|db| db.view().bridge(name.as_str())) {
                self.switch.flood_again(&bridge).await?;
            }
        }
        Ok(())
    }

    /// Remembers what was carried out. Of what failed nothing is remembered: there the record counts again.
    pub(super) fn remember(&mut self, desired: Desired, effect: &Effect) {
        let rows: Vec<Option<Uuid>> = self.switch.observer().read(|db| {
            let view = db.view();
            let vpcs = desired.values().flatten().filter(|desired| desired.kind.vpc().is_some());
            for (desired, observed) in vpcs.filter_map(|vpc| Some((vpc, view.bridge(vpc.name.as_str())?))) {
                self.unplaced.tell(desired, &observed, &self.settings);
            }
            desired.keys().map(|name| view.bare_bridge(name.as_str()).map(|bridge| bridge.uuid)).collect()
        });
        for ((name, desired), row) in desired.into_iter().zip(rows) {
            if effect.held_back.contains_key(name.as_str()) {
                // Nothing of it was changed: what was remembered still counts.
                continue;
            }
            match (desired, row, &effect.failed) {
                (Some(mut desired), Some(row), None) => {
                    let gone = effect.refused.iter().filter(|refusal| effect.taken_away && refusal.bridge == name);
                    gone.for_each(|refusal| drop(desired.tunnels.remove(&refusal.tunnel.port())));
                    self.memory.remember(row, desired);
                }
                (None, Some(row), None) if self.memory.get(name.as_str(), row).is_some() => {
                    self.memory.forget(name.as_str());
                    self.memory.remember_release(row);
                }
                _ => self.memory.forget(name.as_str()),
            }
        }
    }

    async fn commit(&self, database: &[Step]) -> Result<(), CommitError> {
        for (n, stage) in stages(database.to_vec()).iter().enumerate() {
            self.progress.step();
            self.switch.commit(stage).await.map_err(|error| match n {
                0 => error,
                _ => CommitError::Unknown(format!("ports were removed to make way, then it failed: {error}")),
            })?;
        }
        Ok(())
    }

    /// Whether what was written can be seen; the mirror may hear of it a moment later.
    async fn look(&self, steps: &[Step]) -> bool {
        let mut revision = self.switch.observer().revision();
        let deadline = tokio::time::Instant::now() + LOOK;
        loop {
            revision.borrow_and_update();
            if self.switch.observer().read(|db| visible(steps, &db.view())) {
                return true;
            }
            if !matches!(tokio::time::timeout_at(deadline, revision.changed()).await, Ok(Ok(()))) {
                return false;
            }
        }
    }

    /// Changes the flows of several bridges; says for which that failed.
    async fn change_flows(&self, changes: Vec<(&str, &FlowChange)>) -> BTreeMap<String, CommitError> {
        let changes: Vec<BoxFuture<'_, _>> =
            changes.into_iter().map(|(bridge, change)| self.change_flows_of(bridge, change).boxed()).collect();
        let results: Vec<_> = futures_util::stream::iter(changes).buffer_unordered(FLOWS_AT_ONCE).collect().await;
        results.into_iter().filter_map(|(bridge, result)| Some((bridge, result.err()?))).collect()
    }

    async fn change_flows_of(&self, bridge: &str, change: &FlowChange) -> (String, Result<(), CommitError>) {
        let name = bridge.to_owned();
        let row = || self.switch.observer().read(|db| db.view().bridge(bridge).map(|bridge| bridge.uuid));
        let Some(uuid) = row() else { return (name, Ok(())) };
        let generation = self.switch.health().borrow().generation;
        self.progress.step();
        let result = self.switch.change_flows(bridge, change).await;
        let same_life = self.switch.health().borrow().generation == generation;
        match &result {
            // A bridge that we have just made has no flows but these.
            Ok(()) if same_life => self.flows.set(uuid, change.applied_to(&self.known_before(uuid, change))),
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(bridge, %error, "the flows could not be changed");
                self.flows.set(uuid, FlowsSeen::Unknown);
            }
        }
        (name, result)
    }

    fn known_before(&self, uuid: uuid::Uuid, change: &FlowChange) -> FlowsSeen {
        match self.flows.get(uuid) {
            FlowsSeen::Unknown if change.delete.as_ref().is_some_and(|delete| delete.is_empty()) => FlowsSeen::none(),
            seen => seen,
        }
    }

    /// Takes away what Open vSwitch refused: its row is there, but it carries nothing.
    async fn take_away_refused(&self, effect: &mut Effect) {
        if effect.refused.is_empty() {
            return;
        }
        effect.taken_away = true;
        let removals = self.switch.observer().read(|db| {
            let view = db.view();
            let bridges: BTreeMap<&str, _> =
                effect.refused.iter().map(|r| (r.bridge.as_str(), view.bridge(r.bridge.as_str()))).collect();
            let removal = |refusal: &Refusal| {
                let bridge = bridges.get(refusal.bridge.as_str())?.as_ref()?;
                let port = bridge.ports.get(refusal.tunnel.port().as_str())?;
                Some(Step::RemoveTunnel {
                    bridge: bridge.name.clone(),
                    port: port.name.clone(),
                    uuid: port.uuid,
                    frees: None,
                })
            };
            effect.refused.iter().filter_map(removal).collect::<Vec<Step>>()
        });
        if let Err(error) = self.switch.commit(&removals).await {
            tracing::error!(%error, "refused tunnels could not be taken away");
            let what = format!("refused tunnels are still there, for they could not be taken away: {error}");
            effect.failed = Some(CommitError::Unknown(what));
        }
    }

    /// The tunnels among the steps that Open vSwitch has refused.
    fn refused(&self, steps: &[Step]) -> Vec<Refusal> {
        self.switch.observer().read(|db| {
            let view = db.view();
            let mut bridges = BTreeMap::new();
            let refused = steps.iter().filter_map(|step| {
                let (bridge, port) = match step {
                    Step::AddTunnel { bridge, tunnel } => (bridge, tunnel.port()),
                    Step::EditTunnel { edits, .. } if edits.contains(&PortEdit::SetAside) => return None,
                    Step::EditTunnel { bridge, port, .. } => (bridge, port.clone()),
                    _ => return None,
                };
                let observed = bridges.entry(bridge.clone()).or_insert_with(|| view.bridge(bridge.as_str()));
                let port = observed.as_ref()?.ports.get(port.as_str())?;
                let TunnelHealth::Refused(words) = port.interface()?.health() else { return None };
                let tunnel = ovstunnel_core::DesiredTunnel::from_record(port)?;
                Some(Refusal { bridge: bridge.clone(), tunnel, words })
            });
            refused.collect()
        })
    }

    /// Each caller's answer, from what came of the whole batch and from one look at the switch.
    fn answers<'a>(
        &self,
        jobs: impl IntoIterator<Item = (&'a Job, Result<Option<PortName>, Rejected>)>,
        steps: &[Step],
        effect: &Effect,
    ) -> Vec<Result<Done, WriteError>> {
        let parts = Parts::of(steps);
        self.switch.observer().read(|db| {
            let view = db.view();
            let answer = |(job, result)| self.answer(&view, job, result, &parts, effect);
            jobs.into_iter().map(answer).collect()
        })
    }

    fn answer(
        &self,
        view: &dyn View,
        job: &Job,
        result: Result<Option<PortName>, Rejected>,
        parts: &Parts<'_>,
        effect: &Effect,
    ) -> Result<Done, WriteError> {
        let port = result?;
        let bridge = job.change.bridge().clone();
        let mine = parts.about(&job.change, port.as_ref());
        let whole_bridge = port.is_none();
        if let (Some(error), false) = (&effect.failed, mine.is_empty()) {
            // In an unknown outcome of the whole, what can be seen of this change counts.
            let mine: Vec<Step> = mine.iter().map(|step| (*step).clone()).collect();
            if !matches!(error, CommitError::Unknown(_)) || !visible(&mine, view) {
                return Err(error.clone().into());
            }
        }
        if let (Some(error), false) = (effect.held_back.get(bridge.as_str()), mine.is_empty()) {
            return Err(error.clone().into());
        }
        if let Some(words) = effect.bridges_refused.get(&bridge) {
            return Err(WriteError::Refused(words.clone()));
        }
        let concerns = |r: &&Refusal| r.bridge == bridge && port.as_ref().is_none_or(|port| r.tunnel.port() == *port);
        let refused: Vec<Refusal> = effect.refused.iter().filter(concerns).cloned().collect();
        if !refused.is_empty() {
            return Err(WriteError::TunnelsRefused(refused));
        }
        match effect.flows_failed.get(bridge.as_str()) {
            Some(error) if whole_bridge => Err(WriteError::Unknown(format!(
                "bridge {bridge} was changed, but its flows could not be: {error}; they are tried again"
            ))),
            _ => {
                let (outcome, seen) = (answer::outcome(&job.change, mine), self.seen(view, &job.change, port.as_ref()));
                Ok(Done { outcome, bridge, seen })
            }
        }
    }

    /// What is in the switch of what a change made.
    fn seen(&self, view: &dyn View, change: &Change, port: Option<&PortName>) -> Seen {
        let name = change.bridge().as_str();
        let seen = match (change, port) {
            (Change::SetupBridge(_) | Change::SetupVpc(_) | Change::UpdateVpc(_), _) => {
                view.bridge(name).map(|bridge| {
                    let flows = self.flows.get(bridge.uuid);
                    Seen::Bridge(Box::new((bridge, flows)))
                })
            }
            (Change::CreateTunnel(_), Some(port)) => {
                view.port(name, port.as_str()).map(|port| Seen::Tunnel(Box::new(port)))
            }
            _ => None,
        };
        seen.unwrap_or(Seen::Nothing)
    }
}

fn bridges_of(steps: &[Step], which: fn(&Step) -> Option<&BridgeName>) -> Vec<BridgeName> {
    steps.iter().filter_map(which).cloned().collect()
}

/// Answers a caller, and says in the log, under its request's id, what was done.
fn reply(job: Job, answer: Result<Done, WriteError>, batch: u64) {
    let _in_request = job.span.enter();
    let change = &job.change;
    match &answer {
        Ok(done) => tracing::info!(batch, outcome = %done.outcome, "{change}"),
        Err(WriteError::Rejected(why)) => tracing::info!(batch, outcome = "rejected", %why, "{change}"),
        Err(error) => tracing::error!(batch, outcome = "failed", %error, "{change}"),
    }
    if job.reply.send(answer).is_err() {
        tracing::info!(batch, "the caller did not wait for the answer");
    }
}
