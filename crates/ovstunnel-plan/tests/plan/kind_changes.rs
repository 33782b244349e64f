//! The kind of a bridge's tunnels changes step by step: what is there at each, and what a look mends.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{World, bridge_name, create, setup};
use crate::vpc_world::setup_vpc;
use ovstunnel_plan::*;

const TWO: &[(&str, &str)] = &[("2", "192.0.2.2"), ("3", "192.0.2.3")];

fn asked(to: TunnelKind, step: KindStep, heard: &[String]) -> Change {
    let heard = heard.iter().cloned().collect();
    Change::ChangeKind(ChangeKind { bridge: bridge_name("b"), to, step, force: false, heard })
}

fn take(world: &mut World, change: Change) -> Result<(), Rejected> {
    world.change(&[change]).remove(0)?;
    // The flows that name ports which the change has made.
    world.carry_out(world.repairs());
    assert_eq!(world.repairs(), Plan::default());
    Ok(())
}

fn to_vxlan(world: &mut World, step: KindStep) -> Result<(), Rejected> {
    let heard: Vec<String> = world.bridges["b"].ports.keys().cloned().collect();
    take(world, asked(TunnelKind::Vxlan, step, &heard))
}

fn network() -> World {
    let mut world = World::default();
    take(&mut world, setup("b", 5, Some(TWO))).unwrap();
    world.device("b", "vif1.0");
    world.carry_out(world.repairs());
    world
}

/// Each tunnel by host and kind, with whether frames are flooded into it.
fn tunnels(world: &World) -> BTreeMap<(String, String), bool> {
    let ports = world.bridges["b"].ports.values().filter(|port| port.is_tunnel_of_ours());
    let told = ports.map(|port| {
        assert!(port.protected, "{} is open", port.name);
        let key = (port.external_ids[ids::TO].clone(), port.interfaces[0].kind.clone());
        (key, port.vlan == Vlan::default())
    });
    let told: Vec<_> = told.collect();
    let map: BTreeMap<_, _> = told.iter().cloned().collect();
    assert_eq!(told.len(), map.len(), "two tunnels of one kind to one host: {told:?}");
    map
}

fn expect(world: &World, sent: &str, received: &[&str]) {
    let hosts = ["2", "3"];
    let mut wanted: BTreeMap<(String, String), bool> =
        hosts.iter().map(|host| (((*host).to_owned(), sent.to_owned()), true)).collect();
    for kind in received {
        wanted.extend(hosts.iter().map(|host| (((*host).to_owned(), (*kind).to_owned()), false)));
    }
    assert_eq!(tunnels(world), wanted);
    // What comes by each of those is taken as come by the other of its pair.
    let flows = world.known_flows("b");
    let number = |port: &ObservedPort| port.interfaces[0].openflow_port().unwrap();
    let of = |kind: &str, host: &str| {
        let ports = world.bridges["b"].ports.values();
        let mut ports = ports.filter(|p| p.external_ids.get(ids::TO).is_some_and(|to| to == host));
        ports.find(|port| port.interfaces[0].kind == kind).map(number).unwrap()
    };
    let taken: BTreeSet<_> = flows
        .iter()
        .filter(|flow| flow.cookie.is_for(Purpose::Second))
        .map(|flow| (flow.matches.in_port.unwrap(), flow.actions.clone()))
        .collect();
    let pair = |kind: &&str, host: &str| (of(kind, host), vec![Action::SetInPort(of(sent, host)), Action::Resubmit(0)]);
    assert_eq!(taken, received.iter().flat_map(|kind| hosts.map(|host| pair(kind, host))).collect());
    assert!(flows.iter().all(|flow| !flow.cookie.is_for(Purpose::Carry)), "of a moment, and left over");
}

