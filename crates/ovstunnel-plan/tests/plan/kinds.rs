//! A bridge is of one kind of tunnel: who decides which, and that nothing changes it while there are tunnels.

use crate::model::{World, bridge_name, create, setup};
use crate::vpc_world::{setup_vpc, told, topology};
use ovstunnel_plan::*;

fn configured(encap: &str) -> Settings {
    Settings { encap: encap.parse().unwrap(), ..Settings::default() }
}

fn ask(world: &mut World, settings: &Settings, change: Change) -> Result<(), Rejected> {
    let mut change_set = ChangeSet::default();
    change_set.apply_change(world, settings, &change)?;
    let plan = world.plan(&change_set, settings);
    world.carry_out(plan);
    assert_eq!(world.repairs(), Plan::default(), "what the configuration says of new bridges changes none");
    Ok(())
}

fn refused(world: &mut World, settings: &Settings, change: Change) -> Rejected {
    let before = world.shape();
    let refused = ask(world, settings, change).unwrap_err();
    assert_eq!(world.shape(), before, "{refused}");
    refused
}

fn of_kind(kind: TunnelKind, change: Change) -> Change {
    match change {
        Change::SetupBridge(setup) => Change::SetupBridge(SetupBridge { tunnel_kind: Some(kind), ..setup }),
        other => other,
    }
}

/// Type and `dst_port` of each tunnel of bridge `b`.
fn tunnels(world: &World) -> Vec<(String, Option<String>)> {
    let ports = world.bridges["b"].ports.values().filter(|port| port.is_tunnel_of_ours());
    let interfaces = ports.map(|port| &port.interfaces[0]);
    interfaces.map(|i| (i.kind.clone(), i.options.get("dst_port").cloned())).collect()
}

fn mark(world: &World) -> Option<&str> {
    world.bridges["b"].external_ids.get(ids::ENCAP).map(String::as_str)
}

const TWO: &[(&str, &str)] = &[("2", "192.0.2.2")];

#[test]
fn a_bridge_keeps_the_tunnel_kind_of_when_it_became_ours() {
    for (first, later) in [("vxlan:8472", "gre"), ("geneve", "vxlan"), ("gre", "geneve")] {
        let mut world = World::default();
        ask(&mut world, &configured(first), setup("b", 5, Some(TWO))).unwrap();
        ask(&mut world, &configured(later), create("b", "3", "192.0.2.3")).unwrap();
        ask(&mut world, &configured(later), setup("b", 5, Some(&[("3", "192.0.2.3"), ("4", "192.0.2.4")]))).unwrap();
        let (kind, port) = first.split_once(':').map_or((first, None), |(kind, port)| (kind, Some(port.to_owned())));
        assert_eq!(tunnels(&world), vec![(kind.to_owned(), port); 2]);
        // What is GRE has no mark, and is as it was before there were others.
        assert_eq!(mark(&world), Some(first).filter(|first| *first != "gre"));
    }
}

#[test]
fn another_kind_is_for_a_bridge_without_tunnels() {
    let (mut world, vxlan) = (World::default(), configured("vxlan:8472"));
    ask(&mut world, &vxlan, of_kind(TunnelKind::Geneve, setup("b", 5, Some(TWO)))).unwrap();
    let told = refused(&mut world, &vxlan, of_kind(TunnelKind::Vxlan, setup("b", 5, Some(&[])))).to_string();
    assert!(told.contains("b has 1 tunnels of kind geneve, so it cannot be of kind vxlan"), "{told}");
    ask(&mut world, &vxlan, setup("b", 5, Some(&[]))).unwrap();
    ask(&mut world, &vxlan, of_kind(TunnelKind::Vxlan, setup("b", 5, None))).unwrap();
    assert_eq!(mark(&world), Some("vxlan:8472"), "to the port that is configured for the kind");
    ask(&mut world, &configured("gre"), of_kind(TunnelKind::Vxlan, setup("b", 5, Some(TWO)))).unwrap();
    assert_eq!(tunnels(&world), [("vxlan".to_owned(), Some("8472".to_owned()))]);
}

