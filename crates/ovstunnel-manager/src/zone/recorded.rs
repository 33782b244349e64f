//! The networks that are recorded, with their NICs.
//!
//! What it does: names networks, and knows which hosts their NICs are on. What it must not do: keep anything in the database, or judge which
//! hosts belong to a network.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ovstunnel_mesh::membership::{Attachment, Says};
use ovstunnel_mesh::{Mesh, Moment, observed};
use ovstunnel_server::trace;
use ovstunnel_store::{NetworkRow, NicRow};
use ovstunnel_types::{BridgeName, GreKey, HostNumber, NetworkNumber, TunnelKind};
use tracing::Span;

use super::{State, Zone, network};

/// A network that is recorded.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// What is recorded of it.
    pub row: NetworkRow,
    /// Its NICs by their ids.
    pub nics: BTreeMap<String, NicRow>,
    /// Whether it ever had a NIC: otherwise somebody else looks after its VMs.
    pub had_nics: bool,
    /// Whether its key was allocated to it by its first NIC.
    pub is_implemented: bool,
    /// The kind that its tunnels are to have; each host's own where nothing is said.
    pub kind: Option<TunnelKind>,
    /// The bridges that were asked for by name.
    pub asked: BTreeMap<HostNumber, BridgeName>,
    /// The hosts of which somebody let go by name, and that may have something of it still.
    pub released: BTreeSet<HostNumber>,
    /// When NICs on a host last came or went.
    pub(super) since: BTreeMap<HostNumber, Moment>,
    /// Since when each NIC moves that does, as far as this manager knows.
    moving: BTreeMap<String, Moment>,
}

impl Recorded {
    /// A network without NICs.
    pub fn new(row: NetworkRow) -> Recorded {
        Recorded {
            row,
            nics: BTreeMap::new(),
            had_nics: false,
            is_implemented: false,
            kind: None,
            asked: BTreeMap::new(),
            released: BTreeSet::new(),
            since: BTreeMap::new(),
            moving: BTreeMap::new(),
        }
    }

    /// How many NICs are on a host or moving to it.
    pub fn nics_on(&self, host: HostNumber) -> usize {
        self.nics.values().filter(|nic| nic.is_on(host)).count()
    }

    /// The hosts that have NICs of it.
    pub fn hosts(&self) -> BTreeSet<HostNumber> {
        self.nics.values().flat_map(|nic| std::iter::once(nic.host).chain(nic.moving_to)).collect()
    }

    /// The NICs that have been moving for so long.
    pub fn moving_for(&self, least: Duration, now: Moment) -> impl Iterator<Item = &NicRow> {
        let long = self.moving.iter().filter(move |(_, since)| now.since(**since) >= least);
        long.filter_map(|(id, _)| self.nics.get(id))
    }

    /// When a NIC last came or went, since the manager's start.
    pub fn last_change(&self) -> Option<Moment> {
        self.since.values().copied().max()
    }

    /// Takes in a NIC as it is now, or that it is gone.
    pub fn place_nic(&mut self, id: &str, nic: Option<NicRow>, now: Moment) {
        match nic.as_ref().is_some_and(|nic| nic.moving_to.is_some()) {
            true => drop(self.moving.entry(id.to_owned()).or_insert(now)),
            false => drop(self.moving.remove(id)),
        }
        let before = match nic {
            Some(nic) => {
                self.had_nics = true;
                self.since.extend(std::iter::once(nic.host).chain(nic.moving_to).map(|host| (host, now)));
                self.nics.insert(id.to_owned(), nic)
            }
            None => self.nics.remove(id),
        };
        let before: Vec<HostNumber> =
            before.into_iter().flat_map(|nic| std::iter::once(nic.host).chain(nic.moving_to)).collect();
        self.since.extend(before.iter().map(|host| (*host, now)));
        let hosts = self.hosts();
        self.released.extend(before);
        self.released.retain(|host| !hosts.contains(host));
        self.asked.retain(|host, _| hosts.contains(host));
    }
}

