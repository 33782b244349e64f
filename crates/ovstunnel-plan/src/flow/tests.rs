//! Flows printed and parsed. Must not need a switch: the lines are those that Open vSwitch 3.1 prints.

use proptest::prelude::*;

use super::*;
use crate::{Cidr, Purpose};

#[test]
fn what_open_vswitch_dumps_is_understood() {
    let line = " cookie=0x6f76737403000001, duration=0.012s, table=0, n_packets=7, n_bytes=420, idle_age=3, \
                priority=1200,in_port=1,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00 actions=NORMAL";
    let flow = Flow {
        table: 0,
        priority: 1200,
        cookie: Cookie::new(Purpose::Vif, 1),
        matches: Match { in_port: Some(1), dl_dst: Some(MacMatch::Group), ..Match::default() },
        actions: vec![Action::Normal],
    };
    assert_eq!(line.parse(), Ok(flow));
}

/// Lines of a dump by Open vSwitch 3.1.0.
#[test]
fn what_open_vswitch_dumps_of_discovery_is_understood() {
    let learn = |of: &str| {
        format!(
            "learn(table=11,priority=1000,cookie=0x6f7673740c000001,eth_type=0x86dd,nw_proto=58,icmpv6_type=135,{of},load:0x2->NXM_NX_REG1[])"
        )
    };
    let dump = [
        "priority=1260,icmp6,reg1=0,vlan_tci=0x0000/0x1fff,icmp_type=135 actions=set_field:0x1->reg1,resubmit(,10),resubmit(,11),resubmit(,0)".to_owned(),
        "table=10, priority=1100,icmp6,dl_src=02:00:00:00:00:01,icmp_type=136,nd_target=fd00::7,nd_tll=00:00:00:00:00:00 actions=drop".to_owned(),
        format!("table=10, priority=1000,icmp6,icmp_type=136,nd_target=fd00::7 actions={},set_field:0x2->reg1", learn("NXM_NX_ND_TARGET[]")),
        format!(
            "table=10, priority=1000,icmp6,ipv6_src=fd00::7,icmp_type=135 actions={},set_field:0x2->reg1",
            learn("NXM_NX_ND_TARGET[]=NXM_NX_IPV6_SRC[]")
        ),
        "table=13, priority=1300,icmp6,ipv6_src=::,icmp_type=135 actions=set_field:0x2->reg1,resubmit(,0)".to_owned(),
        "table=13, priority=1000,icmp6,icmp_type=135,nd_target=fd00::7 actions=learn(table=12,hard_timeout=120,priority=1000,\
         cookie=0x6f76736200000004,NXM_OF_IN_PORT[],eth_type=0x86dd,nw_proto=58,icmpv6_type=135,NXM_NX_ND_TARGET[],load:0x2->NXM_NX_REG1[]),\
         move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[],set_field:fd00::7->ipv6_src,move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],\
         set_field:02:00:00:00:00:07->eth_src,set_field:2->nd_options_type,set_field:1610612736->nd_reserved,set_field:136->icmpv6_type,resubmit(,14)"
            .to_owned(),
        "table=14, priority=1000,icmp6,icmp_type=136 actions=move:NXM_OF_ETH_SRC[]->NXM_NX_ND_TLL[],IN_PORT".to_owned(),
    ];
    for line in dump {
        let dumped = format!(" cookie=0x6f7673740a000001, duration=0.013s, n_packets=0, n_bytes=0, {line}");
        let flow: Flow = dumped.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(flow.to_string().parse(), Ok(flow), "{line}");
    }
    let plain = "cookie=0x6f7673740a000001, priority=1000,ipv6,nd_target=fd00::7 actions=drop";
    assert!(plain.parse::<Flow>().is_err(), "of ICMPv6 alone");
}

