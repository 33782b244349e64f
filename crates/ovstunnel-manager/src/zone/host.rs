//! One registered host: what it said, and what is wrong with it. Must not know another host.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ovstunnel_api::{Health, Interface};
use ovstunnel_manager_api::{HostState, Mode, Trouble};
use ovstunnel_mesh::Moment;
use ovstunnel_mesh::bfd;
use ovstunnel_mesh::membership::Call;
use ovstunnel_mesh::observed::{self, Bridge, Snapshot};
use ovstunnel_server::seldom::Seldom;
use ovstunnel_types::{GreKey, HealthState, HostId, HostNumber};
use time::OffsetDateTime;

use super::clock::HostClock;
use super::silence::{Silence, unmet_requirement};
use super::{State, story};

/// What is registered of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its number.
    pub number: HostNumber,
    /// Its name.
    pub name: String,
    /// Where its daemon listens.
    pub api: String,
    /// The rack it is in.
    pub rack: Option<String>,
    /// Its own label.
    pub label: Option<String>,
    /// What may be done to it.
    pub mode: Mode,
}

/// What a daemon says of itself when it is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its version, where it says that.
    pub daemon: Option<String>,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// Its host's health.
    pub health: Health,
    /// Whether it tells of changes as they happen.
    pub watched: bool,
}

/// A certificate that a daemon has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// When it expires.
    pub expires: Option<OffsetDateTime>,
    /// What is wrong with it.
    pub trouble: Option<Trouble>,
}

/// A registered host.
#[derive(Debug)]
pub struct Registered {
    /// What is registered of it.
    pub row: Row,
    told: Option<Told>,
    connection: Connection,
    /// Since when it can be asked, or when it could be last.
    reached: Moment,
    pub(super) interface: Option<Interface>,
    pub(super) endpoint_trouble: Option<Trouble>,
    certificate: Shown,
    /// Until when its faults are not told.
    pub(super) maintenance: Option<OffsetDateTime>,
    /// How its clock differs from the manager's.
    pub(super) clock: HostClock,
    /// Why the manager, which may change hosts, does not change this one.
    unled: Option<Trouble>,
    /// Whether it has taken the manager's epoch.
    is_led: bool,
    /// The id of another host that a bridge of it has, as it was told.
    other_id: Option<HostId>,
    at_once: Seldom,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Connection {
    /// It was not reached yet, and nothing says that it will not be.
    Trying,
    Up,
    Down(Silence),
}

impl Registered {
    fn new(row: Row) -> Registered {
        Registered {
            row,
            told: None,
            connection: Connection::Trying,
            reached: Moment::default(),
            interface: None,
            endpoint_trouble: None,
            certificate: Shown::default(),
            maintenance: None,
            clock: HostClock::default(),
            unled: None,
            is_led: false,
            other_id: None,
            at_once: story::new_rate_limit(),
        }
    }

    /// Whether it can be asked now.
    pub fn is_connected(&self) -> bool {
        self.connection == Connection::Up
    }

    /// Since when it can be asked; of one that cannot, since when it could be before.
    pub(super) fn reached_since(&self) -> Moment {
        self.reached
    }

    /// What its daemon said of itself when it was last connected.
    pub fn daemon_facts(&self) -> Option<&Told> {
        self.told.as_ref()
    }

    /// The device at which its tunnels end.
    pub fn interface(&self) -> Option<&Interface> {
        self.interface.as_ref()
    }

    /// Whether it was not reached yet, and nothing says that it will not be.
    pub(super) fn is_untried(&self) -> bool {
        self.connection == Connection::Trying
    }

    /// What may be done to it, as it is registered.
    pub(super) fn observed_mode(&self) -> observed::Mode {
        match self.row.mode {
            Mode::Manage => observed::Mode::Manage,
            Mode::Observe => observed::Mode::Observe,
            Mode::Drain => observed::Mode::Drain,
        }
    }

    /// Whether it has taken the manager's epoch.
    pub(super) fn is_led(&self) -> bool {
        self.is_led
    }

    /// Takes in why it has not taken the manager's epoch, where it has not. Gives what is news of that.
    pub(super) fn take_lead(&mut self, refused: Option<Trouble>) -> Option<(String, Trouble)> {
        self.is_led = refused.is_none();
        let before = std::mem::replace(&mut self.unled, refused);
        let now = self.unled.clone()?;
        (before.map(|before| before.kind) != Some(now.kind.clone())).then(|| (self.row.name.clone(), now))
    }

