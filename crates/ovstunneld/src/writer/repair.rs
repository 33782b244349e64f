//! Looks at what is managed and repairs what differs from its record.
//!
//! What it does: everything at the start, at intervals and when asked; single bridges as soon as the mirror shows that
//! something on them changed. What it must not do: write where nothing differs.

use std::collections::BTreeSet;
use std::time::SystemTime;

use ovstunnel_ovs::Db;
use ovstunnel_plan::{BridgeName, Changed, DesiredBridge, Epoch, ObservedBridge, Outcome, Plan, Step, View};
use tracing::Instrument;
use uuid::Uuid;

use super::batch::Desired;
use super::executed::Executed;
use super::outcome::Refused;
use super::repairs::{Repairs, tunnels_in_error};
use super::{Known, Planned, Suspicion, TakenOver, TakeoverState, Task, WriteError};

/// What a look at everything found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Managed bridges.
    pub bridges: usize,
    /// Their tunnels.
    pub tunnels: usize,
    /// What differed from the record, as the steps that mend it.
    pub found: Vec<String>,
    /// What of that was done.
    pub done: Vec<String>,
    /// What of that was changed, each thing with what it was and what it is.
    pub changes: Vec<Changed>,
    /// What could not be done, with the reason.
    pub failed: Vec<String>,
}

impl Task {
    /// The same as it is asked for.
    pub(super) async fn reconcile_under(&mut self, epoch: Option<Epoch>) -> Result<Report, WriteError> {
        if epoch.is_some() {
            let _turn = self.executor.ready_turn().await?;
            self.executor.admit_write(epoch).await?;
        }
        Ok(self.reconcile_all("asked for").await)
    }

    /// Looks at every managed bridge, its flows too, and repairs it.
    pub(super) async fn reconcile_all(&mut self, why: &'static str) -> Report {
        self.reconcile_everything(why).instrument(tracing::error_span!("reconcile")).await
    }

    async fn reconcile_everything(&mut self, why: &'static str) -> Report {
        let health = self.executor.switch.watch_health().borrow().clone();
        if let Some(reason) = health.first_trouble() {
            tracing::debug!(why, reason, "not reconciled: Open vSwitch cannot be reached");
            // Tried again once it can: the change of its health is waited for.
            self.executor.resync.begin_try();
            return Report { failed: vec![format!("Open vSwitch cannot be reached: {reason}")], ..Report::default() };
        }
        self.executor.resync.begin_try();
        let _turn = match self.executor.wait_turn().await {
            Ok(turn) => turn,
            Err(busy) => {
                self.executor.resync.note_failure();
                return Report { failed: vec![busy.to_string()], ..Report::default() };
            }
        };
        let _repairing = self.repairing.begin_repair();
        self.executor.flows.enter_generation(health.generation);
        let managed = self.managed_bridges();
        let reconciled = *self.executor.reconciled.borrow();
        // A vswitchd that has started while we lived has no flow of ours but those that were written since: there is
        // nothing to read and everything to write, and VMs wait for it.
        let anew = reconciled.is_some_and(|before| before != health.generation);
        let foreign = self.foreign_bridges(&managed);
        self.executor.flows.retain(&managed.iter().chain(&foreign).map(|(_, uuid)| *uuid).collect::<Vec<_>>());
        let failed = if anew { vec![] } else { self.executor.read_flows(&managed).await };
        let mut report = Report { bridges: managed.len(), failed, ..Report::default() };
        // That the flows of a bridge that is not ours cannot be read is no failure of ours.
        let _ = self.executor.read_flows_of_some(foreign.iter().map(|(name, uuid)| (name, uuid))).await;
        let Repairs { plan, tunnels, in_error, desired } = self.executor.repairs_and_left_overs(&managed, &foreign);
        report.tunnels = tunnels;
        let changes = self.executor.changes_of(&plan);
        let executed = self.executor.write_and_remember(&plan, desired, Refused::Stay).await;
        self.expect_health(in_error + executed.refused.len());
        sort_report(&mut report, &plan, &executed);
        let carried_out = plan.items().zip(changes).filter(|(item, _)| executed.failure_of(*item).is_none());
        report.changes = carried_out.flat_map(|(_, changes)| changes).collect();
        tell_take_overs(&mut report, self.finish_take_overs().await);
        self.executor.metrics.count_run();
        self.executor.metrics.count_repairs(report.done.len(), report.failed.len());
        self.runs.record_end(why, &report);
        if report.failed.is_empty() {
            self.executor.resync.note_success();
            self.executor.reconciled.send_replace(Some(health.generation));
        } else {
            self.executor.resync.note_failure();
        }
        match report.found.is_empty() && report.failed.is_empty() {
            true => tracing::debug!(why, bridges = report.bridges, tunnels, "reconciled: nothing differs"),
            false => tracing::warn!(
                why, bridges = report.bridges, tunnels, found = ?report.found, failed = ?report.failed, "reconciled"
            ),
        }
        report
    }

