//! What is withdrawn by the switch is kept, recorded, carried into another list, and forgotten when the same is told again. Must not need a switch.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use crate::model::{World, setup};
use ovstunnel_plan::*;

fn ip(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 1, 1, last).into()
}

fn told(lasts: &[u8]) -> Change {
    let mac = |last: u8| format!("02:00:00:00:00:0{last}").parse().unwrap();
    let known: BTreeMap<IpAddr, Mac> = lasts.iter().map(|last| (ip(*last), mac(*last))).collect();
    match setup("b", 5, Some(&[("2", "192.0.2.2")])) {
        Change::SetupBridge(setup) => Change::SetupBridge(SetupBridge { neighbours: Some(known), ..setup }),
        other => other,
    }
}

fn settings() -> Settings {
    Settings { answer_neighbours: true, ..Settings::default() }
}

fn effective() -> EffectiveSettings {
    EffectiveSettings::for_switch(&settings(), Capabilities::ALL)
}

/// The bridge once it was told these.
fn bridge(world: &mut World, lasts: &[u8]) -> (DesiredBridge, ObservedBridge) {
    world.change(&[told(lasts)]).remove(0).unwrap();
    let observed = world.bridges["b"].clone();
    (DesiredBridge::from_record(&observed).unwrap(), observed)
}

/// The flow that the switch makes when somebody else has an address, as it is read.
fn learnt(desired: &DesiredBridge, last: u8) -> Flow {
    let generation = desired.neighbours.generation;
    let line = format!(
        "cookie=0x6f7673740c{generation:06x}, duration=1.2s, table=11, n_packets=0, n_bytes=0, priority=1000,arp,\
         arp_tpa=10.1.1.{last} actions=load:0x2->NXM_NX_REG1[]"
    );
    line.parse().unwrap()
}

fn of_record(flows: &BTreeSet<Flow>, last: u8) -> bool {
    let asks = |flow: &Flow| flow.matches.arp.and_then(|arp| arp.target_ip).map(IpAddr::from);
    flows.iter().any(|flow| flow.table == 11 && asks(flow) == Some(ip(last)))
}

#[test]
fn what_the_switch_has_learnt_is_kept_and_recorded() {
    let mut world = World::default();
    let (desired, observed) = bridge(&mut world, &[2, 3]);
    let mut flows = bridge_flows(&desired, Some(&observed), &effective());
    flows.insert(learnt(&desired, 3));
    let seen = FlowsSeen::known_exactly(flows);
    assert_eq!(
        FlowChange::between(&wanted_flows(&desired, &observed, &seen, &effective()), &seen),
        None,
        "no repair takes it away"
    );
    let plan = plan_bridge(Some(&desired), Some(&observed), &seen, &effective());
    let Some(Step::EditBridge { edits, .. }) = plan.database.first() else { panic!("{plan:?}") };
    assert_eq!(
        *edits,
        [BridgeEdit::SetId(ids::WITHDRAWN.into(), format!("{} 10.1.1.3", desired.neighbours.generation))]
    );

    // Recorded, it is there again on a switch that has forgotten all, though the daemon remembers no such thing.
    let mut recorded = observed;
    recorded.external_ids.insert(ids::WITHDRAWN.into(), format!("{} 10.1.1.3", desired.neighbours.generation));
    let wanted = wanted_flows(&desired, &recorded, &FlowsSeen::none(), &effective());
    assert!(of_record(&wanted, 3) && !of_record(&wanted, 2));
    let plan = plan_bridge(Some(&desired), Some(&recorded), &FlowsSeen::none(), &effective());
    assert!(plan.database.is_empty(), "{plan:?}");
}

