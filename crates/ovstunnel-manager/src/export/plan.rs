//! Which rows of CloudStack's two tables have to change, and why.
//!
//! What it does: pure comparison of one zone. What it must not do: I/O; judge a host that is not heard of, or a row of another zone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ovstunnel_api::TunnelState;
use ovstunnel_manager_api::HostTunnel;
use ovstunnel_store::cloudstack::{Address, Change, Endpoint, Tables, Tunnel};
use ovstunnel_types::text::excerpt;

use crate::import::compare::view::View;
use crate::import::compare::{Picture, SeenHost};

/// Tables without which it cannot be told what has to be there.
const NEEDED: [&str; 6] = ["host", "networks", "nics", "vm_instance", "ovs_tunnel_interface", "ovs_tunnel_network"];

/// What stands for the name of a port that there is not.
const NO_PORT: &str = "[]";

/// Which words stand for the state of a tunnel. CloudStack compares them letter by letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum States {
    /// `Established` and `Failed`: CloudStack from 4.3 on.
    Cloudstack,
    /// `SUCCESS` and `FAILED`: CloudStack up to 4.2.
    Specification,
}

impl States {
    fn state_word(self, is_up: bool) -> &'static str {
        match (self, is_up) {
            (States::Cloudstack, true) => "Established",
            (States::Cloudstack, false) => "Failed",
            (States::Specification, true) => "SUCCESS",
            (States::Specification, false) => "FAILED",
        }
    }
}

/// A change of a row, and why it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The change.
    pub change: Change,
    /// Why, in a line.
    pub why: String,
}

/// What has to change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The changes, endpoints before tunnels.
    pub items: Vec<Item>,
    /// What is not compared, and why, a line for each.
    pub left: Vec<String>,
}

impl Plan {
    fn push_change(&mut self, change: Change, why: String) {
        self.items.push(Item { change, why });
    }
}

/// From host, to host, network.
type Place = (u64, u64, u64);

/// What has to change in the zone with this id.
///
/// # Errors
/// The tables that are needed for that and are not there.
pub fn plan_export(tables: &Tables, zone: u64, picture: &Picture, states: States) -> Result<Plan, Vec<&'static str>> {
    let missing: Vec<&str> = tables.missing.iter().copied().filter(|table| NEEDED.contains(table)).collect();
    if !missing.is_empty() {
        return Err(missing);
    }
    let view = View::new(tables, zone);
    let mut plan = Plan::default();
    plan_endpoints(&view, picture, &mut plan);
    plan_tunnels(&view, picture, states, &mut plan);
    Ok(plan)
}

/// Ids that no row has.
fn free_ids(ids: impl Iterator<Item = u64>) -> impl Iterator<Item = u64> {
    ids.max().unwrap_or_default() + 1..
}

fn parse_ipv4(ip: Option<&str>) -> Option<Ipv4Addr> {
    ip?.trim().parse().ok().filter(|ip: &Ipv4Addr| !ip.is_unspecified())
}

/// The hosts of CloudStack's that are heard of.
fn reporting_hosts<'p>(view: &View<'_>, picture: &'p Picture) -> BTreeMap<u64, (&'p SeenHost, &'p [HostTunnel])> {
    let of = |(number, seen): (&u64, &'p SeenHost)| Some((*number, (seen, seen.tunnels.as_deref()?)));
    picture.hosts.iter().filter_map(of).filter(|(number, _)| view.has_host(*number)).collect()
}

