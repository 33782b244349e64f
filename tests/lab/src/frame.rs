//! Frames that a test sends: one of each kind that a switch treats differently, each with a token of its own at its end.
//!
//! They are valid packets (lengths and checksums right), so that nothing on the way has a reason to drop them, and such
//! that no VM answers them: each causes exactly the copies that the switches make of it. Nothing here sends anything.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use macaddr::MacAddr6;

use crate::routed::Packet;
use crate::wrapped::Wrapped;

/// The discard port: each VM has a socket there that never answers.
pub(crate) const DISCARD: u16 = 9;

/// Length of the token at the end of each frame, in bytes: a mark of the lab, and a number.
const TOKEN_LENGTH: usize = 12;

/// EtherType for local experiments (IEEE 802).
const EXPERIMENTAL: u16 = 0x88b5;

/// What kind of frame to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To `ff:ff:ff:ff:ff:ff`: an ARP request for an address that nobody has.
    Broadcast,
    /// UDP to an IPv4 multicast group, at the MAC address that belongs to the group (`01:00:5e:…`).
    Multicast(Ipv4Addr),
    /// UDP to an IPv6 multicast group, at the MAC address that belongs to the group (`33:33:…`).
    Ipv6Multicast(Ipv6Addr),
    /// IPv4 to a locally administered MAC address that nobody has; another one for each frame.
    UnknownUnicast,
    /// IPv6 to a locally administered MAC address that nobody has; another one for each frame.
    Ipv6UnknownUnicast,
    /// Neither IPv4 nor IPv6, to `ff:ff:ff:ff:ff:ff`.
    OtherProtocol,
    /// A packet with addresses, protocol and port of the test's choice.
    Routed(Packet),
    /// A frame of the test's own making: tags, a tunnel's packet, any type.
    Wrapped(Wrapped),
    /// UDP to a VM at its own address. The switches know it once it has sent something.
    KnownUnicast {
        /// The receiver's MAC address.
        mac: MacAddr6,
        /// The receiver's address.
        ip: Ipv4Addr,
    },
}

impl Kind {
    /// mDNS's group: link-local multicast, which snooping switches flood always.
    pub const LINK_LOCAL_MULTICAST: Self = Self::Multicast(Ipv4Addr::new(224, 0, 0, 251));
    /// SSDP's group, outside `224.0.0.0/24`.
    pub const SSDP_MULTICAST: Self = Self::Multicast(Ipv4Addr::new(239, 255, 255, 250));
    /// All nodes on the link, `ff02::1`.
    pub const IPV6_ALL_NODES: Self = Self::Ipv6Multicast(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));

    /// Every kind that is to reach every other VM of a network.
    pub const FLOODED: [Self; 7] = [
        Self::Broadcast,
        Self::LINK_LOCAL_MULTICAST,
        Self::SSDP_MULTICAST,
        Self::IPV6_ALL_NODES,
        Self::UnknownUnicast,
        Self::Ipv6UnknownUnicast,
        Self::OtherProtocol,
    ];

    /// Whether it is an IPv6 packet, which a network may drop by its settings.
    pub fn is_ipv6(self) -> bool {
        matches!(self, Self::Ipv6Multicast(_) | Self::Ipv6UnknownUnicast)
    }

    /// The frame of this kind from a sender, without checksum as on a packet socket.
    pub(crate) fn frame(self, from: Sender, token: Token) -> Vec<u8> {
        let nobody = Ipv4Addr::from_bits(from.ip.to_bits() | 0xff ^ 2);
        match self {
            Self::Broadcast => ethernet(MacAddr6::broadcast(), from, 0x0806, &arp_request(from, nobody), token),
            Self::Multicast(group) => {
                let [_, b, c, d] = group.octets();
                let mac = MacAddr6::new(1, 0, 0x5e, b & 0x7f, c, d);
                ethernet(mac, from, 0x0800, &ipv4(from.ip, group, token), token)
            }
            Self::Ipv6Multicast(group) => {
                let [.., a, b, c, d] = group.octets();
                ethernet(MacAddr6::new(0x33, 0x33, a, b, c, d), from, 0x86dd, &ipv6(from, group, token), token)
            }
            Self::UnknownUnicast => ethernet(token.unused_mac(), from, 0x0800, &ipv4(from.ip, nobody, token), token),
            Self::Ipv6UnknownUnicast => {
                let to = link_local(token.unused_mac());
                ethernet(token.unused_mac(), from, 0x86dd, &ipv6(from, to, token), token)
            }
            Self::OtherProtocol => ethernet(MacAddr6::broadcast(), from, EXPERIMENTAL, &[0; 46], token),
            Self::KnownUnicast { mac, ip } => ethernet(mac, from, 0x0800, &ipv4(from.ip, ip, token), token),
            Self::Routed(packet) => ethernet(packet.mac, from, 0x0800, &packet.bytes(token), token),
            Self::Wrapped(wrapped) => wrapped.frame(from, token),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broadcast => write!(f, "broadcast"),
            Self::Multicast(group) => write!(f, "multicast to {group}"),
            Self::Ipv6Multicast(group) => write!(f, "multicast to {group}"),
            Self::UnknownUnicast => write!(f, "unknown unicast"),
            Self::Ipv6UnknownUnicast => write!(f, "unknown unicast (IPv6)"),
            Self::OtherProtocol => write!(f, "broadcast of another protocol"),
            Self::KnownUnicast { ip, .. } => write!(f, "unicast to {ip}"),
            Self::Routed(packet) => write!(f, "{packet}"),
            Self::Wrapped(wrapped) => write!(f, "{wrapped}"),
        }
    }
}

