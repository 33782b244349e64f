//! Row by row: each thing that is wrong is named, with its severity, and what is well is not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::{
    AddressTable, FlowLimit, ObservedInterface, ObservedMirror, ObservedPort, PortConfig, Trace, Vlan, bridge_flows,
};

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn port(name: &str, kind: &str, ofport: i64) -> ObservedPort {
    let interface = ObservedInterface {
        name: name.into(),
        kind: kind.into(),
        ofport: Some(ofport),
        admin_up: Some(true),
        link_up: Some(true),
        mtu: Some(1500),
        ..ObservedInterface::default()
    };
    ObservedPort { name: name.into(), interfaces: vec![interface], ..ObservedPort::default() }
}

/// A network's bridge that is well: its own port, a tunnel of ours, two VIFs.
fn network() -> ObservedBridge {
    let own = ObservedPort { protected: true, ..port("xapi1", "internal", 65534) };
    let mut tunnel = port("t5-1-2", "gre", 7);
    tunnel.protected = true;
    tunnel.external_ids = map(&[
        ("ovstunnel-from", "1"),
        ("ovstunnel-to", "2"),
        ("ovstunnel-key", "5"),
        ("ovstunnel-remote-ip", "192.0.2.2"),
    ]);
    tunnel.interfaces[0].options = map(&[("key", "5"), ("remote_ip", "192.0.2.2")]);
    let ports = [own, tunnel, port("vif1.0", "", 3), port("vif2.0", "", 4)];
    ObservedBridge {
        name: "xapi1".into(),
        external_ids: map(&[("ovstunnel-key", "5"), ("ovstunnel-host-id", "1"), ("ovstunnel-ipv6", "drop")]),
        other_config: map(&[("gre_key", "5"), ("mac-table-size", "50000")]),
        ports: ports.into_iter().map(|port| (port.name.clone(), port)).collect(),
        ..ObservedBridge::default()
    }
}

/// The reasons of a bridge whose flows are those that it must have.
fn reasons_of(bridge: &ObservedBridge, witness: &Witness, linux_bridges: &BTreeMap<String, String>) -> Vec<Reason> {
    let (desired, settings) = (DesiredBridge::from_record(bridge).unwrap(), EffectiveSettings::default());
    let flows = FlowsSeen::known_exactly(bridge_flows(&desired, Some(bridge), &settings));
    let facts = Facts {
        desired: &desired,
        observed: bridge,
        flows: &flows,
        witness,
        settings: &settings,
        linux_bridges,
        host: &HostFacts::default(),
    };
    let reasons = bridge_health(&facts);
    for reason in &reasons {
        let known = REQUIREMENTS.iter().any(|requirement| requirement.what == reason.what);
        assert!(known && !reason.remedy.is_empty() && !reason.evidence.is_empty(), "{reason:?}");
    }
    assert!(reasons.is_sorted_by_key(|reason| std::cmp::Reverse(reason.severity)), "{reasons:?}");
    reasons
}

fn told(reasons: &[Reason]) -> Vec<(&'static str, &str, Severity)> {
    reasons.iter().map(|reason| (reason.what, reason.subject.as_str(), reason.severity)).collect()
}

fn after(change: impl FnOnce(&mut ObservedBridge)) -> Vec<Reason> {
    let mut bridge = network();
    change(&mut bridge);
    reasons_of(&bridge, &Witness::default(), &BTreeMap::new())
}

fn testified(witness: Witness) -> Vec<Reason> {
    reasons_of(&network(), &witness, &BTreeMap::new())
}

const FAILED: Severity = Severity::Failed;
const DEGRADED: Severity = Severity::Degraded;

#[test]
fn of_a_bridge_that_is_well_nothing_is_said() {
    assert_eq!(after(|_| {}), []);
}