/// The networks that are recorded, by all that they are asked by.
#[derive(Debug, Default)]
pub(super) struct Networks {
    all: BTreeMap<NetworkNumber, Recorded>,
    names: BTreeMap<String, NetworkNumber>,
    keys: BTreeMap<GreKey, NetworkNumber>,
    /// Where the last request to each network stands in a trace, until it is carried out.
    causes: BTreeMap<GreKey, String>,
}

impl Networks {
    pub fn of_key(&self, key: GreKey) -> Option<&Recorded> {
        self.all.get(self.keys.get(&key)?)
    }

    pub fn by_name(&self, name: &str) -> Option<&Recorded> {
        self.all.get(self.names.get(name)?)
    }

    pub fn all(&self) -> impl Iterator<Item = &Recorded> {
        self.all.values()
    }

    /// Those that have no key yet.
    pub fn without_key(&self) -> impl Iterator<Item = &Recorded> {
        self.all.values().filter(|network| network.row.key.is_none())
    }

    pub fn of_key_mut(&mut self, key: GreKey) -> Option<&mut Recorded> {
        self.all.get_mut(self.keys.get(&key)?)
    }

    fn put_network(&mut self, network: Recorded) {
        let number = network.row.number;
        self.remove_network(number);
        self.names.insert(network.row.name.clone(), number);
        self.keys.extend(network.row.key.map(|key| (key, number)));
        self.all.insert(number, network);
    }

    fn remove_network(&mut self, number: NetworkNumber) -> Option<Recorded> {
        let before = self.all.remove(&number)?;
        self.names.remove(&before.row.name);
        if let Some(key) = before.row.key {
            self.keys.remove(&key);
        }
        Some(before)
    }
}

impl State {
    /// The name of the network that has a key.
    pub(super) fn network_name(&self, key: GreKey) -> String {
        self.recorded.of_key(key).map_or_else(|| network::default_name(key), |network| network.row.name.clone())
    }

    /// The mesh of the network with this key among hosts that stand to it like this.
    pub(super) fn network_mesh(
        &self,
        key: GreKey,
        network: Option<&Recorded>,
        hosts: &BTreeMap<HostNumber, Attachment>,
    ) -> Option<Mesh> {
        // A key is a number from 1 to 2^31-1. It stands for the network here, recorded or not: of one key there is one network.
        let number = NetworkNumber::try_from(u64::from(key.get())).ok()?;
        let ipv6 = network.and_then(|network| network.row.ipv6);
        let mut mesh = Mesh::new(number, key, ipv6, hosts, &self.endpoints);
        mesh.guest_mtu = network.and_then(|network| network.row.mtu);
        mesh.kind = network.and_then(|network| network.kind);
        Some(mesh)
    }

    /// Networks of which a host leaves by now have changed.
    pub(super) fn judge_again(&mut self, now: Moment) {
        let due: Vec<GreKey> = self.again.iter().filter(|(_, at)| **at <= now).map(|(key, _)| *key).collect();
        for key in due {
            self.again.remove(&key);
            self.changed.insert(key);
        }
    }

    /// Whatever a network is from now on, what was known by its key before is looked at anew.
    fn record_network(&mut self, network: Recorded) {
        let before = self.recorded.remove_network(network.row.number);
        if before.is_none() {
            // How hosts stood to the key while no network had it is not how they stand to this one.
            network.row.key.map(|key| self.standing.remove(&key));
        }
        self.changed.extend(before.as_ref().and_then(|before| before.row.key));
        self.changed.extend(network.row.key);
        let keys = [before.and_then(|before| before.row.key), network.row.key];
        self.recorded.put_network(network);
        keys.into_iter().flatten().for_each(|key| self.rows_of_network_due(key));
    }

