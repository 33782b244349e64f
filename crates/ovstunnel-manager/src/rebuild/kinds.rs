//! The kind of a network's tunnels, as its bridges tell it after the record of it was lost.
//!
//! What it does: takes the kind that all have; in the middle of a change the one to which the hosts can all be led. What it must not do: choose
//! where hosts do not hear each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ovstunnel_api::Bridge;
use ovstunnel_types::{GreKey, TunnelKind};

/// What a host's bridge has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostKind {
    host: String,
    sends: TunnelKind,
    second: Option<TunnelKind>,
}

impl HostKind {
    pub(super) fn of_bridge(host: &str, bridge: &Bridge) -> HostKind {
        let second = bridge.second.as_ref().map(|second| second.kind);
        HostKind { host: host.to_owned(), sends: bridge.kind, second }
    }

    fn has_alone(&self, kind: TunnelKind) -> bool {
        self.sends == kind && self.second.is_none()
    }
}

impl fmt::Display for HostKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.second {
            None => write!(f, "host {} has {}", self.host, self.sends),
            Some(second) => write!(f, "host {} sends by {} and receives by {second} too", self.host, self.sends),
        }
    }
}

/// The kind that a network is to have: what the list says; else the one that all its bridges have. In the middle of a change it is the one that
/// hosts have alone already or still, for whoever has both can go there; where all have both, the one by which most send. None where hosts have
/// more than two kinds, or some one kind alone and some another.
pub(super) fn choose_kind(hosts: &[HostKind], listed: Option<TunnelKind>) -> Option<TunnelKind> {
    if listed.is_some() {
        return listed;
    }
    let all: BTreeSet<TunnelKind> = hosts.iter().flat_map(|host| [Some(host.sends), host.second]).flatten().collect();
    let alone: BTreeSet<TunnelKind> =
        all.iter().copied().filter(|kind| hosts.iter().any(|host| host.has_alone(*kind))).collect();
    match (all.len(), alone.len()) {
        (3.., _) | (_, 2..) => None,
        (_, 1) => alone.first().copied(),
        _ => {
            let mut senders: BTreeMap<TunnelKind, usize> = BTreeMap::new();
            hosts.iter().for_each(|host| *senders.entry(host.sends).or_default() += 1);
            senders.into_iter().max_by_key(|(_, many)| *many).map(|(kind, _)| kind)
        }
    }
}

/// That hosts are not all where they are led.
pub(super) fn change_note(network: &str, key: GreKey, hosts: &[HostKind], kind: TunnelKind) -> Option<String> {
    if hosts.iter().all(|host| host.has_alone(kind)) {
        return None;
    }
    let there: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    Some(format!(
        "network {network} is to have tunnels of kind {kind}, which not all of its bridges have alone: {}; a manager that may act leads them \
         there, step by step. For another kind: kind in the list's [[networks]] with key {key}",
        there.join("; ")
    ))
}
