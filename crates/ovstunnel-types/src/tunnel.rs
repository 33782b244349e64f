//! Kinds of tunnels: all that depends on the kind, and which types of Interface are tunnels at all.
//!
//! What it does: names each kind as Open vSwitch does, with what carries it, what it costs and what it can be told. Another kind
//! begins here, and the compiler says where else. What it must not do: know which tunnels there are, or read a database.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{GreKey, Invalid, RemoteIp};

/// A kind of tunnel that ovstunnel makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TunnelKind {
    /// GRE with a key (RFC 2784, RFC 2890), with Ethernet frames inside.
    #[default]
    Gre,
    /// VXLAN (RFC 7348).
    Vxlan,
    /// Geneve (RFC 8926), without options.
    Geneve,
}

/// What carries a tunnel's packets from host to host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// IP itself, with this number of a protocol (IANA).
    Ip(u8),
    /// UDP, to this port where `options:dst_port` names no other.
    Udp(u16),
}

/// The parts of the kernel that make a kind of tunnel, by any of which it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelModules {
    /// What `/sys/module` calls them.
    pub names: &'static [&'static str],
    /// What stands in the path of their files.
    pub files: &'static [&'static str],
}

impl TunnelKind {
    /// All kinds.
    pub const ALL: [TunnelKind; 3] = [TunnelKind::Gre, TunnelKind::Vxlan, TunnelKind::Geneve];

    /// Column `type` of its Interface.
    pub const fn interface_type(self) -> &'static str {
        match self {
            TunnelKind::Gre => "gre",
            TunnelKind::Vxlan => "vxlan",
            TunnelKind::Geneve => "geneve",
        }
    }

    /// The kind that has this type of Interface, where it is one of ours.
    pub fn of_interface_type(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.interface_type() == text)
    }

    /// What carries it.
    pub const fn carrier(self) -> Carrier {
        match self {
            TunnelKind::Gre => Carrier::Ip(47),
            TunnelKind::Vxlan => Carrier::Udp(4789),
            TunnelKind::Geneve => Carrier::Udp(6081),
        }
    }

    /// Bytes that it adds to what a guest's IP packet takes on an underlay of IPv4: outer IPv4 20, inner Ethernet 14, and between them
    /// GRE with a key 8, or UDP 8 and VXLAN's or Geneve's header 8 (docs/ovs-facts.md).
    pub const fn overhead(self) -> u32 {
        match self {
            TunnelKind::Gre => 20 + 8 + 14,
            TunnelKind::Vxlan | TunnelKind::Geneve => 20 + 8 + 8 + 14,
        }
    }

    /// The keys that a network can have; 0 is what comes by no tunnel. GRE could carry 32 bits, but the management server's
    /// integers are signed; the identifiers of VXLAN and Geneve have 24 bits.
    pub const fn keys(self) -> RangeInclusive<u32> {
        match self {
            TunnelKind::Gre => 1..=i32::MAX as u32,
            TunnelKind::Vxlan | TunnelKind::Geneve => 1..=0x00ff_ffff,
        }
    }

    /// The rule of a network's key; it reads on from the name of the field.
    pub fn key_rule(self) -> String {
        format!("must be from 1 to {} where its tunnels are of kind {self}", self.keys().end())
    }

    /// What of the kernel makes it, where the datapath is the kernel's.
    pub const fn kernel_modules(self) -> KernelModules {
        match self {
            TunnelKind::Gre => {
                KernelModules { names: &["gre", "ip_gre", "vport_gre"], files: &["/ip_gre.ko", "vport-gre.ko"] }
            }
            TunnelKind::Vxlan => {
                KernelModules { names: &["vxlan", "vport_vxlan"], files: &["/vxlan.ko", "vport-vxlan.ko"] }
            }
            TunnelKind::Geneve => {
                KernelModules { names: &["geneve", "vport_geneve"], files: &["/geneve.ko", "vport-geneve.ko"] }
            }
        }
    }
}

impl fmt::Display for TunnelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.interface_type())
    }
}

/// How all tunnels of a bridge are made: of which kind, and to which UDP port they go. Both ends must have the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Encap {
    kind: TunnelKind,
    dst_port: Option<u16>,
}