    /// Ends what was known of a network that nobody names and no host has.
    fn drop_unless_seen(&mut self, key: GreKey) {
        self.again.remove(&key);
        self.standing.remove(&key);
        if !self.sight.hosts_of(key).is_empty() {
            self.changed.insert(key);
            return;
        }
        self.changed.remove(&key);
        self.restless.remove(&key);
        if let Some(known) = self.networks.remove(&key) {
            self.prover.forget_network(known.mesh.network);
        }
    }
}

impl Zone {
    /// A network is recorded, or recorded otherwise than before. What was known of its NICs stays.
    pub fn record_network(&self, row: NetworkRow) {
        let mut state = self.lock_state();
        let known = state.recorded.all.get(&row.number).cloned();
        let network = known.map_or_else(|| Recorded::new(row.clone()), |known| Recorded { row: row.clone(), ..known });
        state.record_network(network);
        drop(state);
        self.wake_prover();
    }

    /// Whether the key of a network was allocated to it by its first NIC.
    pub fn set_implemented(&self, number: NetworkNumber, is_implemented: bool) {
        if let Some(network) = self.lock_state().recorded.all.get_mut(&number) {
            network.is_implemented = is_implemented;
        }
    }

    /// The kind that a network's tunnels are to have.
    pub fn set_kind(&self, number: NetworkNumber, kind: TunnelKind) {
        let mut state = self.lock_state();
        let Some(network) = state.recorded.all.get(&number).cloned() else { return };
        state.record_network(Recorded { kind: Some(kind), ..network });
        drop(state);
        self.wake_prover();
    }

    /// All networks that are recorded and hold of which this is true.
    pub fn recorded_where(&self, is_meant: impl Fn(&Recorded) -> bool) -> Vec<Recorded> {
        self.lock_state().recorded.all.values().filter(|network| is_meant(network)).cloned().collect()
    }

    /// A network as it was recorded, with its NICs.
    pub fn restore_network(&self, network: Recorded) {
        self.lock_state().record_network(network);
        self.wake_prover();
    }

    /// A network stands in the database like this, whoever wrote it. What differs from what was known is taken in as if it happened now. Whether
    /// anything did.
    pub fn renew_network(&self, found: &Recorded) -> bool {
        let now = self.now();
        let mut state = self.lock_state();
        let known = state.recorded.all.get(&found.row.number);
        let is_same = |known: &Recorded| {
            let flags = |of: &Recorded| (of.had_nics, of.is_implemented, of.kind);
            known.row == found.row
                && known.nics == found.nics
                && known.asked == found.asked
                && flags(known) == flags(found)
        };
        if known.is_some_and(is_same) {
            return false;
        }
        let mut next = known.cloned().unwrap_or_else(|| Recorded::new(found.row.clone()));
        next.row = found.row.clone();
        let gone: Vec<String> = next.nics.keys().filter(|id| !found.nics.contains_key(*id)).cloned().collect();
        gone.iter().for_each(|id| next.place_nic(id, None, now));
        for (id, nic) in found.nics.iter().filter(|(id, nic)| next.nics.get(*id) != Some(nic)).collect::<Vec<_>>() {
            next.place_nic(id, Some(nic.clone()), now);
        }
        next.had_nics |= found.had_nics;
        next.is_implemented = found.is_implemented;
        next.kind = found.kind;
        next.asked = found.asked.clone();
        state.record_network(next);
        drop(state);
        self.wake_prover();
        true
    }

    /// A network is no longer recorded.
    pub fn forget_network(&self, number: NetworkNumber) {
        let mut state = self.lock_state();
        if let Some(key) = state.recorded.remove_network(number).and_then(|network| network.row.key) {
            state.drop_unless_seen(key);
            state.rows_of_network_due(key);
            state.recorded.causes.remove(&key);
        }
        drop(state);
        self.wake_prover();
    }

