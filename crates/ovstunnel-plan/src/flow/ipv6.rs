//! What a flow matches of an IPv6 packet, in the words of `ovs-ofctl`.
//!
//! What it does: protocol, destination, destination port: what the guards of tunnels' ends have; neighbour discovery. What it must not do: match what stands
//! behind extension headers otherwise than Open vSwitch does, which skips those that it knows.

use std::fmt;

use ipnet::Ipv6Net;

use super::DiscoveryMatch;
use super::ipv4::{PortMask, protocol_of, read_port, write_protocol};

/// Protocol number of ICMPv6.
const ICMPV6: u8 = 58;

/// Protocol numbers that Open vSwitch has words for.
const WORDS: [(u8, &str); 4] = [(6, "tcp6"), (17, "udp6"), (ICMPV6, "icmp6"), (132, "sctp6")];

/// What an IPv6 packet must be; what is `None` matches anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ipv6Match {
    /// Protocol number.
    pub proto: Option<u8>,
    /// Destination addresses; never the network of all addresses, and without bits behind its prefix.
    pub dst: Option<Ipv6Net>,
    /// Destination ports of TCP, UDP or SCTP.
    pub dst_port: Option<PortMask>,
    /// What it must be of neighbour discovery; nothing unless the protocol is ICMPv6.
    pub discovery: DiscoveryMatch,
}

impl Ipv6Match {
    /// Packets of neighbour discovery.
    pub fn of_discovery(discovery: DiscoveryMatch) -> Self {
        Ipv6Match { proto: Some(ICMPV6), discovery, ..Ipv6Match::default() }
    }

    /// Writes the words that say which packets these are: they stand before all others.
    pub(super) fn write_protocol(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_protocol(f, self.proto, "ipv6", &WORDS)
    }

    /// Writes address and port.
    pub(super) fn write_fields(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dst {
            Some(net) if net.prefix_len() == 128 => write!(f, ",ipv6_dst={}", net.addr())?,
            Some(net) => write!(f, ",ipv6_dst={net}")?,
            None => {}
        }
        self.discovery.write_fields(f)?;
        self.dst_port.map_or(Ok(()), |port| write!(f, ",tp_dst={port}"))
    }

    /// Takes up one field, where it is one of these.
    pub(super) fn parse_field(this: &mut Option<Self>, name: &str, value: &str) -> Option<()> {
        if value.is_empty() {
            let proto = protocol_of(name, &WORDS);
            (name == "ipv6" || proto.is_some()).then_some(())?;
            let ip = this.get_or_insert_default();
            ip.proto = proto.or(ip.proto);
            return Some(());
        }
        let ip = this.as_mut()?;
        match name {
            "nw_proto" => ip.proto = Some(value.parse().ok()?),
            "ipv6_dst" => ip.dst = Some(read_net(value)?),
            "tp_dst" => ip.dst_port = Some(read_port(value)?),
            _ if ip.proto == Some(ICMPV6) => ip.discovery.parse_field(name, value)?,
            _ => return None,
        }
        Some(())
    }
}

fn read_net(text: &str) -> Option<Ipv6Net> {
    let net: Ipv6Net =
        if text.contains('/') { text.parse().ok()? } else { Ipv6Net::from(text.parse::<std::net::Ipv6Addr>().ok()?) };
    (net.trunc() == net).then_some(net)
}
