//! Random changes of a switch: each kind of step, and flows with each match and action that a flow of ours can have. Must not know how
//! they are written.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use ovstunnel_plan::{
    Action, Advertised, ArpMatch, BridgeEdit, BridgeName, Cidr, Cookie, DesiredTunnel, DiscoveryMatch, DiscoveryOption,
    Encap, Epoch, FailMode, Flow, FlowChange, Ipv4Match, Ipv6Match, Learn, Mac, MacMatch, Match, Moved, PortEdit,
    PortMask, PortName, Step, TunnelKind,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// A zone.
const ZONE: &str = "8c4f0ab0-2f1e-4a3c-9d55-0d6f0a6f3d11";

/// What is done to bridges 1 to 3, and to their tunnels to hosts 2 to 4.
#[derive(Clone, Debug)]
pub enum Op {
    Create(u8, BTreeMap<String, String>, Option<FailMode>),
    Edit(u8, Vec<BridgeEdit>),
    Delete(u8),
    Tunnel(u8, u8),
    EditTunnel(u8, u8, Vec<PortEdit>),
    RemoveTunnel(u8, u8),
    TryAgain(u64),
    Epoch(Option<Epoch>),
}

/// A transaction, with changes of flows behind it.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Whether others change all ports and bridges first.
    pub disturbed: bool,
    pub ops: Vec<Op>,
    pub flows: Vec<(u8, FlowChange)>,
}

pub fn bridge(n: u8) -> BridgeName {
    format!("b{n}").parse().unwrap()
}

pub fn tunnel(n: u8, to: u8) -> DesiredTunnel {
    let key = (1000 + u32::from(n)).to_string().parse().unwrap();
    let remote_ip = if to == 4 { "2001:db8::4".to_owned() } else { format!("192.0.2.{to}") };
    let (from, to, remote_ip) = ("1".parse().unwrap(), to.to_string().parse().unwrap(), remote_ip.parse().unwrap());
    DesiredTunnel::new(from, to, key, remote_ip, Encap::GRE)
}

pub fn port(n: u8, to: u8) -> PortName {
    tunnel(n, to).port_name()
}

/// A change of a bridge, whether it is there or not.
pub fn rename(bridge: &str) -> Step {
    Step::EditBridge { bridge: bridge.parse().unwrap(), edits: vec![BridgeEdit::StpOff] }
}

/// Texts with whatever a shell, `ovs-vsctl` or JSON might take for its own.
fn value() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        "[a-z0-9.:-]{1,12}",
        select(vec![
            "a b",
            "x,y=z",
            "[1, 2]",
            "{}",
            "\"q\"",
            "back\\slash",
            "tab\there",
            "ä✓",
            "true",
            "7",
            "@i1",
            "-- list"
        ])
        .prop_map(str::to_owned),
    ]
}

fn key() -> impl Strategy<Value = String> + Clone {
    select(vec!["ovstunnel-key", "ovstunnel-ipv6", "other", "with space", "a=b", "c,d"]).prop_map(str::to_owned)
}

fn bridge_edit() -> impl Strategy<Value = BridgeEdit> {
    let mode = option::of(select(vec![FailMode::Secure, FailMode::Standalone]));
    prop_oneof![
        4 => (key(), value()).prop_map(|(key, value)| BridgeEdit::SetId(key, value)),
        2 => key().prop_map(BridgeEdit::DropId),
        1 => Just(BridgeEdit::SetConfig("mac-aging-time".into(), "301".into())),
        1 => Just(BridgeEdit::DropConfig("mac-table-size".into())),
        1 => Just(BridgeEdit::StpOff),
        1 => Just(BridgeEdit::RstpOff),
        1 => any::<bool>().prop_map(BridgeEdit::McastSnooping),
        1 => any::<bool>().prop_map(BridgeEdit::OpenFlow14),
        1 => any::<bool>().prop_map(BridgeEdit::Protect),
        1 => Just(BridgeEdit::NoVlan),
        1 => mode.prop_map(BridgeEdit::FailMode),
        1 => option::of(68u32..2000).prop_map(BridgeEdit::MtuRequest),
    ]
}

