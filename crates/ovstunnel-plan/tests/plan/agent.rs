//! Bridges of CloudStack's KVM agent: what the agent reads on them, how they go, and the Python program's tunnels on one of ours.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{World, bridge_name, create, setup};
use ovstunnel_plan::*;

const BRIDGE: &str = "OVSTunnel1001";

fn set_up() -> Change {
    match setup(BRIDGE, 1001, None) {
        Change::SetupBridge(setup) => Change::SetupBridge(SetupBridge { agent: true, ..setup }),
        other => other,
    }
}

/// A bridge as the agent makes it.
fn made_by_agent(world: &mut World) {
    world.foreign_bridge(BRIDGE);
    let bridge = world.bridges.get_mut(BRIDGE).unwrap();
    bridge.other_config.insert(ids::HOST_SETUP.into(), NO_HOST.into());
}

fn config(world: &World, key: &str) -> Option<String> {
    world.bridges[BRIDGE].other_config.get(key).cloned()
}

fn apply(world: &mut World, change: Change) {
    let done = world.change(&[change]);
    assert!(done[0].is_ok(), "{done:?}");
    assert_eq!(world.repairs(), Plan::default());
}

fn refused(world: &mut World, change: Change) -> String {
    let before = world.bridges.clone();
    let refused = world.change(&[change])[0].clone().unwrap_err().to_string();
    assert_eq!(world.bridges, before, "{refused}");
    refused
}

fn delete() -> Change {
    Change::DeleteBridge(bridge_name(BRIDGE), BTreeSet::new())
}

#[test]
fn the_agent_reads_on_its_bridge_whether_to_set_it_up() {
    let mut world = World::default();
    made_by_agent(&mut world);
    apply(&mut world, set_up());
    let read = |world: &World| config(world, ids::HOST_SETUP).unwrap();
    assert_eq!((read(&world).as_str(), config(&world, ids::TUNNEL_NETWORK).as_deref()), ("-1,1,-1", Some("True")));
    assert_eq!(config(&world, ids::GRE_KEY).as_deref(), Some("1001"));
    // Asked for by others it stays the agent's; what somebody takes away comes back.
    apply(&mut world, setup(BRIDGE, 1001, Some(&[("2", "192.0.2.2")])));
    world.bridges.get_mut(BRIDGE).unwrap().other_config.remove(ids::HOST_SETUP);
    let repairs = world.repairs();
    world.carry_out(repairs);
    assert_eq!(read(&world), "-1,1,-1");
    // The agent has no VM there any more, and is to call again before the next one.
    for (claim, value) in [("out 2027-01-15T08:00:00Z", "-1"), ("in 2027-01-15T08:00:00Z", "-1,1,-1")] {
        apply(&mut world, Change::Claimed(set_up().into(), claim.into()));
        assert_eq!(read(&world), value, "{claim}");
    }
    // What is given back has to be set up again.
    apply(&mut world, Change::ReleaseBridge(bridge_name(BRIDGE)));
    let left = BTreeMap::from([(ids::HOST_SETUP.to_owned(), NO_HOST.to_owned())]);
    assert_eq!((&world.bridges[BRIDGE].other_config, &world.bridges[BRIDGE].external_ids), (&left, &BTreeMap::new()));
}

#[test]
fn a_bridge_of_the_agent_goes_as_a_whole() {
    let mut world = World::default();
    for change in [delete(), Change::destroy_bridge(bridge_name(BRIDGE))] {
        made_by_agent(&mut world);
        apply(&mut world, set_up());
        apply(&mut world, create(BRIDGE, "2", "192.0.2.2"));
        for port in ["vnet3", "eth1"] {
            world.device(BRIDGE, port);
            let told = refused(&mut world, change.clone());
            assert!(told.contains(port), "{told}");
            world.bridges.get_mut(BRIDGE).unwrap().ports.remove(port);
        }
        apply(&mut world, change);
        assert_eq!(world.bridges.len(), 0);
    }
    apply(&mut world, delete());
}

#[test]
fn a_foreign_bridge_is_deleted_if_only_tunnels_are_on_it() {
    let mut world = World::default();
    made_by_agent(&mut world);
    world.foreign_gre(BRIDGE, "t1001-1-2", "192.0.2.2", "1001");
    world.device(BRIDGE, "vnet0");
    assert!(refused(&mut world, delete()).contains("a VIF"));
    world.bridges.get_mut(BRIDGE).unwrap().ports.remove("vnet0");
    world.foreign_gre(BRIDGE, "mine", "192.0.2.9", "9");
    assert!(refused(&mut world, delete()).contains("port mine"));
    world.bridges.get_mut(BRIDGE).unwrap().ports.remove("mine");
    apply(&mut world, delete());
    assert_eq!(world.bridges.len(), 0);
}

#[test]
fn tunnels_that_the_python_program_has_added_are_taken_over() {
    let mut world = World::default();
    apply(&mut world, set_up());
    apply(&mut world, create(BRIDGE, "2", "192.0.2.2"));
    world.foreign_gre(BRIDGE, "t1001-1-3", "192.0.2.3", "1001");
    // Another key, another host's, somebody else's: they stay.
    world.foreign_gre(BRIDGE, "t1002-1-4", "192.0.2.4", "1002");
    world.foreign_gre(BRIDGE, "t1001-9-5", "192.0.2.5", "1001");
    world.foreign_gre(BRIDGE, "mine", "192.0.2.6", "1001");
    let bridges: Vec<ObservedBridge> = world.bridges.values().cloned().collect();
    let Some(Finding::Plugins(desired)) = survey_bridges(&bridges, &Settings::default()).remove(BRIDGE) else {
        panic!("ours")
    };
    let mut change_set = ChangeSet::default();
    change_set.take_over(&world, &bridge_name(BRIDGE), Some(*desired), BTreeSet::new());
    world.carry_out(world.plan(&change_set, &Settings::default()));
    let bridge = &world.bridges[BRIDGE];
    let record = DesiredBridge::from_record(bridge).unwrap();
    let names: Vec<&str> = record.tunnels.keys().map(|name| name.as_str()).collect();
    assert_eq!((names.as_slice(), record.agent), (&["t1001-1-2", "t1001-1-3"][..], true));
    let open: Vec<&String> = bridge.ports.keys().filter(|name| !bridge.ports[*name].protected).collect();
    assert_eq!(open, ["mine", "t1001-9-5", "t1002-1-4"]);
    let bridges: Vec<ObservedBridge> = world.bridges.values().cloned().collect();
    assert_eq!(survey_bridges(&bridges, &Settings::default()).remove(BRIDGE), Some(Finding::Ours));
}
