//! What a flow matches of an ARP packet, in the words of `ovs-ofctl`.
//!
//! What it does: operation, and the addresses by which somebody is known. What it must not do: match the target's Ethernet address, which a
//! request leaves open.

use std::fmt;
use std::net::Ipv4Addr;

use crate::Mac;

/// What an ARP packet must be; what is `None` matches anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArpMatch {
    /// Operation: 1 of a request, 2 of a reply. Open vSwitch knows the lower 8 bits only.
    pub op: Option<u8>,
    /// The sender's address.
    pub sender_ip: Option<Ipv4Addr>,
    /// The address that is asked for.
    pub target_ip: Option<Ipv4Addr>,
    /// The sender's Ethernet address, as it stands within.
    pub sender_mac: Option<Mac>,
}

impl ArpMatch {
    /// Writes its fields.
    pub(super) fn write_fields(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sender_ip.iter().try_for_each(|ip| write!(f, ",arp_spa={ip}"))?;
        self.target_ip.iter().try_for_each(|ip| write!(f, ",arp_tpa={ip}"))?;
        self.op.iter().try_for_each(|op| write!(f, ",arp_op={op}"))?;
        self.sender_mac.iter().try_for_each(|mac| write!(f, ",arp_sha={mac}"))
    }

    /// Takes up one field, where it is one of these.
    pub(super) fn parse_field(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "arp_spa" => self.sender_ip = Some(value.parse().ok()?),
            "arp_tpa" => self.target_ip = Some(value.parse().ok()?),
            "arp_op" => self.op = Some(value.parse().ok()?),
            "arp_sha" => self.sender_mac = Some(value.parse().ok()?),
            _ => return None,
        }
        Some(())
    }
}
