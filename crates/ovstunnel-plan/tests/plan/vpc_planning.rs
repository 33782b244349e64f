//! The record of a VPC's bridge, and in which order it and its flows are written.

use crate::model::{World, bridge_name, create, setup};
use crate::vpc_world::*;
use ovstunnel_plan::*;

/// The steps of one change, in order, as words for each.
fn order(world: &World, change: &Change) -> Vec<&'static str> {
    let mut change_set = ChangeSet::default();
    change_set.apply_change(world, &Settings::default(), change).unwrap();
    let plan = world.plan(&change_set, &Settings::default());
    plan.items().map(|item| if item.is_flows() { "flows" } else { "record" }).collect()
}

fn vpc(world: &World) -> Vpc {
    DesiredBridge::from_record(&world.bridges["v"]).unwrap().kind.vpc().unwrap().clone()
}

/// A topology whose record takes several chunks.
fn large() -> Topology {
    let mut topology = topology();
    topology.nics = (0..3000_u32).map(|n| Nic { ip: Some((0x0a01_0100 + n).into()), ..nic(1, 2) }).collect();
    topology
}

#[test]
fn a_new_bridge_drops_what_it_has_no_flows_for() {
    let mut world = World::default();
    world.change(&[setup_vpc("v")]).remove(0).unwrap();
    let bridge = &world.bridges["v"];
    assert_eq!(bridge.fail_mode.as_deref(), Some("secure"));
    assert_eq!(bridge.external_ids[ids::VPC], "7");
    assert!(!bridge.external_ids.contains_key(ids::KEY) && !bridge.other_config.contains_key(ids::GRE_KEY));
    assert!(world.known_flows("v").iter().all(|flow| !flow.actions.contains(&Action::Normal)));
    assert_eq!(world.repairs(), Plan::default());
}

#[test]
fn an_update_is_recorded_only_when_its_flows_are_there() {
    let world = host_1();
    assert_eq!(order(&world, &told("v", 2, &large())), ["flows", "record"]);
    let open = policies(&[(1, vec![item("1 allow ingress all - 0.0.0.0/0")])]);
    assert_eq!(order(&world, &ruled("v", 1, &open)), ["flows", "record"]);
    assert_eq!(order(&world, &setup_vpc("new")), ["record", "flows"], "there can be no flows before the bridge");
}

#[test]
fn only_a_larger_number_is_applied() {
    let mut world = host_1();
    let other = Topology { nics: vec![], ..topology() };
    for old in [0, 1] {
        assert_eq!(order(&world, &told("v", old, &other)), Vec::<&str>::new());
    }
    world.change(&[told("v", 7, &other)]).remove(0).unwrap();
    assert_eq!(world.bridges["v"].other_config[ids::TOPOLOGY_SEQUENCE], "7");
    assert_eq!(order(&world, &told("v", 6, &topology())), Vec::<&str>::new());
    assert_eq!(order(&world, &ruled("v", 1, &Policies::default())), ["record"], "the other kind counts for itself");
    assert_eq!(order(&world, &told("v", 8, &other)), ["record"], "nothing new but the number");
}

#[test]
fn a_large_record_is_cut_into_chunks_and_read_back() {
    let mut world = host_1();
    let chunks =
        |world: &World| world.bridges["v"].external_ids.keys().filter(|key| key.starts_with(ids::TOPOLOGY)).count();
    world.change(&[told("v", 2, &large())]).remove(0).unwrap();
    assert!(chunks(&world) > 1);
    assert!(world.bridges["v"].external_ids.values().all(|value| value.len() < 64 << 10));
    assert_eq!(*vpc(&world).topology.unwrap().value, large());
    world.change(&[told("v", 3, &topology())]).remove(0).unwrap();
    assert_eq!(chunks(&world), 1, "no chunk of the longer one is left");
    assert_eq!(*vpc(&world).topology.unwrap().value, topology());
    assert_eq!(world.repairs(), Plan::default());
}

