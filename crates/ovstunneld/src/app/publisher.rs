//! The one task that finds out what has changed, for all who watch.
//!
//! What it does: waits for word of changes, describes those bridges again that they can concern, and publishes what is then other
//! than it was told last. What it must not do: anything while nobody watches, or keep the daemon from ending.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use ovstunnel_api::{Bridge, BridgeGone, WatchEvent, WatchSnapshot};
use ovstunnel_ovs::Health as SwitchHealth;
use ovstunnel_plan::{Epoch, View};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use super::underlay::next_change;
use crate::health::Survey;
use crate::host::Monitor;
use crate::state::{State, recorded_epoch};
use crate::watch::Hub;
use crate::writer::Tuning;

/// How long the rest after a look for changes is, in times of what the look took: what comes meanwhile is told together.
const REST: u32 = 10;

/// The shortest and the longest of those rests.
const RESTS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

/// How often it is looked what is below the tunnels, which nothing tells of by itself.
const SURVEY_EVERY: Duration = Duration::from_secs(1);

/// The least time from one word that devices or addresses have changed to the next.
const ADDRESSES_APART: Duration = Duration::from_secs(1);

/// Publishes until nobody can ask any more.
pub(crate) async fn publish_changes(state: State) {
    let mut state = state;
    state.watch = state.watch.for_publisher();
    let hub = &state.watch;
    let work = async {
        loop {
            hub.wait_asked().await;
            hub.begin_publishing();
            Publisher::new(&state).run().await;
        }
    };
    tokio::select! {
        () = hub.wait_ended() => {}
        () = work => {}
    }
}

/// A publisher at work.
struct Publisher<'a> {
    state: &'a State,
    hub: &'a Hub,
    told: Told,
    health: SwitchHealth,
    survey: Arc<Survey>,
    tuning: watch::Receiver<Tuning>,
    revision: watch::Receiver<u64>,
    /// All bridges are to be described again.
    all: bool,
    /// Tells of changes of devices and addresses.
    links: Option<Monitor>,
    /// Some have changed, and nobody was told of it.
    moved: bool,
    /// When that was last told.
    moved_told: Option<Instant>,
}

/// What those who watch have been told.
#[derive(Debug, Default)]
struct Told {
    bridges: BTreeMap<String, Bridge>,
    /// Names by row.
    names: HashMap<Uuid, String>,
    health: Option<ovstunnel_api::Health>,
}

impl<'a> Publisher<'a> {
    fn new(state: &'a State) -> Self {
        Publisher {
            state,
            hub: &state.watch,
            told: Told::default(),
            health: state.switch.watch_health().borrow().clone(),
            survey: state.surveyor.latest(),
            tuning: state.writer.watch_tuning(),
            revision: state.switch.observer().watch_revision(),
            all: true,
            links: None,
            moved: false,
            moved_told: None,
        }
    }

    /// Listens for changes of devices and addresses; what has changed while nobody did is told, too.
    fn watch_links(&mut self) {
        if self.links.is_none() && self.state.interfaces.can_change() {
            self.links = self.state.interfaces.monitor().ok();
            self.moved = true;
        }
    }

    /// That devices or addresses have changed, where it is time to say so.
    fn addresses_event(&mut self) -> Option<WatchEvent> {
        let is_due = self.moved && self.moved_told.is_none_or(|told| told.elapsed() >= ADDRESSES_APART);
        is_due.then(|| {
            (self.moved, self.moved_told) = (false, Some(Instant::now()));
            WatchEvent::Addresses
        })
    }

    /// Works until nobody watches.
    async fn run(mut self) {
        let mut health = self.state.switch.watch_health();
        let mut survey = tokio::time::interval(SURVEY_EVERY);
        survey.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (flows, witnesses) =
            (self.state.writer.flow_table().changed_bridges().clone(), self.state.witnesses.changed_bridges().clone());
        let mut first = true;
        while !self.hub.stop_if_unwatched() {
            let began = Instant::now();
            self.watch_links();
            self.run_round(std::mem::take(&mut first)).await;
            tokio::time::sleep((began.elapsed() * REST).clamp(RESTS.0, RESTS.1)).await;
            tokio::select! {
                Ok(()) = self.revision.changed() => {}
                Ok(()) = health.changed() => {}
                Ok(()) = self.tuning.changed() => self.all = true,
                () = flows.wait_changed() => {}
                () = witnesses.wait_changed() => {}
                () = self.hub.wait_asked() => {}
                _ = survey.tick() => {}
                there = next_change(&mut self.links) => {
                    self.moved = true;
                    if !there {
                        self.links = None;
                    }
                }
            }
        }
        self.state.switch.observer().forget_touched_for_watch();
        flows.stop_noting();
        witnesses.stop_noting();
    }

