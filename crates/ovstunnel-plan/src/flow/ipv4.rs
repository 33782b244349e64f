//! What a flow matches of an IPv4 packet, in the words of `ovs-ofctl`.
//!
//! What it does: protocol, addresses, destination port. What it must not do: match a fragment's missing port: Open vSwitch
//! takes the port of a later fragment as 0.

use std::fmt;

use crate::Cidr;

/// Protocol numbers that Open vSwitch has words for.
const WORDS: [(u8, &str); 4] = [(1, "icmp"), (6, "tcp"), (17, "udp"), (132, "sctp")];

/// A part of the port numbers: those that have `value` where `mask` has ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortMask {
    /// The ones of the port numbers; none outside the mask.
    pub value: u16,
    /// Which bits count.
    pub mask: u16,
}

impl PortMask {
    /// One port number.
    pub fn one_port(port: u16) -> Self {
        PortMask { value: port, mask: u16::MAX }
    }

    /// Whether a port number is among them.
    pub fn contains(self, port: u16) -> bool {
        port & self.mask == self.value
    }
}

impl fmt::Display for PortMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mask {
            u16::MAX => self.value.fmt(f),
            mask => write!(f, "{:#x}/{mask:#x}", self.value),
        }
    }
}

/// What an IPv4 packet must be; what is `None` matches anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ipv4Match {
    /// Protocol number.
    pub proto: Option<u8>,
    /// Source addresses; never the network of all addresses.
    pub src: Option<Cidr>,
    /// Destination addresses; never the network of all addresses.
    pub dst: Option<Cidr>,
    /// Destination ports of TCP, UDP or SCTP.
    pub dst_port: Option<PortMask>,
}

impl Ipv4Match {
    /// Writes the words that say which packets these are: they stand before all others.
    pub(super) fn write_protocol(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_protocol(f, self.proto, "ip", &WORDS)
    }

    /// Writes addresses and port.
    pub(super) fn write_fields(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, cidr) in [("nw_src", self.src), ("nw_dst", self.dst)] {
            match cidr {
                Some(cidr) if cidr.prefix() == 32 => write!(f, ",{name}={}", cidr.address())?,
                Some(cidr) => write!(f, ",{name}={cidr}")?,
                None => {}
            }
        }
        self.dst_port.map_or(Ok(()), |port| write!(f, ",tp_dst={port}"))
    }

    /// Takes up one field, where it is one of these.
    pub(super) fn parse_field(this: &mut Option<Self>, name: &str, value: &str) -> Option<()> {
        if value.is_empty() {
            let proto = if name == "igmp" { Some(2) } else { protocol_of(name, &WORDS) };
            (name == "ip" || proto.is_some()).then_some(())?;
            let ip = this.get_or_insert_default();
            ip.proto = proto.or(ip.proto);
            return Some(());
        }
        let ip = this.as_mut()?;
        match name {
            "nw_proto" => ip.proto = Some(value.parse().ok()?),
            "nw_src" => ip.src = Some(read_cidr(value)?),
            "nw_dst" => ip.dst = Some(read_cidr(value)?),
            "tp_dst" => ip.dst_port = Some(read_port(value)?),
            _ => return None,
        }
        Some(())
    }
}

/// Writes which packets these are: all of a family, whose word is `any`, or those of a protocol, by its own word where it has one.
pub(super) fn write_protocol(
    f: &mut fmt::Formatter<'_>,
    proto: Option<u8>,
    any: &str,
    words: &[(u8, &str)],
) -> fmt::Result {
    let Some(proto) = proto else { return write!(f, ",{any}") };
    match words.iter().find(|(number, _)| *number == proto) {
        Some((_, word)) => write!(f, ",{word}"),
        None => write!(f, ",{any},nw_proto={proto}"),
    }
}

/// The protocol that a word stands for.
pub(super) fn protocol_of(word: &str, words: &[(u8, &str)]) -> Option<u8> {
    words.iter().find(|(_, known)| *known == word).map(|(number, _)| *number)
}

fn read_cidr(text: &str) -> Option<Cidr> {
    if text.contains('/') { text.parse().ok() } else { text.parse().ok().map(Cidr::single_host) }
}

pub(super) fn read_port(text: &str) -> Option<PortMask> {
    let number = |text| super::number(text).and_then(|number| u16::try_from(number).ok());
    let Some((value, mask)) = text.split_once('/') else { return number(text).map(PortMask::one_port) };
    Some(PortMask { value: number(value)?, mask: number(mask)? })
}
