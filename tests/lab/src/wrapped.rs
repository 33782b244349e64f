//! Frames with VLAN tags, tunnels' packets, router advertisements, and frames of any type: what a VM can make up to get
//! somewhere else or past a rule. Nothing here sends anything.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use macaddr::MacAddr6;

use crate::frame::{Kind, Sender, Token, checksum, ipv4_with, link_local};

/// A kind of tunnel, with its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tunnel {
    /// GRE with a key, Ethernet in it.
    Gre(u32),
    /// VXLAN, UDP port 4789.
    Vxlan(u32),
    /// Geneve, UDP port 6081.
    Geneve(u32),
}

/// What stands behind the tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A tunnel's packet between these addresses; in it a broadcast of the VM that sends.
    Tunnelled(Tunnel, IpAddr, IpAddr),
    /// A UDP datagram from the VM to this address.
    Ipv4(Ipv4Addr),
    /// A router advertisement of the prefix `2001:db8:0:<number>::/64`.
    RouterAdvertisement(u16),
    /// This type, or length, of Ethernet, and how what follows begins.
    Type(u16, &'static [u8]),
}

/// A frame of the test's own making.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// Its destination.
    pub mac: MacAddr6,
    /// VLAN tags, the outermost first: type and VLAN; unused ones are `None`.
    pub tags: [Option<(u16, u16)>; 4],
    /// What stands behind them.
    pub content: Content,
}

impl Wrapped {
    /// Without tags.
    pub fn plain(mac: MacAddr6, content: Content) -> Self {
        Self { mac, tags: [None; 4], content }
    }

    /// A router advertisement behind these tags, each with VLAN 0.
    pub fn advertisement(number: u16, tags: &[u16]) -> Self {
        let mac = MacAddr6::new(0x33, 0x33, 0, 0, 0, 1);
        let mut wrapped = Self::plain(mac, Content::RouterAdvertisement(number));
        wrapped.tags.iter_mut().zip(tags).for_each(|(place, tag)| *place = Some((*tag, 0)));
        wrapped
    }

    pub(crate) fn frame(&self, from: Sender, token: Token) -> Vec<u8> {
        let (kind, payload) = match self.content {
            Content::Tunnelled(tunnel, source, target) => {
                (if target.is_ipv6() { 0x86dd } else { 0x0800 }, tunnel.packet(from, source, target, token))
            }
            Content::Ipv4(target) => (0x0800, ipv4_with(from.ip, target, 253, &ending(&[0; 20], token))),
            Content::RouterAdvertisement(number) => (0x86dd, advertisement(from, number)),
            Content::Type(kind, begin) => (kind, ending(&[begin, &[0; 40]].concat(), token)),
        };
        let tags =
            self.tags.iter().flatten().flat_map(|(kind, vlan)| [kind.to_be_bytes(), vlan.to_be_bytes()].concat());
        let mut frame = [self.mac.as_bytes(), from.mac.as_bytes()].concat();
        frame.extend(tags);
        frame.extend_from_slice(&u16::to_be_bytes(kind));
        frame.extend_from_slice(&payload);
        frame
    }
}

impl fmt::Display for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tags: Vec<String> = self.tags.iter().flatten().map(|(kind, vlan)| format!("{kind:#x}/{vlan}")).collect();
        write!(f, "{:?} to {} behind {tags:?}", self.content, self.mac)
    }
}

impl Tunnel {
    /// The packet of this tunnel with a broadcast in it, which ends it with its token.
    fn packet(self, sender: Sender, from: IpAddr, to: IpAddr, token: Token) -> Vec<u8> {
        let inner = Kind::Broadcast.frame(sender, token);
        let vni = |vni: u32| vni << 8;
        let (port, head) = match self {
            Self::Gre(key) => {
                let head = [&[0x20, 0, 0x65, 0x58][..], &key.to_be_bytes()].concat();
                return ip_with(from, to, 47, &[head, inner].concat());
            }
            Self::Vxlan(key) => (4789_u16, [&[8, 0, 0, 0][..], &vni(key).to_be_bytes()].concat()),
            Self::Geneve(key) => (6081, [&[0, 0, 0x65, 0x58][..], &vni(key).to_be_bytes()].concat()),
        };
        let length = u16::try_from(8 + head.len() + inner.len()).unwrap_or(u16::MAX);
        // Without a checksum, as such tunnels have it over IPv4, and may have it over IPv6 (RFC 6935).
        let udp = [[0xc0, 0x01], port.to_be_bytes(), length.to_be_bytes(), [0, 0]].concat();
        ip_with(from, to, 17, &[udp, head, inner].concat())
    }
}

/// A packet between two addresses of one family.
fn ip_with(from: IpAddr, to: IpAddr, protocol: u8, content: &[u8]) -> Vec<u8> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ipv4_with(from, to, protocol, content),
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let length = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
            [&[0x60, 0, 0, 0][..], &length, &[protocol, 64], &from.octets(), &to.octets(), content].concat()
        }
        _ => Vec::new(),
    }
}

fn ending(begin: &[u8], token: Token) -> Vec<u8> {
    [begin, &token.bytes()].concat()
}

/// What a router says to all nodes: a prefix from which each makes itself an address.
fn advertisement(from: Sender, number: u16) -> Vec<u8> {
    let (source, target) = (link_local(from.mac), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
    // Type, code, checksum (below), hop limit, flags, lifetime of the router, reachable time, retransmission timer.
    let mut message = vec![134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
    // Prefix information: length in eights, prefix length, on-link and autonomous, valid and preferred for an hour.
    message.extend_from_slice(&[3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0, 0, 0, 0]);
    message.extend_from_slice(&Ipv6Addr::new(0x2001, 0xdb8, 0, number, 0, 0, 0, 0).octets());
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX).to_be_bytes();
    let pseudo_header = [&source.octets()[..], &target.octets(), &[0, 0], &length, &[0, 0, 0, 58]].concat();
    let sum = checksum(&[&pseudo_header[..], &message].concat());
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    [&[0x60, 0, 0, 0][..], &length, &[58, 255], &source.octets(), &target.octets(), &message].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: Sender = Sender { mac: MacAddr6::new(2, 0, 0, 0, 0, 1), ip: Ipv4Addr::new(10, 1, 0, 1) };
    const TOKEN: Token = Token { mark: 7, number: 8 };

    #[test]
    fn a_count_ends_with_its_token_and_not_before() {
        let (a, b) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        for tunnel in [Tunnel::Gre(5), Tunnel::Vxlan(5), Tunnel::Geneve(5)] {
            let mut wrapped = Wrapped::plain(FROM.mac, Content::Tunnelled(tunnel, a, b));
            wrapped.tags[0] = Some((0x8100, 5));
            let frame = wrapped.frame(FROM, TOKEN);
            assert_eq!(Token::of(&frame), Some(TOKEN), "{wrapped}");
            assert_eq!(frame[12..18], [0x81, 0, 0, 5, 8, 0], "{wrapped}");
            assert_eq!(checksum(&frame[18..38]), 0, "{wrapped}");
        }
        let frame = Wrapped::advertisement(3, &[0x88a8, 0x8100]).frame(FROM, TOKEN);
        assert_eq!(frame[12..22], [0x88, 0xa8, 0, 0, 0x81, 0, 0, 0, 0x86, 0xdd]);
    }
}
