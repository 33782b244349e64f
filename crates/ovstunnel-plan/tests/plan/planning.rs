//! Requests, drafts and plans, case by case.

use crate::model::{World, bridge_name, create, destroy_tunnel, setup};
use ovstunnel_plan::*;

/// Host ids and addresses of the tunnels that a bridge has, as the interfaces have them.
fn tunnels(world: &World, bridge: &str) -> Vec<(String, String)> {
    let ports = world.bridges[bridge].ports.values().filter(|port| port.is_tunnel_of_ours());
    ports.map(|port| (port.external_ids[ids::TO].clone(), port.interfaces[0].options["remote_ip"].clone())).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

fn accepted(results: &[Result<Option<PortName>, Rejected>]) {
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

fn expect_rest(world: &World) {
    assert_eq!(world.repairs(), Plan::default(), "nothing is left to do");
}

#[test]
fn a_bridge_and_its_tunnels_are_one_transaction() {
    let mut world = World::default();
    let mut change_set = ChangeSet::default();
    let change = setup("xapi1", 5, Some(&[("2", "192.0.2.2"), ("3", "192.0.2.3")]));
    change_set.apply_change(&world, &Settings::default(), &change).unwrap();
    let steps = world.plan(&change_set, &Settings::default());
    assert_eq!(steps.transactions().len(), 1);
    world.carry_out(steps);
    assert!(world.bridges["xapi1"].ports.values().all(|port| port.protected));
    assert_eq!(tunnels(&world, "xapi1"), pairs(&[("2", "192.0.2.2"), ("3", "192.0.2.3")]));
    assert_eq!(
        world.flows["xapi1"].flow_count(),
        Some(6),
        "the baseline, what forwards, BFD, and IPv6, before any VIF is there"
    );
    expect_rest(&world);
}

fn bfd(ports: &[&str], interval: u32) -> Change {
    let ports = ports.iter().map(|port| port.parse().unwrap()).collect();
    Change::SetBfd(SetBfd { bridge: bridge_name("b"), ports, interval: BfdInterval::new(interval).unwrap() })
}

#[test]
fn bfd_begins_behind_its_flow_and_ends_without_a_trace() {
    let mut world = World::default();
    accepted(&world.change(&[setup("b", 5, Some(&[("2", "192.0.2.2"), ("3", "192.0.2.3")]))]));
    let others = [("oam".to_owned(), "true".to_owned())];
    let column = |world: &World, port: &str| world.bridges["b"].ports[port].interfaces[0].bfd.clone();
    world.bridges.get_mut("b").unwrap().ports.get_mut("t5-1-2").unwrap().interfaces[0].bfd = others.clone().into();
    expect_rest(&world);
    world.flows.insert("b".to_owned(), FlowsSeen::none());
    let mut change_set = ChangeSet::default();
    change_set.apply_change(&world, &Settings::default(), &bfd(&["t5-1-2"], 300)).unwrap();
    let plan = world.plan(&change_set, &Settings::default());
    let first = plan.flows_before();
    assert!(first.iter().any(|(_, change)| change.bundle_lines().contains("dl_dst=00:23:20:00:00:01")), "{first:?}");
    world.carry_out(plan);
    expect_rest(&world);
    let there = column(&world, "t5-1-2");
    assert_eq!((there["enable"].as_str(), there["min_tx"].as_str(), there.len()), ("true", "300", 6), "{there:?}");
    assert_eq!(column(&world, "t5-1-3").len(), 0);

    // A tunnel that leads elsewhere keeps it; somebody who switches it off is overruled.
    accepted(&world.change(&[setup("b", 5, Some(&[("2", "192.0.2.9"), ("3", "192.0.2.3")]))]));
    assert_eq!(column(&world, "t5-1-2"), there);
    let port = world.bridges.get_mut("b").unwrap().ports.get_mut("t5-1-2").unwrap();
    port.interfaces[0].bfd.insert("enable".into(), "false".into());
    world.carry_out(world.repairs());
    assert_eq!(column(&world, "t5-1-2"), there);

    accepted(&world.change(&[bfd(&[], 300)]));
    assert_eq!(column(&world, "t5-1-2"), others.into(), "what is not ours stays");
    assert!(!world.bridges["b"].ports["t5-1-2"].external_ids.contains_key(ids::BFD));
    expect_rest(&world);
}

#[test]
fn two_tunnels_swap_their_addresses() {
    let mut world = World::default();
    accepted(&world.change(&[setup("b", 5, Some(&[("2", "192.0.2.2"), ("3", "192.0.2.3")]))]));
    accepted(&world.change(&[setup("b", 5, Some(&[("2", "192.0.2.3"), ("3", "192.0.2.2")]))]));
    assert_eq!(tunnels(&world, "b"), pairs(&[("2", "192.0.2.3"), ("3", "192.0.2.2")]));
    expect_rest(&world);
}

/// The first takes the address of the second, which moves to a free one: the second must have moved before.
#[test]
fn addresses_move_along_a_chain() {
    let mut world = World::default();
    accepted(&world.change(&[setup("b", 5, Some(&[("2", "192.0.2.2"), ("3", "192.0.2.3"), ("4", "192.0.2.4")]))]));
    accepted(&world.change(&[setup("b", 5, Some(&[("2", "192.0.2.3"), ("3", "192.0.2.4"), ("4", "192.0.2.5")]))]));
    assert_eq!(tunnels(&world, "b"), pairs(&[("2", "192.0.2.3"), ("3", "192.0.2.4"), ("4", "192.0.2.5")]));
    accepted(&world.change(&[create("b", "4", "192.0.2.6"), create("b", "6", "192.0.2.5")]));
    expect_rest(&world);
}

/// In one batch a tunnel's remote address and key go over to a tunnel of another bridge.
#[test]
fn an_address_and_key_go_over_to_another_bridge() {
    let mut world = World::default();
    accepted(&world.change(&[setup("b", 5, Some(&[("2", "192.0.2.2")])), setup("c", 6, Some(&[("3", "192.0.2.3")]))]));
    accepted(&world.change(&[setup("b", 7, Some(&[("2", "192.0.2.4")])), setup("c", 5, Some(&[("3", "192.0.2.2")]))]));
    assert_eq!(tunnels(&world, "c"), pairs(&[("3", "192.0.2.2")]));
    accepted(&world.change(&[Change::destroy_bridge(bridge_name("b")), setup("c", 7, Some(&[("3", "192.0.2.4")]))]));
    assert_eq!(tunnels(&world, "c"), pairs(&[("3", "192.0.2.4")]));
    expect_rest(&world);
}

#[test]
fn a_changed_address_is_an_edit_that_no_frame_of_others_feels() {
    let mut world = World::default();
    accepted(&world.change(&[setup("b", 5, Some(&[("2", "192.0.2.2")]))]));
    let mut change_set = ChangeSet::default();
    change_set.apply_change(&world, &Settings::default(), &create("b", "2", "192.0.2.9")).unwrap();
    let steps = world.plan(&change_set, &Settings::default());
    let items: Vec<PlanItem> = steps.items().collect();
    assert!(matches!(items.as_slice(), [PlanItem::Database(Step::EditTunnel { .. })]), "{steps:?}");
}

#[test]
fn a_new_key_needs_and_replaces_the_complete_set() {
    let mut world = World::default();
    accepted(&world.change(&[setup("b", 5, Some(&[("2", "192.0.2.2")]))]));
    let before = world.shape();
    let rejected = world.change(&[setup("b", 6, None)]).remove(0).unwrap_err();
    assert!(matches!(&rejected, Rejected::Conflict { in_the_way, .. } if in_the_way == "b"), "{rejected:?}");
    assert_eq!(world.shape(), before);
    accepted(&world.change(&[setup("b", 6, Some(&[("2", "192.0.2.2")]))]));
    let ports: Vec<&String> = world.bridges["b"].ports.keys().collect();
    assert_eq!(ports, ["b", "t6-1-2"]);
    assert_eq!(world.bridges["b"].other_config[ids::GRE_KEY], "6");
    let FlowsSeen::Known { flows, .. } = &world.flows["b"] else { panic!("flows are known") };
    assert!(flows.iter().all(|flow| flow.matches.tun_id.is_none_or(|id| id == 6)), "{flows:?}");
    expect_rest(&world);
}

#[test]
fn a_key_of_its_own_can_change_while_there_are_no_tunnels() {
    let mut world = World::default();
    accepted(&world.change(&[setup("b", 5, None)]));
    accepted(&world.change(&[setup("b", 7, None)]));
    assert_eq!(world.bridges["b"].external_ids[ids::KEY], "7");
    expect_rest(&world);
}

#[test]
fn a_bridge_of_somebody_else_is_adopted_and_released_as_it_was() {
    let mut world = World::default();
    world.foreign_bridge("xapi1");
    world.device("xapi1", "eth1");
    world.bridges.get_mut("xapi1").unwrap().external_ids.insert(ids::XS_NETWORK_UUID.into(), "theirs".into());
    let theirs = world.bridges.get_mut("xapi1").unwrap();
    theirs.other_config.extend([ids::GRE_KEY, ids::MAC_TABLE_SIZE].map(|key| (key.into(), "100".into())));
    theirs.protocols = vec!["OpenFlow10".into()];
    let before = world.shape();
    accepted(&world.change(&[setup("xapi1", 5, Some(&[("2", "192.0.2.2")]))]));
    assert_eq!(world.bridges["xapi1"].external_ids[ids::ADOPTED], "true");
    assert!(world.bridges["xapi1"].own_port().unwrap().protected);
    assert!(!world.bridges["xapi1"].ports["eth1"].protected);
    expect_rest(&world);
    accepted(&world.change(&[Change::destroy_bridge(bridge_name("xapi1"))]));
    let (mut bridge, flows) = world.shape().remove("xapi1").unwrap();
    let mark = bridge.external_ids.remove(ids::RELEASED);
    assert_eq!(mark.as_deref(), Some("true"), "with a `gre_key` it would be taken for the Python plugin's");
    assert_eq!((&bridge, flows.unwrap()), (&before["xapi1"].0, FlowsSeen::none()));
}

#[test]
fn a_lost_mark_does_not_cost_the_tunnels_that_are_still_marked() {
    for damage in [None, Some("five")] {
        let mut world = World::default();
        accepted(&world.change(&[setup("b", 5, Some(&[("2", "192.0.2.2")]))]));
        let bridge = world.bridges.get_mut("b").unwrap();
        match damage {
            None => bridge.external_ids.clear(),
            Some(text) => drop(bridge.external_ids.insert(ids::KEY.into(), text.into())),
        }
        bridge.other_config.remove(ids::GRE_KEY);
        assert_eq!(world.repairs(), Plan::default(), "who does not know the key does not touch the bridge");
        let refused = world.change(&[Change::destroy_bridge(bridge_name("b"))]).remove(0).unwrap_err();
        assert!(matches!(refused, Rejected::Conflict { .. }), "{refused:?}");
        accepted(&world.change(&[setup("b", 5, None)]));
        assert_eq!(tunnels(&world, "b"), pairs(&[("2", "192.0.2.2")]));
        expect_rest(&world);
    }
}

#[test]
fn a_mark_that_cannot_be_read_is_told_from_what_else_is_there() {
    let mut world = World::default();
    accepted(&world.change(&[setup("b", 5, Some(&[("2", "192.0.2.2")]))]));
    let before = world.shape();
    for mark in [ids::KEY, ids::FROM, ids::TO, ids::REMOTE_IP] {
        for damage in [None, Some("?")] {
            let bridge = world.bridges.get_mut("b").unwrap();
            let port = bridge.ports.values_mut().find(|port| port.name.starts_with('t')).unwrap();
            let mut marked = vec![&mut port.external_ids];
            if mark == ids::KEY {
                marked.push(&mut bridge.external_ids);
            }
            for ids in marked {
                match damage {
                    None => drop(ids.remove(mark)),
                    Some(text) => drop(ids.insert(mark.into(), text.into())),
                }
            }
            world.carry_out(world.repairs());
            assert_eq!(world.shape(), before, "{mark} {damage:?}");
        }
    }
}

#[test]
fn who_remembers_puts_back_what_others_took_away() {
    let mut world = World::default();
    accepted(&world.change(&[setup("b", 5, Some(&[("2", "192.0.2.2"), ("3", "192.0.2.3")]))]));
    let (before, observed) = (world.shape(), world.bridges["b"].clone());
    let mut cache = DesiredCache::default();
    cache.remember_bridge(observed.uuid, DesiredBridge::from_record(&observed).unwrap());
    let bridge = world.bridges.get_mut("b").unwrap();
    bridge.ports.retain(|name, _| !name.ends_with("-2"));
    bridge.external_ids.clear();
    bridge.other_config.clear();
    let mut change_set = ChangeSet::with_cache(&cache);
    change_set.touch_bridge(&world, &bridge_name("b"));
    world.carry_out(change_set.build_plan(&EffectiveSettings::default(), |_| FlowsSeen::Unknown));
    assert_eq!(world.shape(), before);

    // Another bridge of that name is not the one that is remembered.
    world.bridges.get_mut("b").unwrap().uuid = uuid::Uuid::from_u128(99);
    world.bridges.get_mut("b").unwrap().external_ids.clear();
    let mut change_set = ChangeSet::with_cache(&cache);
    change_set.touch_bridge(&world, &bridge_name("b"));
    assert_eq!(change_set.build_plan(&EffectiveSettings::default(), |_| FlowsSeen::Unknown), Plan::default());
}

#[test]
fn to_give_a_bridge_back_twice_is_no_mistake() {
    let mut world = World::default();
    accepted(&world.change(&[setup("b", 5, None)]));
    let row = world.bridges["b"].uuid;
    let bridge = world.bridges.get_mut("b").unwrap();
    bridge.external_ids.clear();
    bridge.other_config.clear();
    let mut cache = DesiredCache::default();
    let destroy = |cache: &DesiredCache, world: &World| {
        ChangeSet::with_cache(cache).apply_change(
            world,
            &Settings::default(),
            &Change::destroy_bridge(bridge_name("b")),
        )
    };
    assert!(destroy(&cache, &world).is_err(), "a bridge that never was ours");
    cache.remember_release(row);
    assert_eq!(destroy(&cache, &world), Ok(None));
}

#[test]
fn left_overs_on_a_bridge_that_is_not_ours_any_more_are_swept() {
    let mut world = World::default();
    accepted(&world.change(&[setup("b", 5, Some(&[("2", "192.0.2.2")]))]));
    let seen = world.flows["b"].clone();
    let bridge = world.bridges.get_mut("b").unwrap();
    bridge.external_ids.clear();
    bridge.other_config.clear();
    let mut change_set = ChangeSet::default();
    change_set.sweep_bridge(&world, &bridge_name("b"));
    world.carry_out(change_set.build_plan(&EffectiveSettings::default(), |_| seen.clone()));
    assert_eq!(world.bridges["b"].ports.keys().collect::<Vec<_>>(), ["b"], "its own port stays");
    assert_eq!(world.flows["b"], FlowsSeen::none());
}

#[test]
fn a_vif_or_a_stranger_keeps_a_bridge_from_being_destroyed() {
    for (port, word) in [("vif1.0", "a VIF"), ("eth1", "not ours")] {
        let mut world = World::default();
        accepted(&world.change(&[setup("b", 5, None)]));
        world.device("b", port);
        world.carry_out(world.repairs());
        let before = world.shape();
        let refused = world.change(&[Change::destroy_bridge(bridge_name("b"))]).remove(0).unwrap_err();
        let Rejected::Conflict { in_the_way, detail } = refused else { panic!("{refused:?}") };
        assert_eq!(in_the_way, port);
        assert!(detail.contains(word), "{detail}");
        assert_eq!(world.shape(), before);
    }
}

#[test]
fn what_is_in_the_way_is_named() {
    let mut world = World::default();
    world.foreign_bridge("foreign");
    world.device("foreign", "t5-1-9");
    world.foreign_gre("foreign", "gre0", "192.0.2.8", "5");
    accepted(&world.change(&[setup("b", 5, Some(&[("2", "192.0.2.2")]))]));
    let cases = [
        (create("b", "9", "192.0.2.9"), "t5-1-9"),
        (create("b", "8", "192.0.2.8"), "foreign/gre0"),
        (create("b", "3", "192.0.2.2"), "b/t5-1-2"),
        (create("foreign", "2", "192.0.2.2"), "foreign"),
        (destroy_tunnel("foreign", "gre0"), "foreign"),
        (destroy_tunnel("b", "b"), "b"),
        (setup("t5-1-9", 6, None), "foreign"),
        (setup("c", 5, Some(&[("2", "192.0.2.2")])), "t5-1-2"),
        (Change::destroy_bridge(bridge_name("foreign")), "foreign"),
        // To this host itself.
        (setup("c", 6, Some(&[("1", "192.0.2.2")])), "c"),
    ];
    let before = world.shape();
    for (change, expected) in cases {
        match world.change(std::slice::from_ref(&change)).remove(0) {
            Err(Rejected::Conflict { in_the_way, .. }) => assert_eq!(in_the_way, expected, "{change}"),
            other => panic!("{change}: {other:?}"),
        }
        assert_eq!(world.shape(), before, "{change}");
    }
}

#[test]
fn a_set_that_contradicts_itself_names_the_field() {
    let world = World::default();
    let cases: [(&[(&str, &str)], &str); 2] = [
        (&[("2", "192.0.2.2"), ("3", "192.0.2.2")], "tunnels[1].remote_ip"),
        (&[("2", "192.0.2.2"), ("2", "192.0.2.3")], "tunnels[1].to"),
    ];
    for (set, expected) in cases {
        let refused =
            ChangeSet::default().apply_change(&world, &Settings::default(), &setup("b", 5, Some(set))).unwrap_err();
        assert!(matches!(&refused, Rejected::Invalid { field, .. } if field == expected), "{refused:?}");
    }
}

#[test]
fn flows_do_not_grow_with_tunnels() {
    let count = |tunnels: usize, vifs: usize, ipv6| {
        let mut world = World::default();
        let specs: Vec<_> =
            (0..tunnels).map(|n| (format!("h{n}"), format!("198.18.{}.{}", n / 250, n % 250))).collect();
        let specs: Vec<(&str, &str)> = specs.iter().map(|(to, ip)| (to.as_str(), ip.as_str())).collect();
        let Change::SetupBridge(mut change) = setup("b", 5, Some(&specs)) else { panic!("a set-up") };
        change.ipv6 = Some(ipv6);
        accepted(&world.change(&[Change::SetupBridge(change)]));
        (0..vifs).for_each(|n| world.device("b", &format!("vif{n}.0")));
        world.carry_out(world.repairs());
        world.flows["b"].flow_count().unwrap()
    };
    for tunnels in [0, 1, 300] {
        assert_eq!(count(tunnels, 0, Ipv6Policy::Allow), 3);
        assert_eq!(count(tunnels, 0, Ipv6Policy::Drop), 6);
        assert_eq!(count(tunnels, 3, Ipv6Policy::Allow), 7);
        assert_eq!(count(tunnels, 3, Ipv6Policy::Drop), 10);
    }
}

#[test]
fn different_tunnels_never_have_one_port_name() {
    let name = |from: &str, to: &str| {
        PortName::tunnel_port(GreKey::try_from(1).unwrap(), &from.parse().unwrap(), &to.parse().unwrap())
    };
    assert_ne!(name("1-2", "3"), name("1", "2-3"));
    assert_ne!(name("aaaaaaaa-bbbbbbbb", "c"), name("aaaaaaaa", "bbbbbbbb-c"));
}
