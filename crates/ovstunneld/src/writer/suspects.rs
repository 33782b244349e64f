//! Bridges of which the switch itself says that something was changed there that its database does not show: flows, and how
//! ports are configured over OpenFlow.
//!
//! What it does: takes them from whoever watches the switch, looks, and repairs. What it must not do: believe what it is told;
//! what is repaired follows from a look. Ports of others are not repaired: their configuration may be meant.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ovstunnel_ovs::CommitError;
use ovstunnel_plan::{BridgeName, FlowsSeen, ObservedBridge, ObservedPort, PortConfig, View};
use tokio::sync::{Notify, watch};
use tracing::Instrument;
use uuid::Uuid;

use super::outcome::Refused;
use super::{FlowTable, Report, Task, Tuning, Writer, repair};

/// The bridge's own port in the database and over OpenFlow.
const LOCAL: u32 = 65_534;

/// What may have been changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Suspicion {
    /// Bridges whose flows may be others.
    pub flows: BTreeSet<BridgeName>,
    /// Bridges that lack some of these flows of ours: they are written anew without being read first, for VMs wait for them.
    pub lost: BTreeMap<BridgeName, FlowsSeen>,
    /// Bridges on which a port of ours may not be configured as it must be.
    pub ports: BTreeSet<BridgeName>,
    /// Bridges that flood to nobody: a spanning tree has left its ports so.
    pub flooding: BTreeSet<BridgeName>,
}

/// Where suspicions are left for the writer. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Suspects(Arc<(Mutex<Suspicion>, Notify)>);

impl Suspects {
    /// Has the writer look there.
    pub fn note_suspicion(&self, suspicion: Suspicion) {
        if suspicion == Suspicion::default() {
            return;
        }
        let Suspicion { flows, lost, ports, flooding } = suspicion;
        let mut noted = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.flows.extend(flows);
        noted.lost.extend(lost);
        noted.ports.extend(ports);
        noted.flooding.extend(flooding);
        drop(noted);
        self.0.1.notify_one();
    }

    /// Waits until something was noted.
    pub async fn wait_noted(&self) {
        self.0.1.notified().await;
    }