#[test]
fn what_is_set_on_a_bridge_is_judged() {
    type Change = fn(&mut ObservedBridge);
    let rows: [(Change, &str, Severity); 9] = [
        (|b| b.stp_enable = true, "stp", FAILED),
        (|b| b.rstp_enable = true, "stp", FAILED),
        (|b| b.mcast_snooping = true, "mcast_snooping", FAILED),
        (|b| b.controllers = 1, "controller", DEGRADED),
        (|b| b.fail_mode = Some("secure".into()), "fail_mode", DEGRADED),
        (|b| b.flow_limit = Some(FlowLimit { flows: 2, evicts: false }), "flow_limit", FAILED),
        (|b| b.flow_limit = Some(FlowLimit { flows: 15, evicts: true }), "flow_limit", DEGRADED),
        (
            |b| b.mirrors.push(ObservedMirror { selects: true, output_vlan: Some(5), ..ObservedMirror::default() }),
            "mirror",
            FAILED,
        ),
        (|b| b.ports.get_mut("xapi1").unwrap().interfaces[0].error = Some("no".into()), "port_error", DEGRADED),
    ];
    for (change, what, severity) in rows {
        let reasons = after(change);
        let found = told(&reasons);
        assert!(found.contains(&(what, "xapi1", severity)), "{what}: {found:?}");
    }
    let harmless: [Change; 3] = [
        |b| b.fail_mode = Some("standalone".into()),
        |b| b.flow_limit = Some(FlowLimit { flows: 1000, evicts: false }),
        |b| b.mirrors.push(ObservedMirror { selects: false, output_vlan: Some(5), ..ObservedMirror::default() }),
    ];
    harmless.into_iter().for_each(|change| assert_eq!(after(change), []));
}

#[test]
fn ports_are_judged_ours_and_those_of_others() {
    type Change = fn(&mut ObservedPort);
    let in_vlan: Change = |port| port.vlan = Vlan { tag: Some(5), ..Vlan::default() };
    let rows: [(&str, Change, &str, Severity); 12] = [
        ("t5-1-2", |port| port.protected = false, "protected", FAILED),
        ("xapi1", |port| port.protected = false, "protected", FAILED),
        ("t5-1-2", in_vlan, "vlan", FAILED),
        ("t5-1-2", |port| port.vlan.trunks = vec![5], "vlan", FAILED),
        ("xapi1", in_vlan, "vlan", FAILED),
        ("vif1.0", in_vlan, "vlan", DEGRADED),
        ("t5-1-2", |port| port.interfaces[0].error = Some("File exists".into()), "tunnel_error", FAILED),
        ("vif1.0", |port| port.protected = true, "vif_protected", DEGRADED),
        ("vif1.0", |port| port.interfaces[0].admin_up = Some(false), "vif_down", DEGRADED),
        ("vif1.0", |port| port.interfaces[0].link_up = Some(false), "vif_down", DEGRADED),
        ("vif1.0", |port| port.interfaces[0].mtu_request = Some(600), "vif_mtu", DEGRADED),
        ("vif1.0", |port| port.interfaces[0].ofport = Some(-1), "vif_without_device", DEGRADED),
    ];
    for (name, change, what, severity) in rows {
        let reasons = after(|bridge| change(bridge.ports.get_mut(name).unwrap()));
        let found = told(&reasons);
        assert!(found.contains(&(what, name, severity)), "{name} {what}: {found:?}");
    }
    let reasons = reasons_of(&network(), &Witness::default(), &map(&[("vif1.0", "br9"), ("eth0", "br9")]));
    assert_eq!(told(&reasons), [("vif_in_linux_bridge", "vif1.0", FAILED)]);
    let reasons = after(|bridge| {
        let theirs = ObservedPort { protected: false, ..port("g9", "vxlan", 9) };
        bridge.ports.insert("g9".into(), theirs);
    });
    assert_eq!(told(&reasons), [("protected", "g9", FAILED), ("uplink", "g9", FAILED)]);
    assert!(reasons[0].remedy.contains("`ovs-vsctl set Port g9 protected=true`"));
}

