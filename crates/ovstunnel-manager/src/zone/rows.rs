//! The rows of `ovs_tunnel_network` that a host's own words and refusals come to, and of which hosts they may be others than they were.
//!
//! What it must not do: read or write the table, or say what there should be: rows tell what was seen.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ovstunnel_mesh::observed::Tunnel;
use ovstunnel_store::{HostTunnels, RowState, TunnelRow};
use ovstunnel_types::{GreKey, HostNumber, NetworkNumber, TunnelState};
use tokio::sync::Notify;

use super::{State, Zone};

/// What is added to a key for the number of a network of which nothing else is known: far above all numbers that are given out, and the key can
/// be read in it.
const UNRECORDED: u64 = 1_000_000_000_000_000_000;

/// Longest name of a port that the table takes.
const PORT_MAX: usize = 32;

/// Hosts whose rows are to be compared with those of the table. Never more than there are hosts.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Of each: whether the table may be another one than it was left.
    hosts: BTreeMap<HostNumber, bool>,
    news: Arc<Notify>,
    /// The other ends of tunnels that hosts were to make and did not, by host and network.
    refused: BTreeMap<HostNumber, BTreeMap<GreKey, BTreeSet<HostNumber>>>,
}

/// A host's rows as they must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowsDue {
    /// All of them.
    pub rows: HostTunnels,
    /// Whether the table may be another one than it was left, though these may be the same.
    pub is_anew: bool,
}

impl Due {
    pub fn insert(&mut self, host: HostNumber, is_anew: bool) {
        *self.hosts.entry(host).or_default() |= is_anew;
        self.news.notify_one();
    }
}

/// The number of a network of which only the key is known.
fn unrecorded_number(key: GreKey) -> Option<NetworkNumber> {
    NetworkNumber::try_from(UNRECORDED + u64::from(key.get())).ok()
}

impl State {
    /// A network is recorded otherwise than before: its number stands in the rows of all its hosts.
    pub(super) fn rows_of_network_due(&mut self, key: GreKey) {
        self.sight.hosts_of(key).into_keys().for_each(|host| self.rows.insert(host, true));
    }

    /// A host is or was of the zone: there are rows from it and to it, or none.
    pub(super) fn rows_around_due(&mut self, number: HostNumber) {
        let keys: Vec<GreKey> = self.sight.keys_of(number).collect();
        keys.into_iter().for_each(|key| self.rows_of_network_due(key));
        self.rows.insert(number, true);
    }

    fn number_in_rows(&self, key: GreKey) -> Option<NetworkNumber> {
        self.recorded.of_key(key).map(|network| network.row.number).or_else(|| unrecorded_number(key))
    }

