//! The switch as witness: what it says of each managed bridge beside its database, and what became of frames that are followed
//! through its tables.
//!
//! What it does: asks once a second on a kept connection whether anything was changed, asks more only where something was or
//! where it is a bridge's turn, holds what was told, and leaves what is to be repaired to the writer. What it must not do: change
//! anything, judge what it is told, or keep the writer from ending.

mod addresses;
mod flows;
mod monitors;
mod ports;
mod traces;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use ovstunnel_ovs::{Counter, Questions, RealSwitch, Switch, aligned_ticks};
use ovstunnel_plan::{BridgeName, DesiredBridge, ObservedBridge, Settings, View, Witness};
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::writer::changed_bridges::ChangedBridges;
use crate::writer::{Suspicion, Watched, Writer};

pub use traces::follow_all;

/// Questions about single bridges that are asked at the same time: each round of the main loop of `ovs-vswitchd` answers one of
/// each connection, and the rounds are what costs (docs/ovs-facts.md).
const AT_ONCE: usize = 64;

/// What was told of one bridge, and when.
#[derive(Clone, Debug)]
pub struct Told {
    /// What was told.
    pub witness: Witness,
    /// When the switch last answered. Parts that nothing calls for are older: each bridge has its turn.
    pub as_of: SystemTime,
}

/// What was told of all managed bridges, by their rows. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Witnesses(Arc<RwLock<Inner>>, ChangedBridges);

#[derive(Debug, Default)]
struct Inner {
    generation: u64,
    told: HashMap<Uuid, Witness>,
    answered: Option<SystemTime>,
}

impl Witnesses {
    /// What was told of a bridge; nothing before it was first asked for.
    pub fn get(&self, bridge: Uuid) -> Option<Told> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(Told { witness: inner.told.get(&bridge)?.clone(), as_of: inner.answered? })
    }

    /// Word of the bridges of which something else was told than before.
    pub(crate) fn changed_bridges(&self) -> &ChangedBridges {
        &self.1
    }

    fn edit_witness(&self, bridge: Uuid, change: impl FnOnce(&mut Witness)) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let known = inner.told.entry(bridge).or_default();
        let before = known.clone();
        change(known);
        let is_news = *known != before;
        drop(inner);
        if is_news {
            self.1.note_bridge(bridge);
        }
    }

    fn record_answer(&self, at: SystemTime) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).answered = Some(at);
    }

    fn retain(&self, bridges: &BTreeSet<Uuid>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).told.retain(|bridge, _| bridges.contains(bridge));
    }

    /// Of a switch that has started anew nothing is known.
    fn enter_generation(&self, generation: u64) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if inner.generation != generation {
            *inner = Inner { generation, ..Inner::default() };
            self.1.of_any();
        }
    }
}

