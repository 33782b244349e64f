//! Packets between two tiers of a VPC: which one is followed, and what the ACLs decide of it. Must not ask anybody.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use ovstunnel_api::{AclDecision, AclDirection, FollowedFrame};
use ovstunnel_client::Packet;
use ovstunnel_manager_api::{PathStep, StepResult};
use ovstunnel_types::GreKey;

use super::step::{host_command, new_step, with_remedy};
use crate::zone::{End, Meeting, Side, Zone};

/// The port to which a VM's own requests are answered: one that systems give to those who connect.
const ANSWERED_AT: u16 = 49_152;

/// What passes from one tier to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketKind {
    /// A ping.
    Icmp,
    /// To this port.
    Tcp(u16),
    /// The same.
    Udp(u16),
}

impl FromStr for PacketKind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let port = |port: &str| match port.parse::<u16>() {
            Ok(port @ 1..) => Ok(port),
            _ => Err(()),
        };
        match text.split_once(':') {
            None if text == "icmp" => Ok(PacketKind::Icmp),
            Some(("tcp", number)) => Ok(PacketKind::Tcp(port(number)?)),
            Some(("udp", number)) => Ok(PacketKind::Udp(port(number)?)),
            _ => Err(()),
        }
    }
}

impl PacketKind {
    /// What answers it.
    fn reply_kind(self) -> PacketKind {
        match self {
            PacketKind::Icmp => PacketKind::Icmp,
            PacketKind::Tcp(_) => PacketKind::Tcp(ANSWERED_AT),
            PacketKind::Udp(_) => PacketKind::Udp(ANSWERED_AT),
        }
    }

    fn between(self, from: Ipv4Addr, to: Ipv4Addr) -> Packet {
        let (protocol, to_port) = match self {
            PacketKind::Icmp => ("icmp", None),
            PacketKind::Tcp(port) => ("tcp", Some(port)),
            PacketKind::Udp(port) => ("udp", Some(port)),
        };
        Packet { from, to, protocol: protocol.to_owned(), to_port }
    }
}

/// The packets of a way between two tiers, there and back; none where an address is not recorded.
pub(super) fn routed_packets(kind: PacketKind, from: &End, to: &End) -> Option<(Packet, Packet)> {
    let ip = |end: &End| match end.nic.as_ref()?.ip? {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    };
    let (here, there) = (ip(from)?, ip(to)?);
    Some((kind.between(here, there), kind.reply_kind().between(there, here)))
}

/// The packet in words.
fn packet_words(packet: &Packet) -> String {
    let port = packet.to_port.map(|port| format!(" port {port}")).unwrap_or_default();
    format!("{} from {} to {}{port}", packet.protocol, packet.from, packet.to)
}

fn decision_words(decided: &AclDecision, zone: &Zone) -> String {
    let tier = GreKey::try_from(i64::from(decided.tier)).map(|key| zone.network_name(key));
    let tier = tier.unwrap_or_else(|_| decided.tier.to_string());
    let (direction, acl) = (decided.direction.as_str(), decided.acl.as_deref());
    let does = match (decided.direction, decided.passes) {
        (AclDirection::Egress, true) => "lets it out",
        (AclDirection::Egress, false) => "does not let it out",
        (AclDirection::Ingress, true) => "lets it in",
        (AclDirection::Ingress, false) => "does not let it in",
    };
    match (acl, decided.item) {
        (Some(acl), Some(item)) => format!("{tier}: {direction} item {item} of ACL {acl} {does}"),
        (Some(acl), None) => format!("{tier}: no {direction} item of ACL {acl} is about it, which {does}"),
        (None, _) => format!("{tier} has no ACL, which {does}"),
    }
}

/// What the ACLs of both tiers have decided of a packet that was followed on this host.
pub(super) fn acl_step(side: &Side, followed: &FollowedFrame, packet: &Packet, zone: &Zone) -> Option<PathStep> {
    if followed.acl.is_empty() {
        return None;
    }
    let words: Vec<String> = followed.acl.iter().map(|decided| decision_words(decided, zone)).collect();
    let evidence = format!("{}: {}", packet_words(packet), words.join("; "));
    if followed.acl.iter().all(|decided| decided.passes) {
        return Some(new_step(Some(side), "acl", StepResult::Ok, evidence));
    }
    let bridge = side.bridge.as_deref().unwrap_or_default();
    let see = vec![
        host_command(side, &format!("ovstunnelctl bridge show {bridge}")),
        host_command(side, &format!("ovs-appctl ofproto/trace {bridge} '{}'", followed.frame)),
    ];
    let failed = new_step(Some(side), "acl", StepResult::Fail, evidence);
    let remedy = "have the cloud let it pass in the ACL of that tier, where it is meant to; the item with the larger number decides, and answers are judged like any other packet";
    Some(with_remedy(failed, remedy, see))
}

/// Why no packet is followed between two tiers, where none is.
pub(super) fn unrouted_step(side: &Side, networks: Meeting, gateways: &BTreeMap<GreKey, String>) -> PathStep {
    let (evidence, remedy) = match (side.knows_packets, gateways.contains_key(&networks.from)) {
        (false, _) => ("its daemon cannot follow packets between tiers", "update ovstunneld on the host"),
        (true, false) => (
            "its bridge was not told the tiers of the VPC, or was not asked",
            "see `ovstunnelctl bridge show` there, and have the management server tell the VPC's topology again",
        ),
        (true, true) => (
            "what passes between tiers is told by IPv4 addresses, and not both are recorded",
            "record `ip` of both NICs: `ovstunnelctl zone nic prepare`, with --ip",
        ),
    };
    with_remedy(new_step(Some(side), "acl", StepResult::Unknown, evidence.to_owned()), remedy, Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_a_protocol_and_its_port() {
        assert_eq!("icmp".parse(), Ok(PacketKind::Icmp));
        assert_eq!("tcp:443".parse(), Ok(PacketKind::Tcp(443)));
        assert_eq!("udp:53".parse(), Ok(PacketKind::Udp(53)));
        for bad in ["", "tcp", "tcp:", "tcp:0", "tcp:65536", "icmp:1", "sctp:5", "TCP:80", "tcp:80:1"] {
            assert_eq!(bad.parse::<PacketKind>(), Err(()), "{bad}");
        }
    }
}
