//! The plugin's bridges and tunnels, and what each would be as one of ours.
//!
//! What it does: judges all bridges of a switch at once, for two with one key are in each other's way. What it must not do:
//! take part of a bridge; one tunnel that cannot be ours keeps the whole bridge as it is.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    BridgeKind, BridgeName, DesiredBridge, DesiredTunnel, Encap, GreKey, HostId, Mark, ObservedBridge,
    ObservedInterface, ObservedPort, PortName, RemoteIp, Settings, TunnelHealth, TunnelKind, TunnelOptions, ids,
};

/// What newer management servers write before the key where the name of the network is asked for.
const NETWORK_PREFIX: &str = "OVSTunnel";
/// The same for a distributed-routing VPC.
const VPC_PREFIX: &str = "OVS-DR-VPC-Bridge";
/// An option of its own that some versions set on tunnels; to Open vSwitch it means nothing.
const NETWORK_ID: &str = "cloudstack-network-id";
/// Keys of `other_config` that the plugin writes on the bridge of a VPC.
const VPC_MARKS: [&str; 2] = ["topology-update-sequence-number", "route-policy-update-sequence-number"];

/// The kind of all tunnels of the plugin's.
pub(super) const TUNNELS: TunnelKind = TunnelKind::Gre;

/// Begins every mark of ours.
const MARK: &str = "ovstunnel-";

/// Where an adopted bridge keeps the `gre_key` that it had.
const WAS_GRE_KEY: &str = "ovstunnel-was-gre_key";

/// What a bridge is to a take-over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Nothing on it is the plugin's.
    Foreign,
    /// It is managed already.
    Ours,
    /// It is the plugin's, and would be this.
    Plugins(Box<DesiredBridge>),
    /// It is the plugin's and stays as it is, for these reasons.
    Left(Vec<String>),
}

/// Judges all bridges of a switch. What the flows say (see [`crate::PluginTable`]) comes on top.
pub fn survey_bridges(bridges: &[ObservedBridge], settings: &Settings) -> BTreeMap<String, Finding> {
    let keys: Vec<(&str, GreKey)> = bridges
        .iter()
        .flat_map(|bridge| keys_in_use(bridge).into_iter().map(|key| (bridge.name.as_str(), key)))
        .collect();
    let judged = bridges.iter().map(|bridge| {
        let mut finding = judge_bridge(bridge, settings);
        if let Finding::Plugins(desired) = &finding
            && let Some((other, key)) =
                keys.iter().find(|(other, key)| *other != bridge.name && Some(*key) == desired.kind.key())
        {
            finding = Finding::Left(vec![format!("bridge {other} has key {key} too")]);
        }
        (bridge.name.clone(), finding)
    });
    judged.collect()
}

/// The keys by which a bridge of ours or of the plugin's is known.
fn keys_in_use(bridge: &ObservedBridge) -> Vec<GreKey> {
    match DesiredBridge::recorded_keys(bridge) {
        ours if !ours.is_empty() => ours,
        _ => bridge.other_config.get(ids::GRE_KEY).and_then(|text| read_key(text)).into_iter().collect(),
    }
}

fn read_key(text: &str) -> Option<GreKey> {
    text.strip_prefix(NETWORK_PREFIX).unwrap_or(text).parse().ok()
}

/// Whether a bridge has the pipeline that the plugin lays for a VPC, as far as its marks tell, also those that were kept when
/// it was adopted as a network's.
pub fn has_vpc_pipeline(bridge: &ObservedBridge) -> bool {
    let keys = [bridge.other_config.get(ids::GRE_KEY), bridge.external_ids.get(WAS_GRE_KEY)];
    VPC_MARKS.iter().any(|mark| bridge.other_config.contains_key(*mark))
        || keys.into_iter().flatten().any(|key| key.starts_with(VPC_PREFIX))
}

/// Whether a bridge of a plain network is the plugin's and nobody's else: it has a `gre_key`, and never was ours. What was ours
/// and was given back, or has lost a mark, is not.
pub fn waits_for_takeover(bridge: &ObservedBridge) -> bool {
    bridge.other_config.contains_key(ids::GRE_KEY)
        && !has_vpc_pipeline(bridge)
        && !bridge.external_ids.keys().any(|key| key.starts_with(MARK))
}

/// Whether a bridge was taken over from the plugin once and was given back.
pub fn was_released(bridge: &ObservedBridge) -> bool {
    DesiredBridge::bridge_mark(bridge) == Mark::Foreign && bridge.external_ids.contains_key(ids::RELEASED)
}

fn judge_bridge(bridge: &ObservedBridge, settings: &Settings) -> Finding {
    if DesiredBridge::bridge_mark(bridge) != Mark::Foreign {
        return stray_tunnels(bridge);
    }
    let key = bridge.other_config.get(ids::GRE_KEY);
    if has_vpc_pipeline(bridge) {
        return Finding::Left(vec!["it is the bridge of a distributed-routing VPC".to_owned()]);
    }
    let tunnels: Vec<&ObservedPort> = bridge.ports.values().filter(|port| has_tunnel(port)).collect();
    let named = tunnels.iter().any(|port| port_name_parts(&port.name).is_some());
    match key {
        None if named => Finding::Left(vec![format!("it has tunnels and no other_config:{}", ids::GRE_KEY)]),
        None => Finding::Foreign,
        Some(text) => match read_key(text) {
            Some(key) => adopt_bridge(bridge, key, &tunnels, settings),
            None => Finding::Left(vec![format!("other_config:{} is {text:?}, which is no key", ids::GRE_KEY)]),
        },
    }
}

/// Whether a port is a tunnel as the plugin makes them: those are taken over.
pub(crate) fn is_plugins_tunnel(port: &ObservedPort) -> bool {
    port_name_parts(&port.name).is_some() && port.interface().and_then(ObservedInterface::tunnel_kind) == Some(TUNNELS)
}

