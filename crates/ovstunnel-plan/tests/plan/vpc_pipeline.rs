//! What the flows of a VPC's bridge do with packets, on host 1 of three.

use crate::model::World;
use crate::pipeline::{Ip, Packet, run};
use crate::vpc_world::*;
use ovstunnel_plan::*;
use proptest::prelude::*;

const PROBE: (u8, u16) = (6, 80);

/// Host 1 with ACLs that let everything in.
fn open_host_1() -> World {
    let mut world = host_1();
    let all = |tier| (tier, vec![item("1 allow ingress all - 0.0.0.0/0")]);
    world.change(&[ruled("v", 1, &policies(&TIERS.map(all)))]).remove(0).unwrap();
    world
}

#[test]
fn within_a_tier_a_frame_takes_the_shortest_way() {
    let world = host_1();
    let mut there = world.clone();
    there.vif("v", "vif9.0", "02:00:00:00:01:02");
    there.carry_out(there.repairs());
    assert_eq!(world.out(frame(&world, "vif1.0", Some(mac(1, 2)))), ["t1001-1-2"]);
    assert_eq!(world.out(frame(&world, "t1001-1-2", Some(mac(1, 1)))), ["vif1.0"]);
    assert_eq!(world.out(packet(&world, "vif1.0", Some(mac(1, 3)), (ip(1, 1), ip(1, 3)))), ["t1001-1-3"]);
    assert_eq!(there.out(frame(&there, "vif1.0", Some(mac(1, 2)))), ["vif9.0"], "a VM that has just come here is here");
}

#[test]
fn a_flooded_frame_stays_in_its_tier() {
    let mut world = host_1();
    world.vif("v", "vif11.0", &gateway(1).to_string());
    world.carry_out(world.repairs());
    for dl_dst in [None, Some("02:ff:00:00:00:01".parse().unwrap())] {
        assert_eq!(world.out(frame(&world, "vif1.0", dl_dst)), ["t1001-1-2", "t1001-1-3", "vif11.0"]);
        assert_eq!(world.out(frame(&world, "t1001-1-2", dl_dst)), ["vif1.0", "vif11.0"]);
        assert_eq!(world.out(frame(&world, "t1002-1-2", dl_dst)), ["vif2.0"]);
    }
}

#[test]
fn no_way_around_acls_by_a_card_in_another_tier() {
    let world = open_host_1();
    let out = world.out(packet(&world, "vif1.0", Some(mac(2, 1)), (ip(1, 1), ip(2, 1))));
    assert_eq!(out, ["t1001-1-2", "t1001-1-3"], "an unknown address, within its own tier");
    let out = world.out(packet(&world, "t1001-1-2", Some(mac(2, 1)), (ip(1, 2), ip(2, 1))));
    assert_eq!(out, ["vif1.0"]);
}

#[test]
fn between_tiers_a_packet_goes_straight_to_its_vm_rewritten() {
    let world = open_host_1();
    for host in HOSTS {
        let sent = packet(&world, "vif1.0", Some(gateway(1)), (ip(1, 1), ip(2, host)));
        let out = run(&world.known_flows("v"), sent);
        let by = if host == 1 { "vif2.0".to_owned() } else { format!("t1002-1-{host}") };
        let [(port, got)] = out.as_slice() else { panic!("{out:?}") };
        assert_eq!(*port, world.ofport(&by), "to host {host}");
        assert_eq!((got.dl_src, got.dl_dst), (Some(gateway(2)), Some(mac(2, host))));
    }
}

