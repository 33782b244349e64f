//! What is to be recorded, given what the hosts say.
//!
//! What it does: numbers of hosts, networks with their keys, the zone's UUID. What it must not do: I/O; choose where hosts contradict each
//! other.

use std::collections::{BTreeMap, BTreeSet};

use ovstunnel_api::{Bridge, EpochState};
use ovstunnel_mesh::keys::Ranges;
use ovstunnel_types::{GreKey, HostNumber, Ipv6Policy, NetworkNumber, TunnelKind};
use uuid::Uuid;

use super::kinds::{self, HostKind};
use super::list::{List, Listed, Named};
use crate::config::PhysicalNetwork;

/// What a host says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    /// Its managed bridges.
    pub bridges: Vec<Bridge>,
    /// Which manager may write to it.
    pub epoch: EpochState,
}

/// What contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A host's bridges have ids of several hosts.
    #[error("host {host}: its bridges have the host ids {}: correct them, or give its number in the list", .ids.join(" and "))]
    HostIds {
        /// The host.
        host: String,
        /// The ids.
        ids: Vec<String>,
    },
    /// An id that is no number.
    #[error("host {host}: its bridges have the host id {id:?}, which {rule}")]
    HostId {
        /// The host.
        host: String,
        /// The id.
        id: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// Two hosts have one number.
    #[error("hosts {one} and {other} have the same number {number}")]
    SameNumber {
        /// A host.
        one: String,
        /// Another host.
        other: String,
        /// Their number.
        number: u64,
    },
    /// Hosts belong to several zones.
    #[error(
        "hosts are of several zones: {}; run `ovstunnelctl epoch clear` on those that are not of this one",
        .0.iter().map(|(zone, host)| format!("{zone} (host {host})")).collect::<Vec<_>>().join(", ")
    )]
    Zones(Vec<(Uuid, String)>),
    /// A network of the list on a physical network that is not there, or that does not have its key.
    #[error(
        "network {network}: its key {key} is not in the ranges of the physical network {physical} in [[physical_networks]]"
    )]
    NotInRange {
        /// The network.
        network: String,
        /// Its key.
        key: u32,
        /// The physical network.
        physical: String,
    },
    /// Bridges of a network have different kinds of tunnels, so that not all hear each other.
    #[error(
        "network {network}: its bridges have different kinds of tunnels, and do not all hear each other: {}; say which it is to have: kind in the list's [[networks]] with key {key}",
        .kinds.join(", ")
    )]
    Kinds {
        /// The network.
        network: String,
        /// Its key.
        key: GreKey,
        /// What each host has, in words.
        kinds: Vec<String>,
    },
}

/// A network to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNetwork {
    /// Its name.
    pub name: String,
    /// Its number, where the list has one.
    pub number: Option<NetworkNumber>,
    /// Its key.
    pub key: GreKey,
    /// The physical network that has the key.
    pub physical_network: String,
    /// What all its bridges do with IPv6; none where they differ.
    pub ipv6: Option<Ipv6Policy>,
    /// The kind of its tunnels.
    pub kind: TunnelKind,
    /// How many hosts have a bridge of it.
    pub hosts: usize,
}

/// What is to be recorded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The zone's UUID, as the hosts record it; none where no manager ever wrote to them.
    pub zone: Option<Uuid>,
    /// The highest epoch that a host records.
    pub epoch: Option<u64>,
    /// The hosts, with their numbers and how many bridges they have.
    pub hosts: Vec<(HostNumber, Listed, usize)>,
    /// The networks, by key.
    pub networks: Vec<NewNetwork>,
    /// What is not recorded, and why.
    pub notes: Vec<String>,
    /// Hosts that were left out.
    pub left_out: Vec<String>,
    /// Whether it is recorded.
    pub is_recorded: bool,
}

/// What is to be recorded of these hosts; `heard` is in the list's order.
///
/// # Errors
/// All that contradicts itself.
pub fn plan_rebuild(list: &List, heard: &[Heard], physical: &[PhysicalNetwork]) -> Result<Plan, Vec<Refused>> {
    let all: Vec<(&Listed, &Heard)> = list.hosts.iter().zip(heard).collect();
    let mut refused = Vec::new();
    let (zone, epoch) = agreed_zone(&all, &mut refused);
    let hosts = assign_numbers(&all, &mut refused);
    let (networks, notes) = plan_networks(list, &all, physical, &mut refused);
    let hosts =
        hosts.into_iter().zip(&all).map(|(number, (host, heard))| (number, (*host).clone(), heard.bridges.len()));
    match refused.is_empty() {
        true => Ok(Plan { zone, epoch, hosts: hosts.collect(), networks, notes, ..Plan::default() }),
        false => Err(refused),
    }
}

fn agreed_zone(all: &[(&Listed, &Heard)], refused: &mut Vec<Refused>) -> (Option<Uuid>, Option<u64>) {
    let mut zones: BTreeMap<Uuid, String> = BTreeMap::new();
    for (host, heard) in all {
        if let Some(zone) = heard.epoch.zone.as_deref().and_then(|zone| zone.parse().ok()) {
            zones.entry(zone).or_insert_with(|| host.name.clone());
        }
    }
    let only = zones.keys().next().copied();
    if zones.len() > 1 {
        refused.push(Refused::Zones(zones.into_iter().collect()));
    }
    (only, all.iter().filter_map(|(_, heard)| heard.epoch.epoch).max())
}

