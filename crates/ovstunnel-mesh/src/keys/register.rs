//! Which key belongs to which network, and which hosts may still have it.
//!
//! What it does: gives and takes back, with a quarantine that ends when every host that may have a key was seen without it. What it
//! must not do: forget a host because it is silent.

use std::collections::{BTreeMap, BTreeSet};

use ovstunnel_types::{GreKey, HostNumber, NetworkNumber};

use super::{Exhausted, Pool, Usage};
use crate::Moment;

/// What is known of a key that cannot be given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Entry {
    owner: Option<NetworkNumber>,
    /// The network that had it last; none for a key that was only seen.
    released_by: Option<NetworkNumber>,
    /// Hosts that may have it, each with the moment at which that was last so.
    hosts: BTreeMap<HostNumber, Moment>,
}

/// How it stands with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It can be given, if it is in range.
    Free,
    /// A network has it.
    InUse(NetworkNumber),
    /// It was released, and these hosts may still have it.
    Quarantined {
        /// The network that had it.
        by: NetworkNumber,
        /// The hosts that have not been seen without it since.
        waits_for: BTreeSet<HostNumber>,
    },
    /// These hosts were seen with it, and no network has or had it.
    Withdrawn(BTreeSet<HostNumber>),
}

/// Why a certain key is not given to a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is in none of the ranges.
    #[error("key {key} is not in {ranges} of the physical network {pool}")]
    OutOfRange {
        /// The key.
        key: GreKey,
        /// The ranges, as text.
        ranges: String,
        /// Name of the physical network.
        pool: String,
    },
    /// It is not free.
    #[error("key {key} is not free: {}", not_free(.state))]
    NotFree {
        /// The key.
        key: GreKey,
        /// How it stands with it.
        state: KeyState,
    },
    /// The network has another one.
    #[error("network {network} has key {has}, so it cannot get key {key}")]
    HasAnother {
        /// The network.
        network: NetworkNumber,
        /// The key that it has.
        has: GreKey,
        /// The key that was asked for.
        key: GreKey,
    },
}

fn not_free(state: &KeyState) -> String {
    let list = |hosts: &BTreeSet<HostNumber>| hosts.iter().map(HostNumber::to_string).collect::<Vec<_>>().join(", ");
    match state {
        KeyState::Free => "it is free".to_owned(),
        KeyState::InUse(network) => format!("network {network} has it"),
        KeyState::Quarantined { by, waits_for } => {
            format!("network {by} released it, and these hosts were not seen without it since: {}", list(waits_for))
        }
        KeyState::Withdrawn(hosts) => format!("it was seen without a network on these hosts: {}", list(hosts)),
    }
}

/// The keys of a zone. A key is in use once in it, whatever physical networks it is in range of.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    entries: BTreeMap<GreKey, Entry>,
    of: BTreeMap<NetworkNumber, GreKey>,
}

impl Keys {
    /// Nothing is given.
    pub fn new() -> Keys {
        Keys::default()
    }

    /// The key of a network.
    pub fn key_of(&self, network: NetworkNumber) -> Option<GreKey> {
        self.of.get(&network).copied()
    }

    /// How it stands with a key.
    pub fn key_state(&self, key: GreKey) -> KeyState {
        let Some(entry) = self.entries.get(&key) else { return KeyState::Free };
        let hosts = || entry.hosts.keys().copied().collect();
        match (entry.owner, entry.released_by) {
            (Some(owner), _) => KeyState::InUse(owner),
            (None, Some(by)) => KeyState::Quarantined { by, waits_for: hosts() },
            (None, None) => KeyState::Withdrawn(hosts()),
        }
    }