/// A daemon that has just started and cannot read the flows writes all of its own anew.
#[test]
fn what_is_replaced_unread_keeps_what_the_switch_has_withdrawn() {
    let mut world = World::default();
    let (desired, observed) = bridge(&mut world, &[2, 3]);
    let mut there = bridge_flows(&desired, Some(&observed), &effective());
    let stale: Flow = "cookie=0x6f76737403000063, table=0, priority=7, actions=drop".parse().unwrap();
    there.extend([learnt(&desired, 3), stale.clone()]);
    let there = FlowsSeen::known_exactly(there);
    let unread = FlowsSeen::Unknown;
    let wanted = wanted_flows(&desired, &observed, &unread, &effective());
    let change = FlowChange::between(&wanted, &unread).unwrap();
    let FlowsSeen::Known { flows, .. } = change.applied_to(&there) else { panic!("{change:?}") };
    assert!(flows.contains(&learnt(&desired, 3)) && !flows.contains(&stale), "{flows:?}");
    assert!(!change.bundle_lines().contains("cookie=0x6f76737400000000/0xffffffff00000000"), "{change:?}");
    assert_eq!(change.missing_among(&FlowsSeen::known_exactly(flows)), None);
    // Where nothing is answered there is nothing to keep, and a bridge that is given back keeps nothing.
    for wanted in [
        bridge_flows(
            &DesiredBridge { neighbours: Neighbours::default(), ..desired.clone() },
            Some(&observed),
            &effective(),
        ),
        BTreeSet::new(),
    ] {
        let change = FlowChange::between(&wanted, &unread).unwrap();
        assert_eq!(change.applied_to(&there), FlowsSeen::known_exactly(wanted));
        assert!(change.bundle_lines().starts_with("delete cookie=0x6f76737400000000/0xffffffff00000000\n"));
    }
}

#[test]
fn the_same_list_told_again_forgets_what_was_withdrawn() {
    let mut world = World::default();
    let (before, _) = bridge(&mut world, &[2, 3]);
    let mark = format!("{} 10.1.1.3", before.neighbours.generation);
    world.bridges.get_mut("b").unwrap().external_ids.insert(ids::WITHDRAWN.into(), mark);
    let (after, observed) = bridge(&mut world, &[2, 3]);
    assert!(after.neighbours.generation > before.neighbours.generation && after.neighbours.withdrawn.is_empty());
    let mut flows = bridge_flows(&after, Some(&observed), &effective());
    flows.insert(learnt(&before, 3));
    let seen = FlowsSeen::known_exactly(flows);
    let change = FlowChange::between(&wanted_flows(&after, &observed, &seen, &effective()), &seen).unwrap();
    assert_eq!(change.delete, Some(BTreeSet::from([learnt(&before, 3).cookie])));
    let (again, _) = bridge(&mut world, &[2, 3]);
    assert_eq!(again.neighbours, after.neighbours, "the same again is no other list");
    let (none, observed) = bridge(&mut world, &[]);
    assert!(none.neighbours.known.is_empty() && !observed.external_ids.contains_key(ids::NEIGHBOURS));
}

/// A NIC more or less in a network says nothing of who has the addresses of others.
#[test]
fn another_list_keeps_withdrawn_what_is_in_both() {
    let mut world = World::default();
    let (before, _) = bridge(&mut world, &[2, 3, 4]);
    let mark = format!("{} 10.1.1.3 10.1.1.4", before.neighbours.generation);
    world.bridges.get_mut("b").unwrap().external_ids.insert(ids::WITHDRAWN.into(), mark);
    let (after, observed) = bridge(&mut world, &[2, 3, 5]);
    assert!(after.neighbours.generation > before.neighbours.generation);
    assert_eq!(after.neighbours.withdrawn, BTreeSet::from([ip(3)]));
    let wanted = wanted_flows(&after, &observed, &FlowsSeen::none(), &effective());
    assert!(wanted.contains(&learnt(&after, 3)), "a switch that starts anew floods for it");
    // Told with another card, it is another entry.
    let Change::SetupBridge(mut setup) = told(&[2, 3, 5]) else { panic!("another change") };
    setup.neighbours.as_mut().unwrap().insert(ip(3), "02:00:00:00:00:33".parse().unwrap());
    world.change(&[Change::SetupBridge(setup)]).remove(0).unwrap();
    assert_eq!(DesiredBridge::from_record(&world.bridges["b"]).unwrap().neighbours.withdrawn, BTreeSet::new());
}