#[test]
fn what_the_switch_testifies_is_judged() {
    let table = |entries, moves_per_second| {
        let addresses = Some(AddressTable { entries, max: 50_000, moves_per_second });
        Witness { addresses, ..Witness::default() }
    };
    let flood = |number| {
        let config = PortConfig { no_flood: true, ..PortConfig::default() };
        Witness { ports: [(number, config)].into(), ..Witness::default() }
    };
    let hidden = |flow: &str| Witness { hidden: vec![flow.to_owned()], ..Witness::default() };
    let fail_open = "duration=9s, n_packets=0, n_bytes=0, priority=15790320,actions=NORMAL";
    let trace =
        Trace { frame: "broadcast".into(), missing: vec!["vif2.0".into()], surplus: vec![], evidence: "drop".into() };
    let rows: [(Witness, &str, &str, Severity); 9] = [
        (hidden(fail_open), "fail_open", "xapi1", FAILED),
        (Witness { fragments: Some("drop".into()), ..Witness::default() }, "fragments", "xapi1", FAILED),
        (Witness { fragments: Some("nx-match".into()), ..Witness::default() }, "fragments", "xapi1", DEGRADED),
        (table(5, 51), "loop", "xapi1", FAILED),
        (table(50_000, 0), "address_table_full", "xapi1", DEGRADED),
        (
            Witness { fixed_addresses: vec![("3".into(), "02:00:00:00:00:01".into())], ..Witness::default() },
            "static_address",
            "xapi1",
            FAILED,
        ),
        (flood(7), "port_config", "t5-1-2", FAILED),
        (flood(3), "port_config", "vif1.0", DEGRADED),
        (Witness { traces: vec![trace], ..Witness::default() }, "trace", "xapi1", FAILED),
    ];
    for (witness, what, subject, severity) in rows {
        assert_eq!(told(&testified(witness)), [(what, subject, severity)]);
    }
    let moving = Some(("vif1.0".to_owned(), "eth1".to_owned()));
    let evidence = &testified(Witness { moving, ..table(5, 51) })[0].evidence;
    assert!(evidence.ends_with("51 times a second an address moves between ports vif1.0 and eth1"), "{evidence}");
    let filled = &testified(Witness { filled_by: Some(("vif1.0".to_owned(), 49_990)), ..table(50_000, 0) })[0];
    assert!(filled.evidence.contains("full, 50000 of 50000, 49990 of them by port vif1.0"), "{}", filled.evidence);
    assert!(filled.remedy.starts_with("have the VM behind vif1.0 stop"), "{}", filled.remedy);
    let down = PortConfig { down: true, ..PortConfig::default() };
    for harmless in [
        table(49_999, 50),
        hidden("priority=180000,arp,in_port=LOCAL,actions=NORMAL"),
        hidden("table_id=254, duration=9s, priority=15790320,actions=drop"),
        Witness { ports: [(65534, down), (3, PortConfig::default())].into(), ..Witness::default() },
        Witness { fragments: Some("normal".into()), ..Witness::default() },
    ] {
        assert_eq!(testified(harmless), []);
    }
}

#[test]
fn a_device_that_is_down_is_told_once() {
    let down = PortConfig { down: true, ..PortConfig::default() };
    let witness = Witness { ports: [(3, down)].into(), ..Witness::default() };
    assert_eq!(told(&testified(witness.clone())), [("port_config", "vif1.0", DEGRADED)]);
    let mut bridge = network();
    bridge.ports.get_mut("vif1.0").unwrap().interfaces[0].admin_up = Some(false);
    assert_eq!(told(&reasons_of(&bridge, &witness, &BTreeMap::new())), [("vif_down", "vif1.0", DEGRADED)]);
}

fn foreign(line: &str) -> Vec<Severity> {
    let foreign = vec![format!(" cookie=0x0, duration=1s, table=0, {line}")];
    let reasons = testified(Witness { foreign, ..Witness::default() });
    reasons.iter().for_each(|reason| assert_eq!(reason.what, "shadowing_flow"));
    reasons.iter().map(|reason| reason.severity).collect()
}