fn plan_endpoints(view: &View<'_>, picture: &Picture, plan: &mut Plan) {
    let heard = reporting_hosts(view, picture);
    let mut done = BTreeSet::new();
    for row in &view.endpoints {
        let Some(host) = row.host else { continue };
        if !view.has_host(host) {
            let why = format!("{} is not there any more", view.host_label(host));
            plan.push_change(Change::RemoveEndpoint((*row).clone()), why);
            continue;
        }
        let said = heard.get(&host).filter(|(seen, _)| row.label.as_deref() == Some(seen.label.as_str()));
        match said.and_then(|(seen, _)| Some((*seen, parse_ipv4(seen.ip.as_deref())?))) {
            Some((seen, ip)) if done.insert(host) => same_endpoint(view, row, seen, ip, plan),
            Some(_) => {
                let why = format!("{} has another row for the same label", view.host_label(host));
                plan.push_change(Change::RemoveEndpoint((*row).clone()), why);
            }
            None if parse_ipv4(row.ip.as_deref()).is_none() => {
                let why = format!("{} has no address there: CloudStack asks it again", view.host_label(host));
                plan.push_change(Change::RemoveEndpoint((*row).clone()), why);
            }
            None => {}
        }
    }
    let new = heard.iter().filter(|(host, _)| !done.contains(*host));
    let new = new.filter_map(|(host, (seen, _))| Some((*host, *seen, parse_ipv4(seen.ip.as_deref())?)));
    for (id, (host, seen, ip)) in free_ids(view.tables.endpoints.iter().map(|row| row.id)).zip(new) {
        let why = format!("{} says {ip} for the label {:?}", view.host_label(host), excerpt(&seen.label));
        let label = seen.label.clone();
        plan.push_change(Change::AddEndpoint { id, host, label, address: endpoint_address(seen, ip) }, why);
    }
}

fn endpoint_address(seen: &SeenHost, ip: Ipv4Addr) -> Address {
    Address { ip: ip.to_string(), netmask: seen.netmask.clone(), mac: seen.mac.clone() }
}

fn same_endpoint(view: &View<'_>, row: &Endpoint, seen: &SeenHost, ip: Ipv4Addr, plan: &mut Plan) {
    if parse_ipv4(row.ip.as_deref()) == Some(ip) {
        return;
    }
    let recorded = excerpt(row.ip.as_deref().unwrap_or("NULL"));
    let why = format!("{} says {ip}, and recorded is {recorded}", view.host_label(row.host.unwrap_or_default()));
    plan.push_change(Change::SetEndpoint { before: row.clone(), address: endpoint_address(seen, ip) }, why);
}

/// The network of each key; none where two have it.
fn by_key(view: &View<'_>, plan: &mut Plan) -> BTreeMap<u64, Option<u64>> {
    let mut by_key: BTreeMap<u64, Option<u64>> = BTreeMap::new();
    for network in view.networks.keys() {
        let Some(key) = view.network_key(*network) else { continue };
        let key = u64::from(key.get());
        match by_key.insert(key, Some(*network)) {
            None => {}
            Some(other) => {
                let other = other.map_or_else(|| "others".to_owned(), |other| view.network_label(other));
                plan.left.push(format!("{} and {other} have the same key {key}", view.network_label(*network)));
                by_key.insert(key, None);
            }
        }
    }
    by_key
}

/// What the hosts have of CloudStack's networks. Of two tunnels with the same place the one that is up counts.
fn present_tunnels<'p>(
    view: &View<'_>,
    heard: &BTreeMap<u64, (&'p SeenHost, &'p [HostTunnel])>,
    networks: &BTreeMap<u64, Option<u64>>,
    plan: &mut Plan,
) -> BTreeMap<Place, &'p HostTunnel> {
    let mut there: BTreeMap<Place, &HostTunnel> = BTreeMap::new();
    for (from, (_, tunnels)) in heard {
        let mut others = 0_usize;
        for tunnel in *tunnels {
            let to = tunnel.to.parse::<u64>().ok().filter(|to| view.has_host(*to) && to != from);
            match (to, networks.get(&u64::from(tunnel.key)).copied().flatten()) {
                (Some(to), Some(network)) => {
                    let place = there.entry((*from, to, network)).or_insert(tunnel);
                    if place.state != TunnelState::Up {
                        *place = tunnel;
                    }
                }
                _ => others += 1,
            }
        }
        if others > 0 {
            let host = view.host_label(*from);
            plan.left.push(format!("{host}: {others} of its tunnels are of no network or host of CloudStack's"));
        }
    }
    there
}

