//! Compares what the management server knows with what is in the switches.
//!
//! What it does: names network, pair of hosts and kind of each tunnel that is missing, one-sided, left over or wrong. What it
//! must not do: believe an answer of a daemon; it looks into the switches themselves. Hosts that are down are left out.

use std::fmt;

use ovstunnel_api::{BridgeList, FlowsState};
use ovstunnel_plan::{DesiredTunnel, ObservedBridge, ObservedPort, TunnelHealth};
use serde::Serialize;

use crate::host::Host;
use crate::network::Network;
use crate::zone::Zone;

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Neither of two hosts has the tunnel to the other.
    Missing,
    /// Only the other host has it.
    OneSided,
    /// It is there and nobody wants it any more.
    LeftOver,
    /// It is there, but in error, to a wrong address, or not protected.
    Wrong,
    /// A bridge's flows or VIFs are not what they must be.
    Bridge,
    /// The server could not have its way.
    Server,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The network, by its bridge.
    pub network: String,
    /// The host where it is.
    pub from: Option<usize>,
    /// The other end.
    pub to: Option<usize>,
    /// What it is.
    pub kind: Kind,
    /// More words.
    pub detail: String,
}

impl Fault {
    fn tunnel(network: &Network, from: usize, to: Option<usize>, kind: Kind, detail: &str) -> Self {
        Fault { network: network.bridge.clone(), from: Some(from), to, kind, detail: detail.to_owned() }
    }

    /// What the server was told.
    pub fn of_server(network: usize, detail: String) -> Self {
        Fault { network: Network::new(network).bridge, from: None, to: None, kind: Kind::Server, detail }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { network, from, to, kind, detail } = self;
        let kind = match kind {
            Kind::Missing => "missing",
            Kind::OneSided => "one-sided",
            Kind::LeftOver => "left over",
            Kind::Wrong => "wrong",
            Kind::Bridge => "bridge",
            Kind::Server => "refused",
        };
        write!(f, "network {network}")?;
        match (from, to) {
            (Some(from), Some(to)) => write!(f, ", tunnel from host {from} to host {to}")?,
            (Some(from), None) => write!(f, ", host {from}")?,
            _ => {}
        }
        write!(f, ": {kind}: {detail}")
    }
}

/// What is wrong with a network in which nothing is under way.
pub fn network(zone: &Zone, number: usize) -> Vec<Fault> {
    let networks = zone.networks.borrow();
    let network = &networks[number];
    let hosts = network.touched.iter().copied().filter(|host| zone.is_up(*host));
    let mut tunnels = 0;
    let faults = hosts.flat_map(|host| {
        let bridge = zone.hosts[host].bridge(&network.bridge);
        tunnels += bridge.as_ref().map_or(0, |bridge| bridge.ports.len() as u64);
        of_host(zone, network, host, bridge.as_ref())
    });
    let faults = faults.collect();
    let (checked, looked) = zone.checked.get();
    zone.checked.set((checked + 1, looked + tunnels));
    faults
}

/// What is wrong anywhere, left-overs on hosts where nobody looked for them among it. Networks for which something is under
/// way are left out.
pub fn everything(zone: &Zone) -> Vec<Fault> {
    let networks = zone.networks.borrow();
    let rest = (0..networks.len()).filter(|n| networks[*n].pending == 0);
    let mut faults: Vec<Fault> = rest.flat_map(|n| network(zone, n)).collect();
    for (number, host) in zone.hosts.iter().enumerate().filter(|(number, _)| zone.is_up(*number)) {
        for name in host.bridge_names() {
            let network = name.strip_prefix("xapi").and_then(|n| networks.get(n.parse::<usize>().ok()?));
            if network.is_none_or(|network| !network.touched.contains(&number)) {
                let (network, from, detail) = (name, Some(number), "a bridge that nobody asked for".to_owned());
                faults.push(Fault { network, from, to: None, kind: Kind::LeftOver, detail });
            }
        }
    }
    faults
}

