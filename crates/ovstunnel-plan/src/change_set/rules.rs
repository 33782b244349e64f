//! What the change set asks of a request and of a bridge. Must not change either.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::twice::{between_hosts, named_tunnel};
use crate::change::{conflict, invalid};
use crate::{
    BridgeKind, BridgeName, CreateTunnel, DesiredBridge, DesiredCache, DesiredTunnel, Encap, GreKey, HostId, Mark,
    ObservedBridge, PortName, Rejected, RemoteIp, Settings, TunnelKind, TunnelSpec,
};

/// What a bridge must be: as remembered, else as recorded.
pub(super) fn bridge_record(cache: Option<&DesiredCache>, observed: &ObservedBridge) -> Option<DesiredBridge> {
    let remembered = cache.and_then(|cache| cache.get(&observed.name, observed.uuid)).cloned();
    remembered.or_else(|| DesiredBridge::from_record(observed))
}

/// The record of a bridge that has none, or none that can be read. Tunnels on it that are marked as this network's stay.
pub(super) fn first_record(
    name: &BridgeName,
    kind: BridgeKind,
    settings: &Settings,
    observed: Option<&ObservedBridge>,
) -> DesiredBridge {
    let (encap, mut tunnels) = observed.map(DesiredBridge::recorded_tunnels).unwrap_or_default();
    tunnels.retain(|_, tunnel| kind.key().is_none_or(|key| tunnel.key == key));
    DesiredBridge {
        name: name.clone(),
        kind,
        network_uuid: None,
        host_id: None,
        ipv6: settings.ipv6,
        adopted: observed.is_some_and(|bridge| {
            DesiredBridge::bridge_mark(bridge) == Mark::Foreign || DesiredBridge::recorded_as_adopted(bridge)
        }),
        uplink: None,
        claim: None,
        agent: false,
        encap: encap.unwrap_or(settings.encap),
        tunnels,
        second: None,
        neighbours: Default::default(),
    }
}

/// How the tunnels of a bridge are made once it is set up with this kind. While it has tunnels it keeps its own: a change in place
/// would cut each of them off until the other host has done the same.
pub(super) fn of_kind(
    asked: Option<TunnelKind>,
    bridge: &DesiredBridge,
    settings: &Settings,
) -> Result<Encap, Rejected> {
    let Some(asked) = asked.filter(|asked| *asked != bridge.encap.kind()) else { return Ok(bridge.encap) };
    if bridge.tunnels.is_empty() && bridge.second.is_none() {
        return Ok(if settings.encap.kind() == asked { settings.encap } else { Encap::of_kind(asked) });
    }
    let detail = format!(
        "bridge {0} has {1} tunnels of kind {2}, so it cannot be of kind {asked} at once; change it step by step \
         (`POST /v1/bridges/{0}/kind`), or remove its tunnels first, on each host of the network",
        bridge.name,
        bridge.tunnels.len(),
        bridge.encap.kind()
    );
    Err(conflict(bridge.name.as_str(), detail))
}

/// That tunnels of a bridge can have this key.
pub(super) fn check_range(field: &str, key: GreKey, encap: Encap) -> Result<(), Rejected> {
    let kind = encap.kind();
    match kind.keys().contains(&key.get()) {
        true => Ok(()),
        false => Err(invalid(field, kind.key_rule(), key)),
    }
}

/// That tunnels of a bridge can lead to this address: of its datapath, or of that which a new bridge gets.
pub(super) fn check_family(
    field: impl Into<String>,
    remote: RemoteIp,
    encap: Encap,
    datapath_type: &str,
) -> Result<(), Rejected> {
    let in_kernel = datapath_type != "netdev";
    match remote.get().is_ipv6() && encap.kind() == TunnelKind::Gre && in_kernel {
        true => Err(invalid(field, GRE_IN_KERNEL, remote)),
        false => Ok(()),
    }
}

/// Measured: packets are made and none leaves (docs/ovs-facts.md).
const GRE_IN_KERNEL: &str = "must be an IPv4 address where tunnels are of kind gre and the bridge is in the kernel's datapath: the kernel \
                             sends no GRE of Open vSwitch's over IPv6; VXLAN and Geneve tunnels take one";

pub(super) fn not_managed(name: &BridgeName, observed: &ObservedBridge) -> Rejected {
    let detail = match DesiredBridge::bridge_mark(observed) {
        Mark::Damaged(reason) => format!("the record of bridge {name} is damaged ({reason}); set the bridge up again"),
        _ => format!("bridge {name} is not managed by ovstunnel; set it up first"),
    };
    conflict(name.as_str(), detail)
}