/// A host's number: that of the list, else that of its bridges.
fn known_number(host: &Listed, heard: &Heard) -> Result<Option<HostNumber>, Refused> {
    if let Some(number) = host.number.and_then(|number| HostNumber::try_from(number).ok()) {
        return Ok(Some(number));
    }
    let ids: BTreeSet<&str> = heard.bridges.iter().filter_map(|bridge| bridge.host_id.as_deref()).collect();
    let name = || host.name.clone();
    match ids.iter().copied().collect::<Vec<_>>()[..] {
        [] => Ok(None),
        [id] => match id.parse::<HostNumber>() {
            Ok(number) => Ok(Some(number)),
            Err(bad) => Err(Refused::HostId { host: name(), id: id.to_owned(), rule: bad.rule }),
        },
        [..] => Err(Refused::HostIds { host: name(), ids: ids.into_iter().map(str::to_owned).collect() }),
    }
}

/// The number of each host. One without gets the first above all that stand anywhere: a host that was left out may have the others.
fn assign_numbers(all: &[(&Listed, &Heard)], refused: &mut Vec<Refused>) -> Vec<HostNumber> {
    let mut found = Vec::new();
    let mut by_number: BTreeMap<HostNumber, &str> = BTreeMap::new();
    for (host, heard) in all {
        let number = known_number(host, heard).unwrap_or_else(|contradiction| {
            refused.push(contradiction);
            None
        });
        if let Some(number) = number
            && let Some(one) = by_number.insert(number, &host.name)
        {
            let (one, other) = (one.to_owned(), host.name.clone());
            refused.push(Refused::SameNumber { one, other, number: number.get() });
        }
        found.push(number);
    }
    let bridges = || all.iter().flat_map(|(_, heard)| &heard.bridges);
    let ends = bridges().flat_map(|bridge| &bridge.tunnels).filter_map(|tunnel| tunnel.to.parse::<HostNumber>().ok());
    let highest = by_number.into_keys().chain(ends).map(HostNumber::get).max().unwrap_or_default();
    let mut free = (highest + 1..).filter_map(|number| HostNumber::try_from(number).ok());
    found.into_iter().filter_map(|number| number.or_else(|| free.next())).collect()
}

/// What is seen of a key.
#[derive(Default)]
struct Seen {
    ipv6: Vec<Ipv6Policy>,
    kinds: Vec<HostKind>,
}

/// What is seen of each key, and of what there is nothing to be recorded.
fn look_at_bridges(all: &[(&Listed, &Heard)]) -> (BTreeMap<GreKey, Seen>, Vec<String>) {
    let (mut seen, mut notes) = (BTreeMap::<GreKey, Seen>::new(), Vec::new());
    for (host, heard) in all {
        for bridge in &heard.bridges {
            match bridge.key.and_then(|key| GreKey::try_from(i64::from(key)).ok()) {
                Some(key) => {
                    let seen = seen.entry(key).or_default();
                    seen.ipv6.push(bridge.ipv6);
                    seen.kinds.push(HostKind::of_bridge(&host.name, bridge));
                }
                None => notes
                    .push(format!("host {}: bridge {} is a VPC's, which stays CloudStack's", host.name, bridge.name)),
            }
        }
    }
    (seen, notes)
}

fn plan_networks(
    list: &List,
    all: &[(&Listed, &Heard)],
    physical: &[PhysicalNetwork],
    refused: &mut Vec<Refused>,
) -> (Vec<NewNetwork>, Vec<String>) {
    let (seen, mut notes) = look_at_bridges(all);
    let named: BTreeMap<u32, &Named> = list.networks.iter().map(|network| (network.key, network)).collect();
    for network in list.networks.iter().filter(|network| !seen.keys().any(|key| key.get() == network.key)) {
        notes.push(format!("network {}: no host has a bridge with its key {}", network.name, network.key));
    }
    let mut networks = Vec::new();
    for (key, Seen { mut ipv6, kinds }) in seen {
        let (named, hosts) = (named.get(&key.get()), kinds.len());
        let name = named.map_or_else(|| format!("net-{key}"), |named| named.name.clone());
        let number = named.and_then(|named| NetworkNumber::try_from(named.number?).ok());
        let physical_network = match physical_of(
            key,
            named.and_then(|named| named.physical_network.as_deref()),
            physical,
        ) {
            On::One(physical_network) => physical_network,
            On::NotIn(physical) => {
                refused.push(Refused::NotInRange { network: name, key: key.get(), physical });
                continue;
            }
            On::None => {
                notes.push(format!(
                    "key {key} on {hosts} hosts is in no range of [[physical_networks]]: it stays a key without a network, and is not given out"
                ));
                continue;
            }
        };
        let Some(kind) = kinds::choose_kind(&kinds, named.and_then(|named| named.kind)) else {
            let kinds = kinds.iter().map(ToString::to_string).collect();
            refused.push(Refused::Kinds { network: name, key, kinds });
            continue;
        };
        notes.extend(kinds::change_note(&name, key, &kinds, kind));
        ipv6.dedup();
        let ipv6 = if ipv6.len() == 1 { ipv6.pop() } else { None };
        networks.push(NewNetwork { name, number, key, physical_network, ipv6, kind, hosts });
    }
    (networks, notes)
}

enum On {
    One(String),
    NotIn(String),
    None,
}

/// The physical network that has a key in its ranges: the one that is named, else the first.
fn physical_of(key: GreKey, named: Option<&str>, physical: &[PhysicalNetwork]) -> On {
    let has = |network: &&PhysicalNetwork| {
        Ranges::parse(&network.vnet, network.isolation).is_ok_and(|ranges| ranges.contains(key))
    };
    let mut having = physical.iter().filter(has);
    match named {
        Some(named) => match having.find(|network| network.name == named) {
            Some(network) => On::One(network.name.clone()),
            None => On::NotIn(named.to_owned()),
        },
        None => having.next().map_or(On::None, |network| On::One(network.name.clone())),
    }
}
