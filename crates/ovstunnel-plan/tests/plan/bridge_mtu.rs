//! The MTU of bridges' own devices: what fits, that it is asked for and taken away again, and that what somebody else asked for comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::{World, create, setup};
use ovstunnel_plan::*;

const TWO: &[(&str, &str)] = &[("2", "192.0.2.2")];

/// Bridges' own devices are to fit ways of these MTUs.
fn fit(mtus: &[(&str, u32)]) -> Settings {
    let mtus: BTreeMap<IpAddr, u32> = mtus.iter().map(|(ip, mtu)| (ip.parse().unwrap(), *mtu)).collect();
    let underlay = Some(Arc::new(Underlay { mtus, ..Underlay::default() }));
    Settings { bridge_mtu: BridgeMtu::Fit, underlay, ..Settings::default() }
}

fn follow(world: &mut World, settings: &Settings, changes: &[Change]) -> Vec<String> {
    let mut change_set = ChangeSet::default();
    changes.iter().for_each(|change| drop(change_set.apply_change(world, settings, change).unwrap()));
    change_set.touch_bridge(world, &"b".parse().unwrap());
    let plan = world.plan(&change_set, settings);
    let words = plan.items().filter(|item| !item.is_flows()).map(|item| item.to_string()).collect();
    world.carry_out(plan);
    assert_eq!(look(world, settings).database_steps().count(), 0, "a second look finds nothing");
    words
}

fn look(world: &World, settings: &Settings) -> Plan {
    let mut change_set = ChangeSet::default();
    change_set.touch_bridge(world, &"b".parse().unwrap());
    world.plan(&change_set, settings)
}

/// The configuration says nothing of it any more: two looks, and a third that finds nothing.
fn take_back(world: &mut World) {
    let first = look(world, &Settings::default());
    world.carry_out(first);
    follow(world, &Settings::default(), &[]);
}

/// `mtu_request` of the bridge's own interface, and the marks that tell of it.
fn asked(world: &World) -> (Option<u32>, Vec<&str>) {
    let bridge = &world.bridges["b"];
    let marks = bridge.external_ids.iter().filter(|(key, _)| key.contains("mtu")).map(|(_, value)| value.as_str());
    (bridge.own_port().unwrap().interfaces[0].mtu_request, marks.collect())
}

/// What somebody else asks for.
fn ask(world: &mut World, mtu: Option<u32>) {
    world.bridges.get_mut("b").unwrap().ports.get_mut("b").unwrap().interfaces[0].mtu_request = mtu;
}

#[test]
fn it_fits_the_tunnels_kind_family_options_and_least_way() {
    let ways = [("192.0.2.2", 1500), ("192.0.2.3", 1400), ("192.0.2.4", 1300), ("2001:db8::2", 1500)];
    let (csum, ipsec) = (TunnelOptions { csum: true, ..TunnelOptions::default() }, TunnelOptions::default());
    let secret = Ipsec::Psk(Psk::from_text("swordfish-of-this-zone").unwrap());
    let ipsec = TunnelOptions { ipsec: secret, ..ipsec };
    for (kind, to, options, mtu) in [
        ("gre", "192.0.2.2", TunnelOptions::default(), 1458),
        ("gre", "192.0.2.3", TunnelOptions::default(), 1358),
        ("gre", "192.0.2.2", csum.clone(), 1454),
        ("gre", "192.0.2.2", ipsec, 1421),
        ("vxlan", "192.0.2.2", TunnelOptions::default(), 1450),
        ("vxlan", "192.0.2.2", csum, 1450),
        ("vxlan", "2001:db8::2", TunnelOptions::default(), 1430),
        ("geneve:6082", "192.0.2.3", TunnelOptions::default(), 1350),
    ] {
        let mut world = World::default();
        let settings = Settings { encap: kind.parse().unwrap(), tunnel_options: options, ..fit(&ways) };
        let told = follow(&mut world, &settings, &[setup("b", 5, Some(&[("2", to)]))]);
        assert_eq!(told.len(), 2, "in the transaction that makes it: {told:?}");
        assert_eq!(asked(&world), (Some(mtu), vec![mtu.to_string().as_str()]), "{kind} to {to}");
        follow(&mut world, &settings, &[create("b", "4", "192.0.2.4")]);
        assert!(asked(&world).0 < Some(1260), "the least way counts");
    }
}

