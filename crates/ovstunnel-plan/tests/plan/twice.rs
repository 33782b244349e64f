//! What must not be there twice on one host, and what leads out of a bridge beside its tunnels.

use std::collections::BTreeMap;

use crate::model::{World, bridge_name, create, setup};
use ovstunnel_plan::*;
use proptest::prelude::*;

fn accepted(results: &[Result<Option<PortName>, Rejected>]) {
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

/// What is in the way of a change, and why.
fn conflict(world: &World, change: &Change) -> (String, String) {
    match world.clone().change(std::slice::from_ref(change)).remove(0) {
        Err(Rejected::Conflict { in_the_way, detail }) => (in_the_way, detail),
        other => panic!("{change}: {other:?}"),
    }
}

/// A creation with another `from`; by the plugin it renumbers the host.
fn create_from(from: &str, to: &str, ip: &str, renumbers: bool) -> Change {
    let Change::CreateTunnel(create) = create("b", to, ip) else { panic!("a creation") };
    Change::CreateTunnel(CreateTunnel { from: from.parse().unwrap(), renumbers, ..create })
}

fn without_host(bridge: &str, key: i64, specs: &[(Option<&str>, &str, &str)]) -> Change {
    let Change::SetupBridge(setup) = setup(bridge, key, None) else { panic!("a set-up") };
    let spec = |(from, to, ip): &(Option<&str>, &str, &str)| TunnelSpec {
        from: from.map(|from| from.parse().unwrap()),
        to: to.parse().unwrap(),
        remote_ip: ip.parse().unwrap(),
    };
    Change::SetupBridge(SetupBridge { host_id: None, tunnels: Some(specs.iter().map(spec).collect()), ..setup })
}

fn froms(world: &World) -> Vec<(String, String)> {
    let ports = world.bridges["b"].ports.values().filter(|port| port.is_tunnel_of_ours());
    ports.map(|port| (port.name.clone(), port.external_ids[ids::FROM].clone())).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn a_second_tunnel_to_one_host_is_refused_by_name() {
    let mut world = World::default();
    accepted(&world.change(&[without_host("b", 5, &[(Some("1"), "2", "192.0.2.2")])]));
    // Of a bridge without a recorded id its tunnels tell.
    let (port, detail) = conflict(&world, &create_from("9", "2", "192.0.2.9", false));
    assert!(port == "b" && detail.contains("from is 9") && detail.contains("is 1"), "{detail}");
    // Where they tell different ones, the tunnel that leads there is named.
    world
        .bridges
        .get_mut("b")
        .unwrap()
        .ports
        .get_mut("t5-1-2")
        .unwrap()
        .external_ids
        .insert(ids::FROM.into(), "3".into());
    accepted(&world.change(&[create_from("3", "4", "192.0.2.4", false)]));
    world
        .bridges
        .get_mut("b")
        .unwrap()
        .ports
        .get_mut("t5-3-4")
        .unwrap()
        .external_ids
        .insert(ids::FROM.into(), "1".into());
    let (port, detail) = conflict(&world, &create_from("9", "2", "192.0.2.9", false));
    assert!(port == "t5-1-2" && detail.contains("leads to host 2 already"), "{detail}");
    // A complete set must be of one host.
    let set = [(Some("1"), "2", "192.0.2.2"), (Some("9"), "3", "192.0.2.3")];
    assert_eq!(conflict(&World::default(), &without_host("b", 5, &set)).0, "b");
    accepted(&World::default().change(&[without_host(
        "b",
        5,
        &[(Some("1"), "2", "192.0.2.2"), (Some("1"), "3", "192.0.2.3")],
    )]));
}

#[test]
fn a_tunnel_does_not_lead_to_this_host_nor_come_from_another() {
    let mut world = World::default();
    accepted(&world.change(&[setup("b", 5, Some(&[("2", "192.0.2.2")]))]));
    let before = world.shape();
    for (from, to) in [("9", "1"), ("9", "3"), ("9", "2")] {
        assert_eq!(conflict(&world, &create_from(from, to, "192.0.2.9", false)).0, "b", "{from} {to}");
    }
    let own = without_host("b", 5, &[(Some("9"), "1", "192.0.2.9")]);
    assert!(conflict(&world, &own).1.contains("tunnels[0].to is 1"));
    let moved = |host: &str| {
        let Change::SetupBridge(setup) = setup("b", 5, None) else { panic!("a set-up") };
        Change::SetupBridge(SetupBridge { host_id: Some(host.parse().unwrap()), ..setup })
    };
    assert_eq!(conflict(&world, &moved("2")).0, "t5-1-2", "a tunnel leads there");
    assert_eq!(conflict(&world, &create_from("2", "3", "192.0.2.9", true)).0, "t5-1-2");
    assert_eq!(world.shape(), before);
}

#[test]
fn another_id_rewrites_the_record_and_ports_keep_their_names() {
    let mut world = World::default();
    accepted(&world.change(&[setup("b", 5, Some(&[("2", "192.0.2.2"), ("3", "192.0.2.3")]))]));
    let port = world.change(&[create_from("7", "2", "192.0.2.2", true)]).remove(0).unwrap();
    assert_eq!(port.unwrap().as_str(), "t5-1-2");
    assert_eq!(froms(&world), pairs(&[("t5-1-2", "7"), ("t5-1-3", "7")]));
    assert_eq!(world.bridges["b"].external_ids[ids::HOST_ID], "7");
    assert_eq!(world.repairs(), Plan::default());
    // A new one has a new name, an old one another address under its old name.
    accepted(&world.change(&[create_from("7", "4", "192.0.2.4", true), create_from("7", "3", "192.0.2.33", false)]));
    assert_eq!(froms(&world), pairs(&[("t5-1-2", "7"), ("t5-1-3", "7"), ("t5-7-4", "7")]));
    assert_eq!(world.bridges["b"].ports["t5-1-3"].interfaces[0].options["remote_ip"], "192.0.2.33");
    // A complete set knows them again, and one that was lost comes back under the name that it had.
    let mut change_set = ChangeSet::default();
    let set = without_host("b", 5, &[(None, "2", "192.0.2.2"), (None, "3", "192.0.2.33"), (None, "4", "192.0.2.4")]);
    change_set.apply_change(&world, &Settings::default(), &set).unwrap();
    assert_eq!(world.plan(&change_set, &Settings::default()), Plan::default());
    let observed = world.bridges["b"].clone();
    let mut cache = DesiredCache::default();
    cache.remember_bridge(observed.uuid, DesiredBridge::from_record(&observed).unwrap());
    world.bridges.get_mut("b").unwrap().ports.remove("t5-1-2");
    let mut change_set = ChangeSet::with_cache(&cache);
    change_set.touch_bridge(&world, &bridge_name("b"));
    world.carry_out(world.plan(&change_set, &Settings::default()));
    assert_eq!(froms(&world), pairs(&[("t5-1-2", "7"), ("t5-1-3", "7"), ("t5-7-4", "7")]));
    // And back again: nothing is made anew.
    accepted(&world.change(&[setup("b", 5, None)]));
    assert_eq!(froms(&world), pairs(&[("t5-1-2", "1"), ("t5-1-3", "1"), ("t5-7-4", "1")]));
}

#[test]
fn a_creation_that_renumbers_is_alone_with_its_bridge() {
    let mut world = World::default();
    accepted(&world.change(&[setup("b", 5, Some(&[("2", "192.0.2.2")]))]));
    let of = |change: &Change| ChangeSet::default().footprint_of(&world, change);
    assert_eq!(of(&create_from("7", "3", "192.0.2.3", true)), Footprint::Bridge(bridge_name("b")));
    let port = Footprint::Tunnel(bridge_name("b"), "t5-1-2".into());
    assert_eq!(
        (of(&create_from("1", "2", "192.0.2.9", true)), of(&create_from("7", "2", "192.0.2.9", false))),
        (port.clone(), port)
    );
}

#[test]
fn one_key_is_on_one_bridge() {
    let mut world = World::default();
    let both = [setup("b", 5, None), setup("c", 5, None)];
    let results = world.change(&both);
    assert!(results[0].is_ok() && results[1].is_err(), "in one batch too: {results:?}");
    let (other, detail) = conflict(&world, &setup("c", 5, None));
    assert!(other == "b" && detail.contains("bridge b has key 5 already, so bridge c cannot"), "{detail}");
    accepted(&world.change(&[setup("c", 6, None)]));
    assert_eq!(conflict(&world, &setup("c", 5, Some(&[]))).0, "b", "nor by a new key");
    // Two that are there already go on.
    let twin = world.bridges.get_mut("c").unwrap();
    twin.external_ids.insert(ids::KEY.into(), "5".into());
    twin.other_config.insert(ids::GRE_KEY.into(), "5".into());
    accepted(&world.change(&[setup("c", 5, Some(&[("2", "192.0.2.2")])), setup("b", 5, None)]));
    // With the bridge that has it the key goes.
    accepted(&world.change(&[Change::destroy_bridge(bridge_name("b")), Change::destroy_bridge(bridge_name("c"))]));
    accepted(&world.change(&[setup("d", 5, None)]));
}

fn port(world: &mut World, name: &str, kind: &str) {
    world.device("b", name);
    world.bridges.get_mut("b").unwrap().ports.get_mut(name).unwrap().interfaces[0].kind = kind.into();
}

fn device(bus: Option<&str>, vlan: bool, lowers: &[&str]) -> DeviceFacts {
    let lowers = lowers.iter().map(|lower| (*lower).to_owned()).collect();
    DeviceFacts { bus: bus.map(str::to_owned), vlan, bond: false, lowers }
}

/// A bridge with one port of each sort, and what is known of the devices.
fn sorts() -> (World, HostFacts) {
    let mut world = World::default();
    world.foreign_bridge("b");
    for (name, kind) in [
        ("eth0", ""),
        ("eth0.5", "system"),
        ("bond0", ""),
        ("mac0", ""),
        ("veth0", ""),
        ("int0", "internal"),
        ("vif1.0", ""),
        ("vif2.0", ""),
        ("x1", ""),
        ("patch0", "patch"),
        ("dpdk0", "dpdk"),
        ("vhost0", "dpdkvhostuserclient"),
        ("vx0", "vxlan"),
        ("t5-1-2", "gre"),
        ("gre0", "gre"),
    ] {
        port(&mut world, name, kind);
    }
    port(&mut world, "lag", "");
    let second = ObservedInterface { name: "eth5".into(), ..ObservedInterface::default() };
    world.bridges.get_mut("b").unwrap().ports.get_mut("lag").unwrap().interfaces.push(second);
    let devices = [
        ("eth0", device(Some("pci"), false, &[])),
        ("eth0.5", device(None, true, &["eth0"])),
        ("bond0", DeviceFacts { bond: true, ..device(None, false, &["eth1", "eth2"]) }),
        ("mac0", device(None, false, &["eth3"])),
        ("vif1.0", device(Some("xen-backend"), false, &[])),
        ("x1", device(Some("xen-backend"), false, &[])),
        ("vif2.0", device(Some("pci"), false, &[])),
    ];
    let devices = devices.map(|(name, facts)| (name.to_owned(), facts)).into();
    (world, HostFacts { devices, underlay: BTreeMap::new() })
}

#[test]
fn each_way_out_is_known_and_no_vif_is_taken_for_one() {
    let (world, host) = sorts();
    let (bridge, settings) = (&world.bridges["b"], Settings::default());
    let found = undeclared_uplinks(bridge, None, &settings, &host);
    let found: Vec<(String, String)> = found.into_iter().map(|(port, way)| (port, way.to_string())).collect();
    let expected = [
        ("bond0", "a bond"),
        ("dpdk0", "a physical device (dpdk)"),
        ("eth0", "a physical device (pci)"),
        ("eth0.5", "a VLAN device on eth0"),
        ("gre0", "a gre tunnel that is not ovstunnel's"),
        ("lag", "a bond"),
        ("mac0", "a device on top of eth3"),
        ("patch0", "a patch port to another bridge"),
        ("vx0", "a vxlan tunnel that is not ovstunnel's"),
    ];
    assert_eq!(found, pairs(&expected));
    let declared = "eth0".parse().unwrap();
    let others = undeclared_uplinks(bridge, Some(&declared), &settings, &host);
    assert!(others.len() == 8 && others.iter().all(|(port, _)| port != "eth0"));
}

/// Set-up of `b`, with what is known of the host and an uplink.
fn with_host(host: &HostFacts, uplink: Option<Option<&str>>) -> Change {
    let Change::SetupBridge(setup) = setup("b", 5, None) else { panic!("a set-up") };
    let uplink = uplink.map(|uplink| uplink.map(|uplink| uplink.parse().unwrap()));
    Change::SetupBridge(SetupBridge { host: host.clone(), uplink, ..setup })
}

#[test]
fn one_uplink_may_be_declared_until_it_is_ended() {
    let mut world = World::default();
    world.foreign_bridge("b");
    world.device("b", "eth0");
    world.device("b", "eth1");
    world.device("b", "vif1.0");
    let nic = || device(Some("pci"), false, &[]);
    let devices = ["eth0", "eth1"].map(|name| (name.to_owned(), nic())).into();
    let host = HostFacts { devices, underlay: BTreeMap::new() };
    assert!(conflict(&world, &with_host(&host, None)).1.contains("give `uplink`"));
    let (second, detail) = conflict(&world, &with_host(&host, Some(Some("eth1"))));
    assert!(second == "eth0" && detail.contains("it is eth1"), "{detail}");
    world.bridges.get_mut("b").unwrap().ports.remove("eth0");
    for (name, rule) in [("eth0", "a port of bridge b"), ("b", "own port"), ("vif1.0", "a VIF")] {
        match world.clone().change(&[with_host(&host, Some(Some(name)))]).remove(0) {
            Err(Rejected::Invalid { field, rule: broken, value }) => {
                assert!(field == "uplink" && broken.contains(rule) && value == name, "{broken}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    accepted(&world.change(&[with_host(&host, Some(Some("eth1")))]));
    let uplink = |world: &World| world.bridges["b"].external_ids.get(ids::UPLINK).cloned();
    assert_eq!(uplink(&world).as_deref(), Some("eth1"));
    // Other devices come and go: what is ours goes on, and with the same uplink also where it has gone.
    world.device("b", "eth0");
    world.bridges.get_mut("b").unwrap().ports.remove("eth1");
    accepted(&world.change(&[with_host(&host, None), with_host(&host, Some(Some("eth1")))]));
    assert_eq!(uplink(&world).as_deref(), Some("eth1"));
    accepted(&world.change(&[with_host(&host, Some(None))]));
    assert_eq!(uplink(&world), None);
    accepted(&world.change(&[with_host(&host, Some(Some("eth0")))]));
    accepted(&world.change(&[Change::ReleaseBridge(bridge_name("b"))]));
    assert!(world.bridges["b"].external_ids.is_empty() && world.bridges["b"].ports.contains_key("eth0"));
}

#[test]
fn an_uplink_hears_the_mesh_as_a_vif_does() {
    let mut world = World::default();
    world.foreign_bridge("b");
    world.device("b", "eth0");
    let opens = |world: &World| {
        let FlowsSeen::Known { flows, .. } = &world.flows["b"] else { panic!("flows are known") };
        flows.iter().filter(|flow| flow.priority == 1100).count()
    };
    accepted(&world.change(&[with_host(&HostFacts::default(), None)]));
    assert_eq!(opens(&world), 0);
    accepted(&world.change(&[with_host(&HostFacts::default(), Some(Some("eth0")))]));
    assert_eq!(opens(&world), 1);
    world.bridges.get_mut("b").unwrap().ports.get_mut("eth0").unwrap().interfaces[0].ofport = Some(-1);
    world.carry_out(world.repairs());
    assert_eq!(opens(&world), 0, "there is nothing behind it");
}

#[test]
fn the_bridge_that_carries_the_tunnels_stays_what_it_is() {
    let patch = |world: &mut World, bridge: &str, name: &str, peer: &str| {
        world.device(bridge, name);
        let interface = &mut world.bridges.get_mut(bridge).unwrap().ports.get_mut(name).unwrap().interfaces[0];
        (interface.kind, interface.options) = ("patch".into(), [("peer".to_owned(), peer.to_owned())].into());
    };
    let mut world = World::default();
    for name in ["b", "c", "d", "e"] {
        world.foreign_bridge(name);
    }
    // Tunnels leave by vlan5, which is a VLAN of a port on c; c and d are joined, e is by itself.
    world.device("c", "port5");
    patch(&mut world, "c", "c-d", "d-c");
    patch(&mut world, "d", "d-c", "c-d");
    let devices = [("vlan5".to_owned(), device(None, true, &["port5"]))].into();
    let host = HostFacts { devices, underlay: [("vlan5".to_owned(), "those to X leave by vlan5".to_owned())].into() };
    let carries = |name: &str| carries_tunnels(&world, name, &host);
    assert_eq!(carries("c").as_deref(), Some("those to X leave by vlan5, and vlan5 is on it"));
    assert!(carries("d").is_some() && carries("e").is_none() && carries("b").is_none());
    let own = HostFacts { underlay: [("b".to_owned(), "those to X leave by b".to_owned())].into(), ..host.clone() };
    let (in_the_way, detail) = conflict(&world, &with_host(&own, None));
    assert!(in_the_way == "b" && detail.contains("carries the tunnels (those to X leave by b)"), "{detail}");
    accepted(&world.change(&[with_host(&host, None)]));
    accepted(&world.change(&[with_host(&own, None)]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the plugin and the API ask in whatever order: one tunnel leads to each host, none to this one, all have one
    /// `from`, no port is renamed, and what is there is what is recorded.
    #[test]
    fn one_tunnel_leads_to_each_host(
        asked in prop::collection::vec((1..4u8, 1..6u8, 1..6u8, any::<bool>(), any::<bool>()), 1..12),
    ) {
        let mut world = World::default();
        world.change(&[setup("b", 5, None)]);
        for (from, to, ip, by_plugin, whole) in asked {
            let before: Vec<String> = froms(&world).into_iter().map(|(name, _)| name).collect();
            let (from, to, ip) = (from.to_string(), to.to_string(), format!("192.0.2.{ip}"));
            let change = match whole {
                true => without_host("b", 5, &[(None, &*to, &*ip), (Some(&*from), "9", "192.0.2.99")]),
                false => create_from(&from, &to, &ip, by_plugin),
            };
            let kept = world.change(&[change]).remove(0).is_ok();
            let after = froms(&world);
            if kept && !whole {
                prop_assert!(before.iter().all(|name| after.iter().any(|(there, _)| there == name)), "a port has gone");
            }
            let record = DesiredBridge::from_record(&world.bridges["b"]).unwrap();
            let hosts: std::collections::BTreeSet<&HostId> = record.tunnels.values().map(|tunnel| &tunnel.to).collect();
            prop_assert_eq!(hosts.len(), record.tunnels.len());
            let home = record.host_id.clone().unwrap();
            prop_assert!(record.tunnels.values().all(|tunnel| tunnel.from == home && tunnel.to != home), "{:?}", record);
            prop_assert_eq!(world.repairs(), Plan::default());
        }
    }
}
