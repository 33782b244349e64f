//! Bridges of the Python plugin: which are taken over and which are not, that the plan ends there, and release.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{World, bridge_name, setup};
use ovstunnel_plan::*;
use proptest::prelude::*;

const UUID: &str = "6f1a9c3e-0b7d-4c58-9c11-3d0f2a5b7e90";

/// A bridge as the plugin leaves it, with tunnels to these hosts.
fn old_bridge(world: &mut World, name: &str, key: u32, hosts: &[u32]) {
    world.foreign_bridge(name);
    for to in hosts {
        world.foreign_gre(name, &format!("t{key}-1-{to}"), &format!("192.0.2.{to}"), &key.to_string());
    }
    let bridge = world.bridges.get_mut(name).unwrap();
    bridge.stp_enable = true;
    bridge.other_config.insert(ids::GRE_KEY.into(), key.to_string());
    bridge.external_ids.insert(ids::XS_NETWORK_UUID.into(), UUID.into());
}

fn findings(world: &World) -> BTreeMap<String, Finding> {
    let bridges: Vec<ObservedBridge> = world.bridges.values().cloned().collect();
    survey_bridges(&bridges, &Settings::default())
}

/// The reasons for which a bridge is left.
fn reasons(world: &World, name: &str) -> String {
    match findings(world).remove(name) {
        Some(Finding::Left(reasons)) => reasons.join("; "),
        other => panic!("{name}: {other:?}"),
    }
}

fn change_tunnel(world: &mut World, bridge: &str, port: &str, change: impl Fn(&mut ObservedInterface)) {
    change(&mut world.bridges.get_mut(bridge).unwrap().ports.get_mut(port).unwrap().interfaces[0]);
}

/// What a take-over would do now.
fn plan(world: &World, name: &str, flows: &BTreeSet<PluginFlow>) -> Plan {
    let desired = match findings(world).remove(name) {
        Some(Finding::Plugins(desired)) => Some(*desired),
        Some(Finding::Ours) => None,
        other => panic!("{name}: {other:?}"),
    };
    let mut change_set = ChangeSet::default();
    change_set.take_over(world, &bridge_name(name), desired, flows.clone());
    world.plan(&change_set, &Settings::default())
}

fn some_flows() -> BTreeSet<PluginFlow> {
    BTreeSet::from([PluginFlow::Ipv6, PluginFlow::FromVif { port: 3, to: PluginGroup::Broadcast }])
}

#[test]
fn a_plugin_bridge_is_taken_over_in_one_transaction() {
    let mut world = World::default();
    old_bridge(&mut world, "xapi1", 1001, &[2, 3]);
    world.device("xapi1", "vif1.0");
    let ports: Vec<String> = world.bridges["xapi1"].ports.keys().cloned().collect();
    let steps = plan(&world, "xapi1", &some_flows());
    let bundles = steps.items().filter(PlanItem::is_flows).count();
    assert_eq!((steps.transactions().len(), bundles), (1, 1), "{steps:?}");
    world.carry_out(steps);

    let bridge = &world.bridges["xapi1"];
    let record = DesiredBridge::from_record(bridge).unwrap();
    let host_id = record.host_id.map(|id| id.to_string());
    assert_eq!((record.kind.key().unwrap().get(), record.adopted, host_id.as_deref()), (1001, true, Some("1")));
    assert_eq!(record.network_uuid.map(|uuid| uuid.to_string()).as_deref(), Some(UUID));
    assert_eq!(record.tunnels.len(), 2);
    assert!(!bridge.stp_enable);
    assert_eq!(bridge.ports.keys().cloned().collect::<Vec<_>>(), ports, "no name has changed");
    let protected = |name: &str| bridge.ports[name].protected;
    assert!(["xapi1", "t1001-1-2", "t1001-1-3"].into_iter().all(protected) && !protected("vif1.0"));

    // The flows have gone: one more look ends it, and then there is nothing to do.
    assert!(takeover_begun(bridge));
    world.carry_out(plan(&world, "xapi1", &BTreeSet::new()));
    assert!(!takeover_begun(&world.bridges["xapi1"]));
    assert_eq!(plan(&world, "xapi1", &BTreeSet::new()), Plan::default());
    assert_eq!(world.repairs(), Plan::default());
}

