//! The zone on the wire.
//!
//! What it must not do: change anything, or leave out the age of what it shows.

use std::collections::BTreeMap;
use std::sync::Arc;

use ovstunnel_manager_api::{
    Finding, Host, HostCount, HostState, HostTunnel, HostTunnelList, Member, Network, NetworkCount, NetworkRecord,
    NetworkState, Proof, SeenAt, Trouble, TunnelCount, TunnelProof,
};
use ovstunnel_mesh::observed::Bridge;
use ovstunnel_mesh::{Moment, proof};
use ovstunnel_store::NetworkRow;
use ovstunnel_types::{GreKey, HostNumber};
use time::OffsetDateTime;

use super::network::Known;
use super::upgrade;
use super::wire::{format_time, rounded_seconds, saturating_u32};
use super::{Recorded, Registered, Row, SETTLING, State, Zone};

/// Which networks are wanted, and which page of them.
#[derive(Clone, Debug)]
pub struct Page {
    /// Only those in one of these states.
    pub states: Option<Vec<NetworkState>>,
    /// Only those that this host has something of.
    pub host: Option<HostNumber>,
    /// Only those that have this in their name or key.
    pub search: Option<String>,
    /// From 1.
    pub page: usize,
    /// Networks of a page.
    pub limit: usize,
}

impl State {
    /// A host's name; its number where it is not registered.
    pub(super) fn name_of(&self, number: HostNumber) -> String {
        self.hosts.get(&number).map_or_else(|| number.to_string(), |host| host.row.name.clone())
    }

    pub(super) fn bridges_of(&self, number: HostNumber) -> &[Arc<Bridge>] {
        let snapshot = self.seen.get(&number).and_then(|seen| seen.snapshot.as_ref());
        snapshot.map(|snapshot| snapshot.bridges()).unwrap_or_default()
    }

    /// The bridge of a host that has this key; the first of several.
    pub(super) fn bridge_with_key(&self, host: HostNumber, key: GreKey) -> Option<&Bridge> {
        self.seen.get(&host)?.snapshot.as_ref()?.bridges_of(key).next()
    }

    fn host_to_wire(&self, host: &Registered, now: Moment) -> Host {
        let (row, number) = (&host.row, host.row.number);
        let bridges = self.bridges_of(number);
        let troubles = host.all_troubles(bridges, &self.missed_networks(number));
        let seen = self.seen.get(&number).filter(|seen| seen.snapshot.is_some());
        Host {
            name: row.name.clone(),
            number: number.get(),
            api: row.api.clone(),
            rack: row.rack.clone(),
            label: row.label.clone(),
            mode: row.mode,
            state: host.host_state(&troubles),
            age: seen.map(|seen| rounded_seconds(now.since(seen.heard))),
            watched: host.daemon_facts().is_some_and(|told| told.watched),
            daemon: host.daemon_facts().and_then(|told| told.daemon.clone()),
            cannot: host.daemon_facts().map(upgrade::list_inabilities).unwrap_or_default(),
            ip: host.interface().and_then(|interface| interface.ip.clone()),
            netmask: host.interface().and_then(|interface| interface.netmask.clone()),
            mac: host.interface().and_then(|interface| interface.mac.clone()),
            max_guest_mtu: host.interface().map(|interface| interface.max_guest_mtu),
            certificate_expires: host.certificate_expires().map(format_time),
            bridges: saturating_u32(bridges.len()),
            tunnels: saturating_u32(bridges.iter().map(|bridge| bridge.tunnels.len()).sum()),
            vifs: saturating_u32(bridges.iter().map(|bridge| bridge.vifs).sum()),
            cloudstack: self.cloud_host_shown(number),
            maintenance: host.maintenance_until(OffsetDateTime::now_utc()).map(format_time),
            troubles,
        }
    }

    fn finding_to_wire(&self, finding: &proof::Finding) -> Finding {
        Finding {
            what: finding.what.as_str().to_owned(),
            host: self.name_of(finding.host),
            to: finding.to.map(|to| self.name_of(to)),
            evidence: finding.evidence.clone(),
            remedy: finding.remedy.clone(),
        }
    }

    fn network_to_wire(&self, key: GreKey, known: &Known, now: Moment) -> Network {
        let proof = &known.proof;
        let recorded = self.recorded.of_key(key);
        Network {
            name: self.network_name(key),
            key: Some(key.get()),
            state: network_state(known, now),
            since: format_time(known.since),
            hosts: saturating_u32(known.mesh.size()),
            wanted: proof.wanted,
            proven: proof.proven,
            reason: proof.first_reason().map(|reason| self.finding_to_wire(reason)),
            record: recorded.map(record_to_wire),
            kind: None,
            cloudstack: None,
            disagreements: Vec::new(),
            members: None,
        }
    }

