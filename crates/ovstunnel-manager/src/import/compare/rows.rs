//! Rows of tunnels with each other, with networks and hosts, and with who has VMs.
//!
//! What it must not do: look for tunnels of which there is no row.

use std::collections::{BTreeMap, BTreeSet};

use ovstunnel_api::TunnelState;
use ovstunnel_store::cloudstack::Tunnel;
use ovstunnel_types::text::excerpt;

use super::switches::Switches;
use super::view::{View, is_there};
use super::{Finding, Kind, Picture};

pub(super) fn row_findings(view: &View<'_>, picture: Option<&Picture>) -> Vec<Finding> {
    let mut found = of_what_is_gone(view);
    let live: Vec<&Tunnel> = view.live_rows().collect();
    one_sided(view, &live, &mut found);
    check_keys(view, &live, &mut found);
    check_states(view, &live, picture, &mut found);
    if view.has_table("nics") && view.has_table("vm_instance") {
        check_membership(view, &live, &mut found);
    }
    found
}

fn of_what_is_gone(view: &View<'_>) -> Vec<Finding> {
    let mut by_host: BTreeMap<u64, (usize, usize)> = BTreeMap::new();
    let mut by_network: BTreeMap<u64, (usize, &'static str)> = BTreeMap::new();
    for row in &view.tunnels {
        for host in [row.from, row.to].into_iter().filter(|host| !view.has_host(*host)) {
            by_host.entry(host).or_default().0 += 1;
        }
        if let Some(why) = view.gone_reason(row.network) {
            by_network.entry(row.network).or_insert((0, why)).0 += 1;
        }
    }
    for host in view.endpoints.iter().filter_map(|row| row.host).filter(|host| !view.has_host(*host)) {
        by_host.entry(host).or_default().1 += 1;
    }
    let of_hosts = by_host.into_iter().map(|(host, (tunnels, endpoints))| {
        let why = if view.hosts.contains_key(&host) { "was removed" } else { "is not there" };
        let name = view.host_label(host);
        let evidence = format!("{name} {why}, and has {tunnels} rows of tunnels and {endpoints} of endpoints");
        Finding::new(Kind::RowsOfHost, evidence).host(host)
    });
    let of_networks = by_network.into_iter().map(|(network, (rows, why))| {
        let evidence = format!("{} has {rows} rows of tunnels, and {why}", view.network_label(network));
        Finding::new(Kind::RowsOfNetwork, evidence).network(network)
    });
    of_hosts.chain(of_networks).collect()
}

fn at_row(finding: Finding, row: &Tunnel) -> Finding {
    finding.network(row.network).host(row.from).to(row.to).key(row.key)
}

fn row_direction(view: &View<'_>, row: &Tunnel) -> String {
    format!("{}: {} to {}", view.network_label(row.network), view.host_label(row.from), view.host_label(row.to))
}

fn one_sided(view: &View<'_>, live: &[&Tunnel], found: &mut Vec<Finding>) {
    let there: BTreeSet<(u64, u64, u64)> = live.iter().map(|row| (row.network, row.from, row.to)).collect();
    for row in live.iter().filter(|row| !there.contains(&(row.network, row.to, row.from))) {
        let evidence = format!("{}, and there is no row of the way back", row_direction(view, row));
        found.push(at_row(Finding::new(Kind::OneSided, evidence), row));
    }
}

/// Rows of another key than the network has, together for a network.
fn check_keys(view: &View<'_>, live: &[&Tunnel], found: &mut Vec<Finding>) {
    let mut other: BTreeMap<(u64, u64), usize> = BTreeMap::new();
    for row in live {
        if view.network_key(row.network).is_some_and(|key| u64::from(key.get()) != row.key) {
            *other.entry((row.network, row.key)).or_default() += 1;
        }
    }
    for ((network, key), rows) in other {
        let evidence = format!(
            "{} has {rows} rows of tunnels with the key {key}, and another one now",
            view.network_label(network)
        );
        found.push(Finding::new(Kind::RowKeyDiffers, evidence).network(network).key(key));
    }
}

/// Rows that do not say that the tunnel is there, and what the host has of it.
fn check_states(view: &View<'_>, live: &[&Tunnel], picture: Option<&Picture>, found: &mut Vec<Finding>) {
    let switches = picture.map(Switches::new);
    for row in live.iter().filter(|row| !is_there(row)) {
        let is_created = row.state.as_deref().is_some_and(|state| state.trim().eq_ignore_ascii_case("created"));
        let kind = if is_created { Kind::RowCreated } else { Kind::RowFailed };
        let has = switches.as_ref().and_then(|switches| switches.tunnel_of(row));
        let has = match has {
            None => "",
            Some(None) => "; the host does not have the tunnel",
            Some(Some(tunnel)) if tunnel.state == TunnelState::Up => "; the host has the tunnel, and it is up",
            Some(Some(_)) => "; the host has the tunnel, and it is not up",
        };
        let state = excerpt(row.state.as_deref().unwrap_or("NULL"));
        found.push(at_row(Finding::new(kind, format!("{} is {state}{has}", row_direction(view, row))), row));
    }
}

/// Rows and VMs: each two hosts with VMs of a network need both rows, and others none.
fn check_membership(view: &View<'_>, live: &[&Tunnel], found: &mut Vec<Finding>) {
    let there: BTreeSet<(u64, u64, u64)> = live.iter().map(|row| (row.network, row.from, row.to)).collect();
    let none = BTreeSet::new();
    let mut left: BTreeMap<(u64, u64), usize> = BTreeMap::new();
    for row in live {
        let members = view.members.get(&row.network).unwrap_or(&none);
        for host in [row.from, row.to].into_iter().filter(|host| !members.contains(host)) {
            *left.entry((row.network, host)).or_default() += 1;
        }
    }
    for ((network, host), rows) in left {
        let evidence =
            format!("{}: {} has {rows} rows of tunnels, and no VM", view.network_label(network), view.host_label(host));
        found.push(Finding::new(Kind::RowsLeft, evidence).network(network).host(host));
    }
    for (network, hosts) in view.members.iter().filter(|(network, _)| view.network_key(**network).is_some()) {
        for (index, one) in hosts.iter().enumerate() {
            for two in hosts.iter().skip(index + 1) {
                if !there.contains(&(*network, *one, *two)) && !there.contains(&(*network, *two, *one)) {
                    let (network_name, one_name, two_name) =
                        (view.network_label(*network), view.host_label(*one), view.host_label(*two));
                    let evidence =
                        format!("{network_name}: {one_name} and {two_name} have VMs, and no row of a tunnel");
                    found.push(Finding::new(Kind::RowMissing, evidence).network(*network).host(*one).to(*two));
                }
            }
        }
    }
}