#[test]
fn what_is_not_routed_here_goes_to_the_router() {
    let mut world = open_host_1();
    let mut told_router = topology();
    told_router.nics.push(Nic { mac: gateway(1), ip: Some(ip(1, 254)), ..nic(1, 3) });
    world.change(&[told("v", 2, &told_router)]).remove(0).unwrap();
    let to_gateway = |world: &World, src, dst| world.out(packet(world, "vif1.0", Some(gateway(1)), (src, dst)));
    assert_eq!(to_gateway(&world, ip(1, 1), "198.51.100.1".parse().unwrap()), ["t1001-1-3"], "out of the VPC");
    assert_eq!(to_gateway(&world, ip(1, 1), ip(2, 200)), ["t1001-1-3"], "an address that nobody has");
    assert_eq!(to_gateway(&world, ip(1, 1), ip(1, 254)), ["t1001-1-3"], "the gateway itself");
    assert_eq!(to_gateway(&world, "203.0.113.9".parse().unwrap(), ip(2, 1)), ["t1001-1-3"], "a strange source address");
    world.change(&[Change::DestroyTunnel { bridge: "v".parse().unwrap(), port: "t1002-1-2".parse().unwrap() }]);
    world.carry_out(world.repairs());
    assert_eq!(to_gateway(&world, ip(1, 1), ip(2, 2)), ["t1001-1-3"], "no tunnel of that tier to that host");
}

#[test]
fn without_an_acl_all_leaves_and_nothing_comes_in() {
    let mut world = host_1();
    let cross = |world: &World| world.out(packet(world, "vif1.0", Some(gateway(1)), (ip(1, 1), ip(2, 1))));
    assert_eq!(cross(&world), Vec::<String>::new());
    let policies = policies(&[(2, vec![item("1 allow ingress all - 0.0.0.0/0")])]);
    world.change(&[ruled("v", 1, &policies)]).remove(0).unwrap();
    assert_eq!(cross(&world), ["vif2.0"], "tier 1 has no ACL, and may leave");
    let back = world.out(packet(&world, "vif2.0", Some(gateway(2)), (ip(2, 1), ip(1, 1))));
    assert_eq!(back, Vec::<String>::new());
}

/// Whether a packet from tier 1 gets to tier 2, both with these items.
fn passes(leaving: &[&str], coming: &[&str], (proto, dst_port): (u8, u16)) -> bool {
    let items = |texts: &[&str]| texts.iter().map(|text| item(text)).collect();
    let mut world = host_1();
    world.change(&[ruled("v", 1, &policies(&[(1, items(leaving)), (2, items(coming))]))]).remove(0).unwrap();
    let sent = packet(&world, "vif1.0", Some(gateway(1)), (ip(1, 1), ip(2, 1)));
    let ip = sent.ip.map(|ip| Ip { proto, dst_port, ..ip });
    !world.out(Packet { ip, ..sent }).is_empty()
}

#[test]
fn an_item_is_about_its_protocol_ports_and_networks() {
    let comes_in = |text: &str, packet| passes(&[], &[text], packet);
    assert!(comes_in("10 allow ingress tcp 80-443 10.1.1.0/24", PROBE));
    assert!(!comes_in("10 allow ingress tcp 81-443 10.1.1.0/24", PROBE));
    assert!(!comes_in("10 allow ingress udp 80-443 10.1.1.0/24", PROBE));
    assert!(comes_in("10 allow ingress udp 53-53 10.1.1.1/32", (17, 53)));
    assert!(!comes_in("10 allow ingress tcp 80-80 10.1.3.0/24,192.0.2.0/24", PROBE));
    assert!(comes_in("10 allow ingress tcp 80-80 10.1.3.0/24,10.1.1.0/28", PROBE));
    assert!(comes_in("10 allow ingress tcp - 0.0.0.0/0", PROBE));
    assert!(comes_in("10 allow ingress tcp 0-65535 0.0.0.0/0", PROBE));
    assert!(comes_in("10 allow ingress icmp - 0.0.0.0/0", (1, 0)));
    assert!(comes_in("10 allow ingress 47 - 0.0.0.0/0", (47, 0)));
    assert!(!comes_in("10 allow egress tcp - 0.0.0.0/0", PROBE), "about what leaves tier 2");
}

#[test]
fn what_leaves_is_judged_by_where_it_goes() {
    let open = "1 allow ingress all - 0.0.0.0/0";
    let leaves = |text: &str| passes(&[text], &[open], PROBE);
    assert!(!leaves("10 deny egress tcp 80-80 10.1.2.0/24"));
    assert!(leaves("10 deny egress tcp 80-80 10.1.3.0/24"));
    assert!(leaves("10 deny egress udp 80-80 10.1.2.0/24"));
    assert!(leaves("10 deny ingress all - 0.0.0.0/0"), "about what comes into tier 1");
}

