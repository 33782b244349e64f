//! What a flow matches of a packet of IPv6's neighbour discovery (RFC 4861), in the words of `ovs-ofctl`.
//!
//! What it does: solicitations and advertisements, and the addresses by which somebody is known. What it must not do: match flags: Open vSwitch
//! compares them as a whole only.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::{Invalid, Mac};

/// The Ethernet address that a packet has as its option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DiscoveryOption {
    /// It has none.
    Missing,
    /// This one.
    Is(Mac),
}

impl DiscoveryOption {
    /// Its six bytes, as Open vSwitch compares them.
    pub fn octets(self) -> [u8; 6] {
        match self {
            DiscoveryOption::Missing => [0; 6],
            DiscoveryOption::Is(mac) => mac.octets(),
        }
    }
}

impl fmt::Display for DiscoveryOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DiscoveryOption::Missing => f.write_str(ZEROS),
            DiscoveryOption::Is(mac) => mac.fmt(f),
        }
    }
}

impl FromStr for DiscoveryOption {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text == ZEROS { Ok(DiscoveryOption::Missing) } else { text.parse().map(DiscoveryOption::Is) }
    }
}

/// How Open vSwitch prints an option that is missing.
const ZEROS: &str = "00:00:00:00:00:00";

/// What such a packet must be; what is `None` matches anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiscoveryMatch {
    /// Type of ICMPv6.
    pub kind: Option<u8>,
    /// Source Ethernet address of the frame.
    pub eth_src: Option<Mac>,
    /// Source address of the packet.
    pub source: Option<Ipv6Addr>,
    /// The address that is asked for, or that is somebody's.
    pub target: Option<Ipv6Addr>,
    /// The Ethernet address of the source, a solicitation's option.
    pub source_mac: Option<DiscoveryOption>,
    /// The Ethernet address of the target, an advertisement's option.
    pub target_mac: Option<DiscoveryOption>,
}

impl DiscoveryMatch {
    /// The type of a solicitation: who has this address?
    pub const SOLICITATION: u8 = 135;

    /// The type of an advertisement: this address is here.
    pub const ADVERTISEMENT: u8 = 136;

    /// Writes its fields.
    pub(super) fn write_fields(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.eth_src.iter().try_for_each(|mac| write!(f, ",dl_src={mac}"))?;
        self.source.iter().try_for_each(|ip| write!(f, ",ipv6_src={ip}"))?;
        self.kind.iter().try_for_each(|kind| write!(f, ",icmp_type={kind}"))?;
        self.target.iter().try_for_each(|ip| write!(f, ",nd_target={ip}"))?;
        self.source_mac.iter().try_for_each(|mac| write!(f, ",nd_sll={mac}"))?;
        self.target_mac.iter().try_for_each(|mac| write!(f, ",nd_tll={mac}"))
    }

    /// Takes up one field, where it is one of these.
    pub(super) fn parse_field(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "dl_src" => self.eth_src = Some(value.parse().ok()?),
            "ipv6_src" => self.source = Some(value.parse().ok()?),
            "icmp_type" => self.kind = Some(value.parse().ok()?),
            "nd_target" => self.target = Some(value.parse().ok()?),
            "nd_sll" => self.source_mac = Some(value.parse().ok()?),
            "nd_tll" => self.target_mac = Some(value.parse().ok()?),
            _ => return None,
        }
        Some(())
    }
}