    /// What a repair of everything would do.
    pub(super) async fn plan_repairs(&self) -> Result<Planned, WriteError> {
        if let Some(reason) = self.executor.switch.watch_health().borrow().first_trouble() {
            return Err(WriteError::Unavailable(reason.to_owned()));
        }
        let managed = self.managed_bridges();
        if let Some(failure) = self.executor.read_flows(&managed).await.into_iter().next() {
            return Err(WriteError::Unavailable(failure));
        }
        Ok(self.planned_repairs(managed.iter().map(|(name, _)| name)).await)
    }

    /// The repairs that these bridges need, whose flows were just read, as a plan that is not carried out.
    ///
    /// What was read is what is known from then on, so that whoever watches the switch would take it for what must be there: those that
    /// need something are looked at.
    pub(super) async fn planned_repairs<'a>(&self, bridges: impl IntoIterator<Item = &'a BridgeName>) -> Planned {
        let Repairs { plan, .. } = self.executor.plan_repairs(bridges);
        if self.executor.switch.real_switch().is_some() {
            let flows = plan.bridges().iter().filter_map(|bridge| bridge.bridge.parse().ok()).collect();
            self.suspects.note_suspicion(Suspicion { flows, ..Suspicion::default() });
        }
        let outcome = if plan.is_empty() { Outcome::Unchanged } else { Outcome::Updated };
        self.executor.print_planned(outcome, &plan).await
    }

    /// Repairs the bridges that changed since the last look, without reading their flows. While the switch cannot be reached, or has come
    /// up and not been looked at, what was touched stays noted; where that look has failed it is tried again in its own time, and
    /// meanwhile what changes is followed.
    pub(super) async fn repair_touched(&mut self) {
        if matches!(self.known(), Known::Away | Known::Nothing) {
            return;
        }
        let (touched, itself) = (self.take_touched(), self.executor.switch.observer().take_touched_itself());
        if touched.is_empty() && !itself {
            return;
        }
        let Ok(_turn) = self.executor.wait_turn().await.inspect_err(|busy| tracing::warn!(%busy, "repair postponed"))
        else {
            return self.executor.resync.note_failure();
        };
        let repairs = self.executor.plan_repairs(&touched);
        self.follow_change(&repairs.plan, repairs.desired, repairs.in_error).await;
    }

    /// Has all managed bridges, by their flows and the MTU of their own devices, follow the underlay. A switch that cannot be reached, or has just come up, is
    /// looked at as a whole in any case.
    pub(super) async fn follow_underlay(&mut self) {
        if self.known() != Known::All {
            return;
        }
        let Ok(_turn) = self.executor.wait_turn().await.inspect_err(|busy| tracing::warn!(%busy, "repair postponed"))
        else {
            return self.executor.resync.note_failure();
        };
        let managed = self.managed_bridges();
        let repairs = self.executor.plan_repairs(managed.iter().map(|(name, _)| name));
        self.follow_change(&repairs.plan, repairs.desired, repairs.in_error).await;
    }

    /// The bridges that changed since the last look.
    pub(super) fn take_touched(&self) -> BTreeSet<BridgeName> {
        self.executor.switch.observer().take_touched().iter().filter_map(|name| name.parse().ok()).collect()
    }

    /// Carries out what a change by somebody else asks for, and says so.
    pub(super) async fn follow_change(&mut self, plan: &Plan, desired: Desired, in_error: usize) -> Executed {
        let executed = self.follow_plan(plan, desired).await;
        self.expect_health(in_error + executed.refused.len());
        executed
    }

    async fn follow_plan(&mut self, plan: &Plan, desired: Desired) -> Executed {
        if plan.is_empty() {
            return self.executor.write_and_remember(plan, desired, Refused::Stay).await;
        }
        let changed = async {
            let words: Vec<String> = plan.items().map(|item| item.to_string()).collect();
            tracing::info!(changes = ?words, "the switch has changed; repairing the bridges concerned");
            self.executor.write_and_remember(plan, desired, Refused::Stay).await
        };
        let executed = changed.instrument(tracing::error_span!("follow")).await;
        let mut report = Report::default();
        sort_report(&mut report, plan, &executed);
        self.executor.metrics.count_repairs(report.done.len(), report.failed.len());
        // That flows follow VIFs is no repair.
        if !report.failed.is_empty() || plan.database_steps().next().is_some() {
            self.runs.record_repair("the switch has changed", &report);
        }
        if let Some(error) = &executed.failed {
            tracing::error!(%error, "could not repair after a change of the switch; it is tried again");
            self.executor.resync.note_failure();
        }
        executed
    }

    /// The managed bridges, with their rows.
    fn managed_bridges(&self) -> Vec<(BridgeName, Uuid)> {
        self.executor.switch.observer().read(|db| {
            let view = db.view();
            let bridges = db.bridge_names().into_iter().filter_map(|name| view.bare_bridge(&name));
            let ours = |bridge: &ObservedBridge| {
                let remembered = self.executor.cache.get(&bridge.name, bridge.uuid).is_some();
                remembered || DesiredBridge::from_record(bridge).is_some()
            };
            bridges.filter(ours).filter_map(|bridge| Some((bridge.name.parse().ok()?, bridge.uuid))).collect()
        })
    }

    /// The bridges that are not ours, with their rows.
    fn foreign_bridges(&self, managed: &[(BridgeName, Uuid)]) -> Vec<(BridgeName, Uuid)> {
        let managed: BTreeSet<&BridgeName> = managed.iter().map(|(name, _)| name).collect();
        self.executor.switch.observer().read(|db| {
            let view = db.view();
            let bridges = db.bridge_names().into_iter().filter_map(|name| view.bare_bridge(&name));
            let named = bridges.filter_map(|bridge| Some((bridge.name.parse().ok()?, bridge.uuid)));
            named.filter(|(name, _): &(BridgeName, Uuid)| !managed.contains(name)).collect()
        })
    }

    /// Has Open vSwitch try again, at growing distances, for as long as tunnels are in error.
    pub(super) fn expect_health(&mut self, in_error: usize) {
        if in_error > 0 {
            self.tunnel_retry.note_failure();
        }
    }

    /// Tunnels that Open vSwitch has refused.
    fn in_error(&self) -> usize {
        self.executor.switch.observer().read(|db: &Db| {
            let view = db.view();
            let bridges = self.executor.cache.names().filter_map(|name| view.bridge(name.as_str()));
            bridges.map(|bridge| tunnels_in_error(&bridge)).sum()
        })
    }

    /// Has Open vSwitch try its ports in error again.
    pub(super) async fn try_again(&mut self) {
        self.tunnel_retry.begin_try();
        let before = self.in_error();
        if before == 0 || self.executor.switch.watch_health().borrow().first_trouble().is_some() {
            return self.tunnel_retry.note_success();
        }
        let Ok(_turn) =
            self.executor.wait_turn().await.inspect_err(|error| tracing::debug!(%error, "not tried again now"))
        else {
            return self.expect_health(before);
        };
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let attempt = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        let failed = self.executor.commit_steps(&[Step::TryAgain { attempt }]).await.err();
        let after = self.in_error();
        tracing::warn!(before, after, ?failed, "tunnels are in error; Open vSwitch was asked to try them again");
        self.expect_health(after);
    }
}

/// Adds what became of take-overs that somebody had begun.
fn tell_take_overs(report: &mut Report, bridges: Vec<TakenOver>) {
    for TakenOver { name, state, done, changes, left, .. } in bridges {
        report.found.push(format!("the take-over of bridge {name} was not finished"));
        report.done.extend(done);
        report.changes.extend(changes);
        if matches!(state, TakeoverState::Failed | TakeoverState::Left) {
            report.failed.push(format!("the take-over of bridge {name}: {}", left.join("; ")));
        }
    }
}

/// Sorts what was planned into done and failed.
pub(super) fn sort_report(report: &mut Report, plan: &Plan, executed: &Executed) {
    for item in plan.items() {
        let words = item.to_string();
        match executed.failure_of(item) {
            Some(error) => report.failed.push(format!("{words}: {error}")),
            None => report.done.push(words.clone()),
        }
        report.found.push(words);
    }
    // Its step was carried out, and yet the tunnel is not there.
    for refusal in &executed.refused {
        let (bridge, port) = (&refusal.bridge, refusal.tunnel.port_name());
        let words = &refusal.message;
        report
            .failed
            .push(format!("Open vSwitch refused tunnel {port} of bridge {bridge}, which is tried again: {words}"));
    }
}