#[test]
fn what_somebody_changed_is_not_taken_for_ours() {
    for line in [
        "cookie=0x6f76737401000000, priority=1000,tun_id=0x5,dl_vlan=7 actions=drop",
        "cookie=0x6f76737401000000, priority=1000,tun_id=0x5 actions=LOCAL",
        "cookie=0x6f76737401000000, priority=1000,tun_id=0x5 actions=resubmit(1,2)",
        "cookie=0x6f76737401000000, priority=1000,tcp,tcp_flags=+syn actions=drop",
        "cookie=0x6f76737401000000, priority=1000,nw_src=10.0.0.0/8 actions=drop",
        "cookie=0x6f76737401000000, priority=1000,reg0=0x5/0xff actions=drop",
        "cookie=0x6f76737401000000, priority=1000 actions=set_field:0x5->reg2",
        "cookie=0x6f76737401000000, priority=1000,tun_id=0x5/0xff actions=drop",
        "cookie=0x6f76737401000000, priority=1000,ipv6,nw_dst=10.0.0.1 actions=drop",
        "cookie=0x6f76737401000000, priority=1000,ip,ipv6_dst=2001:db8::1 actions=drop",
        "cookie=0x6f76737401000000, priority=1000,ipv6,ipv6_src=2001:db8::1 actions=drop",
        "cookie=0x6f76737401000000, idle_timeout=10, priority=1000 actions=drop",
    ] {
        let error = line.parse::<Flow>().unwrap_err();
        assert_eq!(error.cookie, Some(Cookie::new(Purpose::Baseline, 0)), "{line}");
    }
    assert_eq!("OFPST_FLOW reply (OF1.4) (xid=0x6):".parse::<Flow>().unwrap_err().cookie, None);
}

/// Lines of a dump by Open vSwitch 3.1.0, each of a flow that was sent as ours are.
#[test]
fn what_open_vswitch_dumps_of_a_pipeline_is_understood() {
    let dump = [
        "table=0, priority=1000,ip,in_port=5,dl_dst=02:00:00:00:00:01,nw_src=10.1.1.0/24,nw_dst=10.1.0.0/16 \
         actions=set_field:0x3e9->reg0,resubmit(,3)",
        "table=1, priority=1000,reg0=0x3e9,tun_id=0,dl_dst=02:00:00:00:00:02 actions=output:7",
        "table=1, priority=1 actions=resubmit(,2)",
        "table=2, priority=1000,reg0=0x3e9 actions=output:7,output:8,output:9",
        "table=3, priority=1016,tcp,reg0=0x3e9,nw_dst=128.0.0.0/1 actions=drop",
        "table=3, priority=1018,ip,reg0=0x3e9,nw_dst=128.0.0.0/1,nw_proto=58 actions=drop",
        "table=3, priority=1011,icmp,reg0=0x3e9,nw_dst=10.2.2.2 actions=drop",
        "table=3, priority=1013,ip,reg0=0x3e9,nw_dst=10.2.2.2,nw_proto=2 actions=drop",
        "table=3, priority=1014,sctp,reg0=0x3e9,nw_dst=10.2.2.2 actions=drop",
        "table=3, priority=1010,tcp,reg0=0x3e9,nw_dst=10.1.2.0/24,tp_dst=0x50/0xfff0 actions=resubmit(,4)",
        "table=3, priority=1010,udp,reg0=0x3e9,tp_dst=53 actions=resubmit(,4)",
        "table=0, priority=9000,udp6,dl_dst=02:00:00:00:00:01,ipv6_dst=2001:db8::1,tp_dst=4789 actions=drop",
        "table=0, priority=9000,ipv6,ipv6_dst=fe80::/10,nw_proto=47 actions=drop",
        "table=4, priority=1000,ip,nw_dst=10.1.2.3 actions=set_field:02:00:00:00:00:09->eth_src,\
         set_field:02:00:00:00:00:0a->eth_dst,set_field:0x3ea->reg0,resubmit(,5)",
    ];
    for line in dump {
        let dumped = format!(" cookie=0x6f76737410000001, duration=0.013s, n_packets=0, n_bytes=0, {line}");
        let flow: Flow = dumped.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(flow.to_string().parse(), Ok(flow), "{line}");
    }
    let line = format!("cookie=0x6f76737410000001, {}", dump[9]);
    let ipv4 = Ipv4Match {
        proto: Some(6),
        src: None,
        dst: Some("10.1.2.0/24".parse().unwrap()),
        dst_port: Some(PortMask { value: 0x50, mask: 0xfff0 }),
    };
    let matches = Match { tier: Some(1001), ipv4: Some(ipv4), ..Match::default() };
    let cookie = Cookie(0x6f76_7374_1000_0001);
    let flow = Flow { table: 3, priority: 1010, cookie, matches, actions: vec![Action::Resubmit(4)] };
    assert_eq!(line.parse(), Ok(flow));
}