/// The tunnel that a request asks for, where it fits its bridge.
pub(super) fn checked_tunnel(create: &CreateTunnel, bridge: &DesiredBridge) -> Result<DesiredTunnel, Rejected> {
    let key = match (create.key, bridge.kind.key()) {
        (Some(asked), Some(own)) if asked != own => {
            return Err(invalid("key", format!("must be the key of bridge {}, {own}", bridge.name), asked));
        }
        (_, Some(key)) | (Some(key), None) => key,
        (None, None) => return Err(invalid("key", "must be given: the bridge of a VPC has a key for each tier", "")),
    };
    check_range("key", key, bridge.encap)?;
    // On the bridge of a VPC the network is the tier's, which the topology tells.
    match (create.network_uuid, bridge.network_uuid.filter(|_| bridge.kind.vpc().is_none())) {
        (Some(asked), Some(known)) if asked != known => {
            return Err(invalid(
                "network_uuid",
                format!("must be the network of bridge {}, {known}", bridge.name),
                asked,
            ));
        }
        _ => {}
    }
    let tunnel = DesiredTunnel::new(create.from.clone(), create.to.clone(), key, create.remote_ip, bridge.encap);
    // Where hosts may have got other ids, `from` says which one this is: such a request contradicts itself, not the bridge.
    if create.renumbers {
        not_to_itself("to", &tunnel)?;
    }
    between_hosts("", &tunnel, bridge.host_id(), &bridge.name)?;
    not_to_itself("to", &tunnel)?;
    named_tunnel(tunnel, create, bridge)
}

fn not_to_itself(field: &str, tunnel: &DesiredTunnel) -> Result<(), Rejected> {
    match tunnel.from == tunnel.to {
        true => Err(invalid(field, "must be another host's id than `from`", &tunnel.to)),
        false => Ok(()),
    }
}

/// The tunnels of a complete set, by port name.
pub(super) fn complete_set(
    specs: &[TunnelSpec],
    key: GreKey,
    bridge: &DesiredBridge,
) -> Result<BTreeMap<PortName, DesiredTunnel>, Rejected> {
    let mut tunnels = BTreeMap::new();
    let (mut addresses, mut hosts) = (HashMap::new(), HashSet::new());
    let mut there: HashMap<&HostId, &PortName> = HashMap::new();
    for (name, tunnel) in bridge.tunnels.iter().filter(|(_, tunnel)| tunnel.key == key) {
        there.entry(&tunnel.to).or_insert(name);
    }
    let home = bridge.host_id().or_else(|| specs.first()?.from.as_ref());
    for (n, spec) in specs.iter().enumerate() {
        let Some(from) = spec.from.clone().or_else(|| bridge.host_id.clone()) else {
            let rule = "must be given where the bridge has no host_id";
            return Err(invalid(format!("tunnels[{n}].from"), rule, ""));
        };
        let mut tunnel = DesiredTunnel::new(from, spec.to.clone(), key, spec.remote_ip, bridge.encap);
        between_hosts(&format!("tunnels[{n}]."), &tunnel, bridge.host_id(), &bridge.name)?;
        not_to_itself(&format!("tunnels[{n}].to"), &tunnel)?;
        between_hosts(&format!("tunnels[{n}]."), &tunnel, home, &bridge.name)?;
        if let Some(first) = addresses.insert(spec.remote_ip, n) {
            let rule = format!("must not stand twice; tunnels[{first}] has the same remote address");
            return Err(invalid(format!("tunnels[{n}].remote_ip"), rule, spec.remote_ip));
        }
        if !hosts.insert(&spec.to) {
            return Err(invalid(
                format!("tunnels[{n}].to"),
                "must not stand twice: one tunnel leads to a host",
                &spec.to,
            ));
        }
        // Its port keeps the name that it has, of a time when this host had another id, and its BFD, which a set says nothing of.
        if let Some(name) = there.get(&spec.to) {
            tunnel.name.clone_from(name);
            tunnel.bfd = bridge.tunnels.get(*name).and_then(|before| before.bfd);
        }
        tunnels.insert(tunnel.port_name(), tunnel);
    }
    Ok(tunnels)
}

/// A bridge is set up as what it is; to be something else it must go first.
pub(super) fn of_another_kind(bridge: &DesiredBridge) -> Rejected {
    let detail = match &bridge.kind {
        BridgeKind::Network(key) => format!("bridge {} is that of the network with key {key}", bridge.name),
        BridgeKind::Vpc(vpc) => format!("bridge {} is that of VPC {}", bridge.name, vpc.id),
    };
    conflict(bridge.name.as_str(), format!("{detail}; destroy it first"))
}