#[test]
fn while_the_kind_changes_frames_have_room_in_both() {
    let (mut world, settings) = (World::default(), fit(&[("192.0.2.2", 1500)]));
    follow(&mut world, &settings, &[setup("b", 5, Some(TWO))]);
    let step = |step| {
        Change::ChangeKind(ChangeKind {
            bridge: "b".parse().unwrap(),
            to: TunnelKind::Vxlan,
            step,
            force: true,
            heard: BTreeSet::new(),
        })
    };
    for (step, mtu) in [(step(KindStep::Prepare), 1450), (step(KindStep::Switch), 1450), (step(KindStep::Finish), 1450)]
    {
        follow(&mut world, &settings, &[step]);
        assert_eq!(asked(&world).0, Some(mtu));
    }
}

#[test]
fn without_tunnels_it_fits_all_hosts_unknown_ways_change_none() {
    let mut world = World::default();
    let nothing = Settings { underlay: None, ..fit(&[]) };
    for unknown in [&nothing, &fit(&[])] {
        follow(&mut world, unknown, &[setup("b", 5, Some(&[]))]);
        assert_eq!(asked(&world), (None, vec![]));
    }
    follow(&mut world, &fit(&[("192.0.2.7", 1400), ("2001:db8::2", 1500)]), &[]);
    assert_eq!(asked(&world).0, Some(1358));
    follow(&mut world, &nothing, &[]);
    assert_eq!(asked(&world).0, Some(1358), "what was written stays");
    ask(&mut world, None);
    follow(&mut world, &nothing, &[]);
    assert_eq!(asked(&world).0, Some(1358), "and is put back");
    // What Open vSwitch would refuse, with all that is in the same transaction.
    for (mtu, asked_for) in [(109, 1358), (110, 68), (65_535 + 43, 65_535)] {
        follow(&mut world, &fit(&[("192.0.2.7", mtu)]), &[]);
        assert_eq!(asked(&world).0, Some(asked_for), "{mtu}");
    }
}

#[test]
fn set_back_it_goes_and_what_was_before_comes_back() {
    for before in [None, Some(1300), Some(1458)] {
        let (mut world, settings) = (World::default(), fit(&[("192.0.2.2", 1500)]));
        follow(&mut world, &Settings::default(), &[setup("b", 5, Some(TWO))]);
        ask(&mut world, before);
        assert_eq!(follow(&mut world, &Settings::default(), &[]), Vec::<String>::new(), "others' stays");
        follow(&mut world, &settings, &[]);
        assert_eq!(asked(&world).0, Some(1458));
        ask(&mut world, Some(9000));
        let told = follow(&mut world, &settings, &[]);
        assert_eq!(told, ["change bridge b: own interface mtu_request=1458"]);
        take_back(&mut world);
        assert_eq!(asked(&world), (before, vec![]));

        follow(&mut world, &settings, &[]);
        ask(&mut world, Some(9000));
        take_back(&mut world);
        assert_eq!(asked(&world), (Some(9000), vec![]), "what somebody has asked for meanwhile stays");
    }
}

#[test]
fn an_adopted_bridge_has_its_own_again_once_released() {
    let (mut world, settings) = (World::default(), fit(&[("192.0.2.2", 1500)]));
    world.foreign_bridge("b");
    ask(&mut world, Some(1300));
    let before = world.bridges["b"].clone();
    follow(&mut world, &settings, &[setup("b", 5, Some(TWO))]);
    assert_eq!(asked(&world).0, Some(1458));
    let destroy = Change::DestroyBridge("b".parse().unwrap(), BTreeSet::new());
    follow(&mut world, &settings, &[destroy]);
    assert_eq!((asked(&world).0, &world.bridges["b"].external_ids), (Some(1300), &before.external_ids));
}

#[test]
fn before_nothing_is_asked_for_it_is_what_the_switch_chooses() {
    for (vif, chosen) in [(None, 1500), (Some(9000), 9000), (Some(1400), 1400)] {
        let (mut world, settings) = (World::default(), fit(&[("192.0.2.2", 1500)]));
        follow(&mut world, &settings, &[setup("b", 5, Some(TWO))]);
        world.device("b", "vif1.0");
        world.bridges.get_mut("b").unwrap().ports.get_mut("vif1.0").unwrap().interfaces[0].mtu = vif;
        let first = look(&world, &Settings::default());
        world.carry_out(first);
        assert_eq!(asked(&world), (Some(chosen), vec![chosen.to_string().as_str()]));
        follow(&mut world, &Settings::default(), &[]);
        assert_eq!(asked(&world), (None, vec![]));
    }
}
