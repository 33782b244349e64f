//! docs/reference/flows.md has each flow that there can be, and none that there cannot: by table, priority and cookie.
//!
//! What it must not do: know a flow beside those that the planner makes from a bridge on which there is everything.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::model::{World, setup};
use crate::vpc_world::*;
use ovstunnel_plan::*;

/// Table, priority, purpose or beginning of the cookie, all as text.
type Place = (String, String, String);

fn end(device: &str, mac: &str, address: [u8; 4]) -> TunnelEnd {
    TunnelEnd { device: device.into(), mac: mac.parse().unwrap(), address: address.into() }
}

/// A host that has all that flows are made for.
fn settings() -> Settings {
    let underlay = Underlay {
        ends: [end("br-phy", "0a:00:00:00:00:01", [10, 0, 0, 1])].into(),
        others: [end("vif1.0", "fe:ff:ff:ff:ff:ff", [169, 254, 7, 1])].into(),
        mtus: Default::default(),
        udp_ports: [4789].into(),
        own: [("b".to_owned(), "0a:00:00:00:00:09".parse().unwrap())].into(),
    };
    Settings { ipv6_drop_opaque: true, underlay: Some(Arc::new(underlay)), ..Settings::default() }
}

fn place(flow: &Flow) -> Place {
    // Of a VIF with a limit the cookie has no purpose; the place is that of a VIF without.
    assert_eq!(flow.cookie.limited_vif(), None, "{flow}");
    let cookie = flow.cookie.to_string();
    (flow.table.to_string(), flow.priority.to_string(), cookie[..12].to_owned())
}

fn flows_of(world: &World, bridge: &str) -> BTreeSet<Flow> {
    let observed = &world.bridges[bridge];
    bridge_flows(
        &DesiredBridge::from_record(observed).unwrap(),
        Some(observed),
        &EffectiveSettings::for_switch(&settings(), Capabilities::ALL),
    )
}

fn network() -> World {
    let mut world = World::default();
    assert!(world.change(&[setup("b", 5, Some(&[("2", "192.0.2.2"), ("3", "192.0.2.3")]))])[0].is_ok());
    world.device("b", "vif1.0");
    world
}

/// Items 7 and 8; both have the place of the item with the number 0.
fn vpc() -> World {
    let mut world = host_1();
    let items = vec![item("7 allow egress tcp 80-443 10.1.2.0/24"), item("8 deny ingress all - 0.0.0.0/0")];
    world.change(&[ruled("v", 1, &policies(&[(1, items)]))]).remove(0).unwrap();
    world
}

/// The flows of lines for `ovs-ofctl`.
fn temporary(lines: &str) -> BTreeSet<Place> {
    let value = |line: &str, name: &str| line.split_once(name).unwrap().1.split(',').next().unwrap().to_owned();
    let adds = lines.lines().filter(|line| line.contains("add "));
    adds.map(|line| (value(line, "table="), value(line, "priority="), value(line, "cookie="))).collect()
}

fn of_take_over() -> BTreeSet<Place> {
    let mut bridge = network().bridges["b"].clone();
    let number = |port: &str| bridge.ports[port].interface().unwrap().openflow_port().unwrap();
    let (tunnel, vif) = (number("t5-1-2"), number("vif1.0"));
    let learnt = Learnt::parse(&format!(" {tunnel} 0 02:00:00:00:00:01 3\n {vif} 0 02:00:00:00:00:02 3\n"));
    let (name, interface) =
        ("vx0".to_owned(), ObservedInterface { kind: "vxlan".into(), ofport: Some(99), ..Default::default() });
    bridge.ports.insert(name.clone(), ObservedPort { name, interfaces: vec![interface], ..Default::default() });
    let carried = TransitionFlows::over_bridge(&bridge, &learnt).laying_lines();
    bridge.external_ids.insert(ids::STP_ROOT_PORT.into(), "t5-1-2".into());
    let announced =
        Announcement::for_bridge(&bridge, &learnt, false, std::time::SystemTime::UNIX_EPOCH).unwrap().bundle_lines();
    temporary(&carried).into_iter().chain(temporary(&announced)).collect()
}

fn of_a_probe() -> BTreeSet<Place> {
    let nonce = "0a:5b:1c:22:9f:07".parse().unwrap();
    temporary(&Probe::over_bridge(&network().bridges["b"], nonce, None).unwrap().arming_lines(PROBE_LASTS))
}