impl Encap {
    /// GRE: what a bridge has where nothing says otherwise.
    pub const GRE: Encap = Encap::of_kind(TunnelKind::Gre);

    /// Of this kind, to its own port.
    pub const fn of_kind(kind: TunnelKind) -> Self {
        Encap { kind, dst_port: None }
    }

    /// Of this kind, to this UDP port; nothing for a kind without ports, and for port 0.
    pub fn to_port(kind: TunnelKind, port: u16) -> Option<Self> {
        match kind.carrier() {
            Carrier::Udp(own) if port > 0 => Some(Encap { kind, dst_port: Some(port).filter(|port| *port != own) }),
            _ => None,
        }
    }

    /// The kind.
    pub const fn kind(self) -> TunnelKind {
        self.kind
    }

    /// The UDP port to which its packets go, where it has ports.
    pub fn udp_port(self) -> Option<u16> {
        match self.kind.carrier() {
            Carrier::Udp(own) => Some(self.dst_port.unwrap_or(own)),
            Carrier::Ip(_) => None,
        }
    }

    /// The options of the Interface of a tunnel, one by one.
    pub fn each_option(
        self,
        key: &GreKey,
        remote_ip: &RemoteIp,
        local_ip: Option<&RemoteIp>,
        option: &mut impl FnMut(&'static str, &dyn fmt::Display),
    ) {
        option("key", key);
        option("remote_ip", remote_ip);
        local_ip.into_iter().for_each(|ip| option("local_ip", ip));
        self.dst_port.iter().for_each(|port| option("dst_port", port));
    }
}

/// As it stands in the record: the kind, and behind a colon the UDP port where it is another than the kind's own.
impl fmt::Display for Encap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dst_port {
            None => self.kind.fmt(f),
            Some(port) => write!(f, "{}:{port}", self.kind),
        }
    }
}

impl FromStr for Encap {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (kind, port) = text.split_once(':').map_or((text, None), |(kind, port)| (kind, Some(port)));
        let read = TunnelKind::of_interface_type(kind).and_then(|kind| match port {
            None => Some(Encap::of_kind(kind)),
            Some(port) => Encap::to_port(kind, port.parse().ok()?),
        });
        read.ok_or_else(|| Invalid::new("must be a kind of tunnel, or one with a UDP port behind a colon", text))
    }
}

/// Types of Interface that are tunnels to Open vSwitch and are never ours (`vswitchd/vswitch.xml`, 2.5 to 3.5).
const FOREIGN: [&str; 9] = ["gre64", "ip6gre", "erspan", "ip6erspan", "stt", "lisp", "gtpu", "bareudp", "srv6"];

/// Whether an Interface of this type is a tunnel, of whatever kind that Open vSwitch knows.
pub fn is_tunnel_type(text: &str) -> bool {
    TunnelKind::of_interface_type(text).is_some() || FOREIGN.contains(&text)
}

/// The UDP port to which tunnels of this type of Interface send where `options:dst_port` names none, as far as it is known.
pub fn tunnel_udp_port(text: &str) -> Option<u16> {
    match TunnelKind::of_interface_type(text).map(TunnelKind::carrier) {
        Some(Carrier::Udp(port)) => Some(port),
        Some(Carrier::Ip(_)) | None => None,
    }
}

/// Where a tunnel leads, and what makes two tunnels one to Open vSwitch: it refuses the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TunnelEndpoint {
    /// Its kind.
    pub kind: TunnelKind,
    /// Address of the other end.
    pub remote_ip: IpAddr,
    /// The key of what comes in.
    pub key: u32,
}

