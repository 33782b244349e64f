//! Packets with addresses of the test's choice, for networks that route and judge them.
//!
//! No guest answers them: a TCP reset and an echo reply have no answer, and a guest has no way back to another network unless
//! a test gives it one.

use std::{fmt, net::Ipv4Addr};

use macaddr::MacAddr6;

use crate::frame::{Token, checksum, ipv4_with, udp};

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A TCP reset to this port.
    Tcp(u16),
    /// A UDP datagram to this port.
    Udp(u16),
    /// An echo reply.
    Icmp,
    /// Something of this protocol.
    Other(u8),
}

/// An IPv4 packet in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The frame's destination.
    pub mac: MacAddr6,
    /// Source address.
    pub from: Ipv4Addr,
    /// Destination address.
    pub to: Ipv4Addr,
    /// What it carries.
    pub payload: Payload,
}

impl Packet {
    pub(crate) fn bytes(&self, token: Token) -> Vec<u8> {
        let addresses = [self.from.octets(), self.to.octets()].concat();
        let (protocol, content) = match self.payload {
            Payload::Tcp(port) => (6, tcp(&addresses, port, token)),
            Payload::Udp(port) => (17, udp(&addresses, port, token)),
            Payload::Icmp => (1, icmp(token)),
            Payload::Other(protocol) => (protocol, [&[0; 20][..], &token.bytes()].concat()),
        };
        ipv4_with(self.from, self.to, protocol, &content)
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.payload {
            Payload::Tcp(port) => write!(f, "TCP to {}:{port}", self.to),
            Payload::Udp(port) => write!(f, "UDP to {}:{port}", self.to),
            Payload::Icmp => write!(f, "ICMP to {}", self.to),
            Payload::Other(protocol) => write!(f, "protocol {protocol} to {}", self.to),
        }
    }
}

fn tcp(addresses: &[u8], port: u16, token: Token) -> Vec<u8> {
    let [high, low] = port.to_be_bytes();
    // Ports, sequence numbers, header length, the flag RST, window, checksum (below), urgent pointer.
    let mut segment = vec![0x9c, 0x40, high, low, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x04, 0, 0, 0, 0, 0, 0];
    segment.extend_from_slice(&token.bytes());
    let length = u16::try_from(segment.len()).unwrap_or(u16::MAX).to_be_bytes();
    let pseudo_header = [addresses, &[0, 6], &length].concat();
    let sum = checksum(&[&pseudo_header[..], &segment].concat());
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    segment
}

fn icmp(token: Token) -> Vec<u8> {
    // Echo reply, code, checksum (below), identifier and number, then as much as fills a frame.
    let mut message = [&[0, 0, 0, 0, 0, 1, 0, 1][..], &[0; 12], &token.bytes()].concat();
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}