#[test]
fn each_step_leads_where_it_says_and_can_be_repeated() {
    let mut world = network();
    let before = world.rows();
    for _ in 0..2 {
        to_vxlan(&mut world, KindStep::Prepare).unwrap();
        expect(&world, "gre", &["vxlan"]);
    }
    for _ in 0..2 {
        to_vxlan(&mut world, KindStep::Switch).unwrap();
        expect(&world, "vxlan", &["gre"]);
    }
    to_vxlan(&mut world, KindStep::Prepare).unwrap();
    expect(&world, "gre", &["vxlan"]);
    take(&mut world, asked(TunnelKind::Vxlan, KindStep::Abort, &[])).unwrap();
    assert_eq!(world.rows(), before);
    for step in [KindStep::Prepare, KindStep::Switch, KindStep::Finish, KindStep::Finish] {
        to_vxlan(&mut world, step).unwrap();
    }
    expect(&world, "vxlan", &[]);
    for step in KindStep::ALL.into_iter().take(3) {
        let ports: Vec<String> = world.bridges["b"].ports.keys().cloned().collect();
        take(&mut world, asked(TunnelKind::Gre, step, &ports)).unwrap();
    }
    assert_eq!(world.rows(), before, "names and all");
}

#[test]
fn both_kinds_turn_in_one_transaction_while_flows_carry() {
    let mut world = network();
    to_vxlan(&mut world, KindStep::Prepare).unwrap();
    let mut changes = ChangeSet::default();
    changes.apply_change(&world, &Settings::default(), &asked(TunnelKind::Vxlan, KindStep::Switch, &[])).unwrap();
    let plan = world.plan(&changes, &Settings::default());
    assert_eq!(plan.transactions().len(), 1);
    let (before, after) = (plan.flows_before()[0].1.clone(), plan.flows_after()[0].1.clone());
    let vif = world.bridges["b"].ports["vif1.0"].interfaces[0].openflow_port().unwrap();
    let [carry] = before.add.as_slice() else { panic!("{before}") };
    assert_eq!((carry.matches.tun_id, carry.actions.as_slice()), (Some(5), &[Action::Output(vif)][..]));
    assert_eq!(before.delete.as_ref().map(BTreeSet::len), Some(2), "{before}");
    // Whoever dies in between leaves flows that are right on either side; a look ends it.
    let mut halfway = world.clone();
    halfway.carry_out_database(&plan);
    halfway.carry_out(halfway.repairs());
    expect(&halfway, "vxlan", &["gre"]);
    assert_eq!(after.add.len(), 2, "{after}");
}

#[test]
fn what_does_not_follow_is_refused_and_changes_nothing() {
    let mut world = network();
    let refused = |world: &mut World, step, heard: &[String], words: &str| {
        let before = world.shape();
        let told = take(world, asked(TunnelKind::Vxlan, step, heard)).unwrap_err().to_string();
        assert!(told.contains(words), "{told}");
        assert_eq!(world.shape(), before);
    };
    refused(&mut world, KindStep::Switch, &[], "`prepare` first, on each host");
    refused(&mut world, KindStep::Finish, &[], "`prepare` first, on each host");
    to_vxlan(&mut world, KindStep::Prepare).unwrap();
    refused(&mut world, KindStep::Finish, &[], "still sends by gre; `switch` first");
    let second = world.bridges["b"].ports.values().find(|port| port.is_second_of_ours()).unwrap().name.clone();
    refused(&mut world, KindStep::Abort, std::slice::from_ref(&second), "frames have come by vxlan from host");
    to_vxlan(&mut world, KindStep::Switch).unwrap();
    refused(&mut world, KindStep::Abort, &[], "go back by `prepare` first");
    refused(&mut world, KindStep::Finish, &[second], "nothing has come by vxlan from host");
    let told = take(&mut world, asked(TunnelKind::Geneve, KindStep::Prepare, &[])).unwrap_err().to_string();
    assert!(told.contains("finish or abort that first"), "{told}");
    to_vxlan(&mut world, KindStep::Finish).unwrap();
    refused(&mut world, KindStep::Abort, &[], "the change is finished");
}

