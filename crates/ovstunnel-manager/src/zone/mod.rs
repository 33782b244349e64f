//! The zone as its hosts tell of it: who is registered, what each has said, and whether each network is whole.
//!
//! What it does: takes in what hosts say, finds out which networks that concerns, and proves these anew. What it must not do: ask a
//! host, write to one, or keep anything in the database; what is to be kept is handed to whoever does ([`Fact`]).

mod acting;
mod clock;
mod cloud;
mod counted;
mod describe;
mod endpoint;
mod ends;
mod faults;
mod host;
mod kinds;
pub mod neighbours;
mod network;
mod own;
mod pairs;
mod prepared;
mod probes;
mod recorded;
mod rows;
mod shown;
mod side;
mod sight;
mod silence;
mod standing;
mod story;
mod swept;
mod told;
mod upgrade;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ovstunnel_api::Interface;
use ovstunnel_manager_api::{ProofSummary, Trouble};
use ovstunnel_mesh::membership::{Attachment, Rules};
use ovstunnel_mesh::observed::Snapshot;
use ovstunnel_mesh::proof::Prover;
use ovstunnel_mesh::{Endpoints, Moment};
use ovstunnel_types::{BridgeName, GreKey, HostNumber};
use time::OffsetDateTime;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

pub use acting::FIRST_PICTURE;
pub use clock::CLOCK_SKEW;
pub use cloud::{CloudHost, CloudNetwork, CloudNic, CloudPicture, CloudTaken};
pub use describe::{Names, Page};
pub use endpoint::EndpointFault;
pub use ends::{End, EndsError, Meeting};
pub use faults::Wrong;
pub use host::{Registered, Row, Shown, Told};
pub use kinds::obstacle_sentence;
use network::Known;
pub use pairs::{Cell, PairFinding, Pairs, Place};
pub use prepared::{Planned, Prepared};
pub use probes::Sessions;
pub use recorded::Recorded;
pub use rows::RowsDue;
pub use side::Side;
use sight::Sight;
pub use silence::{CERTIFICATE_EXPIRES, Silence, unmet_requirement};
pub use swept::{Sweepable, SweptHost, lost_finding};
pub use wire::format_time;

/// How many times as long as a pass of proofs the rest after it is, so that the hosts' words are taken in meanwhile.
const REST: u32 = 2;

/// The shortest of those rests: changes that come within this time after others are proven together.
const SHORTEST_REST: Duration = Duration::from_millis(10);

/// For how long a network that is not whole counts as one that is being changed.
pub const SETTLING: Duration = Duration::from_secs(5);

/// How often it is looked which networks have come to rest.
const TELLING: Duration = Duration::from_secs(1);

/// Events that may wait for the database; more are lost, and counted in the log.
const EVENTS_WAITING: usize = 10_000;

/// Something that has happened in the zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    /// When.
    pub at: OffsetDateTime,
    /// A stable word.
    pub kind: &'static str,
    /// Name of the host that it concerns.
    pub host: Option<String>,
    /// Name of the network that it concerns.
    pub network: Option<String>,
    /// Who asked for it.
    pub actor: Option<String>,
    /// What happened, in a sentence.
    pub text: String,
    /// Of a proof: what the one before said.
    pub before: Option<ProofSummary>,
    /// Of a proof: what it says.
    pub after: Option<ProofSummary>,
}

impl Happened {
    /// This, of no host and no network, and asked for by nobody.
    pub fn new(at: OffsetDateTime, kind: &'static str, text: String) -> Happened {
        Happened { at, kind, host: None, network: None, actor: None, text, before: None, after: None }
    }
}

/// Something that is to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// It has happened.
    Happened(Happened),
    /// The tunnels of a host end here.
    Endpoint {
        /// The host.
        host: HostNumber,
        /// The device.
        interface: Interface,
    },
}

