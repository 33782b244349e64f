//! Addresses at which tunnels end, valid by construction.
//!
//! What it does: takes IPv4 and IPv6 addresses that a host can have, and gives each one text. What it must not do: know which addresses
//! this host has.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use utoipa::ToSchema;

use crate::Invalid;

/// Address of a host at which tunnels end. IPv4: not of 0.0.0.0/8, not loopback, below 224.0.0.0. IPv6: of 2000::/3 or fc00::/7, taken
/// in any text of RFC 4291 without a dotted part; it has one text of its own (RFC 5952).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(
    value_type = String,
    pattern = "^(([1-9]|[1-9][0-9]|1[013-9][0-9]|12[0-689]|2[01][0-9]|22[0-3])([.](25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])){3}|([23][0-9A-Fa-f]{3}|[Ff][CDcd][0-9A-Fa-f]{2})((:[0-9A-Fa-f]{1,4}){7}|(:[0-9A-Fa-f]{1,4}){0,6}::|:(:[0-9A-Fa-f]{1,4}){1,6}|:[0-9A-Fa-f]{1,4}:(:[0-9A-Fa-f]{1,4}){1,5}|(:[0-9A-Fa-f]{1,4}){2}:(:[0-9A-Fa-f]{1,4}){1,4}|(:[0-9A-Fa-f]{1,4}){3}:(:[0-9A-Fa-f]{1,4}){1,3}|(:[0-9A-Fa-f]{1,4}){4}:(:[0-9A-Fa-f]{1,4}){1,2}|(:[0-9A-Fa-f]{1,4}){5}::[0-9A-Fa-f]{1,4}))$",
    example = "192.0.2.12"
)]
pub struct RemoteIp(IpAddr);

impl RemoteIp {
    const SYNTAX: &'static str =
        "must be an IPv4 address, four numbers with dots, or an IPv6 address, hexadecimal numbers with colons";
    const UNICAST: &'static str =
        "must be another host's address: not 0.0.0.0/8, loopback, multicast, broadcast or reserved";
    const LINK_LOCAL: &'static str =
        "must not be a link-local address: Open vSwitch cannot be told the device by which it is reached";
    const MAPPED: &'static str = "must not be an IPv4 address in IPv6 form: say the IPv4 address itself";
    const UNICAST6: &'static str = "must be another host's address: IPv6 of 2000::/3 or fc00::/7";

    /// The address.
    pub fn get(self) -> IpAddr {
        self.0
    }

    /// This address, where it can be that of a tunnel's end.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn from_address(ip: IpAddr) -> Result<Self, Invalid> {
        let broken = match ip {
            IpAddr::V4(v4) => {
                let first = v4.octets()[0];
                (first == 0 || first >= 224 || v4.is_loopback()).then_some(Self::UNICAST)
            }
            IpAddr::V6(v6) if v6.is_unicast_link_local() => Some(Self::LINK_LOCAL),
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Some(Self::MAPPED),
            IpAddr::V6(v6) => {
                let global = v6.segments()[0] & 0xe000 == 0x2000;
                (!global && !v6.is_unique_local()).then_some(Self::UNICAST6)
            }
        };
        broken.map_or(Ok(RemoteIp(ip)), |rule| Err(Invalid::new(rule, ip.to_string())))
    }
}

impl fmt::Display for RemoteIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RemoteIp {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let ip: IpAddr = text.parse().map_err(|_| Invalid::new(Self::SYNTAX, text))?;
        let remote = Self::from_address(ip).map_err(|error| Invalid::new(error.rule, text))?;
        match ip.is_ipv6() && text.contains('.') {
            true => Err(Invalid::new(Self::SYNTAX, text)),
            false => Ok(remote),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_address_is_unicast() {
        assert!("192.0.2.12".parse::<RemoteIp>().is_ok());
        let bad = [
            "",
            "x",
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "224.0.0.1",
            "239.255.255.250",
            "255.255.255.255",
            "240.0.0.1",
            "::",
            "::1",
            "::192.0.2.1",
            "64:ff9b::1",
            "ff02::1",
            "fec0::1",
            "2001:db8::192.0.2.1",
            "2001:db8::1%eth0",
            "[2001:db8::1]",
            "2001:db8::1/64",
            "2001:db8:::1",
            "2001:db8",
            "192.0.2",
            "192.0.2.1/24",
            "192.0.2.01",
        ];
        for bad in bad {
            assert!(bad.parse::<RemoteIp>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_ipv6_address_has_one_text() {
        for text in ["2001:db8::1", "2001:DB8::1", "2001:db8:0::1", "2001:0db8:0:0:0:0:0:1"] {
            assert_eq!(text.parse::<RemoteIp>().map(|ip| ip.to_string()), Ok("2001:db8::1".to_owned()), "{text}");
        }
        for text in ["fd00:1:2:3:4:5:6:7", "fc00::", "3fff::ffff"] {
            assert_eq!(text.parse::<RemoteIp>().map(|ip| ip.to_string()), Ok(text.to_owned()));
        }
        let rule = |text: &str| text.parse::<RemoteIp>().map_err(|error| error.rule);
        assert_eq!(rule("fe80::1"), Err(RemoteIp::LINK_LOCAL));
        assert_eq!(rule("::ffff:192.0.2.1"), Err(RemoteIp::MAPPED));
        assert_eq!(rule("::ffff:c000:201"), Err(RemoteIp::MAPPED));
        for text in ["::", "::1", "ff02::1", "fe00::1", "4000::1", "1fff::1", "fec0::1"] {
            assert_eq!(rule(text), Err(RemoteIp::UNICAST6), "{text}");
        }
    }
}