/// A gratuitous ARP request: what a VM sends after it has moved, so that all switches learn where it is now.
pub(crate) fn announcement(from: Sender) -> Vec<u8> {
    ethernet(MacAddr6::broadcast(), from, 0x0806, &arp_request(from, from.ip), Token { mark: 0, number: 0 })
}

/// The addresses of the VM that sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    pub(crate) mac: MacAddr6,
    pub(crate) ip: Ipv4Addr,
}

/// What tells one sent frame from all others: the lab's mark, and the frame's number in the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) mark: u64,
    pub(crate) number: u32,
}

impl Token {
    /// The token at the end of a frame; what it is in a frame without one, means nothing: compare the mark.
    pub(crate) fn of(frame: &[u8]) -> Option<Self> {
        let (mark, number) = frame.last_chunk::<TOKEN_LENGTH>()?.split_first_chunk::<8>()?;
        Some(Self { mark: u64::from_be_bytes(*mark), number: u32::from_be_bytes(number.try_into().ok()?) })
    }

    pub(crate) fn bytes(self) -> [u8; TOKEN_LENGTH] {
        let mut bytes = [0; TOKEN_LENGTH];
        bytes[..8].copy_from_slice(&self.mark.to_be_bytes());
        bytes[8..].copy_from_slice(&self.number.to_be_bytes());
        bytes
    }

    /// A unicast address (lowest bit of the first byte clear) that is locally administered (next bit set). VMs have others.
    fn unused_mac(self) -> MacAddr6 {
        let [a, b, c, d] = self.number.to_be_bytes();
        MacAddr6::new(0x0e, 0xee, a, b, c, d)
    }
}

/// An Ethernet frame of at least 60 bytes: the shortest that is not padded on the way, which would hide the token.
/// The payload has its token already, or gets it after padding.
fn ethernet(to: MacAddr6, from: Sender, ethertype: u16, payload: &[u8], token: Token) -> Vec<u8> {
    let mut frame = Vec::with_capacity(96);
    frame.extend_from_slice(to.as_bytes());
    frame.extend_from_slice(from.mac.as_bytes());
    frame.extend_from_slice(&ethertype.to_be_bytes());
    frame.extend_from_slice(payload);
    if !frame.ends_with(&token.bytes()) {
        frame.resize(frame.len().max(60 - TOKEN_LENGTH), 0);
        frame.extend_from_slice(&token.bytes());
    }
    frame
}

fn arp_request(from: Sender, wanted: Ipv4Addr) -> Vec<u8> {
    let mut arp = vec![0, 1, 0x08, 0, 6, 4, 0, 1];
    arp.extend_from_slice(from.mac.as_bytes());
    arp.extend_from_slice(&from.ip.octets());
    arp.extend_from_slice(&[0; 6]);
    arp.extend_from_slice(&wanted.octets());
    arp
}

fn ipv4(from: Ipv4Addr, to: Ipv4Addr, token: Token) -> Vec<u8> {
    let udp = udp(&[from.octets(), to.octets()].concat(), DISCARD, token);
    ipv4_with(from, to, 17, &udp)
}

/// An IPv4 packet with this in it.
pub(crate) fn ipv4_with(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, content: &[u8]) -> Vec<u8> {
    // Version and header length, service, length, identification and flags, time to live, protocol, checksum (below).
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 16, protocol, 0, 0];
    packet.extend_from_slice(&from.octets());
    packet.extend_from_slice(&to.octets());
    let length = length(packet.len() + content.len());
    packet[2..4].copy_from_slice(&length);
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend_from_slice(content);
    packet
}

