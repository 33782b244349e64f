//! Looks at what is managed and repairs what differs from its record.
//!
//! What it does: everything at the start, at intervals and when asked; single bridges as soon as the mirror shows that
//! something on them changed. What it must not do: write where nothing differs.

use std::collections::BTreeSet;
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use ovstunnel_ovs::Db;
use ovstunnel_plan::{
    BridgeName, ChangeSet, Changed, DesiredBridge, DesiredCache, FlowsSeen, ObservedBridge, Outcome, Plan, Step,
    TunnelHealth, View,
};
use tokio::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

use super::batch::Desired;
use super::executed::Executed;
use super::flow_table::Still;
use super::outcome::Refused;
use super::{Planned, TakenOver, TakeoverState, Task, WriteError};

/// Dumps of flows that run at the same time; each mostly waits.
const DUMPS_AT_ONCE: usize = 64;

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
    /// Looks at every managed bridge, its flows too, and repairs it.
    pub(super) async fn reconcile_all(&mut self, why: &'static str) -> Report {
        self.reconcile_everything(why).instrument(tracing::error_span!("reconcile")).await
    }

    async fn reconcile_everything(&mut self, why: &'static str) -> Report {
        let health = self.switch.health().borrow().clone();
        if let Some(reason) = health.trouble() {
            tracing::debug!(why, reason, "not reconciled: Open vSwitch cannot be reached");
            // Tried again once it can: the change of its health is waited for.
            self.retry.begin();
            return Report { failed: vec![format!("Open vSwitch cannot be reached: {reason}")], ..Report::default() };
        }
        self.retry.begin();
        let _turn = match self.turn().await {
            Ok(turn) => turn,
            Err(busy) => {
                self.retry.failed();
                return Report { failed: vec![busy.to_string()], ..Report::default() };
            }
        };
        let _repairing = self.repairing.begin();
        self.flows.enter_generation(health.generation);
        let managed = self.managed();
        let reconciled = *self.reconciled.borrow();
        // A vswitchd that has started while we lived has no flow of ours but those that were written since: there is
        // nothing to read and everything to write, and VMs wait for it.
        let anew = reconciled.is_some_and(|before| before != health.generation);
        let foreign = self.foreign(&managed);
        self.flows.retain(&managed.iter().chain(&foreign).map(|(_, uuid)| *uuid).collect::<Vec<_>>());
        let failed = if anew { vec![] } else { self.read_flows(&managed).await };
        let mut report = Report { bridges: managed.len(), failed, ..Report::default() };
        // That the flows of a bridge that is not ours cannot be read is no failure of ours.
        let _ = self.read_flows_of_some(foreign.iter().map(|(name, uuid)| (name, uuid))).await;
        let Repairs { plan, tunnels, in_error, desired } = self.repairs_and_left_overs(&managed, &foreign);
        report.tunnels = tunnels;
        let changes = self.changes_of(&plan);
        let executed = self.write_and_remember(&plan, desired, Refused::Stay).await;
        self.expect_health(in_error + executed.refused.len());
        tell(&mut report, &plan, &executed);
        let carried_out = plan.items().zip(changes).filter(|(item, _)| executed.failure_of(*item).is_none());
        report.changes = carried_out.flat_map(|(_, changes)| changes).collect();
        tell_take_overs(&mut report, self.finish_take_overs().await);
        self.metrics.look();
        self.metrics.repairs(report.done.len(), report.failed.len());
        self.runs.ended(why, &report);
        if report.failed.is_empty() {
            self.retry.succeeded();
            self.reconciled.send_replace(Some(health.generation));
        } else {
            self.retry.failed();
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
        if let Some(reason) = self.switch.health().borrow().trouble() {
            return Err(WriteError::Unavailable(reason.to_owned()));
        }
        let managed = self.managed();
        if let Some(failure) = self.read_flows(&managed).await.into_iter().next() {
            return Err(WriteError::Unavailable(failure));
        }
        let Repairs { plan, .. } = self.repairs(managed.iter().map(|(name, _)| name));
        let outcome = if plan.is_empty() { Outcome::Unchanged } else { Outcome::Updated };
        Ok(self.planned(outcome, &plan).await)
    }

    /// Repairs the bridges that changed since the last look, without reading their flows.
    pub(super) async fn repair_touched(&mut self) {
        // While it cannot be reached, what was touched stays noted.
        if self.switch.health().borrow().trouble().is_some() {
            return;
        }
        let touched = self.take_touched();
        if touched.is_empty() {
            return;
        }
        let Ok(_turn) = self.turn().await.inspect_err(|busy| tracing::warn!(%busy, "repair postponed")) else {
            return self.retry.failed();
        };
        let repairs = self.repairs(&touched);
        self.follow(&repairs.plan, repairs.desired, repairs.in_error).await;
    }

    /// Has the flows of all managed bridges follow the underlay. A switch that cannot be reached, or has just come up, is
    /// looked at as a whole in any case.
    pub(super) async fn follow_underlay(&mut self) {
        let health = self.switch.health().borrow().clone();
        if health.trouble().is_some() || *self.reconciled.borrow() != Some(health.generation) {
            return;
        }
        let Ok(_turn) = self.turn().await.inspect_err(|busy| tracing::warn!(%busy, "repair postponed")) else {
            return self.retry.failed();
        };
        let managed = self.managed();
        let repairs = self.repairs(managed.iter().map(|(name, _)| name));
        self.follow(&repairs.plan, repairs.desired, repairs.in_error).await;
    }

    /// The bridges that changed since the last look.
    pub(super) fn take_touched(&self) -> BTreeSet<BridgeName> {
        self.switch.observer().take_touched().iter().filter_map(|name| name.parse().ok()).collect()
    }

    /// Carries out what a change by somebody else asks for, and says so.
    pub(super) async fn follow(&mut self, plan: &Plan, desired: Desired, in_error: usize) -> Executed {
        let executed = self.follow_plan(plan, desired).await;
        self.expect_health(in_error + executed.refused.len());
        executed
    }

    async fn follow_plan(&mut self, plan: &Plan, desired: Desired) -> Executed {
        if plan.is_empty() {
            return self.write_and_remember(plan, desired, Refused::Stay).await;
        }
        let changed = async {
            let words: Vec<String> = plan.items().map(|item| item.to_string()).collect();
            tracing::info!(changes = ?words, "the switch has changed; repairing the bridges concerned");
            self.write_and_remember(plan, desired, Refused::Stay).await
        };
        let executed = changed.instrument(tracing::error_span!("follow")).await;
        let mut report = Report::default();
        tell(&mut report, plan, &executed);
        self.metrics.repairs(report.done.len(), report.failed.len());
        // That flows follow VIFs is no repair.
        if !report.failed.is_empty() || plan.database().next().is_some() {
            self.runs.repaired("the switch has changed", &report);
        }
        if let Some(error) = &executed.failed {
            tracing::error!(%error, "could not repair after a change of the switch; it is tried again");
            self.retry.failed();
        }
        executed
    }

    /// The managed bridges, with their rows.
    fn managed(&self) -> Vec<(BridgeName, Uuid)> {
        self.switch.observer().read(|db| {
            let view = db.view();
            let bridges = db.bridge_names().into_iter().filter_map(|name| view.bare_bridge(&name));
            let ours = |bridge: &ObservedBridge| {
                let remembered = self.cache.get(&bridge.name, bridge.uuid).is_some();
                remembered || DesiredBridge::from_record(bridge).is_some()
            };
            bridges.filter(ours).filter_map(|bridge| Some((bridge.name.parse().ok()?, bridge.uuid))).collect()
        })
    }

    /// The bridges that are not ours, with their rows.
    fn foreign(&self, managed: &[(BridgeName, Uuid)]) -> Vec<(BridgeName, Uuid)> {
        let managed: BTreeSet<&BridgeName> = managed.iter().map(|(name, _)| name).collect();
        self.switch.observer().read(|db| {
            let view = db.view();
            let bridges = db.bridge_names().into_iter().filter_map(|name| view.bare_bridge(&name));
            let named = bridges.filter_map(|bridge| Some((bridge.name.parse().ok()?, bridge.uuid)));
            named.filter(|(name, _): &(BridgeName, Uuid)| !managed.contains(name)).collect()
        })
    }

    /// Reads the flows of all managed bridges; says which could not be read.
    async fn read_flows(&self, bridges: &[(BridgeName, Uuid)]) -> Vec<String> {
        self.read_flows_of_some(bridges.iter().map(|(name, uuid)| (name, uuid))).await
    }

    /// Reads the flows of some bridges; says which could not be read.
    pub(super) async fn read_flows_of_some<'a>(
        &self,
        bridges: impl IntoIterator<Item = (&'a BridgeName, &'a Uuid)>,
    ) -> Vec<String> {
        let until = Instant::now() + self.switch.timeout() / 2;
        let dumps: Vec<BoxFuture<'_, _>> =
            bridges.into_iter().map(|(name, uuid)| self.read_flows_in_time(name, *uuid, until).boxed()).collect();
        let results: Vec<_> = futures_util::stream::iter(dumps).buffer_unordered(DUMPS_AT_ONCE).collect().await;
        results.into_iter().flatten().collect()
    }

    /// A switch that takes long for each answer keeps the requests waiting: what it has not been asked for until then is left
    /// for the next look, which does not ask again for what has been read.
    async fn read_flows_in_time(&self, name: &BridgeName, uuid: Uuid, until: Instant) -> Option<String> {
        if Instant::now() < until {
            return self.read_flows_of(name, uuid).await;
        }
        Some(format!(
            "flows of bridge {name} were not read: Open vSwitch takes too long; they are read at the next look"
        ))
    }

    /// Reads the flows of one bridge, if they are not those that were read last; says why they could not be read.
    async fn read_flows_of(&self, name: &BridgeName, uuid: Uuid) -> Option<String> {
        self.progress.step();
        let tables = self.switch.tables(name.as_str()).await;
        if let Some(tables) = &tables {
            if self.flows.compare(uuid, &tables.digest) == Still::Same {
                return None;
            }
            if tables.bare {
                // None of ours can be among none: that needs no command.
                self.flows.set_with_digest(uuid, FlowsSeen::none(), Some(tables.digest));
                return None;
            }
        }
        let seen = match self.switch.dump_flows(name.as_str()).await {
            Ok(seen) => seen,
            Err(error) => {
                self.flows.set(uuid, FlowsSeen::Unknown);
                return Some(format!("flows of bridge {name} could not be read: {error}"));
            }
        };
        // The sign is that of what was read only if nothing changed meanwhile.
        let after = self.switch.tables(name.as_str()).await;
        let digest = tables.map(|tables| tables.digest);
        let digest = digest.filter(|before| after.is_some_and(|after| after.digest.same_as(before)));
        self.flows.set_with_digest(uuid, seen, digest);
        None
    }

    /// What brings bridges back to what they must be.
    pub(super) fn repairs<'a>(&self, bridges: impl IntoIterator<Item = &'a BridgeName>) -> Repairs {
        self.repairs_of(bridges.into_iter().map(|name| (name, LookFor::Drift)))
    }

    /// The same, and what takes left-overs of ours away from bridges that are not ours.
    fn repairs_and_left_overs(&self, managed: &[(BridgeName, Uuid)], foreign: &[(BridgeName, Uuid)]) -> Repairs {
        let managed = managed.iter().map(|(name, _)| (name, LookFor::Drift));
        self.repairs_of(managed.chain(foreign.iter().map(|(name, _)| (name, LookFor::LeftOvers))))
    }

    /// Bridge by bridge: a repair asks nothing of other bridges, and a copy of all of them at once would be most of the
    /// memory that a host with many tunnels takes.
    fn repairs_of<'a>(&self, bridges: impl Iterator<Item = (&'a BridgeName, LookFor)>) -> Repairs {
        self.switch.observer().read(|db| {
            let (view, mut repairs) = (db.view(), Repairs::default());
            for (name, look_for) in bridges {
                let mut change_set = ChangeSet::with_memory(&self.cache);
                match look_for {
                    LookFor::Drift => change_set.touch(&view, name),
                    LookFor::LeftOvers => change_set.sweep(&view, name),
                }
                repairs.add(self.plan_change_set(&change_set), change_set, &self.cache);
            }
            repairs
        })
    }

    /// Has Open vSwitch try again, at growing distances, for as long as tunnels are in error.
    pub(super) fn expect_health(&mut self, in_error: usize) {
        if in_error > 0 {
            self.tunnel_retry.failed();
        }
    }

    /// Tunnels that Open vSwitch has refused.
    fn in_error(&self) -> usize {
        self.switch.observer().read(|db: &Db| {
            let view = db.view();
            let bridges = self.cache.names().filter_map(|name| view.bridge(name.as_str()));
            bridges.map(|bridge| tunnels_in_error(&bridge)).sum()
        })
    }

    /// Has Open vSwitch try its ports in error again.
    pub(super) async fn try_again(&mut self) {
        self.tunnel_retry.begin();
        let before = self.in_error();
        if before == 0 || self.switch.health().borrow().trouble().is_some() {
            return self.tunnel_retry.succeeded();
        }
        let Ok(_turn) = self.turn().await.inspect_err(|error| tracing::debug!(%error, "not tried again now")) else {
            return self.expect_health(before);
        };
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let attempt = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        let failed = self.commit(&[Step::TryAgain { attempt }]).await.err();
        let after = self.in_error();
        tracing::warn!(before, after, ?failed, "tunnels are in error; Open vSwitch was asked to try them again");
        self.expect_health(after);
    }
}