    /// A network that has no key yet: nothing of it can be anywhere.
    fn keyless_to_wire(&self, network: &Recorded) -> Network {
        let (name, hosts) = (&network.row.name, network.hosts());
        let first = hosts.first().map(|host| Finding {
            what: "key_missing".to_owned(),
            host: self.name_of(*host),
            to: None,
            evidence: format!("network {name} has NICs and no key: none is allocated while sdn.ovs.controller is off"),
            remedy: "give it a key that is free: ovstunnelctl zone network add, with --key".to_owned(),
        });
        Network {
            name: name.clone(),
            key: None,
            state: keyless_state(network),
            since: OffsetDateTime::from_unix_timestamp(network.row.created).map(format_time).unwrap_or_default(),
            hosts: saturating_u32(hosts.len()),
            wanted: directed_pairs(hosts.len()),
            proven: 0,
            reason: first,
            record: Some(record_to_wire(network)),
            kind: None,
            cloudstack: None,
            disagreements: Vec::new(),
            members: None,
        }
    }

    /// A network's proof as a document, without digest and signature.
    pub(super) fn proof_document(
        &self,
        zone: &str,
        key: GreKey,
        known: &Known,
        (at, now): (OffsetDateTime, Moment),
    ) -> Proof {
        let proof = &known.proof;
        let seen = proof.hosts.iter().map(|seen| SeenAt {
            host: self.name_of(seen.host),
            instance: seen.instance.clone(),
            version: seen.version,
            age: rounded_seconds(seen.age),
        });
        Proof {
            zone: zone.to_owned(),
            network: self.network_name(key),
            key: key.get(),
            whole: proof.is_whole(),
            reason: (!proof.is_whole()).then(|| self.first_reason(proof)),
            generation: known.generation,
            at: format_time(at),
            hosts: seen.collect(),
            tunnels: TunnelProof { wanted: proof.wanted, proven: proof.proven },
            findings: proof.findings.iter().map(|finding| self.finding_to_wire(finding)).collect(),
            found: saturating_u32(proof.found),
            probed_age: self.probed_age(key, now),
            digest: String::new(),
            signature: None,
        }
    }

    fn member_to_wire(&self, number: HostNumber, key: GreKey) -> Member {
        let snapshot = self.seen.get(&number).and_then(|seen| seen.snapshot.as_ref());
        let bridge = snapshot.and_then(|snapshot| snapshot.bridges_of(key).next());
        let tunnels = bridge.map_or(0, |bridge| bridge.tunnels.iter().filter(|tunnel| tunnel.key == key).count());
        Member {
            host: self.name_of(number),
            bridge: bridge.map(|bridge| bridge.name.to_string()),
            vifs: saturating_u32(bridge.map_or(0, |bridge| bridge.vifs)),
            tunnels: saturating_u32(tunnels),
        }
    }
}

fn network_state(known: &Known, now: Moment) -> NetworkState {
    match (known.proof.is_whole(), now.since(known.since_moment) < SETTLING) {
        (true, _) => NetworkState::Whole,
        (false, true) => NetworkState::Settling,
        (false, false) => NetworkState::Broken,
    }
}

fn keyless_state(network: &Recorded) -> NetworkState {
    if network.nics.is_empty() { NetworkState::Whole } else { NetworkState::Broken }
}

/// Tunnels among so many hosts, each direction for itself.
fn directed_pairs(hosts: usize) -> u64 {
    let hosts = u64::from(saturating_u32(hosts));
    hosts * hosts.saturating_sub(1)
}

fn record_to_wire(network: &Recorded) -> NetworkRecord {
    let NetworkRow { number, physical_network, ipv6, mtu, .. } = network.row.clone();
    let (kind, nics) = (network.kind, saturating_u32(network.nics.len()));
    NetworkRecord { number: number.get(), physical_network, ipv6, mtu, kind, nics }
}