fn ipv6(from: Sender, to: Ipv6Addr, token: Token) -> Vec<u8> {
    let (source, target) = (link_local(from.mac).octets(), to.octets());
    let udp = udp(&[&source[..], &target[..]].concat(), DISCARD, token);
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend_from_slice(&length(udp.len()));
    packet.extend_from_slice(&[17, 255]);
    packet.extend_from_slice(&source);
    packet.extend_from_slice(&target);
    packet.extend_from_slice(&udp);
    packet
}

/// A UDP datagram. `addresses` are both ends, for the checksum.
pub(crate) fn udp(addresses: &[u8], to_port: u16, token: Token) -> Vec<u8> {
    // Eight bytes before the token, so that every frame is longer than 60 bytes.
    let payload = [&[0; 8][..], &token.bytes()[..]].concat();
    let length = length(8 + payload.len());
    let (from_port, to_port) = (DISCARD.to_be_bytes(), to_port.to_be_bytes());
    let mut datagram = [&from_port[..], &to_port, &length, &[0, 0], &payload].concat();
    let pseudo_header = [addresses, &[0, 17], &length].concat();
    let sum = checksum(&[&pseudo_header[..], &datagram].concat());
    // A sum of 0 is sent as 0xffff: 0 means 'no checksum'.
    let sum = if sum == 0 { 0xffff } else { sum };
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    datagram
}

/// A length field. All packets here are below 100 bytes.
fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes()
}

/// The Internet checksum (RFC 1071) of data of an even length.
pub(crate) fn checksum(data: &[u8]) -> u16 {
    let mut sum: u32 = data.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // Fits: the loop has folded it to 16 bits.
    !(sum as u16)
}

/// The link-local address that belongs to a MAC address (RFC 4291, appendix A).
pub(crate) fn link_local(mac: MacAddr6) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.into_array();
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Payload;

    const FROM: Sender = Sender { mac: MacAddr6::new(2, 0, 0, 0, 0, 1), ip: Ipv4Addr::new(10, 1, 0, 1) };
    const TOKEN: Token = Token { mark: 0x1122_3344_5566_7788, number: 77 };

    #[test]
    fn every_kind_ends_with_its_token_and_needs_no_padding() {
        let unicast = Kind::KnownUnicast { mac: MacAddr6::new(2, 0, 0, 0, 0, 2), ip: Ipv4Addr::new(10, 1, 0, 2) };
        let packet = Packet {
            mac: MacAddr6::new(2, 0, 0, 0, 0, 3),
            from: FROM.ip,
            to: Ipv4Addr::new(10, 2, 0, 1),
            payload: Payload::Icmp,
        };
        let routed = [Payload::Icmp, Payload::Tcp(80), Payload::Udp(53), Payload::Other(47)]
            .map(|payload| Kind::Routed(Packet { payload, ..packet }));
        for kind in Kind::FLOODED.into_iter().chain([unicast]).chain(routed) {
            let frame = kind.frame(FROM, TOKEN);
            assert!(frame.len() >= 60, "{kind}: {} bytes", frame.len());
            assert_eq!(Token::of(&frame), Some(TOKEN), "{kind}");
            assert_eq!(&frame[6..12], FROM.mac.as_bytes(), "{kind}");
        }
    }

    #[test]
    fn destination_addresses_are_those_of_the_kind() {
        let to = |kind: Kind| MacAddr6::from(*kind.frame(FROM, TOKEN).first_chunk::<6>().unwrap()).to_string();
        assert_eq!(to(Kind::Broadcast), "FF:FF:FF:FF:FF:FF");
        assert_eq!(to(Kind::SSDP_MULTICAST), "01:00:5E:7F:FF:FA");
        assert_eq!(to(Kind::IPV6_ALL_NODES), "33:33:00:00:00:01");
        assert_eq!(to(Kind::UnknownUnicast), "0E:EE:00:00:00:4D");
    }

    #[test]
    fn checksums_are_right() {
        let frame = Kind::SSDP_MULTICAST.frame(FROM, TOKEN);
        assert_eq!(checksum(&frame[14..34]), 0, "a header with its checksum sums up to 0");
        let pseudo_header = [&frame[26..34], &[0, 17, 0, 28]].concat();
        assert_eq!(checksum(&[&pseudo_header, &frame[34..]].concat()), 0);
        assert_eq!(frame.len(), 14 + 20 + 28);
    }
}