fn port_edit() -> impl Strategy<Value = PortEdit> {
    prop_oneof![
        4 => (key(), value()).prop_map(|(key, value)| PortEdit::SetId(key, value)),
        2 => key().prop_map(PortEdit::DropId),
        1 => Just(PortEdit::Protect),
        1 => Just(PortEdit::NoVlan),
        1 => Just(PortEdit::ReceiveOnly),
        1 => Just(PortEdit::Detach),
        1 => Just(PortEdit::MakeTunnel(TunnelKind::Gre)),
        2 => (100u32..200).prop_map(|key| PortEdit::SetOption("key".into(), key.to_string())),
        1 => Just(PortEdit::SetOption("tos".into(), "inherit".into())),
        1 => Just(PortEdit::DropOption("tos".into())),
    ]
}

/// Of edits of one thing only the first: those of a plan do not contradict each other.
fn once<T>(edits: Vec<T>, thing: impl Fn(&T) -> String) -> Vec<T> {
    let mut about = BTreeSet::new();
    edits.into_iter().filter(|edit| about.insert(thing(edit))).collect()
}

fn edited_of_bridge(edit: &BridgeEdit) -> String {
    match edit {
        BridgeEdit::SetId(key, _) | BridgeEdit::DropId(key) => format!("id {key}"),
        BridgeEdit::SetConfig(key, _) | BridgeEdit::DropConfig(key) => format!("config {key}"),
        other => format!("{:?}", std::mem::discriminant(other)),
    }
}

fn edited_of_port(edit: &PortEdit) -> String {
    match edit {
        PortEdit::SetId(key, _) | PortEdit::DropId(key) => format!("id {key}"),
        PortEdit::SetOption(key, _) | PortEdit::DropOption(key) => format!("option {key}"),
        PortEdit::NoVlan | PortEdit::ReceiveOnly => "vlan".to_owned(),
        PortEdit::Detach | PortEdit::MakeTunnel(_) => "type".to_owned(),
        other => format!("{:?}", std::mem::discriminant(other)),
    }
}

fn op() -> impl Strategy<Value = Op> {
    let (n, to) = (1u8..=3, 2u8..=4);
    let ids = btree_map(key(), value(), 0..3);
    let mode = option::of(select(vec![FailMode::Secure, FailMode::Standalone]));
    prop_oneof![
        6 => (n.clone(), ids, mode).prop_map(|(n, ids, mode)| Op::Create(n, ids, mode)),
        4 => (n.clone(), vec(bridge_edit(), 1..5)).prop_map(|(n, edits)| Op::Edit(n, once(edits, edited_of_bridge))),
        1 => n.clone().prop_map(Op::Delete),
        6 => (n.clone(), to.clone()).prop_map(|(n, to)| Op::Tunnel(n, to)),
        4 => (n.clone(), to.clone(), vec(port_edit(), 1..5)).prop_map(|(n, to, edits)| Op::EditTunnel(n, to, once(edits, edited_of_port))),
        2 => (n, to).prop_map(|(n, to)| Op::RemoveTunnel(n, to)),
        1 => (0u64..9).prop_map(Op::TryAgain),
        1 => option::of(1u8..9).prop_map(|n| Op::Epoch(n.map(|n| format!("{ZONE}:{n}").parse().unwrap()))),
    ]
}

fn mac() -> impl Strategy<Value = Mac> + Clone {
    (0u8..3).prop_map(|last| format!("02:00:00:00:00:0{}", last + 1).parse().unwrap())
}

fn cidr() -> impl Strategy<Value = Cidr> {
    select(vec!["10.1.1.0/24", "10.1.0.0/16", "192.0.2.1/32", "128.0.0.0/1", "224.0.0.0/24"])
        .prop_map(|text| text.parse().unwrap())
}

fn ipv4() -> impl Strategy<Value = Ipv4Match> {
    let ports = prop_oneof![(1u16..9000).prop_map(PortMask::one_port), Just(PortMask { value: 0x1f00, mask: 0xff00 })];
    let proto = option::of(select(vec![1u8, 2, 6, 17, 47, 132]));
    (proto, option::of(cidr()), option::of(cidr()), option::of(ports)).prop_map(|(proto, src, dst, ports)| {
        let dst_port = ports.filter(|_| matches!(proto, Some(6 | 17 | 132)));
        Ipv4Match { proto, src, dst, dst_port }
    })
}