#[test]
fn flows_of_others_are_judged_by_what_they_do_to_ours() {
    for line in [
        "n_packets=0, n_bytes=0, idle_age=3, priority=7000 actions=drop",
        "priority=900 actions=drop",
        "priority=1,dl_dst=02:00:00:00:00:01 actions=drop",
        "priority=1100,tun_id=0x5 actions=drop",
        "priority=1500,dl_dst=ff:ff:ff:ff:ff:ff actions=drop",
        "priority=500,arp actions=drop",
        "priority=10,in_port=7 actions=output:7",
        "priority=10 actions=FLOOD",
        "priority=2000,arp actions=NORMAL,output:3",
    ] {
        assert_eq!(foreign(line), [FAILED], "{line}");
    }
    for line in [
        "priority=1300,ipv6 actions=NORMAL",
        "priority=2000,udp6 actions=NORMAL",
        "priority=2000,in_port=7 actions=CONTROLLER:65535",
        "priority=500,tcp,tp_dst=25 actions=drop",
    ] {
        assert_eq!(foreign(line), [DEGRADED], "{line}");
    }
    for line in [
        "priority=0 actions=NORMAL",
        "priority=0 actions=drop",
        "priority=900,dl_dst=ff:ff:ff:ff:ff:ff actions=drop",
        "priority=5000,in_port=3,arp actions=NORMAL",
        "priority=8000,in_port=3 actions=drop",
        "priority=10,in_port=3 actions=output:7",
        "priority=500,in_port=9,ip actions=NORMAL",
        "priority=2000,ipv6 actions=drop",
    ] {
        assert_eq!(foreign(line), [], "{line}");
    }
}

#[test]
fn a_flow_of_others_is_taken_away_by_the_command_that_is_told() {
    let line =
        " cookie=0x7, duration=1s, table=0, n_packets=0, priority=500,tcp,nw_dst=10.0.0.0/8,tp_dst=25 actions=drop";
    let reasons = testified(Witness { foreign: vec![line.into()], ..Witness::default() });
    let command = "`ovs-ofctl --strict del-flows xapi1 priority=500,tcp,nw_dst=10.0.0.0/8,tp_dst=25`";
    assert!(reasons[0].remedy.starts_with(command), "{reasons:?}");
    // What OpenFlow 1.0 made is printed with a word that `del-flows` does not take.
    let old = line.replace("priority=500", "reset_counts priority=500");
    let reasons = testified(Witness { foreign: vec![old], ..Witness::default() });
    assert!(reasons[0].remedy.starts_with(command), "{reasons:?}");
    let many = vec![line.to_owned(); 9];
    let reasons = testified(Witness { foreign: many, ..Witness::default() });
    assert!(reasons.len() == 5 && reasons[4].evidence.ends_with("and 4 more such flows"), "{reasons:?}");
}

#[test]
fn what_differs_from_the_record_is_said_with_what_is_due() {
    let (bridge, settings) = (network(), EffectiveSettings::default());
    let desired = DesiredBridge::from_record(&bridge).unwrap();
    let (witness, none) = (Witness::default(), BTreeMap::new());
    let judged = |flows: &FlowsSeen| {
        bridge_health(&Facts {
            desired: &desired,
            observed: &bridge,
            flows,
            witness: &witness,
            settings: &settings,
            linux_bridges: &none,
            host: &HostFacts::default(),
        })
    };
    assert_eq!(told(&judged(&FlowsSeen::Unknown)), [("flows_unknown", "xapi1", DEGRADED)]);
    assert_eq!(told(&judged(&FlowsSeen::none())), [("drift", "xapi1", FAILED)]);
    let mut flows = bridge_flows(&desired, Some(&bridge), &settings);
    flows.retain(|flow| flow.matches.in_port != Some(3));
    assert_eq!(told(&judged(&FlowsSeen::known_exactly(flows))), [("drift", "xapi1", DEGRADED)], "a VIF's rule");
    let edited = after(|bridge| drop(bridge.other_config.remove("gre_key")));
    assert_eq!(told(&edited), [("drift", "xapi1", FAILED)]);
}

