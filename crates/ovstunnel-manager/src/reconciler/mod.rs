//! Keeps every mesh whole: sends hosts what makes of what is there what must be there.
//!
//! What it does: looks again at each network that was proven, plans by what its hosts say at that moment, and sends one stage of the plan: a
//! step of a change of kind, else what joins, else what leaves, else bridges. What it must not do: remember a plan, or remove anything that the brakes stop, that a silent host may
//! still need, or that the newest picture does not call for.

mod attempts;
mod holds;
mod kinds;
mod neighbours;
mod networks;
mod pass;
mod probes;
mod rounds;
mod send;
mod untold;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ovstunnel_manager_api::Trouble;
use ovstunnel_mesh::difference::Difference;
use ovstunnel_mesh::kind_change::Answered;
use ovstunnel_mesh::{Brakes, Goes, Request, Scope};
use ovstunnel_store::{Store, StoreError};
use ovstunnel_types::{GreKey, HostNumber};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use crate::hosts::Writers;
use crate::leader::Leader;
use crate::zone::{FIRST_PICTURE, Happened, Zone};

use attempts::Attempts;
pub use attempts::Failed;
use holds::Waiting;
pub use holds::{Held, Said};
use untold::Untold;

/// How often a network is looked at again in which something differs that cannot be sent.
const AGAIN: Duration = Duration::from_secs(5);

/// How often it is looked whether the lease is good again.
const LEASE: Duration = Duration::from_secs(1);

/// The setting that says that the manager changed hosts when it last ran, and had nothing left to ask for.
pub(crate) const WAS_ON: &str = "controller";

/// By what rules hosts are changed.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// When a pass stops and asks: the share of all tunnels, and of one network's.
    pub brakes: (f64, f64),
    /// After how long a silent host is taken for dead.
    pub dead_after: Duration,
}

/// What keeps meshes whole. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reconciler(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    zone: Zone,
    writers: Writers,
    leader: Leader,
    store: Store,
    rules: Rules,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    attempts: Attempts,
    /// The same for steps of changes of kind: one that a host refuses keeps nothing else from it.
    kind_attempts: Attempts,
    /// Networks whose kind is changing, and what hosts have answered of it.
    kinds: BTreeMap<GreKey, Answered>,
    waiting: Waiting,
    /// Networks from which something is to go.
    removing: BTreeMap<GreKey, Difference>,
    /// What went lately though nobody asked for it by name, and when.
    gone: BTreeMap<Goes, Instant>,
    /// Networks that somebody asks for now.
    asked: BTreeSet<GreKey>,
    /// Networks that xapi is making on hosts.
    making: BTreeSet<(GreKey, HostNumber)>,
    /// Whether any removal is asked for first.
    asks_for_any: bool,
    /// Until when it is so at least: who leaves lingers before.
    asks_until: Option<Instant>,
    /// What hosts have done and not told yet.
    untold: Untold,
    /// Counts the requests of this process.
    sent: u64,
}

/// What the loop has at hand.
#[derive(Debug, Default)]
struct Work {
    /// Networks to look at now.
    waiting: BTreeSet<GreKey>,
    /// Networks to look at later.
    due: BTreeMap<GreKey, Instant>,
    /// Networks of which something is being sent.
    in_flight: BTreeSet<GreKey>,
    jobs: JoinSet<()>,
    of_job: HashMap<Id, GreKey>,
}

/// One stage of a network's plan, by host.
#[derive(Debug)]
struct Stage {
    /// Its name.
    name: &'static str,
    requests: BTreeMap<HostNumber, Vec<Request>>,
}

impl Reconciler {
    /// What keeps meshes whole, from when it runs. Where the manager did not change hosts when it last ran, the first pass asks before it
    /// removes anything.
    ///
    /// # Errors
    /// The database cannot be used.
    pub async fn new(
        zone: Zone,
        writers: Writers,
        leader: Leader,
        store: Store,
        rules: Rules,
    ) -> Result<Reconciler, StoreError> {
        let asks_for_any = store.setting(WAS_ON).await?.is_none();
        let state = Mutex::new(State { asks_for_any, ..State::default() });
        let wake = Notify::new();
        Ok(Reconciler(Arc::new(Shared { zone, writers, leader, store, rules, state, wake })))
    }