/// The zone. Cheap to clone; all clones are the same zone.
#[derive(Clone, Debug)]
pub struct Zone(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    wake: Notify,
    /// Counts the passes of proofs.
    pulse: watch::Sender<u64>,
    origin: Instant,
    /// The same by the clock of the world.
    origin_utc: OffsetDateTime,
    facts: mpsc::Sender<Fact>,
    /// The zone's name.
    name: String,
}

/// All that is known of the zone.
#[derive(Debug, Default)]
struct State {
    hosts: BTreeMap<HostNumber, Registered>,
    /// The same hosts, as the mesh sees them.
    seen: BTreeMap<HostNumber, ovstunnel_mesh::observed::Host>,
    names: BTreeMap<String, HostNumber>,
    endpoints: Endpoints,
    sight: Sight,
    networks: BTreeMap<GreKey, Known>,
    /// Networks that have a name, a number and NICs.
    recorded: recorded::Networks,
    /// By what it is judged which hosts belong to a network.
    rules: Rules,
    /// How hosts stood to those networks that are judged, when they were judged last.
    standing: BTreeMap<GreKey, BTreeMap<HostNumber, Attachment>>,
    /// When the plugin took away bridges that are not there any more.
    destroyed: BTreeMap<GreKey, BTreeMap<HostNumber, Moment>>,
    /// What CloudStack's API told last.
    cloud: Option<cloud::Cloud>,
    /// Since when witnesses contradict each other of a host and a network.
    disagreements: BTreeMap<GreKey, BTreeMap<HostNumber, Moment>>,
    /// The bridges that xapi has for networks, where a host has made one.
    made: BTreeMap<GreKey, BTreeMap<HostNumber, BridgeName>>,
    /// Keys that no network has any more.
    quarantined: BTreeSet<GreKey>,
    /// Whether the manager changes hosts.
    acts: bool,
    /// Networks that were proven since somebody asked for them, where the manager changes hosts.
    proven: BTreeSet<GreKey>,
    /// When that is to be judged again.
    again: BTreeMap<GreKey, Moment>,
    /// Networks of which something has changed since they were proven.
    changed: BTreeSet<GreKey>,
    /// Networks of which a proof is still to be told.
    restless: BTreeSet<GreKey>,
    prover: Prover,
    /// Hosts whose rows of tunnels may be others than they were.
    rows: rows::Due,
    /// Hosts that hear nothing by a BFD session, as they said last.
    deaf: BTreeSet<HostNumber>,
    /// What sweeps have found of each network.
    swept: BTreeMap<GreKey, swept::Swept>,
    /// What the counters of tunnels' ends have told.
    counted: counted::Counted,
    /// What is wrong, each cause once.
    faults: faults::Faults,
    /// What is wrong with the manager itself.
    own_troubles: Vec<Trouble>,
    /// What is wrong with the zone's keys.
    key_troubles: Vec<Trouble>,
    work: Work,
}

/// What proving has cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Proofs of a network that were made.
    pub proofs: u64,
    /// How long that took.
    pub took: Duration,
}

/// What was asked for, in the words that the specification's users look for.
fn operation_word(kind: &str) -> Option<&'static str> {
    match kind {
        "nic_prepared" => Some("prepare"),
        "nic_released" => Some("release"),
        "nic_migrated" => Some("migrated"),
        "nic_rolled_back" => Some("rollback"),
        _ => None,
    }
}

impl Zone {
    /// A zone of this name without hosts, and what is to be kept of it.
    pub fn new(name: &str) -> (Zone, mpsc::Receiver<Fact>) {
        let (facts, kept) = mpsc::channel(EVENTS_WAITING);
        let (state, wake, pulse) = (Mutex::default(), Notify::new(), watch::Sender::new(0));
        let shared = Shared {
            state,
            wake,
            pulse,
            origin: Instant::now(),
            origin_utc: OffsetDateTime::now_utc(),
            facts,
            name: name.to_owned(),
        };
        (Zone(Arc::new(shared)), kept)
    }