#[test]
fn policies_are_read_back_as_they_were_recorded() {
    let items = [
        "1 allow ingress tcp 80-443 10.1.1.0/24,0.0.0.0/0",
        "2 deny egress 47 - 10.1.3.0/24",
        "3 deny ingress all - 0.0.0.0/0",
    ];
    let mut policies = policies(&[(1, items.iter().map(|text| item(text)).collect()), (2, vec![])]);
    policies.tiers.insert(network(3), None);
    let mut world = host_1();
    world.change(&[ruled("v", 4, &policies)]).remove(0).unwrap();
    let applied = vpc(&world).policies.unwrap();
    assert_eq!((applied.sequence, &*applied.value), (4, &policies));
}

#[test]
fn what_is_too_large_is_refused_and_changes_nothing() {
    let mut world = host_1();
    let before = world.shape();
    let mut huge = topology();
    huge.nics = vec![nic(1, 2); 20_000];
    let ranges = (1..2000).map(|n| item(&format!("{n} allow ingress tcp 1-65534 0.0.0.0/0"))).collect();
    for change in [told("v", 2, &huge), ruled("v", 2, &policies(&[(1, ranges)]))] {
        let Err(Rejected::Invalid { field, value, .. }) = world.change(&[change]).remove(0) else { panic!("accepted") };
        assert_eq!(field, "config");
        assert!(value.contains("bytes") || value == "59970", "{value}");
    }
    assert_eq!(world.shape(), before);
}

#[test]
fn a_damaged_record_counts_as_none_and_any_update_mends_it() {
    let mut world = host_1();
    world.change(&[told("v", 9, &large())]).remove(0).unwrap();
    let last = format!("{}1", ids::TOPOLOGY);
    world.bridges.get_mut("v").unwrap().external_ids.insert(last, "x".into());
    assert_eq!(vpc(&world).topology, None);
    world.carry_out(world.repairs());
    assert!(world.bridges["v"].external_ids.keys().all(|key| !key.starts_with(ids::TOPOLOGY)));
    assert_eq!(world.known_flows("v").len(), 10, "nothing is forwarded");
    world.change(&[told("v", 1, &topology())]).remove(0).unwrap();
    assert_eq!(vpc(&world).topology.unwrap().sequence, 1);
}

#[test]
fn a_damaged_mark_is_mended_by_a_setup() {
    for mark in [None, Some("no id; at all".to_owned())] {
        let mut world = host_1();
        let before = vpc(&world);
        let ids = &mut world.bridges.get_mut("v").unwrap().external_ids;
        match mark {
            Some(text) => drop(ids.insert(ids::VPC.into(), text)),
            None => drop(ids.remove(ids::VPC)),
        }
        assert_eq!(world.repairs(), Plan::default());
        assert!(matches!(world.change(&[told("v", 2, &topology())]).remove(0), Err(Rejected::Conflict { .. })));
        world.change(&[setup_vpc("v")]).remove(0).unwrap();
        assert_eq!(vpc(&world), before);
        assert_eq!(world.bridges["v"].ports.values().filter(|port| port.is_tunnel_of_ours()).count(), 6);
    }
}

#[test]
fn fail_mode_and_the_flows_it_cost_are_put_back() {
    let mut world = host_1();
    let flows = world.known_flows("v");
    world.bridges.get_mut("v").unwrap().fail_mode = None;
    // Open vSwitch has deleted them, and nobody knows yet.
    world.carry_out(world.repairs());
    assert_eq!(world.bridges["v"].fail_mode.as_deref(), Some("secure"));
    assert_eq!(world.known_flows("v"), flows);
    world.bridges.get_mut("v").unwrap().fail_mode = None;
    assert_eq!(order(&world, &told("v", 2, &large())), ["flows", "record", "flows"]);
}