fn plan_tunnels(view: &View<'_>, picture: &Picture, states: States, plan: &mut Plan) {
    let heard = reporting_hosts(view, picture);
    let networks = by_key(view, plan);
    let mut there = present_tunnels(view, &heard, &networks, plan);
    let is_clear = |network: u64| networks.values().any(|of| *of == Some(network));
    let mut silent: BTreeMap<u64, usize> = BTreeMap::new();
    for row in &view.tunnels {
        let has = there.remove(&(row.from, row.to, row.network));
        let of = Way { view, row, states };
        if let Some(gone) = of.gone_reason() {
            plan.push_change(Change::RemoveTunnel((*row).clone()), gone);
        } else if !heard.contains_key(&row.from) {
            *silent.entry(row.from).or_default() += 1;
        } else if is_clear(row.network) {
            plan.items.extend(of.compare_row(has));
        }
    }
    for (host, rows) in silent {
        plan.left.push(format!("{rows} rows of tunnels from {}, which is not heard of", view.host_label(host)));
    }
    for (id, ((from, to, network), tunnel)) in free_ids(view.tables.tunnels.iter().map(|row| row.id)).zip(there) {
        let state = states.state_word(tunnel.state == TunnelState::Up).to_owned();
        let (port, key) = (Some(tunnel.port.clone()), u64::from(tunnel.key));
        let row = Tunnel { id, from, to, network, key, port, state: Some(state) };
        let why = format!("{}: it is there, and not recorded", Way { view, row: &row, states }.to_text());
        plan.push_change(Change::AddTunnel(row), why);
    }
}

/// A row that is there.
struct Way<'a> {
    view: &'a View<'a>,
    row: &'a Tunnel,
    states: States,
}

impl Way<'_> {
    fn to_text(&self) -> String {
        let Tunnel { from, to, network, .. } = self.row;
        format!(
            "{}: {} to {}",
            self.view.network_label(*network),
            self.view.host_label(*from),
            self.view.host_label(*to)
        )
    }

    /// Why nothing of it should be recorded, where host or network are not there any more.
    fn gone_reason(&self) -> Option<String> {
        let host = [self.row.from, self.row.to].into_iter().find(|host| !self.view.has_host(*host));
        let host = host.map(|host| format!("{} is not there any more", self.view.host_label(host)));
        let why = host.or_else(|| self.view.gone_reason(self.row.network).map(str::to_owned))?;
        Some(format!("{}: {why}", self.to_text()))
    }

    /// What becomes of the row, given what the host has. One that has to be there and is not stays as failed: CloudStack makes it when a VM
    /// starts on either host.
    fn compare_row(&self, has: Option<&HostTunnel>) -> Option<Item> {
        let row = self.row;
        let members = self.view.members.get(&row.network);
        let is_needed = members.is_some_and(|hosts| hosts.contains(&row.from) && hosts.contains(&row.to));
        let (after, what) = match has {
            Some(tunnel) => {
                let is_up = tunnel.state == TunnelState::Up;
                let what = if is_up { "up" } else { "there, and not up" };
                (self.row_after(u64::from(tunnel.key), &tunnel.port, is_up), what)
            }
            None if is_needed => {
                let key = self.view.network_key(row.network).map_or(row.key, |key| u64::from(key.get()));
                (self.row_after(key, NO_PORT, false), "needed, and not there")
            }
            None => {
                let why = format!("{}: it is not there, and nobody needs it", self.to_text());
                return Some(Item { change: Change::RemoveTunnel(row.clone()), why });
            }
        };
        if after == *row {
            return None;
        }
        let said = |text: &Option<String>| excerpt(text.as_deref().unwrap_or("NULL"));
        let recorded = format!("{}, port {}, key {}", said(&row.state), said(&row.port), row.key);
        let why = format!("{}: it is {what}, and recorded as {recorded}", self.to_text());
        Some(Item { change: Change::SetTunnel { before: row.clone(), after }, why })
    }

    fn row_after(&self, key: u64, port: &str, is_up: bool) -> Tunnel {
        let state = Some(self.states.state_word(is_up).to_owned());
        Tunnel { key, port: Some(port.to_owned()), state, ..self.row.clone() }
    }
}