impl TunnelEndpoint {
    /// That of an Interface of this type and with these options; nothing where it is of no kind of ours, or has not a fixed
    /// address and key.
    pub fn of_interface<'o>(interface_type: &str, option: impl Fn(&str) -> Option<&'o str>) -> Option<Self> {
        let kind = TunnelKind::of_interface_type(interface_type)?;
        let (remote, key) = (option("remote_ip")?, option("key").or_else(|| option("in_key"))?);
        Some(TunnelEndpoint { kind, remote_ip: remote.parse().ok()?, key: key.parse().ok()? })
    }

    /// What of a frame says that it came from there, in the words of Open vSwitch's flows.
    pub fn came_from(self) -> String {
        let field = if self.remote_ip.is_ipv6() { "tun_ipv6_src" } else { "tun_src" };
        format!("tun_id={},{field}={}", self.key, self.remote_ip)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn each_kind_is_told_by_its_type_and_each_type_is_one_kind() {
        for kind in TunnelKind::ALL {
            assert_eq!(TunnelKind::of_interface_type(kind.interface_type()), Some(kind));
            assert!(!FOREIGN.contains(&kind.interface_type()), "{kind:?} is ours");
            assert!(!kind.keys().contains(&0), "{kind:?}: `tun_id=0` is what came by no tunnel");
        }
    }

    #[test]
    fn tunnels_of_every_kind_are_told_from_other_interfaces() {
        for tunnel in ["gre", "ip6gre", "erspan", "vxlan", "geneve", "stt", "lisp", "gtpu", "srv6"] {
            assert!(is_tunnel_type(tunnel), "{tunnel}");
        }
        for other in ["", "system", "internal", "tap", "patch", "null", "dpdk", "afxdp", "GRE"] {
            assert!(!is_tunnel_type(other), "{other}");
        }
        let ports = ["gre", "vxlan", "geneve", "", "patch"].map(tunnel_udp_port);
        assert_eq!(ports, [None, Some(4789), Some(6081), None, None]);
    }

    #[test]
    fn where_a_tunnel_leads_is_read_from_fixed_options_only() {
        let read = |kind: &str, options: &[(&str, &'static str)]| {
            TunnelEndpoint::of_interface(kind, |name| options.iter().find(|(key, _)| *key == name).map(|(_, v)| *v))
        };
        let leads = TunnelEndpoint { kind: TunnelKind::Gre, remote_ip: [192, 0, 2, 2].into(), key: 5 };
        assert_eq!(read("gre", &[("remote_ip", "192.0.2.2"), ("key", "5")]), Some(leads));
        assert_eq!(read("gre", &[("remote_ip", "192.0.2.2"), ("in_key", "5")]), Some(leads));
        let vxlan = TunnelEndpoint { kind: TunnelKind::Vxlan, ..leads };
        assert_eq!(read("vxlan", &[("remote_ip", "192.0.2.2"), ("key", "5")]), Some(vxlan));
        assert_eq!(read("erspan", &[("remote_ip", "192.0.2.2"), ("key", "5")]), None);
        assert_eq!(read("gre", &[("remote_ip", "flow"), ("key", "5")]), None);
        assert_eq!(read("gre", &[("remote_ip", "192.0.2.2")]), None);
    }

    #[test]
    fn an_encapsulation_record_is_read_back_with_any_unusual_port() {
        let vxlan = |port| Encap::to_port(TunnelKind::Vxlan, port);
        assert_eq!(vxlan(4789), Some(Encap::of_kind(TunnelKind::Vxlan)));
        assert_eq!((vxlan(0), Encap::to_port(TunnelKind::Gre, 4789)), (None, None));
        let other = vxlan(8472).unwrap();
        assert_eq!((other.to_string(), other.udp_port()), ("vxlan:8472".to_owned(), Some(8472)));
        assert_eq!((Encap::GRE.to_string(), Encap::GRE.udp_port()), ("gre".to_owned(), None));
        for encap in [Encap::GRE, Encap::of_kind(TunnelKind::Vxlan), Encap::of_kind(TunnelKind::Geneve), other] {
            assert_eq!(encap.to_string().parse(), Ok(encap));
        }
        for text in ["", "GRE", "gre:47", "vxlan:", "vxlan:0", "vxlan:65536", "stt"] {
            assert!(text.parse::<Encap>().is_err(), "{text}");
        }
        let options = |encap: Encap| {
            let (key, ip) = ("5".parse().unwrap(), "192.0.2.2".parse().unwrap());
            let mut options = Vec::new();
            encap.each_option(&key, &ip, None, &mut |key, value| options.push((key, value.to_string())));
            options
        };
        assert_eq!(options(other).last(), Some(&("dst_port", "8472".to_owned())));
        assert_eq!(options(Encap::of_kind(TunnelKind::Geneve)).len(), 2);
    }
}
