//! At which of a device's addresses a host's tunnels end. Must not ask a host.

use std::net::IpAddr;

use ovstunnel_api::Interface;

use crate::config::Family;
use crate::zone::EndpointFault;

/// Bytes that an IPv6 header has more than one of IPv4.
const LARGER_HEADER: u32 = 20;

/// What the configuration says of where tunnels end.
#[derive(Clone, Debug)]
pub struct Ends {
    /// The label of hosts that have none of their own.
    pub default_label: String,
    /// Of which family the addresses are.
    pub family: Family,
}

/// What a label names, with the address of this family.
pub(super) fn choose_address(interface: Interface, family: Family) -> Result<Interface, EndpointFault> {
    let is_meant = |ip: &&String| ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6() == (family == Family::Ipv6));
    if interface.ip.as_ref().is_some_and(|ip| is_meant(&ip)) {
        return Ok(interface);
    }
    let Interface { label, device, ip, ipv6, .. } = &interface;
    match ipv6.as_ref().filter(is_meant) {
        Some(chosen) => Ok(Interface {
            ip: Some(chosen.clone()),
            netmask: None,
            max_guest_mtu: interface.max_guest_mtu.saturating_sub(LARGER_HEADER),
            ..interface
        }),
        None => {
            let (word, there) = (family.word(), ip.as_ref().map(|ip| format!("; it has {ip}")).unwrap_or_default());
            let what = format!("{device}, which the label {label} names, has no {word} address{there}");
            Err(EndpointFault::NoAddress(format!(
                "{what}, and this zone's tunnels end at {word} addresses (`[network] family`)"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(ip: Option<&str>, ipv6: Option<&str>) -> Interface {
        let [ip, ipv6] = [ip, ipv6].map(|ip| ip.map(str::to_owned));
        let (label, device, netmask) = ("net0".to_owned(), "eth1".to_owned(), Some("255.255.255.0".to_owned()));
        Interface { label, device, ip, netmask, ipv6, mac: None, mtu: 1500, max_guest_mtu: 1458 }
    }

    #[test]
    fn the_address_is_of_the_family_of_the_zone() {
        let (four, six) = (Some("192.0.2.1"), Some("2001:db8::1"));
        let chosen =
            |ip, ipv6, family| choose_address(interface(ip, ipv6), family).map(|found| (found.ip, found.max_guest_mtu));
        let is = |ip: Option<&str>, mtu| Ok((ip.map(str::to_owned), mtu));
        assert_eq!(chosen(four, six, Family::Ipv4), is(four, 1458));
        assert_eq!(chosen(four, six, Family::Ipv6), is(six, 1438));
        assert_eq!(chosen(six, six, Family::Ipv6), is(six, 1458), "the daemon has counted that it is one of IPv6");
        let refused = |ip, ipv6, family| match choose_address(interface(ip, ipv6), family) {
            Err(EndpointFault::NoAddress(text)) => text,
            other => format!("{other:?}"),
        };
        assert_eq!(
            refused(six, six, Family::Ipv4),
            "eth1, which the label net0 names, has no IPv4 address; it has 2001:db8::1, and this zone's tunnels end at IPv4 addresses (`[network] family`)"
        );
        assert!(refused(four, None, Family::Ipv6).contains("has no IPv6 address; it has 192.0.2.1"));
        assert!(refused(None, None, Family::Ipv4).contains("has no IPv4 address, and"));
    }
}
