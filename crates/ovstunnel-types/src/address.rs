//! Addresses of VMs and of the networks that they are in, valid by construction.
//!
//! What it does: Ethernet addresses of one card, and networks without host bits. What it must not do: know what they are
//! the addresses of.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use ipnet::Ipv4Net;
use macaddr::MacAddr6;
use serde::{Deserialize, Serialize};

use crate::Invalid;
use crate::value::by_text;

/// Most addresses of VMs for which the switch answers on one bridge: each has four flows, or eight, and its text in the record.
pub const NEIGHBOURS_MAX: usize = 1000;

/// Whether a VM can have an address that others than its neighbours know it by: of IPv6, global and unique local ones.
pub fn can_be_of_a_vm(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => can_be_a_host(ip),
        // 2000::/3 and fc00::/7.
        IpAddr::V6(ip) => ip.octets()[0] & 0xe0 == 0x20 || ip.octets()[0] & 0xfe == 0xfc,
    }
}

fn can_be_a_host(ip: &Ipv4Addr) -> bool {
    !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.octets()[0] >= 240 || ip.octets()[0] == 0)
}

/// The Ethernet address of one network card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac([u8; 6]);

impl Mac {
    const RULE: &'static str = "must be the Ethernet address of one card, six bytes in hexadecimal digits with colons";

    /// The address to which Open vSwitch sends BFD.
    pub const BFD: Mac = Mac([0x00, 0x23, 0x20, 0x00, 0x00, 0x01]);

    /// Its six bytes.
    pub fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let colons = text.len() == 17 && text.split(':').count() == 6;
        let mac = text.parse::<MacAddr6>().ok().filter(|mac| colons && !mac.is_multicast() && !mac.is_nil());
        mac.map(|mac| Mac(mac.into_array())).ok_or_else(|| Invalid::new(Self::RULE, text))
    }
}

by_text!(Mac);

/// A network of IPv4 addresses: address and length of its prefix, with no bit set behind the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr(Ipv4Net);

impl Cidr {
    const SYNTAX: &'static str = "must be an IPv4 network in CIDR notation, such as 10.1.1.0/24";
    const HOST_BITS: &'static str = "must have no bit set behind its prefix";

    /// The network of one address.
    pub fn single_host(ip: Ipv4Addr) -> Self {
        Cidr(Ipv4Net::from(ip))
    }

    /// Reads one as `ovs-ofctl` does: bits behind the prefix count as 0. Beside it whether there were any.
    ///
    /// # Errors
    /// When it is no network in CIDR notation.
    pub fn parse_masked(text: &str) -> Result<(Self, bool), Invalid> {
        let net: Ipv4Net = text.parse().map_err(|_| Invalid::new(Self::SYNTAX, text))?;
        Ok((Cidr(net.trunc()), net.trunc() != net))
    }

    /// The first address.
    pub fn address(self) -> Ipv4Addr {
        self.0.addr()
    }

    /// Length of the prefix in bits.
    pub fn prefix(self) -> u8 {
        self.0.prefix_len()
    }

    /// Whether an address is in it.
    pub fn contains(self, ip: Ipv4Addr) -> bool {
        self.0.contains(&ip)
    }

    /// What a flow has to match for it: nothing where every address is in it.
    pub fn unless_any(self) -> Option<Self> {
        (self.prefix() > 0).then_some(self)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Cidr {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match Self::parse_masked(text)? {
            (net, false) => Ok(net),
            (_, true) => Err(Invalid::new(Self::HOST_BITS, text)),
        }
    }
}

by_text!(Cidr);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_is_that_of_one_card() {
        assert_eq!("02:00:AB:00:00:01".parse::<Mac>().unwrap().to_string(), "02:00:ab:00:00:01");
        let bad = ["", "02:00:00:00:00", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"];
        let ugly = ["0200.0000.0001", "02-00-00-00-00-01", "2:0:0:0:0:1", "02:00:00:00:00:0g", "02:00:00:00:00:01;"];
        for bad in bad.into_iter().chain(ugly) {
            assert!(bad.parse::<Mac>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_network_has_no_host_bits() {
        for good in ["10.1.1.0/24", "0.0.0.0/0", "10.1.1.7/32"] {
            assert_eq!(good.parse::<Cidr>().unwrap().to_string(), good);
        }
        assert_eq!("0.0.0.0/0".parse::<Cidr>().unwrap().unless_any(), None);
        assert_eq!("10.1.1.1/24".parse::<Cidr>().unwrap_err().rule, Cidr::HOST_BITS);
        let masked =
            |text| Cidr::parse_masked(text).map(|(net, had)| (net.to_string(), had)).map_err(|error| error.rule);
        assert_eq!(masked("10.1.2.77/24"), Ok(("10.1.2.0/24".into(), true)));
        assert_eq!(masked("10.1.2.0/24"), Ok(("10.1.2.0/24".into(), false)));
        assert_eq!(masked("10.1.2.77/33"), Err(Cidr::SYNTAX));
        for bad in ["", "10.1.1.0", "10.1.1.0/33", "10.1.1.0/-1", "10.1/16", "2001:db8::/32", "10.1.1.0/24 "] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad:?}");
        }
    }
}