#[test]
fn of_two_items_the_one_with_the_larger_number_decides() {
    let two = |first: &str, second: &str| passes(&[], &[first, second], PROBE);
    assert!(two("10 deny ingress all - 0.0.0.0/0", "11 allow ingress tcp 80-80 0.0.0.0/0"));
    assert!(!two("11 deny ingress all - 0.0.0.0/0", "10 allow ingress tcp 80-80 0.0.0.0/0"));
}

#[test]
fn a_vif_that_the_topology_does_not_know_is_forwarded_nothing() {
    let mut world = host_1();
    world.vif("v", "vif9.0", "02:00:00:00:09:09");
    world.device("v", "vif10.0");
    world.carry_out(world.repairs());
    for vif in ["vif9.0", "vif10.0"] {
        assert_eq!(world.out(frame(&world, vif, None)), Vec::<String>::new());
        assert!(!world.out(frame(&world, "vif1.0", None)).contains(&vif.to_owned()));
    }
    assert_eq!(unplaced_vifs(Some(&topology()), &world.bridges["v"], &Settings::default()), ["vif10.0", "vif9.0"]);
    let mut more = topology();
    more.nics.push(Nic { mac: "02:00:00:00:09:09".parse().unwrap(), ip: None, ..nic(1, 1) });
    world.change(&[told("v", 2, &more)]).remove(0).unwrap();
    assert_eq!(world.out(frame(&world, "vif9.0", None)), ["t1001-1-2", "t1001-1-3", "vif1.0"]);
}

#[test]
fn an_unplugged_vif_leaves_no_flow_behind() {
    let mut world = open_host_1();
    let gone = world.ofport("vif1.0");
    world.bridges.get_mut("v").unwrap().ports.remove("vif1.0");
    world.carry_out(world.repairs());
    let flows = world.known_flows("v");
    let names_it = |flow: &&Flow| flow.matches.in_port == Some(gone) || flow.actions.contains(&Action::Output(gone));
    assert_eq!(flows.iter().find(names_it), None);
}

#[test]
fn the_limit_of_a_vifs_broadcast_holds_here_too() {
    let world = host_1();
    let bridge = &world.bridges["v"];
    let desired = DesiredBridge::from_record(bridge).unwrap();
    let settings = Settings { vif_broadcast_pps: 50, ..Settings::default() };
    let flows = bridge_flows(&desired, Some(bridge), &EffectiveSettings::for_switch(&settings, Capabilities::ALL));
    let limited: Vec<&Flow> = flows.iter().filter(|flow| matches!(flow.actions[..], [Action::Meter(_), ..])).collect();
    assert_eq!(limited.len(), 3, "{limited:?}");
    for flow in limited {
        let port = flow.matches.in_port.unwrap();
        assert_eq!((flow.actions[0], flow.matches.dl_dst), (Action::Meter(port), Some(MacMatch::Group)));
        assert_eq!(flow.cookie, Cookie::limited(port, 50));
        assert_eq!(flow.to_string().parse().as_ref(), Ok(flow));
    }
}

#[test]
fn the_number_of_flows_is_bounded() {
    let mut world = host_1();
    let ports = item("10 allow ingress tcp 1-65534 10.1.1.0/24,10.1.3.0/24");
    let before = world.known_flows("v").len();
    world.change(&[ruled("v", 1, &policies(&[(2, vec![ports])]))]).remove(0).unwrap();
    assert_eq!(world.known_flows("v").len() - before, 2 * 30);
    // Ends, BFD, three that drop IPv6, two for a tier's tunnels, two to flood, four for a VIF, two for a card.
    assert_eq!(before, 6 + 1 + 3 + 3 * (2 + 2 + 4) + 9 * 2);
}