    /// By what it is judged which hosts belong to networks whose NICs are told.
    pub fn set_rules(&self, rules: Rules) {
        self.lock_state().rules = rules;
    }

    /// Proves what has changed, again and again, and tells the proofs. Ends with the task that it runs in.
    pub async fn keep_proven(self) {
        loop {
            let is_restless = self.lock_state().is_restless();
            tokio::select! {
                () = self.0.wake.notified() => {}
                () = tokio::time::sleep(TELLING), if is_restless => {}
            }
            let started = Instant::now();
            self.lock_state().judge_again(self.now());
            while self.prove_some_changed() {
                tokio::task::yield_now().await;
            }
            self.0.pulse.send_modify(|passes| *passes += 1);
            self.tell_proofs(self.now());
            // While many hosts come or go at once, each pass has a part of the zone to prove that the next one proves again.
            tokio::time::sleep((started.elapsed() * REST).max(SHORTEST_REST)).await;
        }
    }

    /// Tells the proofs of networks that have come to rest by now.
    fn tell_proofs(&self, now: Moment) {
        let proofs = self.lock_state().tell_proofs(&self.0.name, OffsetDateTime::now_utc(), now);
        proofs.into_iter().for_each(|proof| self.send_event(proof));
    }

    /// Proves what has changed since the last time, now.
    pub fn prove_changed(&self) {
        while self.prove_some_changed() {}
    }

    /// Proves some of it. Whether there is more.
    fn prove_some_changed(&self) -> bool {
        let (at, now) = (OffsetDateTime::now_utc(), self.now());
        let (happened, more) = self.lock_state().prove_some_changed(at, now);
        happened.into_iter().for_each(|happened| self.send_event(happened));
        more
    }

    /// What proving has cost since the start.
    pub fn work(&self) -> Work {
        self.lock_state().work
    }

    /// Now, by the clock that does not jump.
    pub fn now(&self) -> Moment {
        Moment(self.0.origin.elapsed())
    }

    /// When the zone's time began, by the clock of the world.
    pub fn origin(&self) -> OffsetDateTime {
        self.0.origin_utc
    }

    /// Tells whoever keeps events.
    pub fn send_event(&self, happened: Happened) {
        let Happened { kind, host, network, text, .. } = &happened;
        tracing::info!(event = kind, op = operation_word(kind), host, network, "{text}");
        self.send_fact(Fact::Happened(happened));
    }

    fn send_fact(&self, fact: Fact) {
        if self.0.facts.try_send(fact).is_err() {
            tracing::error!(
                "an event or an address is not kept: the database takes none, and {EVENTS_WAITING} wait for it"
            );
        }
    }

    /// Has what has changed proven soon.
    fn wake_prover(&self) {
        self.0.wake.notify_one();
    }

