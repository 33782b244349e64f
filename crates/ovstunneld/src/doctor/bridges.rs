//! What is wrong with single managed bridges: protection, spanning tree, controllers, tunnels in error, drift.

use std::collections::BTreeMap;

use ovstunnel_api::{Bridge, Finding, TunnelState};
use ovstunnel_core::{DesiredBridge, DesiredTunnel, GreKey, HostId, ObservedBridge};

use super::finding::{About, fail, ok, or_ok, some, warn};

/// Types of Interface that are tunnels of Open vSwitch.
const TUNNELS: [&str; 7] = ["gre", "ip6gre", "erspan", "vxlan", "geneve", "stt", "lisp"];

/// `protected` on each tunnel and on a plain bridge's own port.
pub(super) fn protected(bridges: &[ObservedBridge]) -> Vec<Finding> {
    let findings = bridges.iter().flat_map(|bridge| {
        let tunnel = |kind: &str| TUNNELS.contains(&kind);
        let must = |name: &str, kinds: bool| name == bridge.name || kinds;
        let open: Vec<_> = bridge
            .ports
            .values()
            .filter(|port| !port.protected && must(&port.name, port.interfaces.iter().any(|i| tunnel(&i.kind))))
            .collect();
        open.into_iter().map(|port| {
            let ours = port.is_tunnel_of_ours() || port.name == bridge.name;
            let reason = format!(
                "port {} of bridge {} is not protected: frames from tunnel to tunnel can storm",
                port.name, bridge.name
            );
            let remedy = match ours {
                true => "the daemon sets it at once; where this stays, `ovstunnelctl reconcile` says why it cannot"
                    .to_owned(),
                false => {
                    format!("`ovs-vsctl set Port {} protected=true`, or take that tunnel off the bridge", port.name)
                }
            };
            fail("protected", reason, remedy).about(&port.name)
        })
    });
    or_ok(findings.collect(), || ok("protected", "every tunnel on a managed bridge is protected"))
}

/// STP and RSTP, which shut ports of a full mesh.
pub(super) fn spanning_tree(bridges: &[ObservedBridge]) -> Vec<Finding> {
    let on = bridges.iter().filter(|bridge| bridge.stp_enable || bridge.rstp_enable);
    let findings = on.map(|bridge| {
        let which = if bridge.stp_enable { "STP" } else { "RSTP" };
        let column = which.to_lowercase();
        let reason =
            format!("{which} is on for bridge {}: it shuts tunnels of the full mesh, and VMs wait for it", bridge.name);
        let remedy = format!("`ovs-vsctl set Bridge {} {column}_enable=false`, and find out who sets it", bridge.name);
        fail("stp", reason, remedy).about(&bridge.name)
    });
    or_ok(findings.collect(), || ok("stp", "STP and RSTP are off on every managed bridge"))
}

/// OpenFlow controllers, by bridge: whoever they are, they are not ours.
pub(super) fn controllers(bridges: &[(String, usize, Option<String>)]) -> Vec<Finding> {
    let with = bridges.iter().filter(|(_, controllers, _)| *controllers > 0);
    let findings = with.map(|(bridge, count, fail_mode)| {
        let secure = if fail_mode.as_deref() == Some("secure") { ", and without it nothing is learnt (fail_mode secure)" } else { "" };
        let reason = format!("bridge {bridge} has {count} OpenFlow controller(s), which may change its flows at any time{secure}");
        let remedy = format!("`ovs-vsctl get-controller {bridge}` tells whose it is; `ovs-vsctl del-controller {bridge}` unless it is meant to be");
        warn("controller", reason, remedy).about(bridge)
    });
    or_ok(findings.collect(), || ok("controller", "no managed bridge has an OpenFlow controller"))
}

