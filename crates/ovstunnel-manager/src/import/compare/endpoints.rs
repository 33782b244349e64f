//! Endpoints: rows of `ovs_tunnel_interface` with each other, and with what hosts report.
//!
//! What it must not do: ask a host.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ovstunnel_store::cloudstack::{Endpoint, Host, Setting};
use ovstunnel_types::text::excerpt;

use super::view::View;
use super::{Finding, Kind, Picture};

/// CloudStack's label where it has none configured.
const DEFAULT_LABEL: &str = "cloud-public";

fn endpoint_address(row: &Endpoint) -> Option<Ipv4Addr> {
    row.ip.as_deref()?.trim().parse().ok().filter(|ip: &Ipv4Addr| !ip.is_unspecified())
}

/// The rows of hosts that are there.
fn live_rows<'v>(view: &'v View<'_>) -> impl Iterator<Item = (u64, &'v Endpoint)> {
    let with_host = view.endpoints.iter().filter_map(|row| Some((row.host?, *row)));
    with_host.filter(|(host, _)| view.has_host(*host))
}

/// What is wrong with the rows by themselves.
pub(super) fn endpoint_findings(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut doubles: BTreeMap<(u64, &str), Vec<u64>> = BTreeMap::new();
    let mut by_address: BTreeMap<Ipv4Addr, BTreeSet<u64>> = BTreeMap::new();
    for (host, row) in live_rows(view) {
        doubles.entry((host, row.label.as_deref().unwrap_or_default())).or_default().push(row.id);
        match endpoint_address(row) {
            Some(ip) => drop(by_address.entry(ip).or_default().insert(host)),
            None => {
                let said = excerpt(row.ip.as_deref().unwrap_or("NULL"));
                let evidence = format!("row {} of {} has the address {said:?}", row.id, view.host_label(host));
                found.push(Finding::new(Kind::EndpointEmpty, evidence).host(host));
            }
        }
    }
    for ((host, label), ids) in doubles.into_iter().filter(|(_, ids)| ids.len() > 1) {
        let ids = ids.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let evidence = format!("{} has the rows {ids} for the label {:?}", view.host_label(host), excerpt(label));
        found.push(Finding::new(Kind::EndpointDoubled, evidence).host(host));
    }
    for (ip, hosts) in by_address.into_iter().filter(|(_, hosts)| hosts.len() > 1) {
        let names: Vec<String> = hosts.iter().map(|host| view.host_label(*host)).collect();
        let evidence = format!("{ip} is the address of {}", names.join(" and of "));
        found.extend(hosts.first().map(|host| Finding::new(Kind::AddressShared, evidence).host(*host)));
    }
    found
}

/// The labels by which CloudStack may ask a host: those of its GRE physical networks.
fn expected_labels<'v>(view: &'v View<'_>, host: &Host) -> BTreeSet<&'v str> {
    let default = match &view.tables.default_label {
        Setting::Value(label) if !label.is_empty() => label.as_str(),
        _ => DEFAULT_LABEL,
    };
    let is_kvm = host.hypervisor.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("KVM"));
    let gre = view.physical.iter().filter(|(id, _)| view.is_gre(**id));
    let own = gre.map(|(_, physical)| if is_kvm { &physical.label_kvm } else { &physical.label_xen });
    own.map(|label| label.as_deref().filter(|label| !label.is_empty()).unwrap_or(default)).collect()
}

/// What is registered, and what hosts report.
pub(super) fn compare_with_hosts(view: &View<'_>, picture: &Picture) -> Vec<Finding> {
    let mut found = Vec::new();
    for host in view.hosts.values().filter(|host| !host.is_removed) {
        let Some(seen) = picture.hosts.get(&host.id) else {
            let evidence = format!("{} is not registered with the manager", view.host_label(host.id));
            found.push(Finding::new(Kind::HostNotRegistered, evidence).host(host.id));
            continue;
        };
        let labels = expected_labels(view, host);
        if !labels.is_empty() && !labels.contains(seen.label.as_str()) {
            let theirs: Vec<String> = labels.iter().map(|label| format!("{:?}", excerpt(label))).collect();
            let (name, ours) = (view.host_label(host.id), &seen.label);
            let evidence = format!("{name}: CloudStack asks for {}, the manager for {ours:?}", theirs.join(" and "));
            found.push(Finding::new(Kind::LabelDiffers, evidence).host(host.id));
        }
    }
    if view.has_table("host") {
        for (number, seen) in &picture.hosts {
            if !view.has_host(*number) {
                let evidence = format!("{}, number {number}, is no host of CloudStack's zone", seen.name);
                found.push(Finding::new(Kind::HostUnknown, evidence).host(*number));
            }
        }
    }
    for (number, seen) in picture.hosts.iter().filter(|(_, seen)| seen.tunnels.is_none()) {
        let evidence = format!("{}, number {number}, is not heard of: its tunnels are not compared", seen.name);
        found.push(Finding::new(Kind::HostSilent, evidence).host(*number));
    }
    found.extend(live_rows(view).filter_map(|(host, row)| address_difference(view, picture, host, row)));
    found
}

/// Whether a host says another address than a row. Only what it was asked for by the same label can be compared.
fn address_difference(view: &View<'_>, picture: &Picture, host: u64, row: &Endpoint) -> Option<Finding> {
    let seen = picture.hosts.get(&host).filter(|seen| row.label.as_deref() == Some(seen.label.as_str()))?;
    let (said, stands) = (seen.ip.as_deref()?, endpoint_address(row)?);
    if said.parse() == Ok(stands) {
        return None;
    }
    let evidence = format!(
        "{} says {said} for the label {:?}, and row {} has {stands}",
        view.host_label(host),
        seen.label,
        row.id
    );
    Some(Finding::new(Kind::EndpointDiffers, evidence).host(host))
}