/// The tunnels of ours on a bridge, with the other end.
fn tunnels(bridge: &ObservedBridge) -> impl Iterator<Item = (Option<usize>, &ObservedPort)> {
    let ours = bridge.ports.values().filter(|port| port.is_tunnel_of_ours());
    ours.map(|port| (DesiredTunnel::from_record(port).and_then(|tunnel| tunnel.to.to_string().parse().ok()), port))
}

fn of_host(zone: &Zone, network: &Network, host: usize, bridge: Option<&ObservedBridge>) -> Vec<Fault> {
    let member = network.members.contains_key(&host);
    let mut expected = if member { network.others(host) } else { vec![] };
    let mut faults = Vec::new();
    if !member && bridge.is_some() {
        let detail = "a bridge without VMs of the network";
        faults.push(Fault::tunnel(network, host, None, Kind::LeftOver, detail));
    }
    for (to, port) in bridge.into_iter().flat_map(tunnels) {
        let known = to.and_then(|to| expected.iter().position(|other| *other == to));
        match (known, to) {
            (Some(at), Some(to)) => {
                expected.swap_remove(at);
                let wrong = wrong(network, to, port);
                faults.extend(wrong.map(|words| Fault::tunnel(network, host, Some(to), Kind::Wrong, words)));
            }
            _ => {
                let detail = format!("port {} is there, and the other end has no VM of the network", port.name);
                faults.push(Fault::tunnel(network, host, to, Kind::LeftOver, &detail));
            }
        }
    }
    faults.extend(expected.into_iter().map(|to| absent(zone, network, host, to)));
    faults
}

fn absent(zone: &Zone, network: &Network, host: usize, to: usize) -> Fault {
    let other = zone.hosts[to].bridge(&network.bridge).filter(|_| zone.is_up(to));
    let back = other.as_ref().is_some_and(|other| tunnels(other).any(|(end, _)| end == Some(host)));
    match back {
        true => Fault::tunnel(network, host, Some(to), Kind::OneSided, "only the other host has its end"),
        false => Fault::tunnel(network, host, Some(to), Kind::Missing, "both hosts have VMs of the network"),
    }
}

fn wrong(network: &Network, to: usize, port: &ObservedPort) -> Option<&'static str> {
    let interface = port.interface()?;
    let identity = interface.tunnel_endpoint().map(|leads| (leads.remote_ip.to_string(), leads.key as usize));
    if !port.protected {
        Some("its port is not protected: frames would circle")
    } else if !matches!(interface.health(), TunnelHealth::Up(_)) {
        Some("Open vSwitch has it in error")
    } else if identity != Some((Host::address(to), network.key)) {
        Some("it has another remote address or key")
    } else {
        None
    }
}

/// What is wrong with flows and VIFs, by what each daemon says of its bridges.
///
/// # Errors
/// When a daemon's answer is none of the API's.
pub async fn flows(zone: &Zone) -> anyhow::Result<Vec<Fault>> {
    let plugged = zone.vms.borrow().plugged();
    let mut faults = Vec::new();
    for (number, host) in zone.hosts.iter().enumerate().filter(|(number, _)| zone.is_up(*number)) {
        let Some(answer) = host.ask("GET", "/v1/bridges", "").await? else { continue };
        let list: BridgeList = answer.read()?;
        for bridge in list.bridges {
            let network = bridge.name.strip_prefix("xapi").and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
            let vms = plugged.get(&(number, network)).copied().unwrap_or_default();
            let mut blame = |detail| {
                let network = bridge.name.clone();
                faults.push(Fault { network, from: Some(number), to: None, kind: Kind::Bridge, detail });
            };
            if bridge.vifs.len() != vms {
                blame(format!("{} VIFs for {vms} VMs", bridge.vifs.len()));
            }
            if bridge.flows.state != FlowsState::InSync {
                blame(format!("its flows are not those that must be there: {:?}", bridge.flows));
            }
        }
    }
    Ok(faults)
}