/// Tunnels that Open vSwitch refuses.
pub(super) fn tunnels(bridges: &[Bridge]) -> Vec<Finding> {
    let all = bridges.iter().flat_map(|bridge| bridge.tunnels.iter().map(move |tunnel| (bridge, tunnel)));
    let count = all.clone().count();
    let findings = all.filter(|(_, tunnel)| tunnel.state == TunnelState::Error).map(|(bridge, tunnel)| {
        let words = tunnel.error.as_deref().unwrap_or("Open vSwitch does not say why");
        let reason = format!("tunnel {} of bridge {} to {} is in error: {words}", tunnel.port, bridge.name, tunnel.remote_ip);
        let remedy = "see that no other port has this remote address and key (`ovs-vsctl show`), and remove that one; Open vSwitch is \
                      asked to try again by itself";
        fail("tunnel_error", reason, remedy).about(&tunnel.port)
    });
    or_ok(findings.collect(), || ok("tunnel_error", format!("none of {count} tunnels is in error")))
}

/// What was there twice before it was refused: a network's key on two bridges, two tunnels to one host.
pub(super) fn twice(bridges: &[ObservedBridge]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut by_key: BTreeMap<GreKey, Vec<String>> = BTreeMap::new();
    for bridge in bridges {
        let mut by_host: BTreeMap<(HostId, GreKey), Vec<String>> = BTreeMap::new();
        for tunnel in bridge.ports.values().filter_map(DesiredTunnel::from_record) {
            by_host.entry((tunnel.to, tunnel.key)).or_default().push(tunnel.name.to_string());
        }
        for ((host, _), ports) in by_host.into_iter().filter(|(_, ports)| ports.len() > 1) {
            let name = &bridge.name;
            let reason =
                format!("tunnels {} of bridge {name} all lead to host {host}: frames are doubled", some(&ports, 5));
            let remedy = format!("`ovstunnelctl tunnel destroy {name} PORT` for all but the one to its right address");
            findings.push(fail("twice", reason, remedy).about(name));
        }
        DesiredBridge::keys(bridge)
            .into_iter()
            .for_each(|key| by_key.entry(key).or_default().push(bridge.name.clone()));
    }
    for (key, names) in by_key.into_iter().filter(|(_, names)| names.len() > 1) {
        let reason =
            format!("bridges {} all have key {key}: only one of them can have a tunnel to a host", some(&names, 5));
        let remedy = "one network is on one bridge: `ovstunnelctl bridge destroy` for the other";
        findings.push(fail("twice", reason, remedy).about(&names[0]));
    }
    or_ok(findings, || ok("twice", "each key is on one bridge, and one tunnel leads to a host"))
}

/// What is not as the record says: `pending` is what a look would change now, or why that is not known.
pub(super) fn drift(bridges: &[Bridge], pending: &Result<Vec<String>, String>) -> Vec<Finding> {
    let mut findings = match pending {
        Ok(changes) if changes.is_empty() => Vec::new(),
        Ok(changes) => {
            let reason = format!("a look would change now: {}", some(changes, 5));
            let remedy = "`ovstunnelctl reconcile` does it; if it comes back, find out who changes what is ours (the log says when)";
            vec![fail("drift", reason, remedy)]
        }
        Err(error) => {
            let reason = format!("it is not known whether anything has drifted: {error}");
            vec![warn("drift", reason, "ask again; `ovstunnelctl reconcile` says what holds it up")]
        }
    };
    let unplaced = bridges.iter().filter_map(|bridge| {
        let vifs = &bridge.vpc.as_ref()?.unplaced_vifs;
        (!vifs.is_empty()).then(|| {
            let reason =
                format!("VIFs of VPC bridge {} are in no tier of its topology: {}", bridge.name, some(vifs, 5));
            let remedy =
                "the management server has to send the topology again; a VIF's MAC or `xs-network-uuid` must be in it";
            warn("drift", reason, remedy).about(&bridge.name)
        })
    });
    findings.extend(unplaced);
    or_ok(findings, || ok("drift", "a look would change nothing"))
}

