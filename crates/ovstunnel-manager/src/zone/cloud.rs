//! What CloudStack's API told of its hosts, networks and VMs, as it concerns the hosts and keys of this zone.
//!
//! What it does: finds out which of CloudStack's hosts are registered and which of its networks has which key, and what follows for a host and
//! a network. What it must not do: ask CloudStack; take its word for more than one among others.

use std::collections::{BTreeMap, BTreeSet};

use ovstunnel_manager_api::{CloudStackHost, CloudStackNetwork, Disagreement, WitnessWord};
use ovstunnel_mesh::Moment;
use ovstunnel_mesh::membership::{Testimony, Witness, by_cloudstack, contradicting};
use ovstunnel_types::{GreKey, HostNumber};

use super::wire::saturating_u32;
use super::{State, Zone};

/// A host of CloudStack's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudHost {
    /// CloudStack's id.
    pub id: String,
    /// Its address.
    pub address: Option<String>,
    /// What is shown of it, its name first.
    pub shown: CloudStackHost,
}

/// A guest network of CloudStack's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudNetwork {
    /// Its GRE key; none before it is implemented, or where it is isolated by something else.
    pub key: Option<GreKey>,
    /// What is shown of it.
    pub shown: CloudStackNetwork,
}

/// A NIC of a VM that is there, or about to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudNic {
    /// CloudStack's id of its network.
    pub network: String,
    /// CloudStack's id of the host that its VM is on; none where that is not said.
    pub host: Option<String>,
    /// Whether the VM starts, stops or moves.
    pub is_moving: bool,
}

/// All that CloudStack's API told at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloudPicture {
    /// Its hosts.
    pub hosts: Vec<CloudHost>,
    /// Its networks.
    pub networks: Vec<CloudNetwork>,
    /// The NICs of its VMs.
    pub nics: Vec<CloudNic>,
}

/// The same by the numbers and keys of the zone.
#[derive(Debug)]
pub(super) struct Cloud {
    as_of: Moment,
    hosts: BTreeMap<HostNumber, CloudStackHost>,
    networks: BTreeMap<GreKey, OfKey>,
    /// Its hosts that have VMs of a network with a key, and that nobody has registered.
    strangers: BTreeSet<String>,
}

/// A network of CloudStack's.
#[derive(Debug, Default)]
struct OfKey {
    shown: Option<CloudStackNetwork>,
    vms: BTreeMap<HostNumber, usize>,
    is_moving: bool,
    /// Since when each host has VMs, or has none.
    since: BTreeMap<HostNumber, Moment>,
    known_since: Moment,
}

impl OfKey {
    fn testimony(&self, host: HostNumber, as_of: Moment) -> Testimony {
        let since = self.since.get(&host).copied().unwrap_or(self.known_since);
        by_cloudstack(self.vms.get(&host).copied().unwrap_or_default(), self.is_moving, since, as_of)
    }

    /// Takes over since when things are so, where they were so before.
    fn remember_since(&mut self, before: Option<&OfKey>, as_of: Moment) {
        self.known_since = before.map_or(as_of, |before| before.known_since);
        let had = before.map(|before| before.vms.keys().copied().collect()).unwrap_or_default();
        let has: BTreeSet<HostNumber> = self.vms.keys().copied().collect();
        self.since = before.map(|before| before.since.clone()).unwrap_or_default();
        self.since.extend(has.symmetric_difference(&had).map(|host| (*host, as_of)));
    }
}

/// Name or address in the address of a daemon.
fn daemon_address(api: &str) -> &str {
    let at = api.strip_prefix("https://").unwrap_or(api);
    let ends = if at.starts_with('[') { at.find(']') } else { at.find([':', '/']) };
    at[..ends.unwrap_or(at.len())].trim_start_matches('[')
}

impl State {
    fn resolve_cloud(&self, picture: CloudPicture, as_of: Moment) -> Cloud {
        let mut numbers: BTreeMap<&str, HostNumber> = BTreeMap::new();
        let mut cloud = Cloud { as_of, hosts: BTreeMap::new(), networks: BTreeMap::new(), strangers: BTreeSet::new() };
        // A host of another name is known by its address, where no other one of CloudStack's has its name.
        let named: BTreeSet<&str> = picture.hosts.iter().map(|host| host.shown.name.as_str()).collect();
        let nameless = self.hosts.values().filter(|known| !named.contains(known.row.name.as_str()));
        let by_address: BTreeMap<&str, HostNumber> =
            nameless.map(|known| (daemon_address(&known.row.api), known.row.number)).collect();
        for host in &picture.hosts {
            let by_address = || by_address.get(host.address.as_deref()?).copied();
            if let Some(number) = self.names.get(&host.shown.name).copied().or_else(by_address) {
                numbers.insert(&host.id, number);
                cloud.hosts.insert(number, host.shown.clone());
            }
        }
        let keys: BTreeMap<&str, GreKey> =
            picture.networks.iter().filter_map(|one| Some((one.shown.id.as_str(), one.key?))).collect();
        for network in &picture.networks {
            if let Some(key) = network.key {
                // Of two networks with one key, which there should not be, the first is shown.
                cloud.networks.entry(key).or_default().shown.get_or_insert(network.shown.clone());
            }
        }
        let names: BTreeMap<&str, &str> =
            picture.hosts.iter().map(|host| (host.id.as_str(), host.shown.name.as_str())).collect();
        for nic in &picture.nics {
            let Some(of) = keys.get(nic.network.as_str()).and_then(|key| cloud.networks.get_mut(key)) else { continue };
            of.is_moving |= nic.is_moving;
            let Some(host) = nic.host.as_deref() else { continue };
            match numbers.get(host) {
                Some(number) => *of.vms.entry(*number).or_default() += 1,
                None => drop(cloud.strangers.insert((*names.get(host).unwrap_or(&host)).to_owned())),
            }
        }
        let before = self.cloud.as_ref();
        for (key, of) in &mut cloud.networks {
            of.remember_since(before.and_then(|before| before.networks.get(key)), as_of);
            let vms: usize = of.vms.values().sum();
            if let Some(shown) = &mut of.shown {
                shown.nics = saturating_u32(vms);
            }
        }
        cloud
    }