/// What a bridge is looked at for.
#[derive(Clone, Copy)]
enum LookFor {
    /// What differs from its record, if it has one.
    Drift,
    /// What is left of ours on a bridge of somebody else's.
    LeftOvers,
}

/// What a look at bridges asks for.
#[derive(Default)]
pub(super) struct Repairs {
    /// What brings them back to what they must be.
    pub plan: Plan,
    /// Tunnels that were looked at.
    pub tunnels: usize,
    /// Tunnels that Open vSwitch has refused.
    pub in_error: usize,
    /// What each bridge must be; left out are those that are as they are remembered.
    pub desired: Desired,
}

impl Repairs {
    /// Adds what one bridge asks for.
    fn add(&mut self, plan: Plan, bridge: ChangeSet<'_>, cache: &DesiredCache) {
        let mut as_remembered = plan.is_empty();
        for (_, desired, observed) in bridge.bridges() {
            let Some(desired) = desired else {
                as_remembered = false;
                continue;
            };
            self.tunnels += desired.tunnels.len();
            self.in_error += observed.map_or(0, tunnels_in_error);
            // What a VPC has that cannot be placed is told with each look.
            as_remembered &= desired.kind.vpc().is_none()
                && observed.is_some_and(|observed| cache.get(&observed.name, observed.uuid) == Some(desired));
        }
        self.plan.extend(plan);
        if !as_remembered {
            self.desired.extend(bridge.into_desired());
        }
    }
}

fn tunnels_in_error(bridge: &ObservedBridge) -> usize {
    let ours = bridge.ports.values().filter(|port| port.is_tunnel_of_ours());
    let health = ours.filter_map(|port| Some(port.interface()?.health()));
    health.filter(|health| matches!(health, TunnelHealth::Refused(_))).count()
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
pub(super) fn tell(report: &mut Report, plan: &Plan, executed: &Executed) {
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
        let (bridge, port) = (&refusal.bridge, refusal.tunnel.port());
        let words = &refusal.message;
        report
            .failed
            .push(format!("Open vSwitch refused tunnel {port} of bridge {bridge}, which is tried again: {words}"));
    }
}