    /// A NIC is where it is said, or nowhere any more. `bridge` is the one that was asked for on a host by name.
    pub fn place_nic(
        &self,
        network: NetworkNumber,
        id: &str,
        nic: Option<NicRow>,
        bridge: Option<(HostNumber, BridgeName)>,
    ) {
        let now = self.now();
        let mut state = self.lock_state();
        let Some(recorded) = state.recorded.all.get_mut(&network) else { return };
        recorded.place_nic(id, nic, now);
        recorded.asked.extend(bridge);
        let key = recorded.row.key;
        state.changed.extend(key);
        if state.acts {
            state.recorded.causes.extend(key.zip(trace::parent_of(&Span::current())));
        }
        drop(state);
        self.wake_prover();
    }

    /// The request that has changed a network last and that is not carried out yet: where it stands in a trace.
    pub fn cause_of(&self, key: GreKey) -> Option<String> {
        self.lock_state().recorded.causes.get(&key).cloned()
    }

    /// What has changed a network is carried out, if it was this.
    pub fn forget_cause(&self, key: GreKey, cause: &str) {
        let causes = &mut self.lock_state().recorded.causes;
        if causes.get(&key).is_some_and(|last| last == cause) {
            causes.remove(&key);
        }
    }

    /// The network that is recorded by this name.
    pub fn recorded_network(&self, name: &str) -> Option<Recorded> {
        self.lock_state().recorded.by_name(name).cloned()
    }

    /// The names of the networks that are recorded, by number.
    pub fn recorded_names(&self) -> BTreeMap<NetworkNumber, String> {
        let state = self.lock_state();
        state.recorded.all.iter().map(|(number, network)| (*number, network.row.name.clone())).collect()
    }

    /// The keys of the networks that are recorded.
    pub fn recorded_keys(&self) -> Vec<(NetworkNumber, GreKey)> {
        let state = self.lock_state();
        state.recorded.all.values().filter_map(|network| Some((network.row.number, network.row.key?))).collect()
    }

    /// Of each key that is somewhere, the first host that has or may have it.
    pub fn first_hosts(&self) -> Vec<(GreKey, HostNumber)> {
        self.lock_state().sight.first_hosts().collect()
    }

    /// What the VIFs on a host say of its VMs of a network, as far as they can tell now.
    pub fn vifs_say(&self, key: GreKey, host: HostNumber) -> Says {
        self.lock_state().vifs_say(key, host, self.now())
    }

    /// Whether a host has something of a network, or had when it last told.
    pub fn is_seen(&self, key: GreKey) -> bool {
        self.lock_state().sight.keys_hosts(key).next().is_some()
    }

    /// The first network, by number, that a physical network has and of which this holds.
    pub fn network_on(&self, physical: &str, is_meant: impl Fn(&NetworkRow) -> bool) -> Option<NetworkRow> {
        let state = self.lock_state();
        let mut rows = state.recorded.all.values().map(|network| &network.row);
        rows.find(|row| row.physical_network == physical && is_meant(row)).cloned()
    }

    /// Which hosts have bridges with which keys, as they said last, and how many each has with it.
    pub fn keys_seen(&self) -> BTreeMap<GreKey, BTreeMap<HostNumber, usize>> {
        let mut found: BTreeMap<GreKey, BTreeMap<HostNumber, usize>> = BTreeMap::new();
        for (host, seen) in &self.lock_state().seen {
            let bridges = seen.snapshot.iter().flat_map(|snapshot| snapshot.bridges());
            for key in bridges.flat_map(|bridge| bridge.keys()) {
                *found.entry(*key).or_default().entry(*host).or_default() += 1;
            }
        }
        found
    }

    /// The registered hosts that can tell now which keys they have.
    pub fn reporting_hosts(&self) -> BTreeSet<HostNumber> {
        let state = self.lock_state();
        let speaks =
            |seen: &observed::Host| seen.is_connected && seen.snapshot.is_some() && seen.switch_fault.is_none();
        state.seen.iter().filter(|(_, seen)| speaks(seen)).map(|(host, _)| *host).collect()
    }

    /// The registered hosts.
    pub fn registered_numbers(&self) -> BTreeSet<HostNumber> {
        self.lock_state().hosts.keys().copied().collect()
    }
}