#[test]
fn a_mark_that_cannot_be_read_answers_for_nobody() {
    let mut world = World::default();
    let (_, mut observed) = bridge(&mut world, &[2]);
    for mark in ["", "x 10.1.1.2=02:00:00:00:00:02", "16777216 10.1.1.2=02:00:00:00:00:02", "1 10.1.1.2", "1 a=b"] {
        observed.external_ids.insert(ids::NEIGHBOURS.into(), mark.into());
        let read = DesiredBridge::from_record(&observed).unwrap();
        assert!(read.neighbours.known.is_empty(), "{mark}");
    }
}

/// IPv6 is answered for where it passes at all.
#[test]
fn what_is_withdrawn_of_ipv6_is_recorded_where_ipv6_passes() {
    let seven: IpAddr = "fd00::7".parse().unwrap();
    let told = |ipv6| {
        let Change::SetupBridge(setup) = told(&[2]) else { panic!("another change") };
        let known = setup.neighbours.into_iter().flatten().chain([(seven, "02:00:00:00:00:07".parse().unwrap())]);
        Change::SetupBridge(SetupBridge { neighbours: Some(known.collect()), ipv6: Some(ipv6), ..setup })
    };
    let mut world = World::default();
    world.change(&[told(Ipv6Policy::Drop)]).remove(0).unwrap();
    let (observed, none) = (world.bridges["b"].clone(), FlowsSeen::none());
    let drops = DesiredBridge::from_record(&observed).unwrap();
    let of_discovery = |flow: &Flow| flow.matches.ipv6.is_some_and(|ipv6| ipv6.discovery != DiscoveryMatch::default());
    assert!(!wanted_flows(&drops, &observed, &none, &effective()).iter().any(of_discovery));

    world.change(&[told(Ipv6Policy::Allow)]).remove(0).unwrap();
    let kernels = world.bridges["b"].clone();
    let passes = DesiredBridge::from_record(&kernels).unwrap();
    assert!(!wanted_flows(&passes, &kernels, &none, &effective()).iter().any(of_discovery), "the kernel cannot");
    world.bridges.get_mut("b").unwrap().datapath_type = "netdev".into();
    let observed = world.bridges["b"].clone();
    let passes = DesiredBridge::from_record(&observed).unwrap();
    assert_eq!(passes.neighbours.known.get(&seven).map(ToString::to_string).as_deref(), Some("02:00:00:00:00:07"));
    let mut flows = wanted_flows(&passes, &observed, &none, &effective());
    assert!(flows.iter().any(of_discovery));
    // As the switch makes it of somebody else's advertisement, and prints it.
    let generation = passes.neighbours.generation;
    let line = format!(
        "cookie=0x6f7673740c{generation:06x}, duration=1.2s, table=11, n_packets=0, n_bytes=0, priority=1000,icmp6,icmp_type=135,\
         nd_target=fd00::7 actions=load:0x2->NXM_NX_REG1[]"
    );
    let learnt: Flow = line.parse().unwrap();
    flows.insert(learnt.clone());
    let plan = plan_bridge(Some(&passes), Some(&observed), &FlowsSeen::known_exactly(flows), &effective());
    let Some(Step::EditBridge { edits, .. }) = plan.database.first() else { panic!("{plan:?}") };
    assert_eq!(*edits, [BridgeEdit::SetId(ids::WITHDRAWN.into(), format!("{generation} fd00::7"))]);
    let mut recorded = observed;
    recorded.external_ids.insert(ids::WITHDRAWN.into(), format!("{generation} fd00::7"));
    assert!(wanted_flows(&passes, &recorded, &none, &effective()).contains(&learnt), "put back from the record");
}

#[test]
fn without_the_setting_there_is_no_such_flow() {
    let mut world = World::default();
    let (desired, observed) = bridge(&mut world, &[2]);
    let off = EffectiveSettings::for_switch(&Settings::default(), Capabilities::ALL);
    let without = DesiredBridge { neighbours: Neighbours::default(), ..desired.clone() };
    assert_eq!(bridge_flows(&desired, Some(&observed), &off), bridge_flows(&without, Some(&observed), &effective()));
}