fn ipv6() -> impl Strategy<Value = Ipv6Match> {
    let nets = select(vec!["2001:db8::1/128", "fe80::/10", "2001:db8::/32"]);
    let proto = option::of(select(vec![6u8, 17, 47, 58, 132]));
    (proto, option::of(nets), option::of(1u16..9000)).prop_map(|(proto, dst, port)| {
        let dst_port = port.filter(|_| matches!(proto, Some(6 | 17 | 132))).map(PortMask::one_port);
        Ipv6Match { proto, dst: dst.map(|net| net.parse().unwrap()), dst_port, ..Ipv6Match::default() }
    })
}

fn matches() -> impl Strategy<Value = Match> {
    let dl_dst = option::of(prop_oneof![Just(MacMatch::Group), mac().prop_map(MacMatch::Exactly)]);
    let tun_id = option::of(select(vec![0u64, 1001, 0xffff_ffff]));
    let kind = prop_oneof![
        3 => Just((None, None, None)),
        3 => ipv4().prop_map(|ipv4| (Some(ipv4), None, None)),
        2 => ipv6().prop_map(|ipv6| (None, Some(ipv6), None)),
        2 => select(vec![0x8100u16, 0x88a8, 0x8847, 0x8848, 0x9100, 0x05ff]).prop_map(|kind| (None, None, Some(kind))),
    ];
    let in_port = option::of(select(vec![1u32, 7, 0xfeff]));
    (in_port, tun_id, option::of(1u32..5000), dl_dst, kind).prop_map(|(in_port, tun_id, tier, dl_dst, kind)| {
        let (ipv4, ipv6, ethertype) = kind;
        Match { in_port, tun_id, tier, dl_dst, ipv4, ipv6, ethertype, ..Match::default() }
    })
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        Just(Action::Normal),
        (1u32..9).prop_map(Action::Output),
        (1u8..5).prop_map(Action::Resubmit),
        (1u32..0x1_0000).prop_map(Action::SetTier),
        mac().prop_map(Action::SetSource),
        mac().prop_map(Action::SetDestination),
    ];
    (option::of(1u32..4), vec(action, 0..5)).prop_map(|(meter, actions)| {
        let meter = meter.filter(|_| !actions.is_empty()).map(Action::Meter);
        meter.into_iter().chain(actions).collect()
    })
}

fn address() -> impl Strategy<Value = Ipv4Addr> {
    (1u8..4).prop_map(|last| Ipv4Addr::new(10, 1, 1, last))
}

/// Of ARP, as the flows are that answer for VMs. Its fields can be set in a flow that matches it alone.
fn of_arp() -> impl Strategy<Value = (Match, Vec<Action>)> {
    let arp = (option::of(1u8..3), option::of(address()), option::of(address()), option::of(mac()));
    let arp = arp.prop_map(|(op, sender_ip, target_ip, sender_mac)| ArpMatch { op, sender_ip, target_ip, sender_mac });
    let matches = (matches(), arp, option::of(0u32..3), any::<bool>()).prop_map(|(matches, arp, stage, untagged)| {
        Match { arp: Some(arp), stage, untagged, ipv4: None, ipv6: None, ethertype: None, ..matches }
    });
    let action = prop_oneof![
        Just(Action::Normal),
        Just(Action::Back),
        Just(Action::SetArpReply),
        (1u8..5).prop_map(Action::Resubmit),
        (1u32..3).prop_map(Action::SetStage),
        mac().prop_map(Action::SetArpMac),
        mac().prop_map(Action::SetSource),
        address().prop_map(Action::SetArpIp),
        select(vec![Moved::ArpMac, Moved::ArpIp, Moved::Source]).prop_map(Action::Move),
        prop_oneof![Just(Learn::Asked), cookie().prop_map(Learn::Withdrawn)].prop_map(Action::Learn),
    ];
    (matches, vec(action, 0..9))
}

fn address6() -> impl Strategy<Value = Ipv6Addr> {
    select(vec!["fd00::7", "2001:db8::1"]).prop_map(|ip| ip.parse().unwrap())
}

