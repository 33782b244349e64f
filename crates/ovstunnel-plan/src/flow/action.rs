//! What a flow does with a frame, in the words of `ovs-ofctl`. Must not know which flow has which actions.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::learn::Learn;
use crate::Mac;

/// One action. No action at all is `drop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// The switch's own learning and forwarding, which respects `Port.protected`.
    Normal,
    /// Frames beyond the rate of this meter of the bridge are dropped here.
    Meter(u32),
    /// Out by this port, whatever `Port.protected` says; never by the one that it came in by.
    Output(u32),
    /// On in another table.
    Resubmit(u8),
    /// From here on the frame is one that came in by this port.
    SetInPort(u32),
    /// From here on the frame is one of this tier: the tier's key in register 0.
    SetTier(u32),
    /// How far it has come among the flows that answer for VMs: register 1.
    SetStage(u32),
    /// Its source Ethernet address.
    SetSource(Mac),
    /// Its destination Ethernet address.
    SetDestination(Mac),
    /// One field gets the value of another.
    Move(Moved),
    /// It is an ARP reply.
    SetArpReply,
    /// The sender's Ethernet address within ARP.
    SetArpMac(Mac),
    /// The sender's address within ARP.
    SetArpIp(Ipv4Addr),
    /// The source address of IPv6.
    SetIpv6Source(Ipv6Addr),
    /// A solicitation becomes the advertisement that answers it.
    Advertise(Advertised),
    /// Out by the port that it came in by.
    Back,
    /// A flow is made of it.
    Learn(Learn),
}

/// Which field of a frame another gets the value of, for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moved {
    /// The sender's Ethernet address within ARP, to the target's.
    ArpMac,
    /// The sender's address within ARP, to the target's.
    ArpIp,
    /// The source Ethernet address, to the destination's.
    Source,
    /// The source address of IPv6, to the destination's.
    Ipv6Source,
    /// The source Ethernet address, to the target's within an advertisement.
    TargetMac,
}

impl Moved {
    /// All there are.
    pub const ALL: [Moved; 5] = [Moved::ArpMac, Moved::ArpIp, Moved::Source, Moved::Ipv6Source, Moved::TargetMac];

    /// As Open vSwitch prints it.
    fn text(self) -> &'static str {
        match self {
            Moved::ArpMac => "NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[]",
            Moved::ArpIp => "NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[]",
            Moved::Source => "NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
            Moved::Ipv6Source => "NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[]",
            Moved::TargetMac => "NXM_OF_ETH_SRC[]->NXM_NX_ND_TLL[]",
        }
    }
}

/// What is set where a solicitation becomes an advertisement; in this order, for without being a solicitation it has no such fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Advertised {
    /// Its option is the target's Ethernet address.
    Option,
    /// It was asked for, and overrides what was known: flags S and O, and not R, that it is a router.
    Flags,
    /// Its type.
    Type,
}

impl Advertised {
    /// All there are, in their order.
    pub const ALL: [Advertised; 3] = [Advertised::Option, Advertised::Flags, Advertised::Type];

    /// The flags S and O.
    pub const FLAGS: u32 = 0x6000_0000;
}

/// As Open vSwitch prints it.
impl fmt::Display for Advertised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Advertised::Option => f.write_str("2->nd_options_type"),
            Advertised::Flags => write!(f, "{}->nd_reserved", Self::FLAGS),
            Advertised::Type => f.write_str("136->icmpv6_type"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Normal => f.write_str("NORMAL"),
            Action::Meter(meter) => write!(f, "meter:{meter}"),
            Action::Output(port) => write!(f, "output:{port}"),
            Action::Resubmit(table) => write!(f, "resubmit(,{table})"),
            Action::SetInPort(port) => write!(f, "set_field:{port}->in_port"),
            Action::SetTier(tier) => write!(f, "set_field:{tier:#x}->reg0"),
            Action::SetStage(stage) => write!(f, "set_field:{stage:#x}->reg1"),
            Action::SetSource(mac) => write!(f, "set_field:{mac}->eth_src"),
            Action::SetDestination(mac) => write!(f, "set_field:{mac}->eth_dst"),
            Action::Move(moved) => write!(f, "move:{}", moved.text()),
            Action::SetArpReply => f.write_str("set_field:2->arp_op"),
            Action::SetArpMac(mac) => write!(f, "set_field:{mac}->arp_sha"),
            Action::SetArpIp(ip) => write!(f, "set_field:{ip}->arp_spa"),
            Action::SetIpv6Source(ip) => write!(f, "set_field:{ip}->ipv6_src"),
            Action::Advertise(what) => write!(f, "set_field:{what}"),
            Action::Back => f.write_str("IN_PORT"),
            Action::Learn(learn) => learn.fmt(f),
        }
    }
}

/// The actions of a flow as text.
pub(super) fn read_all(text: &str) -> Result<Vec<Action>, String> {
    if text == "drop" {
        return Ok(vec![]);
    }
    split_actions(text)
        .map(|action| parse_action(action).ok_or_else(|| format!("cannot understand action '{action}'")))
        .collect()
}

/// Splits at the commas that stand outside of parentheses.
fn split_actions(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_u32;
    text.split(move |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
}

fn parse_action(text: &str) -> Option<Action> {
    if text == "NORMAL" {
        return Some(Action::Normal);
    }
    if let Some(table) = text.strip_prefix("resubmit(,").and_then(|rest| rest.strip_suffix(')')) {
        return table.parse().ok().map(Action::Resubmit);
    }
    if text == "IN_PORT" {
        return Some(Action::Back);
    }
    if text.starts_with("learn(") {
        return Learn::parse(text).map(Action::Learn);
    }
    let (verb, value) = text.split_once(':')?;
    match (verb, value.split_once("->")) {
        ("meter", None) => value.parse().ok().map(Action::Meter),
        ("output", None) => value.parse().ok().map(Action::Output),
        ("set_field", Some((value, "in_port"))) => value.parse().ok().map(Action::SetInPort),
        ("set_field", Some((value, "reg0"))) => super::number(value)?.try_into().ok().map(Action::SetTier),
        ("set_field", Some((value, "reg1"))) | ("load", Some((value, "NXM_NX_REG1[]"))) => {
            super::number(value)?.try_into().ok().map(Action::SetStage)
        }
        ("set_field", Some(("2", "arp_op"))) => Some(Action::SetArpReply),
        ("set_field", Some((value, "arp_sha"))) => value.parse().ok().map(Action::SetArpMac),
        ("set_field", Some((value, "arp_spa"))) => value.parse().ok().map(Action::SetArpIp),
        ("set_field", Some((value, "ipv6_src"))) => value.parse().ok().map(Action::SetIpv6Source),
        ("set_field", Some((_, "nd_options_type" | "nd_reserved" | "icmpv6_type"))) => {
            Advertised::ALL.into_iter().find(|what| what.to_string() == value).map(Action::Advertise)
        }
        ("move", Some(_)) => Moved::ALL.into_iter().find(|moved| moved.text() == value).map(Action::Move),
        ("set_field", Some((value, "eth_src"))) => value.parse().ok().map(Action::SetSource),
        ("set_field", Some((value, "eth_dst"))) => value.parse().ok().map(Action::SetDestination),
        _ => None,
    }
}
