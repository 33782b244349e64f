//! The network that carries the tunnels, as far as flows keep VMs out of it, and those flows.
//!
//! Open vSwitch's userspace datapath takes whatever is addressed to a tunnel's end out of its tunnel when it is output to any
//! port whose device has an address; in the kernel the host's own IP stack does. So a VM that sends such a frame would be
//! in another network (docs/adr/0027-a-vm-reaches-only-its-own-network.md). What it must not do: match a tunnel address alone:
//! VMs may have the same addresses as hosts, and tunnels of their own between them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};
use ovstunnel_types::Carrier;

use crate::{
    Cidr, Flow, FlowsSeen, Ipv4Match, Ipv6Match, Mac, MacMatch, Match, ObservedBridge, PortMask, Purpose, Settings,
    TunnelKind,
};

/// IP protocol.
const UDP: u8 = 17;

/// Above xapi's own flows, which are at 4000 to 8000.
const PRIORITY: u16 = 9000;

/// The end of tunnels on this host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TunnelEnd {
    /// Device with the tunnel address.
    pub device: String,
    /// Ethernet address of that device.
    pub mac: Mac,
    /// The tunnel address: source of what tunnels send, destination of what they get.
    pub address: IpAddr,
}

/// What is known of the underlay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Underlay {
    /// Ends of all tunnels of the switch, whosever they are.
    pub ends: BTreeSet<TunnelEnd>,
    /// The host's other addresses, link-local ones of IPv6 left out, and all IPv6 where no tunnel goes by it. Open vSwitch takes tunnels' packets apart at each of them.
    pub others: BTreeSet<TunnelEnd>,
    /// UDP ports to which tunnels send that are there, of whatever kind.
    pub udp_ports: BTreeSet<u16>,
    /// Ethernet addresses of the own devices of bridges, by name.
    pub own: BTreeMap<String, Mac>,
    /// MTU of the device by which packets to each other host leave, bytes, by that host's address.
    pub mtus: BTreeMap<IpAddr, u32>,
}

impl Underlay {
    /// The ends that a bridge's ports must not reach. A bridge that itself has the tunnels' device carries them.
    fn guarded_ends<'a>(
        &'a self,
        name: &'a str,
        observed: Option<&'a ObservedBridge>,
    ) -> impl Iterator<Item = &'a TunnelEnd> {
        let carries = move |end: &TunnelEnd| {
            let is_port = observed.is_some_and(|bridge| bridge.ports.contains_key(&end.device));
            is_port || end.device == name || self.own.get(name) == Some(&end.mac)
        };
        self.ends.iter().filter(move |end| !carries(end))
    }
}

/// Drops what the ports of a bridge send to ends of tunnels.
pub(crate) fn guard_flows(name: &str, observed: Option<&ObservedBridge>, settings: &Settings) -> BTreeSet<Flow> {
    let Some(underlay) = settings.underlay.as_deref() else { return BTreeSet::new() };
    let own = underlay.own.get(name).copied().map(MacMatch::Exactly);
    let of_end = |end: &TunnelEnd| {
        let device = Match { dl_dst: Some(MacMatch::Exactly(end.mac)), ..Match::default() };
        // The host's own IP stack takes what it gets at a group address, and at that of the bridge's own device.
        let address = [Some(MacMatch::Group), own].into_iter().flatten();
        let to_address = address.map(|mac| packets_to(Some(mac), end.address.into(), None, None));
        let number = address_number(end.address);
        std::iter::once(drop_flow(of_mac(end.mac), device))
            .chain(to_address.map(|matches| drop_flow(number, matches)))
            .collect::<Vec<_>>()
    };
    let ends: Vec<&TunnelEnd> = underlay.guarded_ends(name, observed).collect();
    // Of what else is addressed to the host only tunnels' packets: the rest may be meant for it.
    let carried = carried_by(underlay, settings);
    let others = underlay.others.iter().filter(|_| !ends.is_empty());
    let of_other = |other: &TunnelEnd| {
        let to = |(proto, port): &(u8, Option<u16>)| {
            let matches = packets_to(Some(MacMatch::Exactly(other.mac)), other.address.into(), Some(*proto), *port);
            drop_flow(address_number(other.address), matches)
        };
        carried.iter().map(to).collect::<Vec<_>>()
    };
    // Each device has a link-local address, each VIF's too: those are not told one by one.
    let link_local = carried.iter().filter(|_| ends.iter().any(|end| end.address.is_ipv6()));
    let to_link_local =
        |(proto, port): &(u8, Option<u16>)| drop_flow(0, packets_to(None, link_local_net(), Some(*proto), *port));
    let of_others = others.flat_map(of_other).chain(link_local.map(to_link_local));
    of_others.chain(ends.iter().flat_map(|end| of_end(end))).collect()
}

fn drop_flow(number: u32, matches: Match) -> Flow {
    Flow::of_entry(PRIORITY, Purpose::Underlay, number, matches, vec![])
}

