//! Which NIC or host is meant by a word, and in which network two of them meet. Must not ask a host.

use std::collections::BTreeSet;

use ovstunnel_manager_api::PathEnd;
use ovstunnel_store::NicRow;
use ovstunnel_types::{GreKey, HostNumber};

use super::{State, Zone};

/// One end of a way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The host.
    pub host: HostNumber,
    /// Its name.
    pub name: String,
    /// The NIC, where the word meant one.
    pub nic: Option<NicRow>,
}

impl End {
    /// On the wire.
    pub fn to_wire(&self) -> PathEnd {
        let nic = self.nic.as_ref();
        PathEnd {
            host: self.name.clone(),
            nic: nic.map(|nic| nic.id.clone()),
            vm: nic.and_then(|nic| nic.vm.clone()),
            mac: nic.and_then(|nic| nic.mac.map(|mac| mac.to_string())),
            ip: nic.and_then(|nic| nic.ip.map(|ip| ip.to_string())),
        }
    }
}

/// The networks of both ends: one and the same, or two tiers of a VPC whose bridges route between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// That of the first end.
    pub from: GreKey,
    /// That of the other one.
    pub to: GreKey,
}

impl Meeting {
    /// The way back.
    pub fn reversed(self) -> Meeting {
        Meeting { from: self.to, to: self.from }
    }

    /// Whether packets are routed between the two.
    pub fn is_routed(self) -> bool {
        self.from != self.to
    }
}

/// Why it is not known what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndsError {
    /// Nothing has this name.
    #[error("no registered host has the name {0}, and no recorded NIC the id, VM, MAC or IP address {0}")]
    Unknown(String),
    /// They have no network in common.
    #[error("{from} and {to} have no network in common")]
    NoNetwork {
        /// The one.
        from: String,
        /// The other.
        to: String,
    },
    /// They have several networks, or pairs of tiers, in common.
    #[error("{from} and {to} have several networks in common ({networks}): say which")]
    Several {
        /// The one.
        from: String,
        /// The other.
        to: String,
        /// The first of these networks.
        networks: String,
    },
    /// A word means several NICs of the network.
    #[error("{word} means several NICs of network {network} ({nics}): give the id of one")]
    Ambiguous {
        /// The word.
        word: String,
        /// The network.
        network: String,
        /// Their ids.
        nics: String,
    },
}

/// Names that an error gives.
const NAMED: usize = 5;

fn is_meant(nic: &NicRow, word: &str) -> bool {
    nic.id == word
        || nic.vm.as_deref() == Some(word)
        || nic.mac.is_some_and(|mac| word.parse() == Ok(mac))
        || nic.ip.is_some_and(|ip| word.parse() == Ok(ip))
}

impl State {
    /// Each thing that a word means, with the keys of the networks that it is in.
    fn word_meanings(&self, word: &str) -> Vec<(End, BTreeSet<GreKey>)> {
        if let Some(host) = self.names.get(word).copied() {
            let keys = self.networks.iter().filter(|(_, known)| known.mesh.has_member(host)).map(|(key, _)| *key);
            return vec![(End { host, name: word.to_owned(), nic: None }, keys.collect())];
        }
        let nics = self.recorded.all().filter_map(|network| Some((network.row.key?, network)));
        let nics = nics.flat_map(|(key, network)| network.nics.values().map(move |nic| (key, nic)));
        let nics = nics.filter(|(_, nic)| is_meant(nic, word));
        nics.map(|(key, nic)| {
            let end = End { host: nic.host, name: self.name_of(nic.host), nic: Some(nic.clone()) };
            (end, BTreeSet::from([key]))
        })
        .collect()
    }
}

/// A thing that a word means, and the networks that it is in.
type Meant = (End, BTreeSet<GreKey>);

impl State {
    /// Whether a host's bridge of the one network routes into the other one, as a VPC's does.
    fn is_routed_at(&self, host: HostNumber, one: GreKey, other: GreKey) -> bool {
        let snapshot = self.seen.get(&host).and_then(|seen| seen.snapshot.as_ref());
        snapshot.is_some_and(|snapshot| snapshot.bridges_of(one).any(|bridge| bridge.has_key(other)))
    }