/// Of neighbour discovery, as the flows are that answer for VMs: solicitations, which become advertisements in another flow.
fn of_discovery() -> impl Strategy<Value = (Match, Vec<Action>)> {
    let mac_option = || option::of(prop_oneof![Just(DiscoveryOption::Missing), mac().prop_map(DiscoveryOption::Is)]);
    let fields = (any::<bool>(), option::of(mac()), option::of(address6()), option::of(address6()), mac_option());
    let discovery = fields.prop_map(|(asks, eth_src, source, target, mac)| {
        let kind = if asks { DiscoveryMatch::SOLICITATION } else { DiscoveryMatch::ADVERTISEMENT };
        let (source_mac, target_mac) = if asks { (mac, None) } else { (None, mac) };
        DiscoveryMatch { kind: Some(kind), eth_src, source, target, source_mac, target_mac }
    });
    let matches = (matches(), discovery, option::of(0u32..3), any::<bool>());
    let matches = matches.prop_map(|(matches, discovery, stage, untagged)| {
        let ipv6 = Some(Ipv6Match::of_discovery(discovery));
        Match { ipv6, stage, untagged, ipv4: None, ethertype: None, ..matches }
    });
    let learn = prop_oneof![
        Just(Learn::Solicited),
        cookie().prop_map(Learn::WithdrawnSource),
        cookie().prop_map(Learn::WithdrawnTarget)
    ];
    let action = prop_oneof![
        Just(Action::Back),
        (1u8..5).prop_map(Action::Resubmit),
        (1u32..3).prop_map(Action::SetStage),
        mac().prop_map(Action::SetSource),
        address6().prop_map(Action::SetIpv6Source),
        select(vec![Moved::Source, Moved::Ipv6Source]).prop_map(Action::Move),
        learn.prop_map(Action::Learn),
    ];
    let last = prop_oneof![
        Just(Advertised::ALL.map(Action::Advertise).to_vec()),
        Just(vec![Action::Move(Moved::TargetMac)]),
        Just(vec![])
    ];
    (matches, vec(action, 0..6), last).prop_map(|(matches, mut actions, last)| {
        // Of what is set at last each kind of packet has its own.
        let asks = matches.ipv6.is_some_and(|ipv6| ipv6.discovery.kind == Some(DiscoveryMatch::SOLICITATION));
        let learns = |action: &Action| matches!(action, Action::Learn(Learn::WithdrawnTarget(_) | Learn::Solicited));
        let advertises = |action: &Action| matches!(action, Action::Advertise(_));
        actions.retain(|action| asks || !learns(action));
        actions.extend(last.into_iter().filter(|action| asks == advertises(action)));
        (matches, actions)
    })
}

fn flow() -> impl Strategy<Value = Flow> {
    let what = prop_oneof![3 => (matches(), actions()), 1 => of_arp(), 1 => of_discovery()];
    (0u8..6, 1u16..=3, cookie(), what).prop_map(|(table, priority, cookie, (matches, actions))| Flow {
        table,
        priority: priority * 1000,
        cookie,
        matches,
        actions,
    })
}

/// Of ours; those that limit VIFs name meters that are freed.
fn cookie() -> impl Strategy<Value = Cookie> {
    prop_oneof![
        (0u64..4).prop_map(|n| Cookie(Cookie::OURS.0 | n)),
        (1u32..4).prop_map(|meter| Cookie::limited(meter, 50))
    ]
}

fn change() -> impl Strategy<Value = FlowChange> {
    let delete = option::weighted(0.8, btree_set(cookie(), 0..4));
    (delete, vec(flow(), 0..12), any::<bool>()).prop_map(|(delete, add, plain)| FlowChange {
        delete,
        plugins: BTreeSet::new(),
        add,
        plain,
    })
}

pub fn batches() -> impl Strategy<Value = Vec<Batch>> {
    // Of steps about one thing only the first counts: a plan has one.
    let ops = vec(op(), 1..8).prop_map(|ops| {
        let mut about = BTreeSet::new();
        let thing = |op: &Op| match op {
            Op::Create(n, ..) | Op::Delete(n) | Op::Edit(n, _) => (*n, 0),
            Op::Tunnel(n, to) | Op::EditTunnel(n, to, _) | Op::RemoveTunnel(n, to) => (*n, *to),
            Op::TryAgain(_) | Op::Epoch(_) => (0, 0),
        };
        let deleted: BTreeSet<u8> =
            ops.iter().filter_map(|op| if let Op::Delete(n) = op { Some(*n) } else { None }).collect();
        let whole = |op: &Op| matches!(op, Op::Delete(_)) || !deleted.contains(&thing(op).0);
        ops.into_iter().filter(|op| whole(op) && about.insert(thing(op))).collect::<Vec<Op>>()
    });
    let flows = vec((1u8..=3, change()), 0..4);
    let batch = (any::<bool>(), ops, flows).prop_map(|(disturbed, ops, flows)| Batch { disturbed, ops, flows });
    vec(batch, 1..7)
}