    /// All keys that are not free.
    pub fn iter(&self) -> impl Iterator<Item = (GreKey, KeyState)> + '_ {
        self.entries.keys().map(|key| (*key, self.key_state(*key)))
    }

    /// Gives a network a key: the one it has, else the next free one.
    ///
    /// # Errors
    /// No key of the pool is free.
    pub fn allocate_key(&mut self, network: NetworkNumber, pool: &mut Pool) -> Result<GreKey, Box<Exhausted>> {
        if let Some(key) = self.key_of(network) {
            return Ok(key);
        }
        let Some(key) = pool.next_fit(|key| !self.entries.contains_key(&key)) else {
            return Err(Box::new(self.pool_exhausted(pool)));
        };
        pool.last = Some(key);
        self.give_key(network, key);
        Ok(key)
    }

    /// Gives a network the key that it asks for.
    ///
    /// # Errors
    /// It is out of range or not free, or the network has another one. Nothing is changed then.
    pub fn claim_key(&mut self, network: NetworkNumber, key: GreKey, pool: &Pool) -> Result<(), Refused> {
        match self.key_of(network) {
            Some(has) if has == key => return Ok(()),
            Some(has) => return Err(Refused::HasAnother { network, has, key }),
            None => {}
        }
        if !pool.ranges.contains(key) {
            return Err(Refused::OutOfRange { key, ranges: pool.ranges.to_string(), pool: pool.name.clone() });
        }
        match self.key_state(key) {
            KeyState::Free => self.give_key(network, key),
            state => return Err(Refused::NotFree { key, state }),
        }
        Ok(())
    }

    /// Records, when a register is made anew, that a network has a key, in range or not.
    ///
    /// # Errors
    /// Another network has it, or this one has another.
    pub fn restore_key(&mut self, network: NetworkNumber, key: GreKey) -> Result<(), Refused> {
        match (self.key_of(network), self.key_state(key)) {
            (Some(has), _) if has != key => Err(Refused::HasAnother { network, has, key }),
            (None, state @ KeyState::InUse(_)) => Err(Refused::NotFree { key, state }),
            _ => {
                self.give_key(network, key);
                Ok(())
            }
        }
    }

    /// Records, when a register is made anew, that a key was released and that these hosts may still have it.
    ///
    /// # Errors
    /// A network has it.
    pub fn restore_quarantine(
        &mut self,
        key: GreKey,
        by: NetworkNumber,
        hosts: BTreeMap<HostNumber, Moment>,
    ) -> Result<(), Refused> {
        if let state @ KeyState::InUse(_) = self.key_state(key) {
            return Err(Refused::NotFree { key, state });
        }
        let entry = self.entries.entry(key).or_default();
        entry.released_by = Some(by);
        entry.hosts.extend(hosts);
        self.drop_unless_held(key);
        Ok(())
    }

    fn give_key(&mut self, network: NetworkNumber, key: GreKey) {
        let entry = self.entries.entry(key).or_default();
        entry.owner = Some(network);
        entry.released_by = None;
        self.of.insert(network, key);
    }

    /// Ends a network's part in its key. It is in quarantine until every host that may have it was seen without it.
    pub fn release_key(&mut self, network: NetworkNumber) -> Option<GreKey> {
        let key = self.of.remove(&network)?;
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.owner = None;
            entry.released_by = Some(network);
        }
        self.drop_unless_held(key);
        Some(key)
    }

    /// A host may have a key from now on. To be said before a request that gives it the key is sent, and again when the answer is
    /// there or its deadline has passed: a picture of the host that is older does not tell what became of it.
    pub fn may_have(&mut self, host: HostNumber, key: GreKey, at: Moment) {
        let last = self.entries.entry(key).or_default().hosts.entry(host).or_insert(at);
        *last = at.max(*last);
    }

    /// A host was seen as a whole: it had exactly these keys at that moment.
    pub fn host_seen(&mut self, host: HostNumber, keys: &BTreeSet<GreKey>, as_of: Moment) {
        for key in keys {
            self.may_have(host, *key, as_of);
        }
        self.end_quarantine(host, |key, last| !keys.contains(&key) && last < as_of);
    }

    /// A host has none of the keys any more and will not come back with one: an operator's word.
    pub fn host_wiped(&mut self, host: HostNumber) {
        self.end_quarantine(host, |_, _| true);
    }

    fn end_quarantine(&mut self, host: HostNumber, ends: impl Fn(GreKey, Moment) -> bool) {
        self.entries.retain(|key, entry| {
            if entry.hosts.get(&host).is_some_and(|last| ends(*key, *last)) {
                entry.hosts.remove(&host);
            }
            entry.owner.is_some() || !entry.hosts.is_empty()
        });
    }

    fn drop_unless_held(&mut self, key: GreKey) {
        if self.entries.get(&key).is_some_and(|entry| entry.owner.is_none() && entry.hosts.is_empty()) {
            self.entries.remove(&key);
        }
    }

    /// How full a pool is.
    pub fn pool_usage(&self, pool: &Pool) -> Usage {
        let mut usage = Usage { size: pool.ranges.size(), in_use: 0, quarantined: 0, withdrawn: 0 };
        for entry in self.entries_within(pool) {
            match (entry.owner, entry.released_by) {
                (Some(_), _) => usage.in_use += 1,
                (None, Some(_)) => usage.quarantined += 1,
                (None, None) => usage.withdrawn += 1,
            }
        }
        usage
    }

    fn entries_within<'a>(&'a self, pool: &'a Pool) -> impl Iterator<Item = &'a Entry> {
        pool.ranges.iter().flat_map(|(first, last)| self.entries.range(first..=last).map(|(_, entry)| entry))
    }

    fn pool_exhausted(&self, pool: &Pool) -> Exhausted {
        let mut waits_for = BTreeMap::new();
        for entry in self.entries_within(pool).filter(|entry| entry.owner.is_none() && entry.released_by.is_some()) {
            for host in entry.hosts.keys() {
                *waits_for.entry(*host).or_insert(0) += 1;
            }
        }
        Exhausted { pool: pool.name.clone(), ranges: pool.ranges.clone(), usage: self.pool_usage(pool), waits_for }
    }
}