#[test]
fn a_key_beyond_the_kind_and_the_bridge_of_a_vpc_are_refused() {
    let mut world = World::default();
    take(&mut world, setup("b", 1 << 24, Some(TWO))).unwrap();
    let told = to_vxlan(&mut world, KindStep::Prepare).unwrap_err().to_string();
    assert!(
        told.contains("must be from 1 to 16777215 where its tunnels are of kind vxlan; got \"16777216\""),
        "{told}"
    );
    let mut world = World::default();
    take(&mut world, setup_vpc("b")).unwrap();
    let told = to_vxlan(&mut world, KindStep::Prepare).unwrap_err().to_string();
    assert!(told.contains("is that of VPC 7"), "{told}");
}

#[test]
fn hosts_come_and_go_and_a_tunnel_is_known_by_its_old_name() {
    let mut world = network();
    to_vxlan(&mut world, KindStep::Prepare).unwrap();
    take(&mut world, create("b", "4", "192.0.2.4")).unwrap();
    assert_eq!(tunnels(&world).len(), 6);
    take(&mut world, setup("b", 5, Some(TWO))).unwrap();
    expect(&world, "gre", &["vxlan"]);
    to_vxlan(&mut world, KindStep::Switch).unwrap();
    to_vxlan(&mut world, KindStep::Finish).unwrap();
    // The management server has stored the name that it was given.
    let (bridge, port) = (bridge_name("b"), "t5-1-3".parse().unwrap());
    take(&mut world, Change::DestroyTunnel { bridge, port }).unwrap();
    assert_eq!(tunnels(&world).into_keys().collect::<Vec<_>>(), [("2".to_owned(), "vxlan".to_owned())]);
}

#[test]
fn what_is_harmed_in_either_state_is_mended() {
    let harms: [fn(&mut ObservedBridge); 6] = [
        |bridge| drop(bridge.external_ids.remove(ids::SECOND)),
        |bridge| bridge.ports.values_mut().for_each(|port| drop(port.external_ids.remove(ids::SECOND))),
        |bridge| {
            drop(bridge.external_ids.remove(ids::SECOND));
            bridge.ports.values_mut().for_each(|port| drop(port.external_ids.remove(ids::SECOND)));
        },
        |bridge| bridge.ports.values_mut().for_each(|port| port.vlan = Vlan::default()),
        |bridge| bridge.ports.values_mut().for_each(|port| port.protected = false),
        |bridge| bridge.ports.retain(|_, port| !port.is_second_of_ours()),
    ];
    for steps in [&[KindStep::Prepare][..], &[KindStep::Prepare, KindStep::Switch]] {
        let mut world = network();
        steps.iter().for_each(|step| to_vxlan(&mut world, *step).unwrap());
        let (shape, sent) = (world.rows(), if steps.len() == 1 { ("gre", "vxlan") } else { ("vxlan", "gre") });
        for harm in harms {
            let mut harmed = world.clone();
            harm(harmed.bridges.get_mut("b").unwrap());
            harmed.carry_out(harmed.repairs());
            harmed.carry_out(harmed.repairs());
            assert_eq!(harmed.repairs(), Plan::default());
            assert_eq!(harmed.rows(), shape);
            expect(&harmed, sent.0, &[sent.1]);
        }
    }
}

/// Somebody's own tunnel of the old kind: a tunnel of the new kind to its address would have its second one collide with it.
#[test]
fn what_a_second_tunnel_cannot_have_is_refused_with_the_first() {
    let mut world = network();
    world.foreign_bridge("foreign");
    world.foreign_gre("foreign", "theirs", "192.0.2.4", "5");
    to_vxlan(&mut world, KindStep::Prepare).unwrap();
    to_vxlan(&mut world, KindStep::Switch).unwrap();
    let before = world.rows();
    for change in [
        create("b", "4", "192.0.2.4"),
        setup("b", 5, Some(&[("2", "192.0.2.2"), ("3", "192.0.2.3"), ("4", "192.0.2.4")])),
    ] {
        let refused = world.change(&[change]).remove(0).unwrap_err().to_string();
        assert!(refused.contains("theirs") && refused.contains("192.0.2.4"), "{refused}");
    }
    assert_eq!(world.rows(), before);
}
