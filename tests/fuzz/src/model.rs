//! A bridge that the targets put parsed things on, and what must hold of all flows of ours. Must not know a parser.

use std::collections::BTreeMap;

use ovstunnel_plan::{
    Action, BridgeKind, Capabilities, DesiredBridge, EffectiveSettings, Flow, ObservedBridge, ObservedInterface,
    ObservedPort, Settings, bridge_flows,
};

/// A port with one interface.
pub(crate) fn port(name: &str, kind: &str, ofport: i64, ids: &[(&str, &str)]) -> ObservedPort {
    let ids: BTreeMap<String, String> = ids.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    let interface = ObservedInterface {
        name: name.into(),
        kind: kind.into(),
        ofport: Some(ofport),
        external_ids: ids.clone(),
        ..ObservedInterface::default()
    };
    ObservedPort { name: name.into(), external_ids: ids, interfaces: vec![interface], ..ObservedPort::default() }
}

/// A bridge `xapi1` with a tunnel (port 4), a VIF (port 1) and something else (port 9), and these marks.
pub(crate) fn bridge(external_ids: BTreeMap<String, String>) -> ObservedBridge {
    let tunnel = [
        ("ovstunnel-from", "1"),
        ("ovstunnel-to", "2"),
        ("ovstunnel-key", "1001"),
        ("ovstunnel-remote-ip", "192.0.2.2"),
    ];
    let ports = [
        port("t1001-1-2", "gre", 4, &tunnel),
        port("vif1.0", "", 1, &[("attached-mac", "02:00:00:00:01:01")]),
        port("eth9", "", 9, &[]),
    ];
    ObservedBridge {
        name: "xapi1".into(),
        external_ids,
        ports: ports.into_iter().map(|port| (port.name.clone(), port)).collect(),
        ..ObservedBridge::default()
    }
}

/// Asserts of a bridge's flows: all are ours, each is read back as it was printed, no two are the same to the switch, and
/// none leads from a tunnel to a tunnel.
pub(crate) fn flows_hold(desired: &DesiredBridge, observed: &ObservedBridge, settings: &Settings) {
    let flows = bridge_flows(desired, Some(observed), &EffectiveSettings::for_switch(settings, Capabilities::ALL));
    let mut places = std::collections::BTreeSet::new();
    for flow in &flows {
        assert!(flow.cookie.is_ours(), "{flow}");
        assert_eq!(flow.to_string().parse::<Flow>().as_ref(), Ok(flow), "{flow}");
        assert!(places.insert((flow.table, flow.priority, flow.matches)), "two flows at one place: {flow}");
        splits_horizon(desired, observed, flow);
    }
}

/// The first invariant of docs/ARCHITECTURE.md.
fn splits_horizon(desired: &DesiredBridge, observed: &ObservedBridge, flow: &Flow) {
    let outputs = flow.actions.iter().filter_map(|action| match action {
        Action::Output(port) => Some(*port),
        _ => None,
    });
    let gre = observed.ports.values().flat_map(|port| &port.interfaces).filter(|interface| interface.kind == "gre");
    let tunnels: Vec<u32> = gre.filter_map(ObservedInterface::openflow_port).collect();
    for port in outputs {
        assert!(matches!(desired.kind, BridgeKind::Vpc(_)), "a network's flow has an output: {flow}");
        assert!(!tunnels.contains(&port) || flow.matches.tun_id == Some(0), "from tunnel to tunnel: {flow}");
    }
}
