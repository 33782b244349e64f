//! Answers for IPv4 addresses, by ARP.
//!
//! What it does: the flows that answer a VIF's requests, that watch who else has such an address, and that flood as ever for what is
//! withdrawn. What it must not do: say where a frame goes, or answer what came by a tunnel or an uplink.

use std::net::Ipv4Addr;

use super::{ANSWER, GOES_ON, SEEN, answered, enter, goes_on, watched};
use crate::{Action, ArpMatch, Cookie, Flow, Learn, Mac, MacMatch, Match, Moved, Purpose};

const REQUEST: u8 = 1;

fn of_arp(arp: ArpMatch) -> Match {
    Match { arp: Some(arp), ..Match::default() }
}

/// Requests for an address.
pub(super) fn asking_for(ip: Ipv4Addr) -> Match {
    of_arp(ArpMatch { target_ip: Some(ip), ..ArpMatch::default() })
}

/// What is there for all addresses: packets without a VLAN tag are looked at; what has no sender's address yet goes on. Somebody finds out
/// whether an address is free, and only its owner can say that it is not.
pub(super) fn common() -> [Flow; 2] {
    let probe = of_arp(ArpMatch { sender_ip: Some(Ipv4Addr::UNSPECIFIED), ..ArpMatch::default() });
    [enter(Match { stage: Some(0), untagged: true, ..of_arp(ArpMatch::default()) }), goes_on(1300, probe)]
}

/// Broadcast requests from a VIF are answered, unless one of the tables before has let them go on.
pub(super) fn ask((port, tier): (u32, Option<u32>)) -> Flow {
    let arp = ArpMatch { op: Some(REQUEST), ..ArpMatch::default() };
    let matches = Match { stage: Some(SEEN), in_port: Some(port), dl_dst: Some(MacMatch::Group), ..of_arp(arp) };
    let actions = tier.map(Action::SetTier).into_iter().chain([Action::Resubmit(ANSWER)]).collect();
    Flow::of_entry(1255, Purpose::Answer, port, matches, actions)
}

/// Who says that an address is his: the one who is known has it, and of anybody else a flow is made.
pub(super) fn watch(ip: Ipv4Addr, mac: Mac, withdrawn: Cookie) -> [Flow; 2] {
    let says = ArpMatch { sender_ip: Some(ip), ..ArpMatch::default() };
    let owner = ArpMatch { sender_mac: Some(mac), ..says };
    // He is heard on every host: what he asks for is not answered here.
    let withdraw = vec![Action::Learn(Learn::Withdrawn(withdrawn)), Action::SetStage(GOES_ON)];
    [watched(1100, ip.into(), of_arp(owner), vec![]), watched(1000, ip.into(), of_arp(says), withdraw)]
}

/// The answer for one address.
pub(super) fn answer(ip: Ipv4Addr, mac: Mac, tier: Option<u32>) -> [Flow; 2] {
    let asks = ArpMatch { target_ip: Some(ip), ..ArpMatch::default() };
    let owner = of_arp(ArpMatch { sender_mac: Some(mac), ..asks });
    let actions = vec![
        Action::Learn(Learn::Asked),
        Action::Move(Moved::ArpMac),
        Action::Move(Moved::ArpIp),
        Action::SetArpReply,
        Action::SetArpMac(mac),
        Action::SetArpIp(ip),
        Action::Move(Moved::Source),
        Action::SetSource(mac),
        Action::Back,
    ];
    answered(ip.into(), owner, Match { tier, ..of_arp(asks) }, actions)
}