    /// The rows of tunnels that a host was to make and did not, as long as both ends are in the mesh.
    fn refused_from(&self, from: HostNumber) -> impl Iterator<Item = TunnelRow> + '_ {
        let of_host = self.rows.refused.get(&from).into_iter().flatten();
        let each = of_host.flat_map(|(key, to)| to.iter().map(|to| (*key, *to)));
        each.filter_map(move |(key, to)| {
            let mesh = &self.networks.get(&key)?.mesh;
            let is_wanted = mesh.has_member(from) && mesh.has_member(to) && to != from && self.hosts.contains_key(&to);
            let network = self.number_in_rows(key).filter(|_| is_wanted)?;
            Some(TunnelRow { network, from, to, key, port_name: None, state: RowState::Failed })
        })
    }

    fn tunnel_row(&self, from: HostNumber, tunnel: &Tunnel) -> Option<TunnelRow> {
        // A host that nobody registered has no rows: they go with it.
        let to = tunnel.peer_number().filter(|to| *to != from && self.hosts.contains_key(to))?;
        let port = tunnel.port.to_string();
        let state = match tunnel.state {
            TunnelState::Up => RowState::Success,
            TunnelState::Error | TunnelState::Pending => RowState::Failed,
        };
        Some(TunnelRow {
            network: self.number_in_rows(tunnel.key)?,
            from,
            to,
            key: tunnel.key,
            port_name: Some(port).filter(|port| port.chars().count() <= PORT_MAX),
            state,
        })
    }

    /// All rows that start at a host; nothing where it has not spoken yet: then nobody knows.
    fn rows_from(&self, host: HostNumber) -> Option<HostTunnels> {
        let Some(seen) = self.seen.get(&host) else { return Some(HostTunnels { host, rows: Vec::new() }) };
        let mut rows: BTreeMap<(NetworkNumber, HostNumber), TunnelRow> = BTreeMap::new();
        let bridges = seen.snapshot.as_ref()?.bridges().iter();
        let tunnels = bridges.flat_map(|bridge| bridge.tunnels.iter().filter(|tunnel| bridge.has_key(tunnel.key)));
        for row in tunnels.filter_map(|tunnel| self.tunnel_row(host, tunnel)) {
            match rows.entry((row.network, row.to)) {
                Entry::Vacant(place) => drop(place.insert(row)),
                // The table has one row for both: there is a tunnel where one of them is one.
                Entry::Occupied(mut there) if there.get().state == RowState::Failed => drop(there.insert(row)),
                Entry::Occupied(_) => {}
            }
        }
        for row in self.refused_from(host) {
            // What was refused once may be there by now.
            rows.entry((row.network, row.to)).or_insert(row);
        }
        Some(HostTunnels { host, rows: rows.into_values().collect() })
    }
}

impl Zone {
    /// What tells when a host's rows may be others than they were.
    pub fn rows_news(&self) -> Arc<Notify> {
        Arc::clone(&self.lock_state().rows.news)
    }

    /// The rows of some of the hosts of which they may be others than they were, which are then taken for done: of as many as have `most`
    /// rows together, and of one at least; nothing where all are done. Those of a host that has not spoken stay as they are.
    pub fn take_rows_due(&self, most: usize) -> Vec<RowsDue> {
        let (mut taken, mut size) = (Vec::new(), 0);
        let mut state = self.lock_state();
        while size < most {
            let Some((host, is_anew)) = state.rows.hosts.pop_first() else { break };
            let Some(rows) = state.rows_from(host) else { continue };
            // A host without rows costs a look, too.
            size += rows.rows.len().max(1);
            taken.push(RowsDue { rows, is_anew });
        }
        taken
    }

    /// These are not done after all.
    pub fn rows_due_again(&self, hosts: impl IntoIterator<Item = HostNumber>) {
        let mut state = self.lock_state();
        hosts.into_iter().for_each(|host| state.rows.insert(host, true));
    }

    /// The rows of all hosts are to be compared, and of these, who may be hosts no more.
    pub fn all_rows_due(&self, others: impl IntoIterator<Item = HostNumber>) {
        let hosts = self.registered_numbers();
        self.rows_due_again(hosts.into_iter().chain(others));
    }

    /// A host was to make tunnels of a network: it made all but those to these hosts.
    pub fn record_refused(&self, key: GreKey, from: HostNumber, to: BTreeSet<HostNumber>) {
        let mut state = self.lock_state();
        let of_host = state.rows.refused.entry(from).or_default();
        let before = match to.is_empty() {
            true => of_host.remove(&key).unwrap_or_default(),
            false => of_host.insert(key, to.clone()).unwrap_or_default(),
        };
        if of_host.is_empty() {
            state.rows.refused.remove(&from);
        }
        if before != to {
            state.rows.insert(from, false);
        }
    }

    /// No host has anything of a network to make any more.
    pub fn nothing_refused(&self, key: GreKey) {
        let hosts: Vec<HostNumber> = {
            let state = self.lock_state();
            let of_key = state.rows.refused.iter().filter(|(_, keys)| keys.contains_key(&key));
            of_key.map(|(host, _)| *host).collect()
        };
        hosts.into_iter().for_each(|host| self.record_refused(key, host, BTreeSet::new()));
    }

    /// Of how many hosts the rows are still to be compared with those of the table.
    pub fn rows_waiting(&self) -> usize {
        self.lock_state().rows.hosts.len()
    }
}