/// The places in a section of the page. A cookie that is not named is that of the row above.
fn listed(section: &str, digits: usize) -> BTreeSet<Place> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/flows.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once(&format!("\n## {section}\n")).unwrap_or_else(|| panic!("no section '{section}'"));
    let section = rest.split("\n## ").next().unwrap();
    let mut cookie = String::new();
    let rows = section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| table"));
    let places = rows.map(|row| {
        let cells: Vec<&str> = row.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
        if let Some((_, named)) = cells[4].split_once("`0x") {
            cookie = format!("0x{}", &named[..digits - 2]);
        }
        (cells[0].to_owned(), cells[1].to_owned(), cookie.clone())
    });
    places.collect()
}

#[test]
fn the_page_has_each_flow_of_a_network() {
    let flows: BTreeSet<Place> = flows_of(&network(), "b").iter().map(place).collect();
    assert_eq!(listed("On the bridge of a network", 12), flows);
}

#[test]
fn the_page_has_each_flow_of_a_vpc() {
    let of_items = |(table, priority, cookie): Place| match priority.as_str() {
        "1007" | "1008" => (table, "1000 + number".to_owned(), cookie),
        _ => (table, priority, cookie),
    };
    let flows: BTreeSet<Place> = flows_of(&vpc(), "v").iter().map(place).map(of_items).collect();
    assert_eq!(listed("On the bridge of a distributed-routing VPC", 12), flows);
}

/// While the kind of a bridge's tunnels changes, and in the moment in which the two are turned around.
fn of_a_change_of_kind() -> BTreeSet<Place> {
    let mut world = network();
    let step = |step| {
        let (bridge, to, heard) = ("b".parse().unwrap(), TunnelKind::Vxlan, BTreeSet::new());
        Change::ChangeKind(ChangeKind { bridge, to, step, force: false, heard })
    };
    world.change(&[step(KindStep::Prepare)]).remove(0).unwrap();
    world.carry_out(world.repairs());
    let mut changes = ChangeSet::default();
    changes.apply_change(&world, &settings(), &step(KindStep::Switch)).unwrap();
    let plan = world.plan(&changes, &settings());
    let before: Vec<Flow> = plan.flows_before()[0].1.add.clone();
    let meanwhile = before.into_iter().chain(flows_of(&world, "b"));
    let of_it = |flow: &Flow| flow.cookie.is_for(Purpose::Second) || flow.cookie.is_for(Purpose::Carry);
    meanwhile.filter(of_it).map(|flow| place(&flow)).collect()
}

/// What answers for two addresses of each family, one of which is withdrawn.
fn of_answers() -> BTreeSet<Place> {
    let mut world = network();
    let bridge = world.bridges.get_mut("b").unwrap();
    let told =
        "7 10.1.1.2=02:00:00:00:00:02 10.1.1.3=02:00:00:00:00:03 fd00::2=02:00:00:00:00:02 fd00::3=02:00:00:00:00:03";
    bridge.external_ids.insert(ids::NEIGHBOURS.into(), told.into());
    bridge.external_ids.insert(ids::WITHDRAWN.into(), "7 10.1.1.3 fd00::3".into());
    bridge.external_ids.insert(ids::IPV6.into(), "allow".into());
    bridge.datapath_type = "netdev".into();
    let settings = Settings { answer_neighbours: true, ..settings() };
    let settings = EffectiveSettings::for_switch(&settings, Capabilities::ALL);
    let desired = DesiredBridge::from_record(&world.bridges["b"]).unwrap();
    let flows = bridge_flows(&desired, Some(&world.bridges["b"]), &settings);
    let others = flows_of(&world, "b");
    // Cookies end in the address, and in the page at the purpose.
    flows.difference(&others).map(place).collect()
}

#[test]
fn the_page_has_each_flow_of_answers() {
    assert_eq!(listed("Answers for VMs", 12), of_answers());
}

#[test]
fn the_page_has_each_flow_of_a_change_of_kind() {
    assert_eq!(listed("While the kind of tunnels changes", 12), of_a_change_of_kind());
}

#[test]
fn the_page_has_each_flow_of_a_take_over() {
    assert_eq!(listed("Temporary flows at a take-over", 18), of_take_over());
}

#[test]
fn the_page_has_each_flow_of_a_probe() {
    assert_eq!(listed("Flows of a probe", 18), of_a_probe());
}