/// Protocol and UDP port of all tunnels' packets: those of the kinds of ours, and of what is there.
fn carried_by(underlay: &Underlay, settings: &Settings) -> Vec<(u8, Option<u16>)> {
    let protocol = |kind: TunnelKind| match kind.carrier() {
        Carrier::Ip(protocol) => Some((protocol, None)),
        Carrier::Udp(_) => None,
    };
    // That of the configuration too: VMs are kept from it before the first tunnel is there.
    let ports: BTreeSet<u16> = underlay.udp_ports.iter().copied().chain(settings.encap.udp_port()).collect();
    let udp = ports.into_iter().map(|port| (UDP, Some(port)));
    TunnelKind::ALL.into_iter().filter_map(protocol).chain(udp).collect()
}

/// Packets to these addresses, of this protocol and to this port where they are said.
fn packets_to(dl_dst: Option<MacMatch>, to: IpNet, proto: Option<u8>, port: Option<u16>) -> Match {
    let dst_port = port.map(PortMask::one_port);
    let any = Match { dl_dst, ..Match::default() };
    match to {
        IpNet::V4(net) => {
            let dst = Some(Cidr::single_host(net.addr()));
            Match { ipv4: Some(Ipv4Match { proto, dst, dst_port, ..Ipv4Match::default() }), ..any }
        }
        IpNet::V6(net) => {
            Match { ipv6: Some(Ipv6Match { proto, dst: Some(net), dst_port, ..Ipv6Match::default() }), ..any }
        }
    }
}

/// fe80::/10.
fn link_local_net() -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10))
}

/// A part of an address, by which its flows are told from others'.
fn address_number(ip: IpAddr) -> u32 {
    match ip {
        IpAddr::V4(ip) => ip.to_bits(),
        // The last bits: those that hosts of one network differ by.
        IpAddr::V6(ip) => u32::try_from(ip.to_bits() & u128::from(u32::MAX)).unwrap_or_default(),
    }
}

/// While the underlay is not known, what guards it stays as it is.
pub(crate) fn kept_guards(seen: &FlowsSeen, settings: &Settings) -> BTreeSet<Flow> {
    match seen {
        FlowsSeen::Known { flows, .. } if settings.underlay.is_none() => {
            flows.iter().filter(|flow| flow.cookie.is_for(Purpose::Underlay)).cloned().collect()
        }
        _ => BTreeSet::new(),
    }
}

