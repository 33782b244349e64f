//! What was told of the zone, and what is to be told now. Must not tell it.

use std::collections::{BTreeMap, BTreeSet};

use ovstunnel_manager_api::{Gone, Host, Network, NetworkState, Overview, ZoneEvent};
use ovstunnel_types::GreKey;

use crate::zone::Zone;

/// The zone as it was told.
#[derive(Debug, Default)]
pub(super) struct Picture {
    overview: Option<Overview>,
    hosts: BTreeMap<String, Host>,
    networks: BTreeMap<String, Network>,
    /// Of each key: which proof the network was described after, and its name then.
    proofs: BTreeMap<GreKey, (u64, String)>,
}

impl Picture {
    /// What has changed of hosts and networks.
    pub fn take_changes(&mut self, zone: &Zone) -> Vec<ZoneEvent> {
        let mut changes = Vec::new();
        self.look_at_hosts(zone, &mut changes);
        self.look_at_networks(zone, &mut changes);
        changes
    }

    /// The zone's numbers, where they are others: the age of what is known always is.
    pub fn overview_change(&mut self, now: Overview) -> Option<ZoneEvent> {
        let timeless = Overview { age: None, ..now.clone() };
        let before = self.overview.replace(timeless.clone());
        (before != Some(timeless)).then(|| ZoneEvent::Overview(Box::new(now)))
    }

    fn look_at_hosts(&mut self, zone: &Zone, changes: &mut Vec<ZoneEvent>) {
        let names: BTreeSet<String> = zone.host_names().into_values().collect();
        // One by one: who changes the zone does not wait for all of them.
        for host in names.iter().filter_map(|name| zone.host(name)) {
            let timeless = Host { age: None, ..host.clone() };
            if self.hosts.get(&host.name) != Some(&timeless) {
                self.hosts.insert(host.name.clone(), timeless);
                changes.push(ZoneEvent::Host(Box::new(host)));
            }
        }
        self.hosts.retain(|name, _| {
            let is_there = names.contains(name);
            if !is_there {
                changes.push(ZoneEvent::HostGone(Gone { name: name.clone() }));
            }
            is_there
        });
    }

    fn look_at_networks(&mut self, zone: &Zone, changes: &mut Vec<ZoneEvent>) {
        let proofs = zone.proofs_made();
        let mut names = BTreeSet::new();
        for (key, proof) in &proofs {
            if let Some(name) = self.as_told(*key, *proof) {
                names.insert(name);
            } else if let Some(network) = zone.network(*key) {
                names.insert(network.name.clone());
                self.proofs.insert(*key, (*proof, network.name.clone()));
                self.look_at_network(network, changes);
            }
        }
        for network in zone.keyless_names().iter().filter_map(|name| zone.keyless_network(name)) {
            names.insert(network.name.clone());
            self.look_at_network(network, changes);
        }
        self.proofs.retain(|key, _| proofs.contains_key(key));
        self.networks.retain(|name, _| {
            let is_there = names.contains(name);
            if !is_there {
                changes.push(ZoneEvent::NetworkGone(Gone { name: name.clone() }));
            }
            is_there
        });
    }

    /// The name of a network of which nothing can have changed: it was not proven anew, and does not wait for its time to be over.
    fn as_told(&self, key: GreKey, proof: u64) -> Option<String> {
        let (_, name) = self.proofs.get(&key).filter(|(told, _)| *told == proof)?;
        let network = self.networks.get(name)?;
        (network.state != NetworkState::Settling).then(|| name.clone())
    }

    fn look_at_network(&mut self, network: Network, changes: &mut Vec<ZoneEvent>) {
        if self.networks.get(&network.name) != Some(&network) {
            self.networks.insert(network.name.clone(), network.clone());
            changes.push(ZoneEvent::Network(Box::new(network)));
        }
    }
}
