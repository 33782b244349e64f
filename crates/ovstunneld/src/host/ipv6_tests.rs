//! Devices with IPv6 addresses, and the ways to IPv6 addresses, in a network namespace of the test's own. Must not touch the host's.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::IpAddr;
use std::process::Command;

use super::tests::{DEVICES, in_namespace};
use super::*;

#[test]
fn an_ipv6_address_is_taken_where_it_is_preferred_or_alone() {
    let found = in_namespace(DEVICES, async || {
        let interfaces = Interfaces::of_kernel();
        let mut found = Vec::new();
        for (command, preferred) in [
            ("address del 192.0.2.11/23 dev d0", None),
            ("address add fe80::7/64 dev d0 nodad", Some("2001:db8::1")),
            ("link set d0 up", Some("2001:db8::2")),
            ("address flush dev d0 scope global", None),
            ("address add 2001:db8::2/56 dev d0", None),
            ("-4 address flush dev d0", None),
        ] {
            assert!(Command::new("ip").args(command.split(' ')).status().unwrap().success());
            let preferred = preferred.map(|ip| ip.parse().unwrap());
            let device = interfaces.by_label("d0", preferred).await.unwrap().unwrap();
            found.push([device.ip, device.netmask].map(Option::unwrap_or_default));
        }
        found
    });
    let (four, six) = (["192.0.2.10", "255.255.254.0"], ["2001:db8::1", "ffff:ffff:ffff:ffff::"]);
    let (link, last) = (["169.254.7.7", "255.255.0.0"], ["2001:db8::2", "ffff:ffff:ffff:ff00::"]);
    assert_eq!(found, [four, six, four, link, link, last]);
}

#[test]
fn the_way_to_an_ipv6_address_is_known_alike() {
    let setup = &[
        "link add d0 mtu 9000 type veth peer name d1",
        "link set d0 up",
        "link set d1 up",
        "address add 2001:db8::10/64 dev d0 nodad",
        "route add 2001:db8:9::/48 via 2001:db8::1",
        "route add unreachable 2001:db8:8::/48",
        "neighbour add 2001:db8::1 lladdr 02:00:00:00:00:01 dev d0",
        "neighbour add 2001:db8::7 nud failed dev d0",
    ];
    let to = ["2001:db8::7", "2001:db8:9::9", "2001:db8::10", "2001:db8:8::1", "2001:db8:7::1", "192.0.2.1"];
    let to = to.map(|ip| ip.parse::<IpAddr>().unwrap());
    let found = in_namespace(setup, async move || Interfaces::of_kernel().routes(to.to_vec()).await.unwrap());
    let told = |n: usize| found[&to[n]].clone();
    let near = told(0).unwrap();
    assert_eq!((near.device.as_str(), near.mtu, near.source), ("d0", 9000, Some(to[2])));
    assert_eq!((near.next_hop, near.neighbour), (to[0], Neighbour::Silent));
    let far = told(1).unwrap();
    assert_eq!((far.next_hop.to_string().as_str(), far.neighbour), ("2001:db8::1", Neighbour::Known));
    assert!(told(2).unwrap().local && !far.local, "our own address");
    assert_eq!([told(3), told(4), told(5)], [None, None, None], "no way there");
}