fn any_mac() -> impl Strategy<Value = Mac> {
    any::<[u8; 5]>().prop_map(|[a, b, c, d, e]| format!("02:{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}").parse().unwrap())
}

fn any_cidr() -> impl Strategy<Value = Cidr> {
    (any::<u32>(), 1..=32u32).prop_map(|(ip, prefix)| {
        let ip = std::net::Ipv4Addr::from_bits(ip >> (32 - prefix) << (32 - prefix));
        format!("{ip}/{prefix}").parse().unwrap()
    })
}

fn any_ipv4() -> impl Strategy<Value = Ipv4Match> {
    let port = any::<(u16, u16)>().prop_map(|(value, mask)| PortMask { value: value & mask, mask });
    let (src, dst) = (prop::option::of(any_cidr()), prop::option::of(any_cidr()));
    (prop::option::of(any::<u8>()), src, dst, prop::option::of(port))
        .prop_map(|(proto, src, dst, dst_port)| Ipv4Match { proto, src, dst, dst_port })
}

fn any_ipv6() -> impl Strategy<Value = Ipv6Match> {
    let port = any::<(u16, u16)>().prop_map(|(value, mask)| PortMask { value: value & mask, mask });
    let net =
        (any::<u128>(), 1..=128u8).prop_map(|(ip, prefix)| ipnet::Ipv6Net::new(ip.into(), prefix).unwrap().trunc());
    (prop::option::of(any::<u8>()), prop::option::of(net), prop::option::of(port))
        .prop_map(|(proto, dst, dst_port)| Ipv6Match { proto, dst, dst_port, ..Ipv6Match::default() })
}

fn any_discovery() -> impl Strategy<Value = Ipv6Match> {
    let (kind, ip) = (prop::option::of(any::<u8>()), || prop::option::of(any::<std::net::Ipv6Addr>()));
    let option =
        || prop::option::of(prop_oneof![Just(DiscoveryOption::Missing), any_mac().prop_map(DiscoveryOption::Is)]);
    (kind, prop::option::of(any_mac()), ip(), ip(), option(), option()).prop_map(
        |(kind, eth_src, source, target, source_mac, target_mac)| {
            Ipv6Match::of_discovery(DiscoveryMatch { kind, eth_src, source, target, source_mac, target_mac })
        },
    )
}

fn any_match() -> impl Strategy<Value = Match> {
    let dl_dst = prop_oneof![Just(MacMatch::Group), any_mac().prop_map(MacMatch::Exactly)];
    let packet = prop_oneof![
        Just((None, None, None)),
        any_ipv4().prop_map(|ipv4| (Some(ipv4), None, None)),
        any_ipv6().prop_map(|ipv6| (None, Some(ipv6), None)),
        any_discovery().prop_map(|ipv6| (None, Some(ipv6), None)),
        prop::sample::select(vec![0x8100, 0x88a8]).prop_map(|tag| (None, None, Some(tag))),
    ];
    let tier = prop::option::of(any::<u32>());
    (prop::option::of(1u32..0xff00), prop::option::of(any::<u64>()), tier, prop::option::of(dl_dst), packet).prop_map(
        |(in_port, tun_id, tier, dl_dst, (ipv4, ipv6, ethertype))| Match {
            in_port,
            tun_id,
            tier,
            dl_dst,
            ipv4,
            ipv6,
            ethertype,
            ..Match::default()
        },
    )
}