#[test]
fn a_takeover_keeps_the_root_port_a_release_forgets_it() {
    let mut world = World::default();
    old_bridge(&mut world, "xapi1", 1001, &[2, 3]);
    let Some(Finding::Plugins(desired)) = findings(&world).remove("xapi1") else { panic!("not the plugin's") };
    let keep = |world: &World, desired: Option<DesiredBridge>, port: &str| {
        let mut change_set = ChangeSet::default();
        change_set.take_over(world, &bridge_name("xapi1"), desired, BTreeSet::new());
        change_set.keep_root_port(world, &bridge_name("xapi1"), port.to_owned());
        world.plan(&change_set, &Settings::default())
    };
    let steps = keep(&world, Some(*desired), "t1001-1-2");
    assert_eq!(steps.transactions().len(), 1, "in the transaction that ends STP: {steps:?}");
    world.carry_out(steps);
    let kept = |world: &World| world.bridges["xapi1"].external_ids.get(ids::STP_ROOT_PORT).cloned();
    assert_eq!(kept(&world).as_deref(), Some("t1001-1-2"));
    assert_eq!(keep(&world, None, "t1001-1-3"), Plan::default(), "there is no tree any more");
    assert_eq!(world.repairs(), Plan::default());
    assert!(world.change(&[Change::ReleaseBridge(bridge_name("xapi1"))])[0].is_ok());
    assert_eq!(kept(&world), None);
}

#[test]
fn a_takeover_that_died_is_ended_by_the_next() {
    let mut world = World::default();
    old_bridge(&mut world, "xapi1", 1001, &[2]);
    let first = plan(&world, "xapi1", &some_flows());
    world.carry_out_database(&first);
    assert!(takeover_begun(&world.bridges["xapi1"]), "what died said that it had begun");
    let again = plan(&world, "xapi1", &some_flows());
    let swept = |plan: &Plan| plan.flows_after().iter().any(|(_, change)| change.plugins == some_flows());
    assert!(swept(&first) && swept(&again), "{again:?}");
}

#[test]
fn a_key_is_read_as_older_and_newer_servers_wrote_it() {
    for text in ["1001", "OVSTunnel1001"] {
        let mut world = World::default();
        old_bridge(&mut world, "xapi1", 1001, &[2]);
        world.bridges.get_mut("xapi1").unwrap().other_config.insert(ids::GRE_KEY.into(), text.into());
        world.carry_out(plan(&world, "xapi1", &BTreeSet::new()));
        // And a release gives it back as it was.
        let released = world.change(&[Change::ReleaseBridge(bridge_name("xapi1"))]);
        assert!(released[0].is_ok());
        assert_eq!(world.bridges["xapi1"].other_config[ids::GRE_KEY], text);
    }
}