#[test]
fn an_adopted_bridge_is_given_back_as_it_was() {
    for fail_mode in [None, Some("standalone".to_owned()), Some("secure".to_owned())] {
        let mut world = World::default();
        world.foreign_bridge("v");
        world.bridges.get_mut("v").unwrap().fail_mode = fail_mode.clone();
        let before = world.shape();
        let open = policies(&[(1, vec![item("1 allow ingress all - 0.0.0.0/0")])]);
        for change in [setup_vpc("v"), tunnel("v", 1, 2), told("v", 1, &large()), ruled("v", 1, &open)] {
            world.change(&[change]).remove(0).unwrap();
            world.carry_out(world.repairs());
        }
        assert_eq!(world.bridges["v"].fail_mode.as_deref(), Some("secure"));
        world.change(&[Change::destroy_bridge(bridge_name("v"))]).remove(0).unwrap();
        let after = world.shape();
        assert_eq!(after["v"].0, before["v"].0, "{fail_mode:?}");
        assert_eq!(after["v"].1.as_ref().and_then(FlowsSeen::flow_count), Some(0));
    }
}

#[test]
fn tunnels_have_their_tiers_keys_conflicts_stay() {
    let mut world = host_1();
    let ports = world.bridges["v"].ports.values().filter(|port| port.is_tunnel_of_ours());
    assert!(ports.clone().count() == 6 && ports.clone().all(|port| port.protected));
    let Err(Rejected::Invalid { field, .. }) = world.change(&[create("v", "4", "192.0.2.4")]).remove(0) else {
        panic!()
    };
    assert_eq!(field, "key");
    world.change(&[setup("b", 1009, None)]).remove(0).unwrap();
    for wrong in [setup("v", 1001, None), told("b", 1, &topology())] {
        let refused = world.change(&[wrong]).remove(0);
        assert!(matches!(refused, Err(Rejected::Conflict { .. })), "{refused:?}");
    }
    assert!(matches!(world.change(&[told("none", 1, &topology())]).remove(0), Err(Rejected::NotFound(_))));
    assert!(world.change(&[setup_vpc("v")]).remove(0).is_ok());
    assert_eq!(world.repairs(), Plan::default());
}

#[test]
fn a_tiers_key_is_on_no_other_bridge() {
    let conflict = |world: &World, change: &Change| match world.clone().change(std::slice::from_ref(change)).remove(0) {
        Err(Rejected::Conflict { in_the_way, .. }) => in_the_way,
        other => panic!("{change}: {other:?}"),
    };
    let mut world = host_1();
    let tier = i64::from(key(1).get());
    assert_eq!(conflict(&world, &setup("b", tier, None)), "v");
    // The other way round: the network was there first, and a tier or a tunnel of the VPC would take its key.
    world.change(&[setup("b", 4242, None)]).remove(0).unwrap();
    let mut more = topology();
    more.tiers.push(Tier { key: GreKey::try_from(4242).unwrap(), network: network(9), ..more.tiers[0] });
    assert_eq!(conflict(&world, &told("v", 2, &more)), "b");
    world.clone().change(&[told("v", 0, &more)]).remove(0).expect("an update that is not applied asks for nothing");
    let Change::CreateTunnel(theirs) = tunnel("v", 1, 2) else { panic!("a creation") };
    let key = Some(GreKey::try_from(4242).unwrap());
    assert_eq!(conflict(&world, &Change::CreateTunnel(CreateTunnel { key, ..theirs })), "b");
}

#[test]
fn a_vpcs_host_with_another_id_keeps_its_ports() {
    let mut world = host_1();
    let names = |world: &World| world.bridges["v"].ports.keys().cloned().collect::<Vec<_>>();
    let before = (names(&world), world.flows["v"].clone());
    let Change::SetupVpc(setup) = setup_vpc("v") else { panic!("a set-up") };
    let host_id = Some("77".parse().unwrap());
    world.change(&[Change::SetupVpc(SetupVpc { host_id, ..setup })]).remove(0).unwrap();
    let recorded = DesiredBridge::from_record(&world.bridges["v"]).unwrap();
    assert!(recorded.tunnels.values().all(|tunnel| tunnel.from.as_str() == "77") && !recorded.tunnels.is_empty());
    assert_eq!((names(&world), world.flows["v"].clone()), before);
}
