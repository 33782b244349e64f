//! Kinds of tunnels: all that depends on the kind, and which types of Interface are tunnels at all.
//!
//! What it does: names each kind as Open vSwitch does, with what carries it, what it costs and what it can be told. A second kind
//! begins here, and the compiler says where else. What it must not do: know which tunnels there are, or read a database.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use crate::{GreKey, RemoteIp};

/// A kind of tunnel that ovstunnel makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TunnelKind {
    /// GRE with a key (RFC 2784, RFC 2890), with Ethernet frames inside.
    Gre,
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
    pub const ALL: [TunnelKind; 1] = [TunnelKind::Gre];

    /// The kind of each tunnel of which nothing says the kind: there is one only. It cannot be built any more once there is a
    /// second one; take it away then, and the compiler names each place that has to be told the kind.
    pub const ONLY: TunnelKind = match Self::ALL {
        [TunnelKind::Gre] => TunnelKind::Gre,
    };

    /// Column `type` of its Interface.
    pub const fn interface_type(self) -> &'static str {
        match self {
            TunnelKind::Gre => "gre",
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
        }
    }

    /// Bytes that it adds to what a guest's IP packet takes on the underlay. GRE with a key: outer IPv4 20, GRE 8, inner
    /// Ethernet 14 (docs/ovs-facts.md).
    pub const fn overhead(self) -> u32 {
        match self {
            TunnelKind::Gre => 20 + 8 + 14,
        }
    }

    /// The keys that a network can have. GRE could carry 32 bits, but the management server's integers are signed; 0 is what
    /// comes by no tunnel.
    pub const fn keys(self) -> RangeInclusive<u32> {
        match self {
            TunnelKind::Gre => 1..=i32::MAX as u32,
        }
    }

    /// The options of its Interface.
    pub fn options(self, key: GreKey, remote_ip: RemoteIp, local_ip: Option<RemoteIp>) -> Vec<(&'static str, String)> {
        match self {
            TunnelKind::Gre => {
                let mut options = vec![("key", key.to_string()), ("remote_ip", remote_ip.to_string())];
                options.extend(local_ip.map(|ip| ("local_ip", ip.to_string())));
                options
            }
        }
    }

    /// What of the kernel makes it, where the datapath is the kernel's.
    pub const fn kernel_modules(self) -> KernelModules {
        match self {
            TunnelKind::Gre => {
                KernelModules { names: &["gre", "ip_gre", "vport_gre"], files: &["/ip_gre.ko", "vport-gre.ko"] }
            }
        }
    }
}

/// Types of Interface that are tunnels to Open vSwitch and are never ours (`vswitchd/vswitch.xml`, 2.5 to 3.5), each with the UDP port
/// to which it sends where `options:dst_port` names none, as far as VMs are kept from it.
const FOREIGN: [(&str, Option<u16>); 11] = [
    ("gre64", None),
    ("ip6gre", None),
    ("erspan", None),
    ("ip6erspan", None),
    ("vxlan", Some(4789)),
    ("geneve", Some(6081)),
    ("stt", None),
    ("lisp", None),
    ("gtpu", None),
    ("bareudp", None),
    ("srv6", None),
];

/// Whether an Interface of this type is a tunnel, of whatever kind that Open vSwitch knows.
pub fn is_tunnel_type(text: &str) -> bool {
    TunnelKind::of_interface_type(text).is_some() || FOREIGN.iter().any(|(foreign, _)| *foreign == text)
}

/// The UDP port to which tunnels of this type of Interface send where `options:dst_port` names none, as far as it is known.
pub fn tunnel_udp_port(text: &str) -> Option<u16> {
    match TunnelKind::of_interface_type(text).map(TunnelKind::carrier) {
        Some(Carrier::Udp(port)) => Some(port),
        Some(Carrier::Ip(_)) => None,
        None => FOREIGN.iter().find(|(foreign, _)| *foreign == text).and_then(|(_, port)| *port),
    }
}

/// Where a tunnel leads, and what makes two tunnels one to Open vSwitch: it refuses the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TunnelEndpoint {
    /// Its kind.
    pub kind: TunnelKind,
    /// Address of the other end.
    pub remote_ip: Ipv4Addr,
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_by_its_type_and_each_type_is_one_kind() {
        for kind in TunnelKind::ALL {
            assert_eq!(TunnelKind::of_interface_type(kind.interface_type()), Some(kind));
            assert!(FOREIGN.iter().all(|(foreign, _)| *foreign != kind.interface_type()), "{kind:?} is ours");
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
        let leads = TunnelEndpoint { kind: TunnelKind::Gre, remote_ip: Ipv4Addr::new(192, 0, 2, 2), key: 5 };
        assert_eq!(read("gre", &[("remote_ip", "192.0.2.2"), ("key", "5")]), Some(leads));
        assert_eq!(read("gre", &[("remote_ip", "192.0.2.2"), ("in_key", "5")]), Some(leads));
        assert_eq!(read("vxlan", &[("remote_ip", "192.0.2.2"), ("key", "5")]), None);
        assert_eq!(read("gre", &[("remote_ip", "flow"), ("key", "5")]), None);
        assert_eq!(read("gre", &[("remote_ip", "192.0.2.2")]), None);
    }
}