    /// Its name, where it may be told now that it has come or gone: not as often as it may do so.
    pub(super) fn may_tell(&self) -> Option<(String, String)> {
        let left_out = self.at_once.may_write()?;
        let more = left_out.map(|n| format!(" ({n} changes of this before are not listed)")).unwrap_or_default();
        Some((self.row.name.clone(), more))
    }

    pub(super) fn take_connection(&mut self, told: Told, now: Moment) {
        if !self.is_connected() {
            self.reached = now;
        }
        self.connection = Connection::Up;
        self.told = Some(told);
    }

    pub(super) fn take_health(&mut self, health: Health) {
        if let Some(told) = &mut self.told {
            told.health = health;
        }
    }

    /// Whether that is news.
    pub(super) fn take_silence(&mut self, why: &Silence) -> bool {
        let was_so = matches!(&self.connection, Connection::Down(before) if before.kind == why.kind);
        self.connection = Connection::Down(why.clone());
        !was_so
    }

    /// Takes in which certificate its daemon shows. Whether something is wrong with it, and that is news.
    pub(super) fn take_certificate(&mut self, shown: Shown) -> bool {
        let is_news = shown.trouble.is_some() && self.certificate.trouble.is_none();
        self.certificate = shown;
        is_news
    }

    /// When the certificate expires that its daemon has shown last.
    pub(super) fn certificate_expires(&self) -> Option<OffsetDateTime> {
        self.certificate.expires
    }

    /// The id of another host that one of these bridges has, where that is news.
    fn other_id_told(&mut self, bridges: &[Arc<Bridge>]) -> Option<Trouble> {
        let mismatch = self.number_mismatch(bridges);
        let id = mismatch.map(|(_, id)| id.clone());
        let is_news = id.is_some() && id != self.other_id;
        self.other_id = id;
        self.number_mismatch(bridges).filter(|_| is_news).map(|(bridge, id)| self.mismatch_trouble(bridge, id))
    }

    fn number_mismatch<'b>(&self, bridges: &'b [Arc<Bridge>]) -> Option<(&'b Bridge, &'b HostId)> {
        let own = HostId::from(self.row.number);
        bridges.iter().find_map(|bridge| Some((&**bridge, bridge.host_id.as_ref().filter(|id| **id != own)?)))
    }

    fn mismatch_trouble(&self, bridge: &Bridge, id: &HostId) -> Trouble {
        let own = self.row.number;
        new_trouble(
            "host_id_mismatch",
            format!("bridge {} has the host id {id}, and the host is registered as number {own}", bridge.name),
            "give the host the number that its bridges have: ovstunnelctl zone host renumber",
        )
    }

    /// How it is, by what is wrong with it.
    pub fn host_state(&self, troubles: &[Trouble]) -> HostState {
        match (&self.connection, troubles) {
            (Connection::Trying, _) => HostState::Connecting,
            (Connection::Down(_), _) => HostState::Silent,
            (Connection::Up, []) => HostState::Ok,
            (Connection::Up, _) => HostState::Degraded,
        }
    }

    /// Until when its faults are not told, where that is not over.
    pub(super) fn maintenance_until(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        self.maintenance.filter(|until| *until > now)
    }

    /// Why it cannot be asked, where it cannot.
    pub(super) fn silence_trouble(&self) -> Option<Trouble> {
        match &self.connection {
            Connection::Down(Silence { kind, evidence, remedy }) => Some(new_trouble(kind, evidence.clone(), remedy)),
            _ => None,
        }
    }

    /// What is wrong with it, the worst first. `bridges` are those that it has, `missed` the networks of which others have tunnels to
    /// it, where it has none.
    pub fn all_troubles(&self, bridges: &[Arc<Bridge>], missed: &[String]) -> Vec<Trouble> {
        let silent = self.silence_trouble();
        let empty = (self.is_connected() && !missed.is_empty()).then(|| returned_empty(missed));
        let mismatch = self.number_mismatch(bridges).map(|(bridge, id)| self.mismatch_trouble(bridge, id));
        let health = self.told.iter().flat_map(|told| {
            let reasons = told.health.reasons.iter().filter(|_| told.health.state != HealthState::Ok);
            reasons.map(|reason| Trouble {
                kind: reason.what.clone(),
                evidence: format!("{}: {}", reason.subject, reason.evidence),
                remedy: reason.remedy.clone(),
            })
        });
        let certificate = self.certificate.trouble.clone();
        let unled = self.unled.clone().filter(|_| self.is_connected());
        let own = silent.into_iter().chain(empty).chain(unled).chain(mismatch).chain(self.endpoint_trouble.clone());
        own.chain(health).chain(self.clock.trouble()).chain(certificate).collect()
    }
}