    /// Looks, publishes, and answers those who wait for everything. What is found in the `first` round has been told to nobody.
    async fn run_round(&mut self, first: bool) {
        self.look_below(first).await;
        let waiting = self.hub.take_waiting();
        self.all |= !waiting.is_empty();
        self.revision.borrow_and_update();
        let before = self.state.switch.watch_health().borrow().clone();
        self.all |= before != self.health;
        self.health = before.clone();
        let events = match self.describe_changed() {
            Some(changed) if self.state.switch.watch_health().borrow().database.is_ok() => self.take_in(changed),
            // What the mirror has is a memory: who is told nothing knows that from the health.
            _ => {
                self.all = true;
                vec![]
            }
        };
        let events = events.into_iter().chain(self.health_event()).chain(self.addresses_event()).collect();
        if !first {
            self.hub.publish_events(events).await;
        }
        if !waiting.is_empty() {
            self.hub.answer_waiting(waiting, || self.make_snapshot());
        }
    }

    /// The `first` time anew: what was seen a moment ago may lack the ways of tunnels that are new, and would be told again at once.
    async fn look_below(&mut self, first: bool) {
        let surveyor = &self.state.surveyor;
        let survey = if first { surveyor.look_now().await } else { surveyor.current_survey().await };
        self.all |= !survey.says_the_same(&self.survey);
        self.survey = survey;
    }

    /// Bridges that may have changed, as they are: nothing where there is none of that name, or none of ours. None where that is
    /// not known.
    fn describe_changed(&mut self) -> Option<BTreeMap<String, Option<(Uuid, Bridge)>>> {
        let state = self.state;
        // What comes after this is word for the next round.
        let touched = state.switch.observer().take_touched_for_watch();
        let (flows, witnesses) = (
            state.writer.flow_table().changed_bridges().take_changed(),
            state.witnesses.changed_bridges().take_changed(),
        );
        if self.health.database.is_err() {
            return None;
        }
        let names = match (touched, flows, witnesses) {
            (Some(touched), Some(flows), Some(witnesses)) if !self.all => {
                let by_row = flows.union(&witnesses).filter_map(|row| self.told.names.get(row)).cloned();
                Some(touched.into_iter().chain(by_row).collect::<BTreeSet<_>>())
            }
            _ => None,
        };
        self.all = false;
        Some(state.switch.observer().read(|db| {
            let view = db.view();
            let names = names.unwrap_or_else(|| {
                let there = db.bridge_names().into_iter();
                there.chain(self.told.bridges.keys().cloned()).collect()
            });
            let described = |name: String| {
                let observed = view.bridge(&name);
                let bridge = observed.and_then(|observed| Some((observed.uuid, state.to_wire(&observed)?)));
                (name, bridge)
            };
            names.into_iter().map(described).collect()
        }))
    }

    /// What of these is to be told.
    fn take_in(&mut self, described: BTreeMap<String, Option<(Uuid, Bridge)>>) -> Vec<WatchEvent> {
        let mut events = Vec::new();
        for (name, bridge) in described {
            match bridge {
                Some((row, bridge)) => {
                    self.told.names.insert(row, name.clone());
                    let before = self.told.bridges.insert(name, bridge.clone());
                    if before.is_none_or(|before| !same_bridge(&before, &bridge)) {
                        events.push(WatchEvent::Bridge(Box::new(bridge)));
                    }
                }
                None if self.told.bridges.remove(&name).is_some() => {
                    self.told.names.retain(|_, known| *known != name);
                    let by_plugin = self.hub.take_destroyed(&name);
                    events.push(WatchEvent::BridgeGone(BridgeGone { name, by_plugin }));
                }
                None => {}
            }
        }
        events
    }

    /// The host's health, where it is another one.
    fn health_event(&mut self) -> Option<WatchEvent> {
        let now = self.state.health_of(self.told.bridges.values());
        let same = |before: &ovstunnel_api::Health| before.state == now.state && before.reasons == now.reasons;
        if self.told.health.replace(now.clone()).is_some_and(|before| same(&before)) {
            return None;
        }
        Some(WatchEvent::Health(Box::new(now)))
    }

    fn make_snapshot(&self) -> Result<WatchEvent, String> {
        if let Err(reason) = &self.health.database {
            return Err(reason.clone());
        }
        let bridges: Vec<Bridge> = self.told.bridges.values().cloned().collect();
        let ids: BTreeSet<&String> = bridges.iter().filter_map(|bridge| bridge.host_id.as_ref()).collect();
        let host_id = ids.first().filter(|_| ids.len() == 1).map(|id| (*id).clone());
        // What is no epoch, `GET /v1/epoch` tells.
        let epoch = recorded_epoch(&self.state.switch).ok().flatten();
        let snapshot = WatchSnapshot {
            daemon: env!("CARGO_PKG_VERSION").to_owned(),
            capabilities: self.state.capabilities(),
            host_id,
            zone: epoch.map(|epoch| epoch.zone().to_string()),
            epoch: epoch.map(Epoch::number),
            health: self.state.health_of(self.told.bridges.values()),
            bridges,
        };
        Ok(WatchEvent::Snapshot(Box::new(snapshot)))
    }
}

/// Whether two descriptions say the same of a bridge: how old knowledge is, is always other.
fn same_bridge(one: &Bridge, other: &Bridge) -> bool {
    let timeless = |bridge: &Bridge| Bridge {
        health: ovstunnel_api::Health { as_of: None, ..bridge.health.clone() },
        ..bridge.clone()
    };
    one == other || timeless(one) == timeless(other)
}