/// Tunnels to two hosts by `br-phy`, in user space.
fn underlay() -> Below {
    let way = Way { device: "br-phy".into(), source: Some([192, 0, 2, 1].into()), local: false, mtu: 1500 };
    let mut observed =
        ObservedBridge { name: "br-phy".into(), datapath_type: "netdev".into(), ..ObservedBridge::default() };
    for port in [port("br-phy", "internal", 65534), port("eth0", "", 1)] {
        observed.ports.insert(port.name.clone(), port);
    }
    Below {
        ways: [2, 3].map(|n| ([192, 0, 2, n].into(), (Some(way.clone()), 1))).into(),
        bridges: [("br-phy".to_owned(), BelowBridge { observed, flows: None })].into(),
        userspace: true,
        flow_restore_wait: false,
    }
}

#[test]
fn what_is_below_the_tunnels_is_told_once_and_known_to_be_dead() {
    type Change = fn(&mut Below);
    fn bridge(underlay: &mut Below) -> &mut BelowBridge {
        underlay.bridges.get_mut("br-phy").unwrap()
    }
    assert_eq!(host_health(&underlay()), []);
    let dead: [(Change, &str, &str, usize); 8] = [
        (|u| u.flow_restore_wait = true, "flow_restore_wait", "Open_vSwitch", 1),
        (|u| bridge(u).observed.datapath_type.clear(), "underlay_bridge", "br-phy", 1),
        (
            |u| {
                bridge(u).observed.fail_mode = Some("secure".into());
                bridge(u).flows = Some(0);
            },
            "underlay_bridge",
            "br-phy",
            1,
        ),
        (|u| u.bridges.clear(), "underlay_bridge", "br-phy", 1),
        (
            |u| bridge(u).observed.ports.get_mut("eth0").unwrap().interfaces[0].admin_up = Some(false),
            "underlay_device",
            "br-phy",
            1,
        ),
        (
            |u| bridge(u).observed.ports.get_mut("eth0").unwrap().interfaces[0].link_up = Some(false),
            "underlay_device",
            "br-phy",
            1,
        ),
        (|u| u.ways.values_mut().for_each(|(way, _)| *way = None), "tunnel_address", "192.0.2.2", 2),
        (|u| u.ways = (2..9).map(|n| ([192, 0, 2, n].into(), (None, 1))).collect(), "tunnel_address", "192.0.2.2", 1),
    ];
    for (change, what, subject, count) in dead {
        let mut changed = underlay();
        change(&mut changed);
        let reasons = host_health(&changed);
        assert_eq!((told(&reasons)[0], reasons.len()), ((what, subject, FAILED), count), "{reasons:?}");
        assert!(changed.all_dead(&reasons), "{reasons:?}");
    }
    let mut one = underlay();
    one.ways.insert([203, 0, 113, 9].into(), (None, 1));
    let reasons = host_health(&one);
    assert_eq!(told(&reasons), [("tunnel_address", "203.0.113.9", FAILED)]);
    assert!(!one.all_dead(&reasons), "the others have their way");
    let dead = |n: [u8; 4]| one.is_dead(n.into(), &reasons);
    assert_eq!((dead([203, 0, 113, 9]), dead([192, 0, 2, 2]), dead([192, 0, 2, 77])), (true, false, false));
    assert_eq!(one.least_room([[203, 0, 113, 9].into()].into_iter(), |_| 0), None);
    one.ways.insert(
        [192, 0, 2, 4].into(),
        (one.ways[&[192, 0, 2, 2].into()].0.clone().map(|way| Way { mtu: 1400, ..way }), 1),
    );
    assert_eq!(one.least_room([2, 4].map(|n| [192, 0, 2, n].into()).into_iter(), |_| 42), Some(1358));
    let mut meant = underlay();
    bridge(&mut meant).observed.fail_mode = Some("secure".into());
    bridge(&mut meant).flows = Some(4);
    assert_eq!(host_health(&meant), [], "somebody's own flows carry the tunnels");
    meant.userspace = false;
    meant.bridges.clear();
    assert_eq!(host_health(&meant), [], "in the kernel any device will do");
}
