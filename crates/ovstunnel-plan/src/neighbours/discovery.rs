//! Answers for IPv6 addresses, by neighbour discovery (RFC 4861).
//!
//! What it does: the flows that make a VIF's solicitation the advertisement that answers it, that watch who else has such an address, and that
//! flood as ever for what is withdrawn. What it must not do: say where a frame goes, answer what came by a tunnel or an uplink, or answer
//! for a router: the answer says that its address is none, which has guests drop a default route (docs/ovs-facts.md). Only link-local addresses
//! are those of default routes, and none of them can be told.

use std::net::Ipv6Addr;

use super::{ADVERTISE, ANSWER, GOES_ON, SEEN, answered, enter, goes_on, watched};
use crate::{
    Action, Advertised, Cookie, DiscoveryMatch, DiscoveryOption, Flow, Ipv6Match, Learn, Mac, MacMatch, Match, Moved,
    Purpose,
};

const SOLICITATION: DiscoveryMatch = of_kind(DiscoveryMatch::SOLICITATION);
const ADVERTISEMENT: DiscoveryMatch = of_kind(DiscoveryMatch::ADVERTISEMENT);

const fn of_kind(kind: u8) -> DiscoveryMatch {
    DiscoveryMatch { kind: Some(kind), eth_src: None, source: None, target: None, source_mac: None, target_mac: None }
}

fn of_discovery(discovery: DiscoveryMatch) -> Match {
    Match { ipv6: Some(Ipv6Match::of_discovery(discovery)), ..Match::default() }
}

/// Solicitations of an address.
pub(super) fn asking_for(ip: Ipv6Addr) -> Match {
    of_discovery(DiscoveryMatch { target: Some(ip), ..SOLICITATION })
}

/// What is there for all addresses: packets without a VLAN tag are looked at; what has no source's address yet goes on. Somebody finds out
/// whether an address is free, and only its owner can say that it is not. At the end of an answer stands the Ethernet address: as long as the
/// frame was a solicitation, it had no such field.
pub(super) fn common() -> [Flow; 4] {
    let probe = of_discovery(DiscoveryMatch { source: Some(Ipv6Addr::UNSPECIFIED), ..SOLICITATION });
    let looked_at = |discovery| enter(Match { stage: Some(0), untagged: true, ..of_discovery(discovery) });
    let advertise = Flow {
        table: ADVERTISE,
        priority: 1000,
        cookie: Cookie::new(Purpose::Answer, 0),
        matches: of_discovery(ADVERTISEMENT),
        actions: vec![Action::Move(Moved::TargetMac), Action::Back],
    };
    [looked_at(SOLICITATION), looked_at(ADVERTISEMENT), goes_on(1300, probe), advertise]
}

/// Solicitations from a VIF that go to many are answered, unless one of the tables before has let them go on.
pub(super) fn ask(port: u32) -> Flow {
    let matches =
        Match { stage: Some(SEEN), in_port: Some(port), dl_dst: Some(MacMatch::Group), ..of_discovery(SOLICITATION) };
    Flow::of_entry(1255, Purpose::Answer, port, matches, vec![Action::Resubmit(ANSWER)])
}

/// Who says that an address is his, by an advertisement of it or as the source of a solicitation: the one who is known has it, and of anybody
/// else a flow is made. Without the option for it, as in an answer to a solicitation that was sent to one card, the frame's source counts.
pub(super) fn watch(ip: Ipv6Addr, mac: Mac, withdrawn: Cookie) -> [Flow; 6] {
    let advertises = DiscoveryMatch { target: Some(ip), ..ADVERTISEMENT };
    let solicits = DiscoveryMatch { source: Some(ip), ..SOLICITATION };
    let (none, known) = (Some(DiscoveryOption::Missing), Some(DiscoveryOption::Is(mac)));
    let owner = |discovery| watched(1100, ip.into(), of_discovery(discovery), vec![]);
    // He is heard on every host: what he asks for is not answered here.
    let other = |discovery, learn| {
        watched(1000, ip.into(), of_discovery(discovery), vec![Action::Learn(learn), Action::SetStage(GOES_ON)])
    };
    [
        owner(DiscoveryMatch { target_mac: known, ..advertises }),
        owner(DiscoveryMatch { target_mac: none, eth_src: Some(mac), ..advertises }),
        other(advertises, Learn::WithdrawnTarget(withdrawn)),
        owner(DiscoveryMatch { source_mac: known, ..solicits }),
        owner(DiscoveryMatch { source_mac: none, eth_src: Some(mac), ..solicits }),
        other(solicits, Learn::WithdrawnSource(withdrawn)),
    ]
}

/// The answer for one address.
pub(super) fn answer(ip: Ipv6Addr, mac: Mac) -> [Flow; 2] {
    let asks = DiscoveryMatch { target: Some(ip), ..SOLICITATION };
    let owner = of_discovery(DiscoveryMatch { source_mac: Some(DiscoveryOption::Is(mac)), ..asks });
    let [option, flags, kind] = Advertised::ALL.map(Action::Advertise);
    let actions = vec![
        Action::Learn(Learn::Solicited),
        Action::Move(Moved::Ipv6Source),
        Action::SetIpv6Source(ip),
        Action::Move(Moved::Source),
        Action::SetSource(mac),
        option,
        flags,
        kind,
        Action::Resubmit(ADVERTISE),
    ];
    answered(ip.into(), owner, of_discovery(asks), actions)
}
