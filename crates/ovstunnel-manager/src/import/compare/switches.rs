//! Rows of tunnels and the tunnels that hosts have.
//!
//! What it must not do: say that a host does not have what it was not asked for.

use std::collections::{BTreeMap, BTreeSet};

use ovstunnel_manager_api::HostTunnel;
use ovstunnel_store::cloudstack::Tunnel;
use ovstunnel_types::text::excerpt;

use super::view::{View, is_there};
use super::{Finding, Kind, Picture};

/// The tunnels of each host that is heard of, by key and other end.
pub(super) struct Switches<'a>(BTreeMap<u64, BTreeMap<(u64, u64), &'a HostTunnel>>);

/// The number of the host at the other end, where it is one.
fn peer_number(tunnel: &HostTunnel) -> Option<u64> {
    tunnel.to.parse().ok()
}

impl<'a> Switches<'a> {
    pub(super) fn new(picture: &'a Picture) -> Switches<'a> {
        let heard = picture.hosts.iter().filter_map(|(number, seen)| Some((*number, seen.tunnels.as_ref()?)));
        let by_end = |tunnels: &'a Vec<HostTunnel>| {
            tunnels.iter().filter_map(|tunnel| Some(((u64::from(tunnel.key), peer_number(tunnel)?), tunnel))).collect()
        };
        Switches(heard.map(|(number, tunnels)| (number, by_end(tunnels))).collect())
    }

    /// The tunnel of a row, if the host that has its port is heard of.
    pub(super) fn tunnel_of(&self, row: &Tunnel) -> Option<Option<&'a HostTunnel>> {
        self.0.get(&row.from).map(|tunnels| tunnels.get(&(row.key, row.to)).copied())
    }
}

pub(super) fn switch_findings(view: &View<'_>, picture: &Picture) -> Vec<Finding> {
    let mut found = Vec::new();
    if !view.has_table("ovs_tunnel_network") {
        return found;
    }
    let switches = Switches::new(picture);
    for row in view.live_rows().filter(|row| is_there(row)) {
        let Some(has) = switches.tunnel_of(row) else { continue };
        let way = || {
            format!("{}: {} to {}", view.network_label(row.network), view.host_label(row.from), view.host_label(row.to))
        };
        let at = |finding: Finding| finding.network(row.network).host(row.from).to(row.to).key(row.key);
        let port = row.port.as_deref().filter(|port| !port.is_empty() && *port != "[]");
        match has {
            None => {
                let evidence = format!("{} is recorded with the key {}, and the host does not have it", way(), row.key);
                found.push(at(Finding::new(Kind::TunnelAbsent, evidence)));
            }
            Some(tunnel) if port != Some(tunnel.port.as_str()) => {
                let recorded = excerpt(row.port.as_deref().unwrap_or("NULL"));
                let evidence = format!("{} has the port {}, and the row {recorded:?}", way(), tunnel.port);
                found.push(at(Finding::new(Kind::PortDiffers, evidence)));
            }
            Some(_) => {}
        }
    }
    check_unrecorded(view, picture, &mut found);
    found
}

/// Tunnels of which there is no row, of whatever network and in whatever state.
fn check_unrecorded(view: &View<'_>, picture: &Picture, found: &mut Vec<Finding>) {
    let recorded: BTreeSet<(u64, u64, u64)> = view.tunnels.iter().map(|row| (row.from, row.key, row.to)).collect();
    for (number, seen) in &picture.hosts {
        for tunnel in seen.tunnels.iter().flatten() {
            let key = u64::from(tunnel.key);
            let to = peer_number(tunnel);
            if to.is_some_and(|to| recorded.contains(&(*number, key, to))) {
                continue;
            }
            let HostTunnel { bridge, port, remote_ip, .. } = tunnel;
            let evidence = format!(
                "{}: port {port} on bridge {bridge}, with the key {key}, leads to host {} at {remote_ip}",
                seen.name, tunnel.to
            );
            let finding = Finding::new(Kind::TunnelUnrecorded, evidence).host(*number).key(key);
            found.push(to.into_iter().fold(finding, Finding::to));
        }
    }
}
