//! What the switch's own row has for encryption: who owns which key, that the guard is there first and goes last, and that no key is told.

use crate::model::{World, setup};
use ovstunnel_plan::*;

const KEY: &str = "swordfish-of-this-zone";

fn psk() -> Ipsec {
    Ipsec::Psk(Psk::from_text(KEY).unwrap())
}

fn certificates(folder: &str) -> Ipsec {
    let file = |name: &str| format!("{folder}/{name}");
    Ipsec::Certificates(IpsecFiles { certificate: file("c"), private_key: file("k"), ca_cert: file("a") }.into())
}

fn configured(ipsec: Ipsec) -> Settings {
    Settings { tunnel_options: TunnelOptions { ipsec, ..TunnelOptions::default() }, ..Settings::default() }
}

/// Carries out what this configuration asks for, and gives its steps in words.
fn follow(world: &mut World, ipsec: Ipsec) -> Vec<String> {
    let settings = configured(ipsec);
    let mut change_set = ChangeSet::default();
    change_set.apply_change(world, &settings, &setup("b", 5, Some(&[("2", "192.0.2.2")]))).unwrap();
    let plan = world.plan(&change_set, &settings).with_switch_row(world, &settings);
    let words = plan.items().filter(|item| !item.is_flows()).map(|item| item.to_string()).collect();
    let shown = format!("{plan:?}");
    assert!(!shown.contains(KEY), "{shown}");
    world.carry_out(plan);
    words
}

fn row(world: &World) -> Vec<(&str, &str)> {
    world.switch_config.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

fn options(world: &World) -> Vec<(&str, &str)> {
    let ports = world.bridges["b"].ports.values().filter(|port| port.is_tunnel_of_ours());
    ports.flat_map(|port| &port.interfaces[0].options).map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

#[test]
fn the_guard_comes_first_and_goes_last_and_no_key_is_told() {
    let mut world = World::default();
    follow(&mut world, Ipsec::Off);
    assert_eq!((row(&world), world.switch_ids.len()), (vec![], 0));

    let on = follow(&mut world, psk());
    assert_eq!(
        on[0],
        "change the switch itself: other_config:ipsec_skb_mark=1/1, external_ids:ovstunnel-ipsec=ipsec_skb_mark"
    );
    assert!(on[1].ends_with("options:egress_pkt_mark=1, options:psk=(not shown)"), "{on:?}");
    let plain = [("key", "5"), ("remote_ip", "192.0.2.2")];
    let [key, remote] = plain;
    assert_eq!(options(&world), [("egress_pkt_mark", "1"), key, ("psk", KEY), remote]);
    assert_eq!(follow(&mut world, psk()), Vec::<String>::new());

    let off = follow(&mut world, Ipsec::Off);
    assert!(off[0].ends_with("no options:egress_pkt_mark, no options:psk"), "{off:?}");
    assert_eq!(off[1], "change the switch itself: no other_config:ipsec_skb_mark, no external_ids:ovstunnel-ipsec");
    assert_eq!((row(&world), world.switch_ids.len(), options(&world)), (vec![], 0, plain.to_vec()));
}

#[test]
fn a_new_bridge_has_the_guard_before_its_first_tunnel() {
    let mut world = World::default();
    let steps = follow(&mut world, psk());
    assert!(steps[0].starts_with("change the switch itself") && steps[1].starts_with("create bridge"), "{steps:?}");
}

#[test]
fn what_somebody_else_has_set_stays_and_ours_is_put_back() {
    let mut world = World::default();
    world.switch_config.insert("ca_cert".into(), "/theirs".into());
    world.switch_config.insert("ipsec_skb_mark".into(), "1/1".into());
    follow(&mut world, certificates("/one"));
    let of = |folder: &str| [format!("{folder}/c"), format!("{folder}/k")];
    let there =
        |world: &World| [world.switch_config["certificate"].clone(), world.switch_config["private_key"].clone()];
    assert_eq!((there(&world), world.switch_config["ca_cert"].as_str()), (of("/one"), "/theirs"));
    let in_the_way = ipsec_in_the_way(&world, &configured(certificates("/one")));
    assert_eq!(in_the_way, [InTheWay { key: "ca_cert", there: "/theirs".into(), wanted: "/one/a".into() }]);

    world.switch_config.insert("certificate".into(), "/elsewhere".into());
    world.switch_config.remove("private_key");
    follow(&mut world, certificates("/one"));
    assert_eq!(there(&world), of("/one"));
    follow(&mut world, certificates("/two"));
    assert_eq!(there(&world), of("/two"));

    follow(&mut world, Ipsec::Off);
    assert_eq!(
        row(&world),
        [("ca_cert", "/theirs"), ("ipsec_skb_mark", "1/1")],
        "what was not ours before is not taken away"
    );
}