    /// This manager begins to lead, as after a start: nothing holds that was approved or refused before, and whether the first pass asks is what
    /// is recorded now.
    ///
    /// # Errors
    /// The database cannot be used.
    pub async fn begins_to_lead(&self) -> Result<(), StoreError> {
        let asks_for_any = self.0.store.setting(WAS_ON).await?.is_none();
        let mut state = self.lock_state();
        let State { making, sent, .. } = std::mem::take(&mut *state);
        *state = State { making, sent, asks_for_any, ..State::default() };
        drop(state);
        if self.0.zone.is_anyone_leaving() {
            self.first_pass_begins();
        }
        Ok(())
    }

    /// The manager changes no hosts in this life: when it does again, it asks first.
    ///
    /// # Errors
    /// The database cannot be used.
    pub async fn is_off(store: &Store) -> Result<(), StoreError> {
        match store.setting(WAS_ON).await? {
            // Where another manager leads, that one changes hosts.
            Some(_) if !store.may_change() => Ok(()),
            Some(_) => store.set_setting(WAS_ON, None).await,
            None => Ok(()),
        }
    }

    /// Keeps meshes whole. Ends with the task that it runs in.
    pub async fn run(self) {
        let mut pulse = self.0.zone.watch_passes();
        self.first_picture(&mut pulse).await;
        if self.0.zone.is_anyone_leaving() {
            self.first_pass_begins();
        }
        let mut work = Work::default();
        loop {
            let now = Instant::now();
            work.waiting.extend(self.0.zone.take_proven());
            work.waiting.append(&mut self.lock_state().asked);
            work.waiting.extend(work.due.extract_if(.., |_, at| *at <= now).map(|(key, _)| key));
            self.look_at_the_database().await;
            self.run_pass(&mut work);
            self.settle_asking(&work).await;
            let next = work.due.values().min().copied().unwrap_or(now + AGAIN);
            tokio::select! {
                _ = pulse.changed() => {}
                () = self.0.wake.notified() => {}
                () = tokio::time::sleep_until(next) => {}
                Some(done) = work.jobs.join_next_with_id() => {
                    let id = match &done {
                        Ok((id, ())) => *id,
                        Err(error) => error.id(),
                    };
                    if let Some(key) = work.of_job.remove(&id) {
                        work.in_flight.remove(&key);
                        work.waiting.insert(key);
                    }
                }
            }
        }
    }

    /// Waits until each host was tried, so that the first pass sees all that can be seen.
    async fn first_picture(&self, pulse: &mut tokio::sync::watch::Receiver<u64>) {
        let seen = async {
            while self.0.zone.untried_hosts() > 0 {
                let _ = pulse.changed().await;
            }
        };
        if tokio::time::timeout(FIRST_PICTURE, seen).await.is_err() {
            tracing::warn!(
                hosts = self.0.zone.untried_hosts(),
                "hosts have not been reached yet; going on without them"
            );
        }
        self.0.zone.prove_changed();
    }

    /// Whoever is not wanted by what is known now is of the first pass: it lasts until the lingering is over.
    fn first_pass_begins(&self) {
        self.lock_state().asks_until = Some(Instant::now() + self.0.zone.linger() + AGAIN);
    }

    /// Where the database is older than what hosts know, what it says of who left may be wrong: whatever would go is asked for first.
    async fn look_at_the_database(&self) {
        if !self.0.leader.take_older() {
            return;
        }
        self.lock_state().asks_for_any = true;
        self.first_pass_begins();
        let text = "hosts know a newer epoch than the database, which is an older one: whatever would be removed is asked for first";
        self.0.zone.send_event(Happened::new(OffsetDateTime::now_utc(), "database_older", text.to_owned()));
        if let Err(error) = Reconciler::is_off(&self.0.store).await {
            tracing::warn!(%error, "it cannot be kept that removals are to be asked for; after a restart they are not");
        }
    }

