//! A packet that a daemon is asked about. Must not check what the daemon checks.

use std::net::Ipv4Addr;

/// An IPv4 packet in a frame that is followed through a switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its source.
    pub from: Ipv4Addr,
    /// Its destination.
    pub to: Ipv4Addr,
    /// `icmp`, `tcp` or `udp`.
    pub protocol: String,
    /// Port of its destination; only where the protocol has ports.
    pub to_port: Option<u16>,
}