fn any_arp() -> impl Strategy<Value = Match> {
    let ip = || prop::option::of(any::<std::net::Ipv4Addr>());
    let arp = (prop::option::of(any::<u8>()), ip(), ip(), prop::option::of(any_mac()));
    let arp = arp.prop_map(|(op, sender_ip, target_ip, sender_mac)| ArpMatch { op, sender_ip, target_ip, sender_mac });
    (any_match(), arp, prop::option::of(any::<u32>()), any::<bool>()).prop_map(|(matches, arp, stage, untagged)| {
        Match { arp: Some(arp), stage, untagged, ipv4: None, ipv6: None, ethertype: None, ..matches }
    })
}

fn any_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::Normal),
        any::<u32>().prop_map(Action::Meter),
        any::<u32>().prop_map(Action::Output),
        any::<u8>().prop_map(Action::Resubmit),
        any::<u32>().prop_map(Action::SetTier),
        any_mac().prop_map(Action::SetSource),
        any_mac().prop_map(Action::SetDestination),
        any::<u32>().prop_map(Action::SetStage),
        any_mac().prop_map(Action::SetArpMac),
        any::<std::net::Ipv4Addr>().prop_map(Action::SetArpIp),
        any::<std::net::Ipv6Addr>().prop_map(Action::SetIpv6Source),
        prop::sample::select(Moved::ALL.to_vec()).prop_map(Action::Move),
        prop::sample::select(Advertised::ALL.to_vec()).prop_map(Action::Advertise),
        any::<(u64, prop::sample::Index)>()
            .prop_map(|(cookie, at)| Action::Learn(*at.get(&Learn::all(Cookie(cookie))))),
        prop::sample::select(vec![Action::SetArpReply, Action::Back]),
    ]
}

fn any_flow() -> impl Strategy<Value = Flow> {
    (
        any::<u8>(),
        any::<u16>(),
        any::<u64>(),
        prop_oneof![any_match(), any_arp()],
        prop::collection::vec(any_action(), 0..4),
    )
        .prop_map(|(table, priority, cookie, matches, actions)| Flow {
            table,
            priority,
            cookie: Cookie(cookie),
            matches,
            actions,
        })
}

proptest! {
    #[test]
    fn a_printed_flow_parses_to_itself(flow in any_flow()) {
        prop_assert_eq!(flow.to_string().parse(), Ok(flow));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,200}") {
        let _ = text.parse::<Flow>();
    }
}

/// Found by tests/fuzz: such a line was overlooked, as if there were no flow of ours.
#[test]
fn a_line_that_was_cut_off_is_known_by_its_cookie() {
    for line in [" cookie=0x6f76737404000000, duration=2.2s, tab", "cookie=0x6f76737404000000, table=0, priority=1000"]
    {
        assert_eq!(line.parse::<Flow>().unwrap_err().cookie, Some(Cookie(0x6f76_7374_0400_0000)), "{line}");
    }
}

/// Found by tests/fuzz: the last of two cookies was taken for the flow's.
#[test]
fn a_field_twice_is_no_flow_and_the_first_cookie_counts() {
    let line = "cookie=0x6f76737404000000, cookie=0x6f76737405000000, priority=1300,ipv6 actions=drop";
    assert_eq!(line.parse::<Flow>().unwrap_err().cookie, Some(Cookie(0x6f76_7374_0400_0000)));
    assert!("priority=1,in_port=1,in_port=2 actions=drop".parse::<Flow>().is_err());
}

/// Found by tests/fuzz: a flow of ours behind a tab was overlooked.
#[test]
fn any_white_space_parts_fields() {
    let line = "\t cookie=0x6f76737404000000,\tpriority=1300,ipv6 actions=drop";
    assert_eq!(line.parse::<Flow>().map(|flow| flow.cookie), Ok(Cookie(0x6f76_7374_0400_0000)));
}