    /// Once nothing is left to be asked for after the controller was switched on or the database was found to be an older one, later removals are asked for by the brakes alone.
    async fn settle_asking(&self, work: &Work) {
        if self.0.leader.epoch().is_err() {
            return;
        }
        let is_settled = {
            let mut state = self.lock_state();
            let is_quiet = state.removing.is_empty() && work.in_flight.is_empty() && work.waiting.is_empty();
            if is_quiet {
                state.waiting.nothing_to_remove();
            }
            let is_over = state.asks_until.is_none_or(|until| until <= Instant::now());
            is_quiet && is_over && state.asks_for_any
        };
        if !is_settled {
            return;
        }
        match self.0.store.set_setting(WAS_ON, Some("on")).await {
            Ok(()) => self.lock_state().asks_for_any = false,
            Err(error) => {
                tracing::warn!(%error, "it cannot be kept that the first pass is over; asking for each removal still")
            }
        }
    }

    /// Somebody wants this network whole now: what failed before is tried again at once.
    pub fn request_network(&self, key: GreKey) {
        let mut state = self.lock_state();
        state.attempts.forget_network(key);
        state.kind_attempts.forget_network(key);
        state.asked.insert(key);
        drop(state);
        self.0.wake.notify_one();
    }

    /// What hosts have refused of a network, and when it is tried again.
    pub fn failures(&self, key: GreKey) -> Vec<Failed> {
        self.lock_state().attempts.failures(key)
    }

    /// The removals that wait for somebody's word.
    pub fn holds(&self) -> Vec<Held> {
        self.lock_state().waiting.list()
    }

    /// What keeps it from doing what it should: removals that nobody has decided about, and that it does not lead.
    pub fn troubles(&self) -> Vec<Trouble> {
        let waiting = self.holds().into_iter().filter(|held| held.said == Said::Nothing);
        let holds = waiting.map(|held| Trouble {
            kind: "hold".to_owned(),
            evidence: format!("hold {} waits for a decision: {}", held.id, self.hold_sentence(&held)),
            remedy: format!("look at `ovstunnelctl zone holds`, then `zone hold approve {0}` or `refuse {0}`", held.id),
        });
        // That another manager leads is no fault.
        let leads = self.0.leader.epoch().err().filter(|_| !self.0.leader.is_following()).map(|why| Trouble {
            kind: "not_leading".to_owned(),
            evidence: format!("no host is changed: {why}"),
            remedy: "see to the database; where another manager of this zone has another database, stop one of the two and start the other anew"
                .to_owned(),
        });
        leads.into_iter().chain(holds).collect()
    }

    /// Somebody has decided about a hold. Gives it, where one of this number waits.
    pub fn decide_hold(&self, id: u64, said: Said, actor: &str) -> Option<Held> {
        let held = {
            let mut state = self.lock_state();
            let held = state.waiting.decide_hold(id, said)?;
            let keys: Vec<GreKey> = state.removing.keys().copied().collect();
            state.asked.extend(keys);
            held
        };
        let (kind, verb) = match said {
            Said::Approved => ("hold_approved", "approved"),
            _ => ("hold_refused", "refused"),
        };
        let text = format!("hold {id} is {verb}: {}", self.hold_sentence(&held));
        let actor = Some(actor.to_owned());
        self.0.zone.send_event(Happened { actor, ..Happened::new(OffsetDateTime::now_utc(), kind, text) });
        self.0.wake.notify_one();
        Some(held)
    }

    /// What a hold is about, in a sentence.
    fn hold_sentence(&self, held: &Held) -> String {
        let (goes, hosts) = (held.hold.removals.len(), held.hold.hosts.len());
        let what = match held.hold.scope {
            Scope::Pass => "all that the first pass would remove".to_owned(),
            Scope::Zone => "what nobody asked for by name, in all networks".to_owned(),
            Scope::Network(number) => {
                let key = GreKey::try_from(i64::try_from(number.get()).unwrap_or_default());
                let name = key.map_or_else(|_| number.to_string(), |key| self.0.zone.network_name(key));
                format!("what nobody asked for by name, in network {name}")
            }
        };
        let gone = match held.hold.gone {
            0 => String::new(),
            gone => format!(" after {gone} in the ten minutes before"),
        };
        format!("{goes} of {} tunnels{gone}, because of {hosts} hosts: {what}", held.hold.of)
    }

    fn build_brakes(&self, asks_for_any: bool) -> Brakes {
        let (zone, network) = self.0.rules.brakes;
        Brakes { zone, network, asks_for_any }
    }

    fn lock_state(&self) -> MutexGuard<'_, State> {
        // Each change is complete in itself, so what a panic leaves is good.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
