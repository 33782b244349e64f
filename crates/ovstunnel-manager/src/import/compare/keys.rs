//! Keys: what networks say they have, what is given out, and the ranges.
//!
//! What it must not do: look at a tunnel.

use std::collections::{BTreeMap, BTreeSet};

use ovstunnel_mesh::keys::Ranges;
use ovstunnel_store::cloudstack::Network;
use ovstunnel_types::text::excerpt;
use ovstunnel_types::{GreKey, Isolation};

use super::view::{View, key_in, key_of};
use super::{Finding, Kind};

const ALLOCATIONS: &str = "op_dc_vnet_alloc";

/// A network in use, with its key.
type Keyed<'a> = (&'a Network, GreKey);

pub(super) fn key_findings(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let keyed = keyed_networks(view, &mut found);
    check_duplicates(view, &keyed, &mut found);
    check_ranges(view, &keyed, &mut found);
    if view.has_table(ALLOCATIONS) {
        not_taken(view, &keyed, &mut found);
        check_leaks(view, &mut found);
    }
    found
}

/// The networks that have a key of ours. A URI that names none is told.
fn keyed_networks<'a>(view: &View<'a>, found: &mut Vec<Finding>) -> Vec<Keyed<'a>> {
    let mut keyed = Vec::new();
    for network in view.networks.values().filter(|network| !network.is_removed) {
        let is_ours = network.domain_type.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("Vswitch"));
        let Some(uri) = network.uri.as_deref().filter(|uri| is_ours || key_in(uri).is_some()) else { continue };
        match key_in(uri).and_then(key_of) {
            Some(key) => keyed.push((*network, key)),
            None => {
                let (name, uri) = (view.network_label(network.id), excerpt(uri));
                let evidence = format!("{name} has the URI {uri:?}, which names no key from 1 to 2147483647");
                found.push(Finding::new(Kind::UriUnreadable, evidence).network(network.id));
            }
        }
    }
    keyed
}

fn key_number(key: GreKey) -> u64 {
    u64::from(key.get())
}

fn check_duplicates(view: &View<'_>, keyed: &[Keyed<'_>], found: &mut Vec<Finding>) {
    let mut by_key: BTreeMap<GreKey, Vec<u64>> = BTreeMap::new();
    keyed.iter().for_each(|(network, key)| by_key.entry(*key).or_default().push(network.id));
    for (key, networks) in by_key.into_iter().filter(|(_, networks)| networks.len() > 1) {
        let names: Vec<String> = networks.iter().map(|id| view.network_label(*id)).collect();
        let evidence = format!("key {key} is that of {}", names.join(" and of "));
        found.push(Finding::new(Kind::KeyDoubled, evidence).network(networks[0]).key(key_number(key)));
    }
}

/// Whether each network's key is in the ranges of its physical network, and that is meant for it.
fn check_ranges(view: &View<'_>, keyed: &[Keyed<'_>], found: &mut Vec<Finding>) {
    let mut told = BTreeSet::new();
    let mut ranges = BTreeMap::new();
    for (id, physical) in &view.physical {
        let Some(vnet) = physical.vnet.as_deref().filter(|vnet| view.is_gre(*id) && !vnet.is_empty()) else { continue };
        match Ranges::parse(vnet, Isolation::Gre) {
            Ok(good) => drop(ranges.insert(*id, good)),
            Err(bad) => {
                let evidence = format!("physical network {id} has the range {:?}: it {}", excerpt(vnet), bad.rule);
                found.push(Finding::new(Kind::RangeUnreadable, evidence));
            }
        }
    }
    for (network, key) in keyed {
        let Some(id) = network.physical_network else { continue };
        if view.physical.contains_key(&id) && !view.is_gre(id) && told.insert(id) {
            let evidence = format!(
                "physical network {id} carries {}, and GRE is not its isolation method",
                view.network_label(network.id)
            );
            found.push(Finding::new(Kind::IsolationNotGre, evidence).network(network.id));
        }
        if let Some(range) = ranges.get(&id).filter(|range| !range.contains(*key)) {
            let name = view.network_label(network.id);
            let evidence = format!("{name} has the key {key}, and its physical network {id} has the range {range}");
            found.push(Finding::new(Kind::KeyOutOfRange, evidence).network(network.id).key(key_number(*key)));
        }
    }
}

/// Networks whose key counts as free.
fn not_taken(view: &View<'_>, keyed: &[Keyed<'_>], found: &mut Vec<Finding>) {
    let taken: BTreeSet<(Option<u64>, GreKey)> =
        view.taken.iter().filter_map(|taken| Some((taken.physical_network, key_of(taken.vnet.as_deref()?)?))).collect();
    for (network, key) in keyed {
        if !taken.contains(&(network.physical_network, *key)) {
            let name = view.network_label(network.id);
            let evidence = format!("{name} has the key {key}, which is not taken in op_dc_vnet_alloc");
            found.push(Finding::new(Kind::KeyNotTaken, evidence).network(network.id).key(key_number(*key)));
        }
    }
}

/// Keys that are given out and that no network has. Numbers of VLANs on other physical networks are none of ours.
fn check_leaks(view: &View<'_>, found: &mut Vec<Finding>) {
    let in_use = |network: &&&Network| !network.is_removed;
    let tail = |uri: &str| uri.split_once("://").map(|(_, rest)| rest.rsplit('.').next().unwrap_or(rest).to_owned());
    let used: BTreeSet<(Option<u64>, String)> = view
        .networks
        .values()
        .filter(in_use)
        .filter_map(|network| Some((network.physical_network, tail(network.uri.as_deref()?)?)))
        .collect();
    for taken in view.taken.iter().filter(|taken| taken.physical_network.is_some_and(|id| view.is_gre(id))) {
        let vnet = taken.vnet.as_deref().unwrap_or_default().trim();
        if !used.contains(&(taken.physical_network, vnet.to_owned())) {
            let physical = taken.physical_network.unwrap_or_default();
            let evidence =
                format!("key {:?} of physical network {physical} is taken, and no network has it", excerpt(vnet));
            let finding = Finding::new(Kind::KeyLeaked, evidence);
            found.push(match key_of(vnet) {
                Some(key) => finding.key(key_number(key)),
                None => finding,
            });
        }
    }
}