/// A network in a list.
enum Listed<'a> {
    /// One that has a key.
    Known(GreKey, &'a Known),
    /// One that has none yet.
    Keyless(&'a Recorded),
}

impl Zone {
    /// The registered hosts, by name.
    pub fn hosts(&self) -> Vec<Host> {
        let (now, state) = (self.now(), self.lock_state());
        state.names.values().filter_map(|number| Some(state.host_to_wire(state.hosts.get(number)?, now))).collect()
    }

    /// A host by its name.
    pub fn host(&self, name: &str) -> Option<Host> {
        let (now, state) = (self.now(), self.lock_state());
        let number = state.names.get(name)?;
        Some(state.host_to_wire(state.hosts.get(number)?, now))
    }

    /// The tunnels of a host by its name, as it told of them last.
    pub fn host_tunnels(&self, name: &str) -> Option<HostTunnelList> {
        let (now, state) = (self.now(), self.lock_state());
        let seen = state.seen.get(state.names.get(name)?)?;
        let Some(snapshot) = &seen.snapshot else { return Some(HostTunnelList { age: None, tunnels: None }) };
        let tunnels = snapshot.bridges().iter().flat_map(|bridge| {
            bridge.tunnels.iter().map(|tunnel| HostTunnel {
                bridge: bridge.name.to_string(),
                port: tunnel.port.to_string(),
                key: tunnel.key.get(),
                to: tunnel.to.to_string(),
                remote_ip: tunnel.remote_ip.to_string(),
                state: tunnel.state,
            })
        });
        Some(HostTunnelList { age: Some(rounded_seconds(now.since(seen.heard))), tunnels: Some(tunnels.collect()) })
    }

    /// What is registered of the first host, by number, of which this holds.
    pub fn find_registered(&self, is_meant: impl Fn(&Row) -> bool) -> Option<Row> {
        self.lock_state().hosts.values().map(|host| &host.row).find(|row| is_meant(row)).cloned()
    }

    /// What is registered of all hosts.
    pub fn registered_all(&self) -> BTreeMap<HostNumber, Row> {
        self.lock_state().hosts.iter().map(|(number, host)| (*number, host.row.clone())).collect()
    }

    /// A host's number by its name.
    pub fn host_number(&self, name: &str) -> Option<HostNumber> {
        self.lock_state().names.get(name).copied()
    }

    /// The largest number that stands on a bridge or in a tunnel of the zone, or that a host is registered with.
    pub fn largest_number(&self) -> Option<HostNumber> {
        let state = self.lock_state();
        let bridges = state.seen.values().filter_map(|seen| seen.snapshot.as_ref()).flat_map(|s| s.bridges());
        let peers = bridges.flat_map(|bridge| bridge.tunnels.iter().filter_map(|tunnel| tunnel.peer_number()));
        peers.chain(state.hosts.keys().copied()).max()
    }

    /// How many networks and tunnels there are, by their state.
    pub fn state_counts(&self) -> (NetworkCount, HostCount, TunnelCount) {
        let (now, zone) = (self.now(), self.lock_state());
        let (mut networks, mut hosts, mut tunnels) =
            (NetworkCount::default(), HostCount::default(), TunnelCount::default());
        for known in zone.networks.values() {
            networks.all += 1;
            tunnels.wanted += known.proof.wanted;
            tunnels.proven += known.proof.proven;
            match network_state(known, now) {
                NetworkState::Whole => networks.whole += 1,
                NetworkState::Settling => networks.settling += 1,
                NetworkState::Broken => networks.broken += 1,
            }
        }
        for network in zone.recorded.without_key() {
            networks.all += 1;
            tunnels.wanted += directed_pairs(network.hosts().len());
            match keyless_state(network) {
                NetworkState::Whole => networks.whole += 1,
                NetworkState::Settling => networks.settling += 1,
                NetworkState::Broken => networks.broken += 1,
            }
        }
        for host in zone.hosts.values() {
            hosts.all += 1;
            let number = host.row.number;
            match host.host_state(&host.all_troubles(zone.bridges_of(number), &zone.missed_networks(number))) {
                HostState::Ok => hosts.ok += 1,
                HostState::Degraded => hosts.degraded += 1,
                HostState::Connecting => hosts.connecting += 1,
                HostState::Silent => hosts.silent += 1,
            }
        }
        (networks, hosts, tunnels)
    }

    /// What is wrong with the manager itself.
    pub fn troubles(&self) -> Vec<Trouble> {
        let state = self.lock_state();
        state.own_troubles.iter().chain(&state.key_troubles).cloned().collect()
    }

    /// How long ago the connected host gave a sign of life that did so longest ago, seconds.
    pub fn oldest_sign(&self) -> Option<f64> {
        let (now, state) = (self.now(), self.lock_state());
        let connected = state.seen.values().filter(|seen| seen.is_connected);
        connected.map(|seen| seen.heard).min().map(|heard| rounded_seconds(now.since(heard)))
    }

    /// The networks that are wanted, the worst first; how many there are on all pages.
    pub fn networks(&self, page: &Page) -> (Vec<Network>, usize) {
        let (now, zone) = (self.now(), self.lock_state());
        let is_meant = |state| page.states.as_ref().is_none_or(|states| states.contains(&state));
        let has = |name: &str| page.search.as_ref().is_none_or(|text| name.contains(text));
        let is_found = |key: GreKey| page.search.is_none() || has(&zone.network_name(key)) || has(&key.to_string());
        let known = zone.networks.iter().filter(|(_, known)| page.host.is_none_or(|host| known.mesh.has_member(host)));
        let known = known.filter(|(key, _)| is_found(**key));
        let known = known.map(|(key, known)| (network_state(known, now), Some(*key), Listed::Known(*key, known)));
        let keyless = zone.recorded.without_key();
        let keyless =
            keyless.filter(|network| has(&network.row.name) && page.host.is_none_or(|host| network.nics_on(host) > 0));
        let keyless = keyless.map(|network| (keyless_state(network), None, Listed::Keyless(network)));
        let mut found: Vec<_> = known.chain(keyless).filter(|(state, ..)| is_meant(*state)).collect();
        found.sort_by_key(|(state, key, _)| (*state, key.is_none(), *key));
        let total = found.len();
        let first = (page.page - 1).saturating_mul(page.limit);
        let shown = found.into_iter().skip(first).take(page.limit);
        let to_wire = |listed| match listed {
            Listed::Known(key, known) => zone.network_to_wire(key, known, now),
            Listed::Keyless(network) => zone.keyless_to_wire(network),
        };
        (shown.map(|(_, _, listed)| to_wire(listed)).collect(), total)
    }

    /// A network's key by its name. One that is recorded is also found by `key-KEY`.
    pub fn network_key(&self, name: &str) -> Option<GreKey> {
        let state = self.lock_state();
        if let Some(network) = state.recorded.by_name(name) {
            // It is proven within moments of being recorded; who asks before that is not to hear that it is not there.
            return network.row.key;
        }
        let key = name.strip_prefix("key-")?.parse().ok()?;
        state.networks.contains_key(&key).then_some(key)
    }

    /// Of each network that has a key, which proof was made of it last: another one wherever anything of it may have changed.
    pub fn proofs_made(&self) -> BTreeMap<GreKey, u64> {
        self.lock_state().networks.iter().map(|(key, known)| (*key, known.number)).collect()
    }

    /// The names of the networks that are recorded and have no key yet.
    pub fn keyless_names(&self) -> Vec<String> {
        self.lock_state().recorded.without_key().map(|network| network.row.name.clone()).collect()
    }

    /// A network that is recorded and has no key yet, with its hosts.
    pub fn keyless_network(&self, name: &str) -> Option<Network> {
        let state = self.lock_state();
        let recorded = state.recorded.by_name(name).filter(|network| network.row.key.is_none())?;
        let host = |host| Member { host: state.name_of(host), bridge: None, vifs: 0, tunnels: 0 };
        let members = Some(recorded.hosts().into_iter().map(host).collect());
        Some(Network { members, ..state.keyless_to_wire(recorded) })
    }

    /// A network, with its hosts.
    pub fn network(&self, key: GreKey) -> Option<Network> {
        let (at, now) = (OffsetDateTime::now_utc(), self.now());
        let mut state = self.lock_state();
        if !state.networks.contains_key(&key) && state.changed.remove(&key) {
            // It was recorded a moment ago.
            state.prove_network(key, at, now);
        }
        let known = state.networks.get(&key)?;
        let mut network = state.network_to_wire(key, known, now);
        network.kind = state.kind_to_wire(key, &known.mesh);
        network.cloudstack = state.cloud_network_shown(key);
        network.disagreements = state.shown_disagreements(key, now);
        network.members = Some(known.mesh.members().map(|number| state.member_to_wire(number, key)).collect());
        Some(network)
    }

    /// A network's proof by what its hosts have said by now, without digest and signature.
    pub fn proof(&self, key: GreKey) -> Option<Proof> {
        let (at, now) = (OffsetDateTime::now_utc(), self.now());
        let mut state = self.lock_state();
        state.changed.remove(&key);
        if let Some(happened) = state.prove_network(key, at, now) {
            self.send_event(happened);
        }
        let known = state.networks.get(&key)?;
        Some(state.proof_document(&self.0.name, key, known, (at, now)))
    }
}

/// Hosts' names by their numbers.
pub type Names = BTreeMap<HostNumber, String>;