pub(super) fn new_trouble(kind: &str, evidence: String, remedy: &str) -> Trouble {
    Trouble { kind: kind.to_owned(), evidence, remedy: remedy.to_owned() }
}

/// Networks that are named where a host has come back with none.
const NAMED: usize = 3;

fn returned_empty(missed: &[String]) -> Trouble {
    let names: Vec<&str> = missed.iter().take(NAMED).map(String::as_str).collect();
    let more = missed.len().checked_sub(NAMED + 1).map(|_| format!(" and {} more", missed.len() - NAMED));
    let evidence =
        format!("it has no bridge, and tunnels of others lead to it: {}{}", names.join(", "), more.unwrap_or_default());
    let remedy =
        "have the management server set its networks up again; `ovstunnelctl zone plan NETWORK` says what that takes";
    new_trouble("returned_empty", evidence, remedy)
}

/// Whether the plugin has let go of a bridge.
fn is_let_go(bridge: &Bridge) -> bool {
    bridge.last_call.is_some_and(|last| last.call == Call::Destroy)
}

/// Nothing is known of this key on this host any more.
fn forget_host<T>(known: &mut BTreeMap<GreKey, BTreeMap<HostNumber, T>>, key: GreKey, host: HostNumber) {
    if let Some(hosts) = known.get_mut(&key) {
        hosts.remove(&host);
        if hosts.is_empty() {
            known.remove(&key);
        }
    }
}

impl State {
    pub(super) fn register_host(&mut self, row: Row, now: Moment) {
        let number = row.number;
        if let Some(before) = self.hosts.get(&number) {
            self.names.remove(&before.row.name);
        }
        self.names.insert(row.name.clone(), number);
        let fresh = observed::Host {
            mode: observed::Mode::Observe,
            has_xapi: false,
            snapshot: None,
            heard: now,
            is_connected: false,
            has_told_address: false,
            switch_fault: None,
        };
        self.seen.entry(number).or_insert(fresh);
        match self.hosts.get_mut(&number) {
            Some(host) => host.row = row,
            None => {
                self.hosts.insert(number, Registered::new(row));
                self.rows_around_due(number);
            }
        }
        self.may_change(number);
        self.changed_of(number);
    }

    pub(super) fn unregister_host(&mut self, number: HostNumber) {
        self.changed_of(number);
        self.rows_around_due(number);
        self.replace_snapshot(number, Snapshot::new("", 0, Vec::<Bridge>::new()));
        self.endpoints.remove(number);
        self.seen.remove(&number);
        let keys: Vec<GreKey> = self.destroyed.keys().copied().collect();
        keys.into_iter().for_each(|key| forget_host(&mut self.destroyed, key, number));
        if let Some(host) = self.hosts.remove(&number) {
            self.names.remove(&host.row.name);
        }
    }

    pub(super) fn seen_as(&mut self, number: HostNumber, change: impl FnOnce(&mut observed::Host)) {
        if let Some(seen) = self.seen.get_mut(&number) {
            change(seen);
        }
    }

    /// Whether the host's daemon can ask Open vSwitch, by its health. Says whether that is news.
    pub(super) fn switch_fault(&mut self, number: HostNumber) -> bool {
        let told = self.hosts.get(&number).and_then(Registered::daemon_facts);
        let reasons = told.into_iter().flat_map(|told| &told.health.reasons);
        let fault = reasons.filter(|reason| reason.what == "openvswitch").map(unmet_requirement).next();
        let Some(seen) = self.seen.get_mut(&number).filter(|seen| seen.switch_fault != fault) else { return false };
        seen.switch_fault = fault;
        self.changed_of(number);
        true
    }

    /// The networks of a host that has no bridge at all, of which others that answer have tunnels to it.
    pub(super) fn missed_networks(&self, number: HostNumber) -> Vec<String> {
        let has_spoken_of_none = |seen: &observed::Host| seen.snapshot.as_ref().is_some_and(|s| s.bridges().is_empty());
        if !self.seen.get(&number).is_some_and(has_spoken_of_none) {
            return Vec::new();
        }
        let missed = self.sight.keys_of(number).filter(|key| self.is_missed(*key, number));
        missed.map(|key| self.network_name(key)).collect()
    }