    fn take_suspicion(&self) -> Suspicion {
        std::mem::take(&mut self.0.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether the writer is repairing many bridges at this moment. Clones share it.
///
/// What the switch is asked then takes rounds of its main loop from the writer, and its answer is out of date at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Repairing(Arc<AtomicUsize>);

impl Repairing {
    /// It is, until what is returned is dropped.
    pub(super) fn begin_repair(&self) -> impl Drop + use<> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ending(Arc::clone(&self.0))
    }

    /// Whether it is.
    pub fn is_repairing(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

struct Ending(Arc<AtomicUsize>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What whoever watches the switch needs of the writer, without keeping it from ending.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub flows: FlowTable,
    pub suspects: Suspects,
    pub repairing: Repairing,
    pub tuning: watch::Receiver<Tuning>,
}

impl Writer {
    /// For whoever watches the switch.
    pub(crate) fn watched(&self) -> Watched {
        Watched {
            flows: self.flows.clone(),
            suspects: self.suspects.clone(),
            repairing: self.repairing.clone(),
            tuning: self.tuning.subscribe(),
        }
    }
}

impl Task {
    /// Looks at the bridges on which something may have been changed, and repairs what is.
    pub(super) async fn look_at_suspects(&mut self) {
        let suspicion = self.suspects.take_suspicion();
        // Whoever watches finds it again once it can be reached.
        if self.executor.switch.watch_health().borrow().first_trouble().is_some() || suspicion == Suspicion::default() {
            return;
        }
        let Ok(_turn) =
            self.executor.wait_turn().await.inspect_err(|busy| tracing::warn!(%busy, "check of flows postponed"))
        else {
            return self.executor.resync.note_failure();
        };
        let _repairing = self.repairing.begin_repair();
        self.repair_flows(&suspicion).instrument(tracing::error_span!("flows")).await;
        self.repair_ports(&suspicion).instrument(tracing::error_span!("ports")).await;
    }

    async fn repair_flows(&mut self, suspicion: &Suspicion) {
        let names: BTreeSet<BridgeName> = suspicion.flows.iter().chain(suspicion.lost.keys()).cloned().collect();
        let mut rows: Vec<(&BridgeName, Uuid)> = self.executor.switch.observer().read(|db| {
            let view = db.view();
            names.iter().filter_map(|name| Some((name, view.bare_bridge(name.as_str())?.uuid))).collect()
        });
        // Where we have written meanwhile, what was seen is from before.
        let is_lost =
            |(name, uuid): &(&BridgeName, Uuid)| suspicion.lost.get(*name) == Some(&self.executor.flows.get(*uuid));
        rows.iter().filter(|row| is_lost(row)).for_each(|(_, uuid)| self.executor.flows.set(*uuid, FlowsSeen::Unknown));
        rows.retain(|(_, uuid)| self.executor.flows.get(*uuid) != FlowsSeen::Unknown);
        let unread = self.executor.read_flows_of_some(rows.iter().map(|(name, uuid)| (*name, uuid))).await;
        let repairs = self.executor.plan_repairs(&names);
        if !repairs.plan.is_empty() {
            let bridges = repairs.plan.bridges().len();
            let words: Vec<String> = repairs.plan.items().take(8).map(|item| item.to_string()).collect();
            tracing::warn!(bridges, first = ?words, ?unread, "flows were changed by somebody else; putting them back");
        }
        let effect = self.executor.write_and_remember(&repairs.plan, repairs.desired, Refused::Stay).await;
        let mut report = Report::default();
        repair::sort_report(&mut report, &repairs.plan, &effect);
        self.told_of_repair(&report);
        self.expect_health(repairs.in_error + effect.refused.len());
        if effect.failed.is_some() {
            self.executor.resync.note_failure();
        }
    }

    async fn repair_ports(&mut self, suspicion: &Suspicion) {
        let mut report = Report::default();
        for name in suspicion.ports.union(&suspicion.flooding) {
            let bridge = self.executor.switch.observer().read(|db| db.view().bridge(name.as_str()));
            let Some(bridge) = bridge else { continue };
            self.executor.progress.begin_step();
            if suspicion.flooding.contains(name) {
                let words = format!("bridge {name}: flood to its ports again, which a spanning tree has left without");
                let result = self.executor.switch.flood_again(&bridge).await;
                note_result(&mut report, words, result);
            }
            if suspicion.ports.contains(name) {
                self.repair_ports_of(&bridge, &mut report).await;
            }
        }
        self.told_of_repair(&report);
    }

    /// Looks how the ports of a bridge are configured, and has ours carry frames.
    async fn repair_ports_of(&self, bridge: &ObservedBridge, report: &mut Report) {
        let Some(real) = self.executor.switch.real_switch() else { return };
        let told = match real.ports_told(&bridge.name).await {
            Ok(told) => told,
            Err(error) => return tracing::warn!(bridge = bridge.name, %error, "its ports could not be looked at"),
        };
        for (port, number) in ports_of_ours(bridge) {
            let config = told.ports.get(&number).copied().unwrap_or_default();
            for how in needed_settings(config, number) {
                self.executor.progress.begin_step();
                let result = self.executor.switch.set_port(&bridge.name, number, how).await;
                note_result(report, format!("bridge {}: set port {port} to `{how}`", bridge.name), result);
            }
        }
    }

    fn told_of_repair(&self, report: &Report) {
        if report.found.is_empty() && report.failed.is_empty() {
            return;
        }
        self.executor.metrics.count_repairs(report.done.len(), report.failed.len());
        self.runs.record_repair("the switch says that something was changed", report);
    }
}

fn note_result(report: &mut Report, words: String, result: Result<(), CommitError>) {
    match result {
        Ok(()) => {
            tracing::warn!("repaired: {words}");
            report.done.push(words.clone());
        }
        Err(error) => {
            tracing::error!(%error, "not repaired: {words}");
            report.failed.push(format!("{words}: {error}"));
        }
    }
    report.found.push(words);
}

/// Our tunnels and the bridge's own port, with their OpenFlow numbers.
pub(crate) fn ports_of_ours(bridge: &ObservedBridge) -> impl Iterator<Item = (&str, u32)> {
    let own = |port: &&ObservedPort| port.name == bridge.name || port.is_tunnel_of_ours();
    bridge.ports.values().filter(own).filter_map(|port| {
        let number = if port.name == bridge.name { LOCAL } else { port.interface()?.openflow_port()? };
        Some((port.name.as_str(), number))
    })
}

/// What must be set on a port of ours. That the bridge's own device is down keeps no VM's frame from passing: it is left so.
pub(crate) fn needed_settings(config: PortConfig, number: u32) -> Vec<&'static str> {
    let PortConfig { no_flood, down, no_receive, no_forward } = config;
    let settings =
        [(no_flood, "flood"), (down && number != LOCAL, "up"), (no_receive, "receive"), (no_forward, "forward")];
    settings.into_iter().filter_map(|(wrong, how)| wrong.then_some(how)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_port_is_set_to_carry_a_device_down_is_left() {
        let none = PortConfig::default();
        assert_eq!(needed_settings(none, 3), Vec::<&str>::new());
        let all = PortConfig { no_flood: true, down: true, no_receive: true, no_forward: true };
        assert_eq!(needed_settings(all, 3), ["flood", "up", "receive", "forward"]);
        assert_eq!(needed_settings(all, LOCAL), ["flood", "receive", "forward"]);
    }

    #[test]
    fn who_repairs_says_so_until_the_end() {
        let repairing = Repairing::default();
        let (outer, inner) = (repairing.begin_repair(), repairing.clone().begin_repair());
        drop(inner);
        assert!(repairing.is_repairing());
        drop(outer);
        assert!(!repairing.is_repairing());
    }

    #[tokio::test]
    async fn what_is_noted_before_the_writer_waits_is_not_lost() {
        let suspects = Suspects::default();
        suspects.note_suspicion(Suspicion::default());
        for name in ["xapi1", "xapi2"] {
            suspects
                .note_suspicion(Suspicion { flows: BTreeSet::from([name.parse().unwrap()]), ..Suspicion::default() });
        }
        suspects.wait_noted().await;
        assert_eq!(suspects.take_suspicion().flows.len(), 2);
        assert_eq!(suspects.take_suspicion(), Suspicion::default());
    }
}