#[test]
fn what_cannot_be_ours_as_it_is_stays_with_its_reason() {
    type Damage = fn(&mut World);
    let cases: [(&str, Damage); 11] = [
        ("which is no key", |w| {
            drop(w.bridges.get_mut("b").unwrap().other_config.insert("gre_key".into(), "x".into()))
        }),
        ("the bridge has 5", |w| {
            drop(w.bridges.get_mut("b").unwrap().other_config.insert("gre_key".into(), "5".into()))
        }),
        ("no other_config:gre_key", |w| drop(w.bridges.get_mut("b").unwrap().other_config.remove("gre_key"))),
        ("distributed-routing VPC", |w| {
            let config = &mut w.bridges.get_mut("b").unwrap().other_config;
            config.insert("topology-update-sequence-number".into(), "1".into());
        }),
        ("its name is not t<key>-<from>-<to>", |w| w.foreign_gre("b", "gre0", "192.0.2.9", "1001")),
        ("options:key has key \"7\"", |w| w.foreign_gre("b", "t1001-1-9", "192.0.2.9", "7")),
        ("options:remote_ip must be an IPv4 address", |w| w.foreign_gre("b", "t1001-1-9", "host9.example", "1001")),
        ("come from hosts 1 and 2", |w| w.foreign_gre("b", "t1001-2-9", "192.0.2.9", "1001")),
        ("leads to its own host", |w| w.foreign_gre("b", "t1001-1-1", "192.0.2.9", "1001")),
        ("options:csum", |w| {
            change_tunnel(w, "b", "t1001-1-2", |i| drop(i.options.insert("csum".into(), "true".into())));
        }),
        ("Open vSwitch has refused it: words", |w| {
            change_tunnel(w, "b", "t1001-1-2", |i| (i.ofport, i.error) = (Some(-1), Some("words".into())));
        }),
    ];
    for (reason, damage) in cases {
        let mut world = World::default();
        old_bridge(&mut world, "b", 1001, &[2, 3]);
        damage(&mut world);
        assert!(reasons(&world, "b").contains(reason), "{reason}: {}", reasons(&world, "b"));
    }
}

#[test]
fn two_bridges_with_one_key_are_in_each_others_way() {
    let mut world = World::default();
    old_bridge(&mut world, "b", 1001, &[2]);
    old_bridge(&mut world, "c", 1001, &[]);
    old_bridge(&mut world, "d", 1002, &[2]);
    assert_eq!(
        (reasons(&world, "b"), reasons(&world, "c")),
        ("bridge c has key 1001 too".to_owned(), "bridge b has key 1001 too".to_owned())
    );
    assert!(matches!(findings(&world)["d"], Finding::Plugins(_)));
    // One of ours is no less in the way.
    world.change(&[setup("e", 1002, None)]);
    assert_eq!(reasons(&world, "d"), "bridge e has key 1002 too");
}

#[test]
fn a_bridge_that_is_nobodys_is_not_the_plugins() {
    let mut world = World::default();
    world.foreign_bridge("theirs");
    world.foreign_gre("theirs", "gre0", "192.0.2.9", "1001");
    assert_eq!(findings(&world)["theirs"], Finding::Foreign);
}

#[test]
fn a_flow_about_other_ports_than_the_plugins_stays() {
    let mut world = World::default();
    old_bridge(&mut world, "b", 1001, &[2]);
    world.device("b", "vif1.0");
    let (settings, bridge) = (Settings::default(), &world.bridges["b"]);
    let port = |name: &str| bridge.ports[name].interface().unwrap().openflow_port().unwrap();
    let (vif, tunnel) = (port("vif1.0"), port("t1001-1-2"));
    let table = |dump: &str| PluginTable::parse_dump(dump, bridge, &settings);
    let broadcast = "dl_dst=ff:ff:ff:ff:ff:ff";
    for (line, plugins) in [
        (format!("priority=1200,in_port={vif},{broadcast} actions=NORMAL"), true),
        (format!("priority=1200,in_port=4000,{broadcast} actions=NORMAL"), true),
        (format!("priority=1200,in_port={tunnel},{broadcast} actions=NORMAL"), false),
        (format!("priority=1000,in_port={tunnel},{broadcast} actions=drop"), true),
        (format!("priority=1000,in_port=4000,{broadcast} actions=drop"), true),
        (format!("priority=1000,in_port={vif},{broadcast} actions=drop"), false),
        (format!("priority=1100,{broadcast} actions=output:4000,output:{vif}"), true),
        (format!("priority=1100,{broadcast} actions=output:{vif},output:{tunnel}"), false),
    ] {
        let table = table(&line);
        assert_eq!((table.flows.len(), table.doubtful.len()), (usize::from(plugins), usize::from(!plugins)), "{line}");
        let breaks = line.contains("priority=1100") && !plugins;
        assert_eq!(table.breaks_split_horizon(bridge, &settings), breaks.then_some(tunnel), "{line}");
    }
    let ours = "cookie=0x6f76737401000000, priority=1000,tun_id=0x5 actions=drop";
    assert_eq!(table(ours), PluginTable::default(), "ours are nobody else's");
    assert_eq!(table("cookie=0x0, table=0, priority=5000,ip actions=NORMAL").others, 1);
}

