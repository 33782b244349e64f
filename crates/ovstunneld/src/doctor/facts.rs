//! From the mirror, the database's rows and what is told of bridges to the facts that the checks judge. Must not judge.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use ovstunnel_api::{Bridge, Tunnel, TunnelState};
use ovstunnel_ovs::{DatapathPorts, Row, Rows};
use ovstunnel_plan::{DesiredBridge, DesiredTunnel, ObservedBridge, Trace, View};
use ovstunnel_types::{Carrier, TunnelOptions};
use serde_json::Value;
use tokio::time::{Duration, Instant};

use super::Now;
use super::addresses::OnBridge;
use super::health::Read;
use super::nftables::TunnelPacket;
use super::openvswitch::Datapath;
use super::traffic::{Packets, Since};
use super::underlay::{Remote, VifMtu};
use crate::host::{Device, Route};
use crate::witness;

/// IP protocol.
const UDP: u8 = 17;

/// Bridges whose flows are read at the same time.
const AT_ONCE: usize = 4;

/// All bridges as they stand in the database.
pub(super) fn observed_bridges(now: &Now<'_>) -> Vec<ObservedBridge> {
    now.switch.observer().read(|db| {
        let view = db.view();
        db.bridge_names().into_iter().filter_map(|name| view.bridge(&name)).map(Arc::unwrap_or_clone).collect()
    })
}

/// The managed bridges as they stand in the database.
pub(super) fn managed_bridges(now: &Now<'_>) -> Vec<ObservedBridge> {
    observed_bridges(now).into_iter().filter(|bridge| DesiredBridge::from_record(bridge).is_some()).collect()
}

/// How long frames are followed, of all bridges together: the answer must come within what a caller waits.
const FOLLOWED: Duration = Duration::from_secs(10);

/// Bridges with more ports than this are left to the daemon's own turn: to follow a frame costs with their number, and each port
/// has one of its own.
const PORTS: usize = 200;

/// Each bridge with what the switch says of it now.
pub(super) async fn with_flows(now: &Now<'_>, bridges: Vec<ObservedBridge>) -> Vec<Read> {
    let until = Instant::now() + FOLLOWED;
    // Told of all bridges at once.
    let ports = match now.switch.real_switch() {
        Some(real) => real.new_questions().datapath_ports().await.unwrap_or_default(),
        None => BTreeMap::new(),
    };
    let read = async |bridge: ObservedBridge| {
        let dump = now.switch.entry_flows(&bridge.name).await.map_err(|error| error.to_string());
        let astray = stray_frames(now, &bridge, ports.get(&bridge.name));
        let traces = tokio::time::timeout_at(until, astray).await.ok().flatten();
        Read { bridge, dump, traces }
    };
    let each: Vec<BoxFuture<'_, _>> = bridges.into_iter().map(|bridge| read(bridge).boxed()).collect();
    futures_util::stream::iter(each).buffered(AT_ONCE).collect().await
}

/// Frames that go astray, each as often as it is followed: the mirror may have been behind the switch once.
async fn stray_frames(now: &Now<'_>, bridge: &ObservedBridge, ports: Option<&DatapathPorts>) -> Option<Vec<Trace>> {
    let (real, desired, ports) = (now.switch.real_switch()?, DesiredBridge::from_record(bridge)?, ports?);
    if bridge.ports.len() > PORTS {
        return None;
    }
    let follow = || witness::follow_all(real, bridge, &desired, now.settings, ports);
    let first = follow().await;
    if first.is_empty() {
        return Some(first);
    }
    let second = follow().await;
    Some(second.into_iter().filter(|trace| first.contains(trace)).collect())
}

fn row_name(row: &Row) -> &str {
    row.get("name").and_then(Value::as_str).unwrap_or_default()
}

fn by_name(rows: &[Row]) -> BTreeMap<&str, &Row> {
    rows.iter().map(|row| (row_name(row), row)).collect()
}

/// The datapath of each managed bridge.
pub(super) fn bridge_datapaths(now: &Now<'_>) -> Vec<Datapath> {
    let kinds: BTreeMap<String, String> =
        managed_bridges(now).into_iter().map(|bridge| (bridge.name, bridge.datapath_type)).collect();
    let up = |bridge: &Bridge| bridge.tunnels.iter().filter(|tunnel| tunnel.state == TunnelState::Up).count();
    let of = |bridge: &Bridge| Datapath {
        kind: kinds.get(&bridge.name).cloned().unwrap_or_default(),
        tunnel_kind: bridge.kind,
        tunnels: bridge.tunnels.len(),
        tunnels_up: up(bridge),
    };
    now.bridges.iter().map(of).collect()
}

/// The own devices and the VIFs of managed bridges, with their addresses.
pub(super) fn on_bridges(datapaths: &[Datapath], bridges: &[Bridge], devices: Vec<Device>) -> Vec<OnBridge> {
    let mut addresses: BTreeMap<String, Vec<IpAddr>> = devices.into_iter().map(|d| (d.name, d.addresses)).collect();
    let mut found = Vec::new();
    for (bridge, datapath) in bridges.iter().zip(datapaths) {
        let userspace = datapath.kind == "netdev";
        for name in std::iter::once(&bridge.name).chain(bridge.vifs.iter().map(|vif| &vif.name)) {
            let Some(addresses) = addresses.remove(name) else { continue };
            found.push(OnBridge { bridge: bridge.name.clone(), device: name.clone(), addresses, userspace });
        }
    }
    found
}