    /// Whether a host is of a network's mesh, and one of the others that answer has a tunnel to it. What a host said that is silent since is old.
    fn is_missed(&self, key: GreKey, number: HostNumber) -> bool {
        let Some(known) = self.networks.get(&key).filter(|known| known.mesh.has_member(number)) else { return false };
        let answering = known.mesh.members().filter_map(|other| self.seen.get(&other)).filter(|seen| seen.is_connected);
        let mut bridges = answering.filter_map(|seen| seen.snapshot.as_ref()).flat_map(|said| said.bridges_of(key));
        bridges
            .any(|bridge| bridge.tunnels.iter().any(|tunnel| tunnel.key == key && tunnel.peer_number() == Some(number)))
    }

    /// What is to be told of a host that has said something: kind, name, sentence. `had` is how many bridges it had before it came back,
    /// where it has just done so.
    pub(super) fn return_events(
        &mut self,
        number: HostNumber,
        had: Option<usize>,
    ) -> Vec<(&'static str, String, String)> {
        let snapshot = self.seen.get(&number).and_then(|seen| seen.snapshot.as_ref());
        let (Some(host), Some(snapshot)) = (self.hosts.get_mut(&number), snapshot) else { return Vec::new() };
        let name = host.row.name.clone();
        let empty = had.filter(|had| *had > 0 && snapshot.bridges().is_empty()).map(|had| {
            ("host_returned_empty", name.clone(), format!("host {name} has come back without a bridge; it had {had}"))
        });
        let other = host.other_id_told(snapshot.bridges());
        let other =
            other.map(|trouble| ("host_id_mismatch", name.clone(), format!("host {name}: {}", trouble.evidence)));
        empty.into_iter().chain(other).collect()
    }

    /// Each network that the host is a part of has changed.
    pub(super) fn changed_of(&mut self, number: HostNumber) {
        self.changed.extend(self.sight.keys_of(number));
        let stands = self.standing.iter().filter(|(_, hosts)| hosts.contains_key(&number));
        self.changed.extend(stands.map(|(key, _)| *key));
    }

    /// What a host has now. Networks of which nothing has changed stay proven.
    pub(super) fn replace_snapshot(&mut self, number: HostNumber, new: Snapshot) {
        let has_xapi = self.hosts.get(&number).and_then(Registered::daemon_facts);
        let has_xapi = has_xapi.is_some_and(|told| told.capabilities.iter().any(|word| word == "xapi"));
        let Some(seen) = self.seen.get_mut(&number) else { return };
        seen.has_xapi = has_xapi;
        let old = seen.snapshot.take();
        let has_not_spoken = old.is_none();
        let old = old.as_ref().map(Snapshot::bridges).unwrap_or_default();
        // Both are in the order of their names.
        let same: BTreeSet<&str> = {
            let by_name = |name: &str| old.binary_search_by(|bridge| bridge.name.as_str().cmp(name)).ok();
            // Those that are shared are not even looked into.
            let is_same =
                |bridge: &&Arc<Bridge>| by_name(bridge.name.as_str()).is_some_and(|index| old[index] == **bridge);
            new.bridges().iter().filter(is_same).map(|bridge| bridge.name.as_str()).collect()
        };
        let differs = |bridge: &&Arc<Bridge>| !same.contains(bridge.name.as_str());
        let (gone, come) = (old.iter().filter(differs), new.bridges().iter().filter(differs));
        self.changed.extend(gone.clone().chain(come.clone()).flat_map(|bridge| bridge.keys()));
        if has_not_spoken || gone.clone().chain(come.clone()).next().is_some() {
            self.rows.insert(number, has_not_spoken);
        }
        gone.for_each(|bridge| self.sight.remove_bridge(number, bridge));
        for bridge in come {
            self.sight.add_bridge(number, bridge);
            for key in bridge.keys() {
                forget_host(&mut self.destroyed, *key, number);
                // It is there; were it to go, xapi is asked anew, which may have another one then.
                forget_host(&mut self.made, *key, number);
                let is_same = |there: &&Arc<Bridge>| there.has_key(*key) && (!is_let_go(there) || is_let_go(bridge));
                if !old.iter().any(|there| is_same(&there)) {
                    // What was said of an earlier bridge, or is not said any more, does not count.
                    forget_host(&mut self.standing, *key, number);
                }
            }
        }
        match bfd::is_deaf(&new) {
            true => self.deaf.insert(number),
            false => self.deaf.remove(&number),
        };
        seen.snapshot = Some(new);
    }
}