#[test]
fn a_release_leaves_a_plain_bridge_with_its_vifs() {
    let mut world = World::default();
    world.foreign_bridge("xapi1");
    let before = world.clone();
    for name in ["xapi1", "made"] {
        assert!(world.change(&[setup(name, 1001, Some(&[("2", "192.0.2.2")]))])[0].is_ok());
        world.device(name, &format!("vif-{name}"));
        world.device(name, &format!("eth-{name}"));
        assert!(world.change(&[Change::ReleaseBridge(bridge_name(name))])[0].is_ok());
        let bridge = &world.bridges[name];
        let mut ports: Vec<&str> = bridge.ports.keys().map(String::as_str).collect();
        ports.sort_unstable();
        let mut expected = [name.to_owned(), format!("vif-{name}"), format!("eth-{name}")];
        expected.sort();
        assert_eq!(ports, expected);
        assert!(bridge.external_ids.is_empty() && bridge.other_config.is_empty(), "{bridge:?}");
        assert!(bridge.ports.values().all(|port| !port.protected && port.external_ids.is_empty()));
        assert_eq!(world.flows[name], FlowsSeen::none());
        let mut change_set = ChangeSet::default();
        let again = Change::ReleaseBridge(bridge_name(name));
        assert!(change_set.apply_change(&world, &Settings::default(), &again).is_ok());
        assert_eq!(world.plan(&change_set, &Settings::default()), Plan::default(), "once is enough");
    }
    assert_eq!(world.bridges["xapi1"].uuid, before.bridges["xapi1"].uuid);
    assert!(world.change(&[Change::ReleaseBridge(bridge_name("nothing"))])[0].is_ok());
}

proptest! {
    /// Whatever hosts, VIFs and flows there were: after two looks nothing is left to do, and the bundle names nothing but
    /// flows that were read as the plugin's.
    #[test]
    fn a_take_over_ends(
        hosts in prop::collection::btree_set(2..60u32, 0..6),
        vifs in prop::collection::btree_set(0..9u32, 0..4),
        ports in prop::collection::btree_set(1..500u32, 0..6),
        old_protocol in any::<bool>(),
    ) {
        let mut world = World::default();
        old_bridge(&mut world, "b", 1001, &hosts.into_iter().collect::<Vec<_>>());
        vifs.iter().for_each(|n| world.device("b", &format!("vif{n}.0")));
        if old_protocol {
            world.bridges.get_mut("b").unwrap().protocols = vec!["OpenFlow10".into()];
        }
        let flows: BTreeSet<PluginFlow> =
            ports.iter().map(|port| PluginFlow::FromTunnel { port: *port, to: PluginGroup::LocalMulticast }).collect();
        let steps = plan(&world, "b", &flows);
        for (_, change) in steps.flows_after() {
            let bundle = change.bundle_lines();
            let deleted: Vec<&str> = bundle.lines().filter_map(|line| line.strip_prefix("delete_strict ")).collect();
            let read: Vec<String> = flows.iter().map(ToString::to_string).collect();
            prop_assert_eq!(deleted, read);
        }
        world.carry_out(steps);
        world.carry_out(plan(&world, "b", &BTreeSet::new()));
        prop_assert_eq!(plan(&world, "b", &BTreeSet::new()), Plan::default());
        prop_assert_eq!(world.repairs(), Plan::default());
    }
}