/// What tells one card from another: two ends on one device have one flow for it.
fn of_mac(mac: Mac) -> u32 {
    let [.., a, b, c, d] = mac.octets();
    u32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::sync::Arc;

    use super::*;
    use crate::{Cookie, ObservedPort};

    fn end(device: &str, mac: &str, address: [u8; 4]) -> TunnelEnd {
        TunnelEnd { device: device.to_owned(), mac: mac.parse().unwrap(), address: address.into() }
    }

    fn settings(ends: impl IntoIterator<Item = TunnelEnd>, own: &[(&str, &str)]) -> Settings {
        let own = own.iter().map(|(name, mac)| ((*name).to_owned(), mac.parse().unwrap())).collect();
        let underlay = Underlay { ends: ends.into_iter().collect(), own, ..Underlay::default() };
        Settings { underlay: Some(Arc::new(underlay)), ..Settings::default() }
    }

    fn texts(flows: &BTreeSet<Flow>) -> BTreeSet<String> {
        let text = |flow: &Flow| flow.to_string().split_once(",table=0,priority=9000,").unwrap().1.to_owned();
        flows.iter().map(text).collect()
    }

    #[test]
    fn three_flows_for_each_end() {
        let one = settings([end("br-phy", "0a:00:00:00:00:01", [10, 0, 0, 1])], &[("xapi1", "0a:00:00:00:00:09")]);
        let flows = texts(&guard_flows("xapi1", None, &one));
        let expected = [
            "dl_dst=0a:00:00:00:00:01,actions=drop",
            "ip,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,nw_dst=10.0.0.1,actions=drop",
            "ip,dl_dst=0a:00:00:00:00:09,nw_dst=10.0.0.1,actions=drop",
        ];
        assert_eq!(flows, expected.map(str::to_owned).into());
        assert_eq!(guard_flows("xapi2", None, &one).len(), 2, "of a bridge whose own device is not known");
        assert!(guard_flows("xapi1", None, &settings([], &[("xapi1", "0a:00:00:00:00:09")])).is_empty(), "no tunnel");
    }

    #[test]
    fn for_other_addresses_only_tunnel_packets_are_dropped() {
        let mut settings = settings([end("br-phy", "0a:00:00:00:00:01", [10, 0, 0, 1])], &[]);
        let mut underlay = settings.underlay.as_deref().unwrap().clone();
        underlay.others = [end("vif1.0", "fe:ff:ff:ff:ff:ff", [169, 254, 7, 1])].into();
        underlay.udp_ports = [4789].into();
        settings.underlay = Some(Arc::new(underlay.clone()));
        let flows = texts(&guard_flows("xapi1", None, &settings));
        for flow in [
            "ip,nw_proto=47,dl_dst=fe:ff:ff:ff:ff:ff,nw_dst=169.254.7.1,actions=drop",
            "udp,dl_dst=fe:ff:ff:ff:ff:ff,nw_dst=169.254.7.1,tp_dst=4789,actions=drop",
        ] {
            assert!(flows.contains(flow), "{flow} is missing: {flows:?}");
        }
        assert_eq!(flows.len(), 4, "{flows:?}");
        underlay.ends.clear();
        settings.underlay = Some(Arc::new(underlay));
        assert!(guard_flows("xapi1", None, &settings).is_empty(), "no tunnel");
    }

    #[test]
    fn an_ipv6_end_has_the_same_flows_and_link_local_ones() {
        let address = |text: &str, end: TunnelEnd| TunnelEnd { address: text.parse().unwrap(), ..end };
        let phy = address("2001:db8::1", end("br-phy", "0a:00:00:00:00:01", [0; 4]));
        let mut underlay = Underlay { ends: [phy].into(), udp_ports: [4789].into(), ..Underlay::default() };
        underlay.own = [("xapi1".to_owned(), "0a:00:00:00:00:09".parse().unwrap())].into();
        underlay.others = [address("fd00::7", end("mgmt0", "0a:00:00:00:00:02", [0; 4]))].into();
        let settings = Settings { underlay: Some(Arc::new(underlay)), ..Settings::default() };
        let expected = [
            "dl_dst=0a:00:00:00:00:01,actions=drop",
            "ipv6,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,ipv6_dst=2001:db8::1,actions=drop",
            "ipv6,dl_dst=0a:00:00:00:00:09,ipv6_dst=2001:db8::1,actions=drop",
            "ipv6,nw_proto=47,dl_dst=0a:00:00:00:00:02,ipv6_dst=fd00::7,actions=drop",
            "udp6,dl_dst=0a:00:00:00:00:02,ipv6_dst=fd00::7,tp_dst=4789,actions=drop",
            "ipv6,nw_proto=47,ipv6_dst=fe80::/10,actions=drop",
            "udp6,ipv6_dst=fe80::/10,tp_dst=4789,actions=drop",
        ];
        assert_eq!(texts(&guard_flows("xapi1", None, &settings)), expected.map(str::to_owned).into());
    }

    #[test]
    fn two_addresses_of_one_device_share_its_flow() {
        let ends = [[10, 0, 0, 1], [10, 0, 9, 1]].map(|ip| end("br-phy", "0a:00:00:00:00:01", ip));
        let flows = guard_flows("xapi1", None, &settings(ends, &[]));
        assert_eq!(flows.len(), 3);
        let ends = [end("eth0", "0a:00:00:00:00:01", [10, 0, 0, 1]), end("eth1", "0a:00:00:00:00:02", [10, 0, 1, 1])];
        assert_eq!(guard_flows("xapi1", None, &settings(ends, &[])).len(), 4);
    }

    #[test]
    fn a_bridge_that_carries_the_tunnels_is_left_alone() {
        let ends = || [end("tun0", "0a:00:00:00:00:01", [10, 0, 0, 1])];
        let mut bridge = ObservedBridge { name: "xapi1".to_owned(), ..ObservedBridge::default() };
        assert_eq!(guard_flows("xapi1", Some(&bridge), &settings(ends(), &[])).len(), 2);
        bridge.ports.insert("tun0".to_owned(), ObservedPort::default());
        assert!(guard_flows("xapi1", Some(&bridge), &settings(ends(), &[])).is_empty(), "by a port of it");
        assert!(guard_flows("tun0", None, &settings(ends(), &[])).is_empty(), "by its own device");
        let same = settings(ends(), &[("xapi1", "0a:00:00:00:00:01")]);
        assert!(guard_flows("xapi1", None, &same).is_empty(), "by a VLAN device of its own one");
    }

    #[test]
    fn what_is_not_known_changes_no_flow() {
        let known = settings([end("br-phy", "0a:00:00:00:00:01", [10, 0, 0, 1])], &[]);
        let there = guard_flows("xapi1", None, &known);
        let other = Flow::of_entry(1, Purpose::Forward, 0, Match::default(), vec![]);
        let seen = FlowsSeen::known_exactly(there.iter().cloned().chain([other]).collect());
        assert_eq!(kept_guards(&seen, &Settings::default()), there);
        assert_eq!(kept_guards(&seen, &known), BTreeSet::new());
        assert!(there.iter().all(|flow| flow.cookie.limited_vif().is_none() && flow.cookie.is_ours()));
        assert!(!Cookie::FORWARD.is_for(Purpose::Underlay));
    }
}