/// How many IPv4 addresses by which others may know it the host has, those on managed bridges left out.
pub(super) async fn addresses_of_devices(now: &Now<'_>) -> usize {
    let devices = now.interfaces.devices().await.unwrap_or_default();
    let others = devices.iter().filter(|device| now.bridges.iter().all(|bridge| bridge.name != device.name));
    others.flat_map(|device| &device.addresses).filter(|address| address.is_ipv4() && !address.is_loopback()).count()
}

fn remote_address(tunnel: &Tunnel) -> Option<IpAddr> {
    tunnel.remote_ip.parse().ok()
}

/// The other hosts to which tunnels go, each once.
pub(crate) fn remote_addresses(bridges: &[Bridge]) -> Vec<IpAddr> {
    let all: BTreeSet<IpAddr> = bridges.iter().flat_map(|bridge| &bridge.tunnels).filter_map(remote_address).collect();
    all.into_iter().collect()
}

/// The tunnels of managed bridges: the other host's address, and the port's name.
pub(super) fn tunnel_remotes(bridges: &[ObservedBridge]) -> Vec<(IpAddr, String)> {
    let ours = bridges.iter().flat_map(|bridge| bridge.ports.values()).filter_map(DesiredTunnel::from_record);
    ours.map(|tunnel| (tunnel.remote_ip.get(), tunnel.name.to_string())).collect()
}

/// What other hosts' tunnels send to those of these bridges of which the kernel has the datapath.
pub(super) fn packets_in_kernel(bridges: &[ObservedBridge]) -> BTreeSet<TunnelPacket> {
    let in_kernel = bridges.iter().filter(|bridge| bridge.datapath_type != "netdev");
    let tunnels = in_kernel.flat_map(|bridge| bridge.ports.values()).filter_map(DesiredTunnel::from_record);
    let packet = |tunnel: DesiredTunnel| {
        let (protocol, port) = match tunnel.encap.kind().carrier() {
            Carrier::Ip(protocol) => (protocol, None),
            Carrier::Udp(_) => (UDP, tunnel.encap.udp_port()),
        };
        TunnelPacket { protocol, port, from: tunnel.remote_ip.get() }
    };
    tunnels.map(packet).collect()
}

/// What the tunnels to each host have counted.
pub(super) fn count_packets(rows: &Rows, tunnels: &[(IpAddr, String)]) -> Packets {
    let (rows, mut packets) = (by_name(&rows.interfaces), Packets::new());
    let counter = |row: &Row, which: &str| row.get("statistics")?.get(which)?.as_u64();
    for (ip, port) in tunnels {
        let Some(row) = rows.get(port.as_str()) else { continue };
        let Some(counted) = counter(row, "rx_packets").zip(counter(row, "tx_packets")) else { continue };
        let sum = packets.entry(*ip).or_default();
        *sum = (sum.0 + counted.0, sum.1 + counted.1);
    }
    packets
}

/// What is known of the traffic with other hosts.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub packets: Packets,
    pub since: BTreeMap<IpAddr, Since>,
    /// The two addresses of each tunnel whose packets come in: theirs and ours.
    pub ends: BTreeSet<(IpAddr, IpAddr)>,
    /// The address that tunnels to others of its family send from, where it is set.
    pub local_ip: Option<IpAddr>,
}

/// The other hosts, with what the tunnels to them have counted.
pub(super) fn remote_hosts(bridges: &[Bridge], seen: &Seen, routes: BTreeMap<IpAddr, Option<Route>>) -> Vec<Remote> {
    let of = |(ip, route): (IpAddr, Option<Route>)| {
        let tunnels = bridges.iter().flat_map(|b| &b.tunnels).filter(|tunnel| remote_address(tunnel) == Some(ip));
        Remote {
            ip,
            tunnels: tunnels.count(),
            packets: seen.packets.get(&ip).copied(),
            since: seen.since.get(&ip).copied(),
            arrives_at: seen.ends.iter().filter(|(theirs, _)| *theirs == ip).map(|(_, ours)| *ours).collect(),
            ours: seen
                .local_ip
                .filter(|local| local.is_ipv4() == ip.is_ipv4())
                .or(route.as_ref().and_then(|route| route.source)),
            route,
        }
    };
    routes.into_iter().map(of).collect()
}

/// The VIFs of managed bridges whose MTU is known.
pub(super) fn vif_mtus(rows: &Rows, bridges: &[Bridge], options: &TunnelOptions) -> Vec<VifMtu> {
    let rows = by_name(&rows.interfaces);
    let mtu = |name: &str| u32::try_from(rows.get(name)?.get("mtu")?.as_u64()?).ok();
    let of = |bridge: &Bridge| {
        let remotes: Vec<IpAddr> = bridge.tunnels.iter().filter_map(remote_address).collect();
        let all = bridge.vifs.iter().filter_map(|vif| Some((vif.name.clone(), mtu(&vif.name)?)));
        let kind = bridge.kind;
        all.map(|(name, mtu)| VifMtu { name, mtu, kind, options: options.clone(), remotes: remotes.clone() })
            .collect::<Vec<_>>()
    };
    bridges.iter().flat_map(of).collect()
}