/// A bridge of ours on which the plugin was at work again, after a rollback: with its tunnels that can be ours as they are.
fn stray_tunnels(bridge: &ObservedBridge) -> Finding {
    let Some(mut ours) = DesiredBridge::from_record(bridge) else { return Finding::Ours };
    let Some(key) = ours.kind.key() else { return Finding::Ours };
    let stray = bridge.ports.values().filter(|port| is_plugins_tunnel(port) && !port.is_tunnel_of_ours());
    let mut taken = false;
    for (name, tunnel) in stray.filter_map(|port| read_tunnel(port, key).ok()) {
        let fits = ours.encap == Encap::of_kind(TUNNELS)
            && ours.host_id().is_none_or(|host| *host == tunnel.from)
            && ours.tunnel_to(&tunnel.to, key).is_none();
        if fits {
            ours.tunnels.insert(name, tunnel);
            taken = true;
        }
    }
    if taken { Finding::Plugins(Box::new(ours)) } else { Finding::Ours }
}

fn has_tunnel(port: &ObservedPort) -> bool {
    port.is_tunnel() || port.interfaces.iter().any(|interface| interface.options.contains_key("remote_ip"))
}

/// The bridge as one of ours, if each tunnel can be one of ours as it is.
fn adopt_bridge(bridge: &ObservedBridge, key: GreKey, tunnels: &[&ObservedPort], settings: &Settings) -> Finding {
    let (mut adopted, mut reasons) = (BTreeMap::new(), Vec::new());
    for port in tunnels {
        match read_tunnel(port, key) {
            Ok((name, tunnel)) => drop(adopted.insert(name, tunnel)),
            Err(reason) => reasons.push(format!("tunnel {}: {reason}", port.name)),
        }
    }
    let froms: BTreeSet<&HostId> = adopted.values().map(|tunnel: &DesiredTunnel| &tunnel.from).collect();
    if froms.len() > 1 {
        let ids: Vec<&str> = froms.iter().map(|id| id.as_str()).collect();
        reasons.push(format!("its tunnels come from hosts {}, and a bridge is on one", ids.join(" and ")));
    }
    let host_id = froms.first().map(|id| (*id).clone());
    let name: Option<BridgeName> = bridge.name.parse().ok();
    if name.is_none() {
        reasons.push("its name is none that ovstunnel can work with".to_owned());
    }
    match name {
        Some(name) if reasons.is_empty() => Finding::Plugins(Box::new(DesiredBridge {
            name,
            kind: BridgeKind::Network(key),
            network_uuid: bridge.external_ids.get(ids::XS_NETWORK_UUID).and_then(|text| text.parse().ok()),
            host_id,
            ipv6: settings.ipv6,
            adopted: true,
            uplink: None,
            claim: None,
            agent: false,
            encap: Encap::of_kind(TUNNELS),
            tunnels: adopted,
            second: None,
            neighbours: Default::default(),
        })),
        _ => Finding::Left(reasons),
    }
}

/// The key, from and to of a port's name of the plugin's form.
fn port_name_parts(name: &str) -> Option<(&str, &str, &str)> {
    let mut parts = name.strip_prefix('t')?.split('-');
    let (key, from, to) = (parts.next()?, parts.next()?, parts.next()?);
    let whole = parts.next().is_none() && !from.is_empty() && !to.is_empty();
    (whole && !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit())).then_some((key, from, to))
}

/// A tunnel as one of ours, or why it cannot be one as it is.
fn read_tunnel(port: &ObservedPort, key: GreKey) -> Result<(PortName, DesiredTunnel), String> {
    let Some(interface) = port.interface() else { return Err("it has not exactly one interface".to_owned()) };
    if interface.tunnel_kind() != Some(TUNNELS) {
        return Err(format!("it is of type {:?}, not {}", interface.kind, TUNNELS.interface_type()));
    }
    let Some((named_key, from, to)) = port_name_parts(&port.name) else {
        return Err("its name is not t<key>-<from>-<to>".to_owned());
    };
    let option = |name: &str| interface.options.get(name).map(String::as_str).unwrap_or_default();
    for (what, text) in [("its name", named_key), ("options:key", option("key"))] {
        if text.parse() != Ok(key) {
            return Err(format!("{what} has key {text:?}, the bridge has {key}"));
        }
    }
    let remote_ip: RemoteIp = option("remote_ip").parse().map_err(|error| format!("options:remote_ip {error}"))?;
    let known = ["key", "remote_ip", NETWORK_ID];
    if let Some(more) = interface.options.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("it has options:{more}, which a tunnel of ours has not"));
    }
    if let Some(error) = &interface.error {
        return Err(format!("Open vSwitch has refused it: {error}"));
    }
    if !matches!(interface.health(), TunnelHealth::Up(_)) {
        return Err("Open vSwitch has not brought it up".to_owned());
    }
    let id = |text: &str| text.parse::<HostId>().map_err(|error| format!("a host id in its name {error}"));
    // The management server has stored the name and sends it when the tunnel is to go, so it stays, also where it is longer
    // than a new one's would be.
    let name: PortName = port.name.parse().map_err(|error| format!("its name {error}"))?;
    let (from, to) = (id(from)?, id(to)?);
    let tunnel = DesiredTunnel {
        name: name.clone(),
        from,
        to,
        encap: Encap::of_kind(TUNNELS),
        key,
        remote_ip,
        local_ip: None,
        options: TunnelOptions::default(),
        bfd: None,
        second: false,
    };
    if tunnel.from == tunnel.to {
        return Err("its name says that it leads to its own host".to_owned());
    }
    Ok((name, tunnel))
}
