//! Single ports of a bridge: tunnels, ours and others', VIFs, the bridge's own. Must not say that a VIF of others is wrong where
//! it may be meant: that is told as degraded.

use super::{Facts, Reason, by_itself, degraded_reason, failed_reason};
use crate::{NO_VLAN, ObservedInterface, ObservedPort, TunnelHealth, Vlan, WayOut, undeclared_uplinks};

/// The smallest MTU that IPv6 permits: a VIF with less is hardly meant.
const SMALLEST_MTU: u32 = 1280;

pub(super) fn port_reasons(facts: &Facts<'_>) -> Vec<Reason> {
    let bridge = facts.observed;
    let mut reasons = Vec::new();
    for port in bridge.ports.values() {
        let (own, ours) = (port.name == bridge.name, port.is_tunnel_of_ours());
        if !port.protected && (own || port.is_tunnel()) {
            reasons.push(open_port_reason(facts, port, own || ours));
        }
        reasons.extend(in_vlan(facts, port, ours || (own && !facts.desired.adopted)));
        if ours {
            reasons.extend(in_error(facts, port));
        } else if bridge.is_vif(port, &facts.settings.vif_prefixes) {
            reasons.extend(of_vif(facts, port));
        }
    }
    reasons.extend(uplink_reasons(facts));
    reasons
}

/// Ports that lead out of the network and are not declared to.
fn uplink_reasons(facts: &Facts<'_>) -> Vec<Reason> {
    let Facts { desired, observed, settings, host, .. } = facts;
    let (bridge, declared) = (&observed.name, desired.uplink.as_ref());
    let reason = |(port, way): (String, WayOut)| {
        let evidence =
            format!("port {port} of bridge {bridge} is {way}: with another way out of the network it is a loop");
        let remedy = format!(
            "`ovs-vsctl del-port {bridge} {port}`; or, where it is the network's only way out, declare it as `uplink` of {bridge}"
        );
        failed_reason("uplink", &port, evidence, remedy)
    };
    undeclared_uplinks(observed, declared, settings, host).into_iter().map(reason).collect()
}

fn open_port_reason(facts: &Facts<'_>, port: &ObservedPort, ours: bool) -> Reason {
    let (port, bridge) = (&port.name, &facts.observed.name);
    let evidence = format!("port {port} of bridge {bridge} is not protected: frames from tunnel to tunnel can storm");
    let remedy = match ours {
        true => by_itself(),
        false => format!("`ovs-vsctl set Port {port} protected=true`, or take that tunnel off the bridge"),
    };
    failed_reason("protected", port, evidence, remedy)
}

fn in_vlan(facts: &Facts<'_>, port: &ObservedPort, ours: bool) -> Option<Reason> {
    let Vlan { tag, trunks, mode } = &port.vlan;
    let mut columns: Vec<String> = tag.iter().map(|tag| format!("tag={tag}")).collect();
    columns.extend(
        (!trunks.is_empty())
            .then(|| format!("trunks={}", trunks.iter().map(u16::to_string).collect::<Vec<_>>().join(","))),
    );
    columns.extend(mode.iter().map(|mode| format!("vlan_mode={mode}")));
    let second =
        ours && facts.desired.second.is_some() && facts.desired.tunnel_at(&port.name).is_some_and(|t| t.second);
    if columns.is_empty() || (second && port.vlan == Vlan { tag: Some(NO_VLAN), ..Vlan::default() }) {
        return None;
    }
    let (name, bridge) = (&port.name, &facts.observed.name);
    let evidence = format!(
        "port {name} of bridge {bridge} has {}: it does not carry the network's frames as they are",
        columns.join(" ")
    );
    Some(match ours {
        true => failed_reason("vlan", name, evidence, by_itself()),
        false => {
            let remedy = format!("`ovs-vsctl clear Port {name} tag trunks vlan_mode`, unless it is meant to be");
            degraded_reason("vlan", name, evidence, remedy)
        }
    })
}