#[test]
fn a_key_above_24_bits_is_for_gre_alone() {
    let (large, gre, geneve) = (1 << 24, configured("gre"), configured("geneve"));
    let mut world = World::default();
    let rule = "key: must be from 1 to 16777215 where its tunnels are of kind geneve; got \"16777216\"";
    assert_eq!(refused(&mut world, &geneve, setup("b", large, None)).to_string(), rule);
    ask(&mut world, &geneve, setup("b", large - 1, Some(TWO))).unwrap();
    assert_eq!(refused(&mut world, &gre, setup("b", large, Some(TWO))).to_string(), rule);
    ask(&mut world, &gre, setup("b", large - 1, Some(&[]))).unwrap();
    ask(&mut world, &gre, of_kind(TunnelKind::Gre, setup("b", large, Some(TWO)))).unwrap();
    // A VPC has a key for each tier.
    ask(&mut world, &geneve, setup_vpc("v")).unwrap();
    let mut tiers = topology();
    tiers.tiers[1].key = GreKey::try_from(large + 1).unwrap();
    let refused = refused(&mut world, &geneve, told("v", 1, &tiers)).to_string();
    assert!(refused.starts_with("vpc.tiers[1].grekey: must be from 1 to 16777215"), "{refused}");
}

#[test]
fn the_kind_survives_what_others_do_to_marks_and_types() {
    let mut world = World::default();
    let three = &[("2", "192.0.2.2"), ("3", "192.0.2.3")];
    ask(&mut world, &configured("vxlan"), setup("b", 5, Some(three))).unwrap();
    let good = world.shape();
    let harms: [fn(&mut ObservedBridge); 4] = [
        |bridge| drop(bridge.external_ids.remove(ids::ENCAP)),
        |bridge| drop(bridge.external_ids.insert(ids::ENCAP.into(), "stt".into())),
        |bridge| drop(bridge.ports.get_mut("t5-1-2").unwrap().external_ids.remove(ids::ENCAP)),
        |bridge| bridge.ports.get_mut("t5-1-3").unwrap().interfaces[0].kind = "gre".into(),
    ];
    for (n, harm) in harms.into_iter().enumerate() {
        harm(world.bridges.get_mut("b").unwrap());
        let repairs = world.repairs();
        assert!(!repairs.is_empty(), "harm {n} was none");
        world.carry_out(repairs);
        assert_eq!(world.shape(), good, "harm {n}");
    }
    ask(&mut world, &Settings::default(), Change::ReleaseBridge(bridge_name("b"))).unwrap();
    assert_eq!(mark(&world), None);
}

/// The other hosts' may still be the plugin's, which are GRE.
#[test]
fn a_bridge_that_is_taken_over_is_gre() {
    let mut world = World::default();
    world.foreign_bridge("b");
    world.bridges.get_mut("b").unwrap().other_config.insert(ids::GRE_KEY.into(), "1001".into());
    for hosts in 0..2 {
        if hosts > 0 {
            world.foreign_gre("b", "t1001-1-2", "192.0.2.2", "1001");
        }
        let bridges: Vec<ObservedBridge> = world.bridges.values().cloned().collect();
        let found = survey_bridges(&bridges, &configured("vxlan")).remove("b");
        let Some(Finding::Plugins(desired)) = found else { panic!("{found:?}") };
        assert_eq!(desired.encap, Encap::GRE);
    }
}

#[test]
fn gre_leads_to_ipv6_in_user_space_only() {
    let six: &[(&str, &str)] = &[("2", "2001:db8::2")];
    let (kernel, user) = (Settings::default(), Settings { datapath_type: "netdev".to_owned(), ..Settings::default() });
    let rule = "must be an IPv4 address where tunnels are of kind gre and the bridge is in the kernel's datapath";
    let mut world = World::default();
    let expect = |refused: Rejected, named: &str, ip: &str| match refused {
        Rejected::Invalid { field, rule: said, value } => {
            assert!(
                (field.as_str(), value.as_str()) == (named, ip) && said.starts_with(rule),
                "{field} {said} {value}"
            );
        }
        other => panic!("{other}"),
    };
    expect(refused(&mut world, &kernel, setup("b", 5, Some(six))), "tunnels[0].remote_ip", "2001:db8::2");
    ask(&mut world, &kernel, setup("b", 5, Some(TWO))).unwrap();
    expect(refused(&mut world, &kernel, create("b", "3", "2001:db8::3")), "remote_ip", "2001:db8::3");
    ask(&mut world, &user, setup("user", 6, Some(six))).unwrap();
    ask(&mut world, &user, create("user", "3", "2001:db8::3")).unwrap();

    // The other kinds lead there, and no change of kind leads back.
    let vxlan = of_kind(TunnelKind::Vxlan, setup("v", 7, Some(six)));
    ask(&mut world, &kernel, vxlan).unwrap();
    let to_gre = ChangeKind {
        bridge: bridge_name("v"),
        to: TunnelKind::Gre,
        step: KindStep::Prepare,
        force: false,
        heard: Default::default(),
    };
    expect(refused(&mut world, &kernel, Change::ChangeKind(to_gre)), "remote_ip", "2001:db8::2");
}