/// Starts to ask the switch, where it is a real one; what it tells is in `witnesses`. It ends with what is given.
pub fn start_witnesses(switch: &Switch, writer: &Writer, witnesses: Witnesses) -> Option<JoinSet<()>> {
    let real = switch.real_switch()?;
    let touched = Arc::<Mutex<BTreeSet<Uuid>>>::default();
    let watch = |counter| Watch {
        counter,
        questions: real.new_questions(),
        revision: switch.observer().watch_revision(),
        real: real.clone(),
        watched: writer.watched(),
        witnesses: witnesses.clone(),
        seconds: 0,
        generation: 0,
        last: None,
        bridges: vec![],
        flows: flows::Flows::default(),
        strangers: flows::Strangers::default(),
        monitors: monitors::Monitors::default(),
        touched: Arc::clone(&touched),
        ports: ports::Ports::default(),
        addresses: addresses::Addresses::default(),
        traces: traces::Traces::default(),
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(watch(Counter::Flows).run());
    tasks.spawn(watch(Counter::Configuration).run());
    Some(tasks)
}

/// A managed bridge.
#[derive(Clone, Debug)]
struct Managed {
    name: BridgeName,
    uuid: Uuid,
}

/// What has moved since the last question.
#[derive(Clone, Copy, Debug, Default)]
struct Moved {
    /// What the task's counter counts.
    counted: bool,
    /// The database.
    database: bool,
}

/// A task that asks. There is one for flows and one for all else: commands and long answers must not keep a loss of flows from
/// being seen.
struct Watch {
    counter: Counter,
    real: RealSwitch,
    questions: Questions,
    watched: Watched,
    witnesses: Witnesses,
    revision: watch::Receiver<u64>,
    seconds: u64,
    generation: u64,
    last: Option<u64>,
    bridges: Vec<Managed>,
    flows: flows::Flows,
    strangers: flows::Strangers,
    monitors: monitors::Monitors,
    /// Bridges that the database says were touched, from the task for all else to the one for flows.
    touched: Arc<Mutex<BTreeSet<Uuid>>>,
    ports: ports::Ports,
    addresses: addresses::Addresses,
    traces: traces::Traces,
}

impl Watch {
    async fn run(mut self) {
        let mut tick = aligned_ticks(1);
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    self.seconds += 1;
                    self.ask_switch().await;
                    self.real.close_unused();
                }
                () = self.flow_news() => self.take_flow_news(),
            }
        }
    }

    /// Waits until flow monitors have told something, or what was told before is due.
    async fn flow_news(&self) {
        match self.real.flow_news().filter(|_| self.counter == Counter::Flows) {
            Some(news) => tokio::select! {
                () = news.wait_noted() => {}
                () = self.monitors_due() => {}
            },
            None => std::future::pending().await,
        }
    }

    async fn ask_switch(&mut self) {
        let health = self.real.watch_health().borrow().clone();
        if health.first_trouble().is_some() || self.watched.repairing.is_repairing() {
            return;
        }
        if self.generation != health.generation {
            self.begin_generation(health.generation);
        }
        let database = self.list_bridges();
        let at = SystemTime::now();
        if self.counter == Counter::Flows && !self.keep_monitors(at).await {
            // Nobody has to be asked: what is changed is told.
            self.last = None;
            self.flows = flows::Flows::default();
            return self.ask_printed().await;
        }
        let (due, frame) = match self.counter {
            Counter::Flows => (vec![], None),
            Counter::Configuration => (self.addresses_due(), self.frame_in_turn()),
        };
        // In one round of its main loop.
        let (count, counted, came) = tokio::join!(
            self.questions.read_counter(self.counter),
            addresses::count_addresses(&self.real, due),
            traces::trace_due_frame(&self.real, frame)
        );
        let Ok(count) = count else {
            self.last = None;
            return;
        };
        let moved = self.detect_moves(count, database);
        let mut suspicion = Suspicion::default();
        match self.counter {
            Counter::Flows => {
                self.ask_flows(moved, at, &mut suspicion).await;
                self.ask_printed().await;
            }
            Counter::Configuration => {
                self.witnesses.record_answer(at);
                self.ask_ports(moved, &mut suspicion).await;
                self.take_addresses(counted).await;
                self.take_frames(came, moved, &mut suspicion).await;
            }
        }
        self.watched.suspects.note_suspicion(suspicion);
    }

    /// `ovs-vswitchd` has started: nothing of what was known holds.
    fn begin_generation(&mut self, generation: u64) {
        self.generation = generation;
        self.last = None;
        self.monitors.begin_anew();
        self.questions = self.real.new_questions();
        self.witnesses.enter_generation(generation);
        self.ports = ports::Ports::default();
        self.addresses = addresses::Addresses::default();
        self.traces = traces::Traces::default();
        self.strangers = flows::Strangers::default();
        self.ports.due.extend(self.bridges.iter().map(|bridge| bridge.uuid));
        self.traces.urgent.extend(self.bridges.iter().map(|bridge| bridge.uuid));
    }

    /// What has moved. Where the counter cannot be told it is as if it had, now and then.
    fn detect_moves(&mut self, count: Option<u64>, database: bool) -> Moved {
        let seldom = if self.counter == Counter::Flows { 2 } else { 60 };
        let counted = match count {
            None => self.seconds.is_multiple_of(seldom),
            // What changed before the first question is found by other looks.
            Some(now) => self.last.replace(now).map_or(self.counter == Counter::Flows, |last| last != now),
        };
        Moved { counted, database }
    }

    /// Lists the managed bridges anew where the database has changed; says whether it has.
    fn list_bridges(&mut self) -> bool {
        if !self.bridges.is_empty() && !self.revision.has_changed().unwrap_or(true) {
            return false;
        }
        self.revision.borrow_and_update();
        let bridges = self.real.observer().read(|db| {
            let view = db.view();
            let bare = db.bridge_names().into_iter().filter_map(|name| view.bare_bridge(&name));
            let ours = bare.filter(|bridge| DesiredBridge::from_record(bridge).is_some());
            ours.filter_map(|bridge| Some(Managed { name: bridge.name.parse().ok()?, uuid: bridge.uuid })).collect()
        });
        self.bridges = bridges;
        let rows: BTreeSet<Uuid> = self.bridges.iter().map(|bridge| bridge.uuid).collect();
        self.witnesses.retain(&rows);
        if self.counter == Counter::Flows {
            return true;
        }
        let touched = self.real.observer().take_touched_for_witness();
        let touched = self.bridges.iter().filter(|bridge| touched.contains(bridge.name.as_str()));
        let touched: Vec<Uuid> = touched.map(|bridge| bridge.uuid).collect();
        self.ports.due.extend(&touched);
        if self.real.flow_news().is_some() {
            self.touched.lock().unwrap_or_else(PoisonError::into_inner).extend(&touched);
        }
        self.traces.urgent.extend(touched);
        true
    }

    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.watched.tuning.borrow().settings)
    }

    /// A bridge as it is now, with what its record says.
    fn observed_bridge(&self, bridge: Uuid) -> Option<(Arc<ObservedBridge>, DesiredBridge)> {
        let name = &self.bridges.iter().find(|managed| managed.uuid == bridge)?.name;
        let observed = self.real.observer().read(|db| db.view().bridge(name.as_str()))?;
        let desired = DesiredBridge::from_record(&observed)?;
        (observed.uuid == bridge).then_some((observed, desired))
    }

    /// The next bridges in turn: as many as it takes to have asked all of them in this time.
    fn in_turn(&self, turn: &mut usize, all_in: Duration) -> Vec<Managed> {
        let seconds = usize::try_from(all_in.as_secs()).unwrap_or(1).max(1);
        let count = self.bridges.len().div_ceil(seconds);
        let next = self.bridges.iter().cycle().skip(*turn % self.bridges.len().max(1)).take(count).cloned().collect();
        *turn = turn.wrapping_add(count);
        next
    }
}

/// The name of a port with this OpenFlow number, as `fdb/show` prints it.
fn port_name(bridge: &ObservedBridge, number: &str) -> String {
    let numbered = |port: &&ovstunnel_plan::ObservedPort| {
        let number = number.parse().ok();
        number.is_some() && port.interfaces.iter().any(|interface| interface.openflow_port() == number)
    };
    match number {
        "LOCAL" => bridge.name.clone(),
        _ => bridge.ports.values().find(numbered).map_or_else(|| format!("port {number}"), |port| port.name.clone()),
    }
}