fn in_error(facts: &Facts<'_>, port: &ObservedPort) -> Option<Reason> {
    let words = match port.interface().map(ObservedInterface::health) {
        Some(TunnelHealth::Refused(words)) => words,
        None => "the port has not exactly one interface".to_owned(),
        Some(TunnelHealth::Up(_) | TunnelHealth::Pending) => return None,
    };
    let (name, bridge) = (&port.name, &facts.observed.name);
    let to = facts.desired.tunnel_at(name).map(|tunnel| format!(" to {}", tunnel.remote_ip));
    let evidence = format!("tunnel {name} of bridge {bridge}{} is in error: {words}", to.unwrap_or_default());
    let remedy = "see that no other port has this remote address and key (`ovs-vsctl show`), and remove that one; Open vSwitch is \
                  asked to try again by itself";
    Some(failed_reason("tunnel_error", name, evidence, remedy.to_owned()))
}

fn of_vif(facts: &Facts<'_>, port: &ObservedPort) -> Vec<Reason> {
    let (name, bridge) = (&port.name, &facts.observed.name);
    let Some(interface) = port.interface() else { return vec![] };
    if let TunnelHealth::Refused(words) = interface.health() {
        let evidence = format!("VIF {name} of bridge {bridge} has no device: {words}");
        let remedy = format!("`ovs-vsctl --if-exists del-port {bridge} {name}`, unless its VM is about to start");
        return vec![degraded_reason("vif_without_device", name, evidence, remedy)];
    }
    let mut reasons = Vec::new();
    if port.protected {
        let evidence = format!("VIF {name} of bridge {bridge} is protected: nothing passes between it and the tunnels");
        let remedy = format!("`ovs-vsctl set Port {name} protected=false`, unless it is meant to be");
        reasons.push(degraded_reason("vif_protected", name, evidence, remedy));
    }
    reasons.extend(down_reason(name, bridge, interface));
    if let Some(master) = facts.linux_bridges.get(name) {
        let evidence = format!(
            "VIF {name} of bridge {bridge} is a port of Linux bridge {master}, too: its frames go both ways, and can come twice"
        );
        reasons.push(failed_reason(
            "vif_in_linux_bridge",
            name,
            evidence,
            format!("`ip link set dev {name} nomaster`"),
        ));
    }
    reasons.extend(small_mtu(facts, name, interface));
    reasons
}

fn down_reason(name: &str, bridge: &str, interface: &ObservedInterface) -> Option<Reason> {
    let (evidence, remedy) = match (interface.admin_up, interface.link_up) {
        (Some(false), _) => (
            format!("the device of VIF {name} of bridge {bridge} is down (admin_state): it carries nothing"),
            format!("`ip link set dev {name} up`, unless it is meant to be"),
        ),
        (_, Some(false)) => (
            format!("VIF {name} of bridge {bridge} has no link (link_state): the VM's end is not there or is down"),
            "start the VM, or set its network device up, unless it is meant to be".to_owned(),
        ),
        _ => return None,
    };
    Some(degraded_reason("vif_down", name, evidence, remedy))
}

fn small_mtu(facts: &Facts<'_>, name: &str, interface: &ObservedInterface) -> Option<Reason> {
    let others = facts.observed.vifs(&facts.settings.vif_prefixes).filter(|port| port.name != name);
    let largest = others.filter_map(|port| port.interface()?.mtu).max().unwrap_or(0);
    let bridge = &facts.observed.name;
    let too_small = match (interface.mtu_request, interface.mtu) {
        (Some(requested), _) if requested < largest.max(SMALLEST_MTU) => format!("mtu_request={requested}"),
        (_, Some(mtu)) if mtu < SMALLEST_MTU => format!("MTU {mtu}"),
        _ => return None,
    };
    let evidence = format!("VIF {name} of bridge {bridge} has {too_small}: larger packets of its network are lost");
    let usual = if largest < SMALLEST_MTU { 1500 } else { largest };
    let remedy = format!(
        "`ovs-vsctl clear Interface {name} mtu_request && ip link set dev {name} mtu {usual}`, unless it is meant to be"
    );
    Some(degraded_reason("vif_mtu", name, evidence, remedy))
}