    fn lock_state(&self) -> MutexGuard<'_, State> {
        // Each change is complete in itself, so what a panic leaves is good.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record_event(&self, kind: &'static str, host: &str, text: String) {
        let host = Some(host.to_owned());
        self.send_event(Happened { host, ..Happened::new(OffsetDateTime::now_utc(), kind, text) });
    }

    /// A host is registered, or registered otherwise than before. A host with this number that has another name is replaced.
    pub fn register_host(&self, row: Row) {
        self.lock_state().register_host(row, self.now());
        self.wake_prover();
    }

    /// A host is no longer registered. Its bridges are no longer looked at.
    pub fn unregister_host(&self, number: HostNumber) {
        self.lock_state().unregister_host(number);
        self.wake_prover();
    }

    /// A host is connected, and has said everything.
    pub fn host_connected(&self, number: HostNumber, told: Told, snapshot: Snapshot) {
        let now = self.now();
        let (name, told) = {
            let mut state = self.lock_state();
            let had = state.seen.get(&number).and_then(|seen| Some(seen.snapshot.as_ref()?.bridges().len()));
            let Some(host) = state.hosts.get_mut(&number) else { return };
            let is_new = !host.is_connected();
            host.take_connection(told, now);
            let name = if is_new { host.may_tell() } else { None };
            state.seen_as(number, |seen| (seen.heard, seen.is_connected) = (now, true));
            state.switch_fault(number);
            state.replace_snapshot(number, snapshot);
            if is_new {
                state.changed_of(number);
            }
            (name, state.return_events(number, had.filter(|_| is_new)))
        };
        if let Some((name, more)) = name {
            self.record_event("host_connected", &name, format!("host {name} is connected{more}"));
        }
        told.into_iter().for_each(|(kind, name, text)| self.record_event(kind, &name, text));
        self.wake_prover();
    }

    /// Bridges of a host have changed.
    pub fn bridges_changed(&self, number: HostNumber, snapshot: Snapshot) {
        let now = self.now();
        let mut state = self.lock_state();
        state.seen_as(number, |seen| seen.heard = now);
        state.replace_snapshot(number, snapshot);
        let told = state.return_events(number, None);
        drop(state);
        told.into_iter().for_each(|(kind, name, text)| self.record_event(kind, &name, text));
        self.wake_prover();
    }

    /// What a host says of itself has changed, but for its bridges.
    pub fn host_health(&self, number: HostNumber, health: ovstunnel_api::Health) {
        let mut state = self.lock_state();
        if let Some(host) = state.hosts.get_mut(&number) {
            host.take_health(health);
        }
        if state.switch_fault(number) {
            self.wake_prover();
        }
    }

    /// A host has given a sign of life.
    pub fn host_alive(&self, number: HostNumber) {
        let now = self.now();
        self.lock_state().seen_as(number, |seen| seen.heard = now);
    }

    /// The certificate that a host's daemon shows.
    pub fn host_certificate(&self, number: HostNumber, shown: Shown) {
        let evidence = shown.trouble.as_ref().map(|trouble| trouble.evidence.clone()).unwrap_or_default();
        let name = {
            let mut state = self.lock_state();
            let Some(host) = state.hosts.get_mut(&number) else { return };
            host.take_certificate(shown).then(|| host.row.name.clone())
        };
        if let Some(name) = name {
            self.record_event(CERTIFICATE_EXPIRES, &name, format!("host {name}: {evidence}"));
        }
    }

    /// A host cannot be asked, for this reason.
    pub fn host_silent(&self, number: HostNumber, why: impl Into<Silence>) {
        let why = why.into();
        let name = {
            let mut state = self.lock_state();
            let Some(host) = state.hosts.get_mut(&number) else { return };
            let is_news = host.take_silence(&why);
            let name = if is_news { host.may_tell() } else { None };
            state.seen_as(number, |seen| seen.is_connected = false);
            if is_news {
                state.changed_of(number);
            }
            name
        };
        if let Some((name, more)) = name {
            let (kind, reason) = (why.kind, why.evidence);
            let what = if kind == "host_silent" { "does not answer" } else { "cannot be asked" };
            self.record_event(kind, &name, format!("host {name} {what}: {reason}{more}"));
        }
        self.wake_prover();
    }

    /// At which address a host's tunnels end, or why that is not known.
    pub fn host_endpoint(&self, number: HostNumber, found: Result<Interface, EndpointFault>) {
        let (told, is_changed) = {
            let mut state = self.lock_state();
            let of_host = |state: &State| state.hosts.get(&number).and_then(|host| host.interface().cloned());
            let before = of_host(&state);
            let told = state.take_endpoint(number, found);
            if let Some(interface) = of_host(&state).filter(|after| before.as_ref() != Some(after)) {
                self.send_fact(Fact::Endpoint { host: number, interface });
            }
            (told, !state.changed.is_empty())
        };
        if let Some((kind, name, text)) = told {
            self.record_event(kind, &name, text);
        }
        // Asked of thousands of hosts all the time, and nearly always the same.
        if is_changed {
            self.wake_prover();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