#[cfg(test)]
mod tests {
    use ovstunnel_api::Level;
    use ovstunnel_core::{ObservedInterface, ObservedPort};

    use super::*;

    fn port(name: &str, kind: &str, protected: bool) -> (String, ObservedPort) {
        let interface = ObservedInterface { name: name.into(), kind: kind.into(), ..ObservedInterface::default() };
        let port =
            ObservedPort { name: name.into(), protected, interfaces: vec![interface], ..ObservedPort::default() };
        (name.to_owned(), port)
    }

    fn bridge(ports: [(String, ObservedPort); 3]) -> ObservedBridge {
        ObservedBridge { name: "xapi1".into(), ports: BTreeMap::from(ports), ..ObservedBridge::default() }
    }

    #[test]
    fn every_tunnel_on_our_bridge_must_be_protected_whosever_it_is() {
        let vif = || port("vif1.0", "", false);
        let well = bridge([port("xapi1", "internal", true), port("g", "gre", true), vif()]);
        assert_eq!(protected(&[well])[0].level, Level::Ok);
        let foreign = bridge([port("xapi1", "internal", true), port("g", "vxlan", false), vif()]);
        let found = protected(&[foreign]);
        assert_eq!((found.len(), found[0].level, found[0].subject.as_deref()), (1, Level::Fail, Some("g")));
        assert!(found[0].remedy.as_ref().unwrap().contains("ovs-vsctl set Port g protected=true"));
        let own = bridge([port("xapi1", "internal", false), port("g", "gre", true), vif()]);
        assert_eq!(protected(&[own])[0].subject.as_deref(), Some("xapi1"));
    }

    #[test]
    fn what_is_there_twice_is_named() {
        let marked = |name: &str, key: &str, tunnels: &[(&str, &str)]| {
            let mut bridge = ObservedBridge { name: name.into(), ..ObservedBridge::default() };
            bridge.external_ids.insert("ovstunnel-key".into(), key.into());
            for (port_name, to) in tunnels {
                let (name, mut port) = port(port_name, "gre", true);
                let marks = [("from", "1"), ("to", *to), ("key", key), ("remote-ip", "192.0.2.2")];
                port.external_ids = marks.map(|(id, value)| (format!("ovstunnel-{id}"), value.to_owned())).into();
                bridge.ports.insert(name, port);
            }
            bridge
        };
        let good = marked("a", "5", &[("t5-1-2", "2"), ("t5-1-3", "3")]);
        assert_eq!(twice(&[good.clone(), marked("b", "6", &[])])[0].level, Level::Ok);
        let found = twice(&[good, marked("b", "5", &[("t5-1-4", "4"), ("t5-9-4", "4")])]);
        assert!(found.len() == 2 && found.iter().all(|finding| finding.level == Level::Fail), "{found:?}");
        assert!(found[0].reason.contains("t5-1-4, t5-9-4 of bridge b all lead to host 4"), "{found:?}");
        assert!(found[1].reason.contains("bridges a, b all have key 5"), "{found:?}");
    }

    #[test]
    fn spanning_tree_of_either_kind_is_named() {
        let mut one = bridge([port("a", "", true), port("b", "", true), port("c", "", true)]);
        assert_eq!(spanning_tree(&[one.clone()])[0].level, Level::Ok);
        one.rstp_enable = true;
        let found = spanning_tree(&[one]);
        assert!(found[0].level == Level::Fail && found[0].remedy.as_ref().unwrap().contains("rstp_enable=false"));
    }

    #[test]
    fn a_controller_is_named_with_what_its_loss_would_mean() {
        let found = controllers(&[("a".into(), 0, None), ("b".into(), 1, Some("secure".into()))]);
        assert_eq!((found.len(), found[0].level, found[0].subject.as_deref()), (1, Level::Warn, Some("b")));
        assert!(found[0].reason.contains("fail_mode secure"));
        assert_eq!(controllers(&[("a".into(), 0, None)])[0].level, Level::Ok);
    }
}
