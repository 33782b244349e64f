//! From the mirror, the database's rows and what is told of bridges to the facts that the checks judge. Must not judge.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use ovstunnel_api::{Bridge, Tunnel, TunnelState};
use ovstunnel_core::{DesiredBridge, ObservedBridge, ObservedInterface, View, bridge_flows};
use ovstunnel_ovs::{CommitError, Row, Rows};
use serde_json::Value;

use super::Now;
use super::addresses::OnBridge;
use super::flows::BridgeFlows;
use super::openvswitch::Datapath;
use super::underlay::{Remote, VifMtu};
use crate::interfaces::{Device, Route};

/// Bridges whose flows are read at the same time.
const AT_ONCE: usize = 4;

/// All bridges as they stand in the database.
pub(super) fn bridges(now: &Now<'_>) -> Vec<ObservedBridge> {
    now.switch.observer().read(|db| {
        let view = db.view();
        db.bridge_names().into_iter().filter_map(|name| view.bridge(&name)).collect()
    })
}

/// The managed bridges as they stand in the database.
pub(super) fn managed(now: &Now<'_>) -> Vec<ObservedBridge> {
    bridges(now).into_iter().filter(|bridge| DesiredBridge::from_record(bridge).is_some()).collect()
}

/// The flows of each managed bridge, ours as they are to be and all as they are.
pub(super) async fn flows(now: &Now<'_>, bridges: &[ObservedBridge]) -> Result<Vec<BridgeFlows>, CommitError> {
    let each: Vec<BoxFuture<'_, _>> = bridges.iter().map(|bridge| flows_of(now, bridge).boxed()).collect();
    futures_util::stream::iter(each).buffered(AT_ONCE).try_collect().await
}

async fn flows_of(now: &Now<'_>, bridge: &ObservedBridge) -> Result<BridgeFlows, CommitError> {
    let dump = now.switch.entry_flows(&bridge.name).await?;
    let record = DesiredBridge::from_record(bridge);
    let ours = record.map(|record| bridge_flows(&record, Some(bridge), now.settings)).unwrap_or_default();
    let port = |interface: &ObservedInterface| interface.openflow_port();
    let of_tunnels = bridge.ports.values().filter(|port| port.is_tunnel_of_ours()).flat_map(|port| &port.interfaces);
    Ok(BridgeFlows {
        bridge: bridge.name.clone(),
        ours: ours.iter().map(ToString::to_string).collect(),
        dump,
        vifs: bridge.vifs(&now.settings.vif_prefixes).flat_map(|vif| &vif.interfaces).filter_map(port).collect(),
        tunnels: of_tunnels.filter_map(port).collect(),
    })
}

fn name(row: &Row) -> &str {
    row.get("name").and_then(Value::as_str).unwrap_or_default()
}

fn by_name(rows: &[Row]) -> BTreeMap<&str, &Row> {
    rows.iter().map(|row| (name(row), row)).collect()
}

/// How many members a set has; one is written without its brackets.
fn count(value: Option<&Value>) -> usize {
    match value {
        Some(Value::Array(members)) => members.len(),
        Some(Value::String(one)) => usize::from(!one.is_empty()),
        _ => 0,
    }
}

/// Name, number of controllers and `fail_mode` of each managed bridge.
pub(super) fn controllers(rows: &Rows, bridges: &[ObservedBridge]) -> Vec<(String, usize, Option<String>)> {
    let rows = by_name(&rows.bridges);
    let of = |bridge: &ObservedBridge| count(rows.get(bridge.name.as_str()).and_then(|row| row.get("controller")));
    bridges.iter().map(|bridge| (bridge.name.clone(), of(bridge), bridge.fail_mode.clone())).collect()
}

/// The datapath of each managed bridge.
pub(super) fn datapaths(rows: &Rows, bridges: &[Bridge]) -> Vec<Datapath> {
    let rows = by_name(&rows.bridges);
    let kind = |name: &str| rows.get(name).and_then(|row| row.get("datapath_type")?.as_str()).unwrap_or_default();
    let up = |bridge: &Bridge| bridge.tunnels.iter().filter(|tunnel| tunnel.state == TunnelState::Up).count();
    let of = |bridge: &Bridge| Datapath {
        bridge: bridge.name.clone(),
        kind: kind(&bridge.name).to_owned(),
        tunnels: bridge.tunnels.len(),
        tunnels_up: up(bridge),
    };
    bridges.iter().map(of).collect()
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

fn remote_address(tunnel: &Tunnel) -> Option<Ipv4Addr> {
    tunnel.remote_ip.parse().ok()
}

/// The other hosts to which tunnels go, each once.
pub(crate) fn remote_addresses(bridges: &[Bridge]) -> Vec<Ipv4Addr> {
    let all: BTreeSet<Ipv4Addr> =
        bridges.iter().flat_map(|bridge| &bridge.tunnels).filter_map(remote_address).collect();
    all.into_iter().collect()
}

/// The other hosts, with what the tunnels to them have counted.
pub(super) fn remotes(rows: &Rows, bridges: &[Bridge], routes: BTreeMap<Ipv4Addr, Option<Route>>) -> Vec<Remote> {
    let rows = by_name(&rows.interfaces);
    let counter = |row: &Row, which: &str| row.get("statistics")?.get(which)?.as_u64();
    let packets = |tunnel: &Tunnel| {
        let row = rows.get(tunnel.port.as_str())?;
        Some((counter(row, "rx_packets")?, counter(row, "tx_packets")?))
    };
    let of = |(ip, route)| {
        let tunnels = || bridges.iter().flat_map(|b| &b.tunnels).filter(|tunnel| remote_address(tunnel) == Some(ip));
        let sum =
            |sum: Option<(u64, u64)>, (came, went)| sum.map_or(Some((came, went)), |(a, b)| Some((a + came, b + went)));
        Remote { ip, tunnels: tunnels().count(), packets: tunnels().filter_map(packets).fold(None, sum), route }
    };
    routes.into_iter().map(of).collect()
}

/// The VIFs of managed bridges whose MTU is known.
pub(super) fn vifs(rows: &Rows, bridges: &[Bridge]) -> Vec<VifMtu> {
    let rows = by_name(&rows.interfaces);
    let mtu = |name: &str| u32::try_from(rows.get(name)?.get("mtu")?.as_u64()?).ok();
    let of = |bridge: &Bridge| {
        let remotes: Vec<Ipv4Addr> = bridge.tunnels.iter().filter_map(remote_address).collect();
        let all = bridge.vifs.iter().filter_map(|vif| Some((vif.name.clone(), mtu(&vif.name)?)));
        all.map(|(name, mtu)| VifMtu { name, mtu, remotes: remotes.clone() }).collect::<Vec<_>>()
    };
    bridges.iter().flat_map(of).collect()
}