fn any_topology() -> impl Strategy<Value = Topology> {
    let nic = (1..4u8, 1..5u8, 1..4u8, 1..5u8).prop_map(|(tier, card, host, number)| Nic {
        mac: mac(tier, card),
        ip: Some(ip(1 + (tier + number) % 3, number)),
        ..nic(tier, host)
    });
    (prop::collection::vec(nic, 0..10), prop::sample::subsequence(TIERS.to_vec(), 1..=3)).prop_map(
        |(mut nics, tiers)| {
            nics.retain(|nic| tiers.iter().any(|tier| key(*tier) == nic.tier));
            Topology { cidr: "10.1.0.0/16".parse().unwrap(), tiers: tiers.into_iter().map(tier).collect(), nics }
        },
    )
}

fn any_policies() -> impl Strategy<Value = Policies> {
    let direction = prop::sample::select(vec!["ingress", "egress"]);
    let rest =
        prop::sample::select(vec!["all - 0.0.0.0/0", "tcp 80-443 10.1.1.0/24", "icmp - 10.1.2.1/32,10.1.3.0/24"]);
    let verdict = prop::sample::select(vec!["allow", "deny"]);
    let items = prop::collection::btree_map(1..20u16, (verdict, direction, rest), 0..5).prop_map(|items| {
        let text = |(number, (verdict, direction, rest))| item(&format!("{number} {verdict} {direction} {rest}"));
        items.into_iter().map(text).collect::<Vec<_>>()
    });
    prop::collection::vec((1..4u8, items), 0..3).prop_map(|acls| policies(&acls))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a host was told, stale or not: what came in by a tunnel never leaves by one, nor in another tier, nor twice.
    #[test]
    fn no_frame_goes_from_tunnel_to_tunnel(
        topology in any_topology(), policies in any_policies(), src in (1..4u8, 1..5u8), dst in (1..4u8, 1..5u8),
        dl_dst in prop::option::of(((1..4u8), prop::sample::select(vec![1, 2, 3, 4, 0xfe]))), proto in prop::sample::select(vec![1u8, 6, 17]),
    ) {
        let mut world = host_1();
        world.change(&[told("v", 2, &topology)]).remove(0).unwrap();
        world.change(&[ruled("v", 2, &policies)]).remove(0).unwrap();
        world.carry_out(world.repairs());
        prop_assert_eq!(world.repairs(), Plan::default());
        let dl_dst = dl_dst.map(|(tier, card)| if card == 0xfe { gateway(tier) } else { mac(tier, card) });
        for port in world.bridges["v"].ports.keys().filter(|port| port.as_str() != "v") {
            let sent = packet(&world, port, dl_dst, (ip(src.0, src.1), ip(dst.0, dst.1)));
            let ip = sent.ip.map(|ip| Ip { proto, dst_port: 80, ..ip });
            for sent in [Packet { ip, ..sent }, Packet { ip: None, ..sent }] {
                let out = world.out(sent);
                let mut once = out.clone();
                once.dedup();
                prop_assert_eq!(&once, &out, "twice, from {}", port);
                prop_assert!(!out.contains(port), "back to {}", port);
                if port.starts_with('t') {
                    prop_assert!(out.iter().all(|to| to.starts_with("vif")), "{} -> {:?}", port, out);
                }
            }
        }
    }

    /// An update leads from whatever was told before to the same flows, and only what differs is written.
    #[test]
    fn updates_converge(first in any_topology(), second in any_topology(), policies in any_policies()) {
        let mut world = host_1();
        world.change(&[told("v", 2, &first)]).remove(0).unwrap();
        world.change(&[ruled("v", 2, &policies)]).remove(0).unwrap();
        world.change(&[told("v", 3, &second)]).remove(0).unwrap();
        let mut straight = host_1();
        straight.change(&[ruled("v", 2, &policies)]).remove(0).unwrap();
        straight.change(&[told("v", 3, &second)]).remove(0).unwrap();
        prop_assert_eq!(world.known_flows("v"), straight.known_flows("v"));
        prop_assert_eq!(world.repairs(), Plan::default());
    }
}
