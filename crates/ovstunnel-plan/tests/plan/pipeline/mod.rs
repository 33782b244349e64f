//! A switch's tables as a value: what becomes of one packet, by the flows alone.
//!
//! What it does: what OpenFlow says of the few matches and actions that a VPC's pipeline has. What it must not do: know
//! what the flows are for.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ovstunnel_plan::{Action, Flow, Ipv4Match, Mac, MacMatch, Match};

/// A packet on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Packet {
    pub in_port: u32,
    pub tun_id: u64,
    pub tier: u32,
    /// Nothing for a group address.
    pub dl_dst: Option<Mac>,
    /// Nothing where nobody has rewritten it.
    pub dl_src: Option<Mac>,
    /// Nothing where it is no IPv4.
    pub ip: Option<Ip>,
}

/// Its addresses, protocol and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ip {
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
    pub proto: u8,
    pub dst_port: u16,
}

/// A copy that goes out, and by which port.
pub type Out = (u32, Packet);

fn matches_ip(wanted: &Ipv4Match, ip: Option<Ip>) -> bool {
    let Some(ip) = ip else { return false };
    wanted.proto.is_none_or(|proto| proto == ip.proto)
        && wanted.src.is_none_or(|cidr| cidr.contains(ip.src))
        && wanted.dst.is_none_or(|cidr| cidr.contains(ip.dst))
        && wanted.dst_port.is_none_or(|ports| ports.contains(ip.dst_port))
}

fn matches(wanted: &Match, packet: &Packet) -> bool {
    let dl_dst = match wanted.dl_dst {
        None => true,
        Some(MacMatch::Group) => packet.dl_dst.is_none(),
        Some(MacMatch::Exactly(mac)) => packet.dl_dst == Some(mac),
    };
    dl_dst
        && wanted.ipv6.is_none()
        && wanted.ethertype.is_none()
        && wanted.arp.is_none()
        && wanted.in_port.is_none_or(|port| port == packet.in_port)
        && wanted.tun_id.is_none_or(|id| id == packet.tun_id)
        && wanted.tier.is_none_or(|tier| tier == packet.tier)
        && wanted.ipv4.is_none_or(|ipv4| matches_ip(&ipv4, packet.ip))
}

/// What comes out. Panics where the flows go round in a circle, or two of one priority match.
pub fn run(flows: &BTreeSet<Flow>, packet: Packet) -> Vec<Out> {
    let mut out = Vec::new();
    table(flows, packet, 0, 0, &mut out);
    out
}

fn table(flows: &BTreeSet<Flow>, mut packet: Packet, number: u8, depth: usize, out: &mut Vec<Out>) {
    assert!(depth < 16, "in a circle: {packet:?}");
    let matching = flows.iter().filter(|flow| flow.table == number && matches(&flow.matches, &packet));
    let highest = matching.clone().map(|flow| flow.priority).max();
    let best: Vec<&Flow> = matching.filter(|flow| Some(flow.priority) == highest).collect();
    let actions: BTreeSet<&Vec<Action>> = best.iter().map(|flow| &flow.actions).collect();
    assert!(actions.len() <= 1, "which of them: {best:?} for {packet:?}");
    for action in best.first().map(|flow| flow.actions.as_slice()).unwrap_or_default() {
        match action {
            Action::Normal => panic!("NORMAL in a pipeline"),
            Action::Meter(_) => {}
            Action::Output(port) if *port == packet.in_port => {}
            Action::Output(port) => out.push((*port, packet)),
            Action::Resubmit(next) => table(flows, packet, *next, depth + 1, out),
            Action::SetInPort(port) => packet.in_port = *port,
            Action::SetTier(tier) => packet.tier = *tier,
            Action::SetStage(_)
            | Action::Move(_)
            | Action::SetArpReply
            | Action::SetArpMac(_)
            | Action::SetArpIp(_)
            | Action::SetIpv6Source(_)
            | Action::Advertise(_)
            | Action::Back
            | Action::Learn(_) => panic!("a packet here asks for no address"),
            Action::SetSource(mac) => packet.dl_src = Some(*mac),
            Action::SetDestination(mac) => packet.dl_dst = Some(*mac),
        }
    }
}