    /// Whether CloudStack is heard, and has told of the network with this key.
    pub(super) fn is_told_by_cloud(&self, key: GreKey) -> bool {
        self.cloud_network(key).is_some()
    }

    fn cloud_network(&self, key: GreKey) -> Option<(&OfKey, Moment)> {
        let cloud = self.cloud.as_ref().filter(|_| self.rules.witnesses.contains(&Witness::CloudStack))?;
        Some((cloud.networks.get(&key)?, cloud.as_of))
    }

    /// The hosts that have VMs of a network by CloudStack's word.
    pub(super) fn cloud_hosts(&self, key: GreKey) -> impl Iterator<Item = HostNumber> {
        self.cloud_network(key).into_iter().flat_map(|(of, _)| of.vms.keys().copied())
    }

    /// What CloudStack says of a host and a network; nothing where it does not know the network.
    pub(super) fn cloud_testimony(&self, key: GreKey, host: HostNumber) -> Option<Testimony> {
        self.cloud_network(key).map(|(of, as_of)| of.testimony(host, as_of))
    }

    /// What CloudStack has told of a network, whoever is heard.
    pub(super) fn cloud_network_shown(&self, key: GreKey) -> Option<CloudStackNetwork> {
        self.cloud.as_ref()?.networks.get(&key)?.shown.clone()
    }

    /// What CloudStack has told of a host.
    pub(super) fn cloud_host_shown(&self, number: HostNumber) -> Option<CloudStackHost> {
        self.cloud.as_ref()?.hosts.get(&number).cloned()
    }

    /// Remembers since when witnesses contradict each other of these hosts of a network, and of no others.
    pub(super) fn note_disagreements(&mut self, key: GreKey, hosts: &BTreeSet<HostNumber>, now: Moment) {
        if hosts.is_empty() {
            self.disagreements.remove(&key);
            return;
        }
        let of_key = self.disagreements.entry(key).or_default();
        of_key.retain(|host, _| hosts.contains(host));
        for host in hosts {
            of_key.entry(*host).or_insert(now);
        }
    }

    /// Where witnesses contradict each other for longer than is normal.
    pub(super) fn shown_disagreements(&self, key: GreKey, now: Moment) -> Vec<Disagreement> {
        let of_key = self.disagreements.get(&key).into_iter().flatten();
        let long = of_key.filter(|(_, since)| now.since(**since) > self.rules.shown_after);
        let found = long.filter_map(|(host, since)| {
            let all = self.host_testimonies(key, self.recorded.of_key(key), *host, now);
            let said = contradicting(&all, &self.rules, now);
            (!said.is_empty()).then(|| self.disagreement_to_wire(*host, now.since(*since), &said, now))
        });
        found.collect()
    }

    fn disagreement_to_wire(
        &self,
        host: HostNumber,
        lasts: std::time::Duration,
        said: &[Testimony],
        now: Moment,
    ) -> Disagreement {
        let word = |testimony: &Testimony| WitnessWord {
            witness: testimony.witness.as_str().to_owned(),
            says: testimony.says.as_str().to_owned(),
            age: now.since(testimony.as_of).as_secs(),
        };
        Disagreement { host: self.name_of(host), lasts: lasts.as_secs(), says: said.iter().map(word).collect() }
    }
}

/// What became of what CloudStack told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloudTaken {
    /// Its hosts that are registered here.
    pub registered: usize,
    /// Its networks that have a key.
    pub keyed: usize,
    /// Its hosts that have VMs of such networks and are not registered, by name.
    pub strangers: Vec<String>,
}

impl Zone {
    /// CloudStack's API told this when it was read at that moment.
    pub fn take_cloud(&self, picture: CloudPicture, as_of: Moment) -> CloudTaken {
        let mut state = self.lock_state();
        let cloud = state.resolve_cloud(picture, as_of);
        let taken = CloudTaken {
            registered: cloud.hosts.len(),
            keyed: cloud.networks.len(),
            strangers: cloud.strangers.iter().cloned().collect(),
        };
        if state.rules.witnesses.contains(&Witness::CloudStack) {
            let before = state.cloud.iter().flat_map(|before| before.networks.keys().copied());
            let keys: BTreeSet<GreKey> = before.chain(cloud.networks.keys().copied()).collect();
            let known: Vec<GreKey> = keys.into_iter().filter(|key| state.is_of_zone(*key)).collect();
            state.changed.extend(known);
        }
        state.cloud = Some(cloud);
        drop(state);
        self.wake_prover();
        taken
    }
}

impl State {
    /// Whether a host has something of the network with this key, or it is recorded.
    fn is_of_zone(&self, key: GreKey) -> bool {
        self.networks.contains_key(&key) || self.recorded.of_key(key).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::daemon_address;

    #[test]
    fn a_daemons_address_is_read_without_its_port() {
        for (api, address) in [
            ("https://192.0.2.1:8443", "192.0.2.1"),
            ("https://host1.example/", "host1.example"),
            ("https://[2001:db8::1]:8443/", "2001:db8::1"),
            ("https://h", "h"),
        ] {
            assert_eq!(daemon_address(api), address);
        }
    }
}