    /// Two NICs in tiers of one VPC; all that these words may mean.
    fn routed_meetings(&self, one: &[Meant], other: &[Meant]) -> Vec<(Meeting, End, End)> {
        let nics = |meant: &[Meant]| {
            let of = |(end, keys): &Meant| keys.iter().map(|key| (*key, end.clone())).collect::<Vec<_>>();
            meant.iter().filter(|(end, _)| end.nic.is_some()).flat_map(of).collect::<Vec<_>>()
        };
        let (ours, theirs) = (nics(one), nics(other));
        let pairs = ours.iter().flat_map(|from| theirs.iter().map(move |to| (from, to)));
        let is_routed = |((from, near), (to, far)): &(&(GreKey, End), &(GreKey, End))| {
            from != to && [near, far].iter().all(|end| self.is_routed_at(end.host, *from, *to))
        };
        let meeting = |((from, near), (to, far)): (&(GreKey, End), &(GreKey, End))| {
            (Meeting { from: *from, to: *to }, near.clone(), far.clone())
        };
        pairs.filter(is_routed).map(meeting).collect()
    }
}

impl Zone {
    /// What two words mean, and in which network: the one that is given, or the only one that both are in; else in which two tiers of a VPC.
    ///
    /// # Errors
    /// A word means nothing or too much, or there is no such network or more than one.
    pub fn resolve_ends(
        &self,
        from: &str,
        to: &str,
        network: Option<GreKey>,
    ) -> Result<(Meeting, End, End), EndsError> {
        let state = self.lock_state();
        let (one, other) = (state.word_meanings(from), state.word_meanings(to));
        for (word, meant) in [(from, &one), (to, &other)] {
            if meant.is_empty() {
                return Err(EndsError::Unknown(word.to_owned()));
            }
        }
        let keys = |meant: &[(End, BTreeSet<GreKey>)]| -> BTreeSet<GreKey> {
            meant.iter().flat_map(|(_, keys)| keys.iter().copied()).collect()
        };
        let is_asked = |key: &GreKey| network.is_none_or(|network| *key == network);
        let shared: Vec<GreKey> = keys(&one).intersection(&keys(&other)).copied().filter(is_asked).collect();
        let (from_word, to_word) = (from.to_owned(), to.to_owned());
        let key = match shared[..] {
            [key] => key,
            [] => {
                let mut routed = if network.is_none() { state.routed_meetings(&one, &other) } else { Vec::new() };
                let names = |meeting: &Meeting| {
                    format!("{} to {}", state.network_name(meeting.from), state.network_name(meeting.to))
                };
                if routed.len() > 1 {
                    let networks: Vec<String> = routed.iter().take(NAMED).map(|(meeting, ..)| names(meeting)).collect();
                    return Err(EndsError::Several { from: from_word, to: to_word, networks: networks.join(", ") });
                }
                return routed.pop().ok_or(EndsError::NoNetwork { from: from_word, to: to_word });
            }
            _ => {
                let names: Vec<String> = shared.iter().take(NAMED).map(|key| state.network_name(*key)).collect();
                return Err(EndsError::Several { from: from_word, to: to_word, networks: names.join(", ") });
            }
        };
        let only = |word: &str, meant: Vec<(End, BTreeSet<GreKey>)>| {
            let mut here: Vec<End> =
                meant.into_iter().filter(|(_, keys)| keys.contains(&key)).map(|(end, _)| end).collect();
            if here.len() > 1 {
                let nics: Vec<String> =
                    here.iter().filter_map(|end| end.nic.as_ref()).take(NAMED).map(|nic| nic.id.clone()).collect();
                let (word, network) = (word.to_owned(), state.network_name(key));
                return Err(EndsError::Ambiguous { word, network, nics: nics.join(", ") });
            }
            here.pop().ok_or_else(|| EndsError::Unknown(word.to_owned()))
        };
        Ok((Meeting { from: key, to: key }, only(from, one)?, only(to, other)?))
    }
}
