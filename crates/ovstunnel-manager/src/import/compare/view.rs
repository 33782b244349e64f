//! CloudStack's tables as far as one zone goes, found by id.
//!
//! What it must not do: judge a row.

use std::collections::{BTreeMap, BTreeSet};

use ovstunnel_store::RowState;
use ovstunnel_store::cloudstack::{Endpoint, Host, Network, PhysicalNetwork, Tables, TakenKey, Tunnel};
use ovstunnel_types::GreKey;
use ovstunnel_types::text::sanitize;

use super::lock;

/// Longest name that is shown whole.
const NAME: usize = 60;

/// One zone of the tables. Lock rows are not in it, nor are rows that concern another zone.
pub(crate) struct View<'a> {
    pub tables: &'a Tables,
    pub hosts: BTreeMap<u64, &'a Host>,
    pub networks: BTreeMap<u64, &'a Network>,
    pub physical: BTreeMap<u64, &'a PhysicalNetwork>,
    pub taken: Vec<&'a TakenKey>,
    pub endpoints: Vec<&'a Endpoint>,
    pub tunnels: Vec<&'a Tunnel>,
    /// Hosts with VMs, by network.
    pub members: BTreeMap<u64, BTreeSet<u64>>,
}

/// What a URI of a network says: the text behind `vs://`, after the first dot if there is one.
pub(super) fn key_in(uri: &str) -> Option<&str> {
    let (scheme, rest) = uri.split_once("://")?;
    scheme.eq_ignore_ascii_case("vs").then(|| rest.split_once('.').map_or(rest, |(_, key)| key))
}

/// A key as the tables write it.
pub(super) fn key_of(text: &str) -> Option<GreKey> {
    text.trim().parse().ok()
}

/// Whether a row says that its tunnel is there.
pub(super) fn is_there(row: &Tunnel) -> bool {
    row.state.as_deref().is_some_and(|state| RowState::from_word(state) == RowState::Success)
}

impl<'a> View<'a> {
    pub(crate) fn new(tables: &'a Tables, zone: u64) -> View<'a> {
        let here = |of: Option<u64>| of.is_none_or(|of| of == zone);
        let elsewhere_hosts: BTreeSet<u64> =
            tables.hosts.iter().filter(|host| !here(host.zone)).map(|host| host.id).collect();
        let elsewhere_networks: BTreeSet<u64> =
            tables.networks.iter().filter(|network| !here(network.zone)).map(|network| network.id).collect();
        let mut members: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        for member in tables.members.iter().filter(|member| !elsewhere_hosts.contains(&member.host)) {
            members.entry(member.network).or_default().insert(member.host);
        }
        let of_zone = |tunnel: &&Tunnel| {
            let foreign = [tunnel.from, tunnel.to].iter().any(|host| elsewhere_hosts.contains(host));
            !foreign && !elsewhere_networks.contains(&tunnel.network) && !lock::is_like_tunnel(tunnel)
        };
        let endpoint_here = |endpoint: &&Endpoint| {
            !endpoint.host.is_some_and(|host| elsewhere_hosts.contains(&host)) && !lock::is_like_endpoint(endpoint)
        };
        View {
            tables,
            hosts: tables.hosts.iter().filter(|host| here(host.zone)).map(|host| (host.id, host)).collect(),
            networks: tables.networks.iter().filter(|network| here(network.zone)).map(|n| (n.id, n)).collect(),
            physical: tables.physical_networks.iter().filter(|p| here(p.zone)).map(|p| (p.id, p)).collect(),
            taken: tables.taken.iter().filter(|key| here(key.zone)).collect(),
            endpoints: tables.endpoints.iter().filter(endpoint_here).collect(),
            tunnels: tables.tunnels.iter().filter(of_zone).collect(),
            members,
        }
    }

    /// Whether there is a table to compare with.
    pub(crate) fn has_table(&self, table: &str) -> bool {
        !self.tables.missing.contains(&table)
    }

    /// `host 7 (xen1)`, or what is known of it.
    pub(crate) fn host_label(&self, id: u64) -> String {
        match self.hosts.get(&id) {
            Some(host) => format!("host {id} ({})", sanitize(&host.name, NAME)),
            None => format!("host {id}"),
        }
    }

    /// `network 204 (web)`, or what is known of it.
    pub(crate) fn network_label(&self, id: u64) -> String {
        match self.networks.get(&id).and_then(|network| network.name.as_deref()) {
            Some(name) => format!("network {id} ({})", sanitize(name, NAME)),
            None => format!("network {id}"),
        }
    }

    /// Whether CloudStack has the host still.
    pub(crate) fn has_host(&self, id: u64) -> bool {
        self.hosts.get(&id).is_some_and(|host| !host.is_removed) || !self.has_table("host")
    }

    /// The key of a network that is there and in use.
    pub(crate) fn network_key(&self, id: u64) -> Option<GreKey> {
        let network = self.networks.get(&id).filter(|network| !network.is_removed)?;
        network.uri.as_deref().and_then(key_in).and_then(key_of)
    }

    /// Why nothing of a network should be recorded any more, where that is so.
    pub(crate) fn gone_reason(&self, id: u64) -> Option<&'static str> {
        match self.networks.get(&id) {
            _ if !self.has_table("networks") => None,
            None => Some("there is no such network"),
            Some(network) if network.is_removed => Some("the network was removed"),
            Some(network) if network.uri.is_none() => Some("the network is shut down and has no key"),
            Some(_) => None,
        }
    }

    /// Whether its networks are isolated by GRE.
    pub(crate) fn is_gre(&self, physical: u64) -> bool {
        self.physical.get(&physical).is_some_and(|p| p.methods.iter().any(|method| method.eq_ignore_ascii_case("GRE")))
    }

    /// The rows of networks and hosts that are there.
    pub(crate) fn live_rows(&self) -> impl Iterator<Item = &'a Tunnel> {
        let hosts = |row: &&Tunnel| self.has_host(row.from) && self.has_host(row.to);
        self.tunnels.iter().copied().filter(hosts).filter(|row| self.gone_reason(row.network).is_none())
    }
}
