//! Frames in the tunnels themselves that tell whether these carry: the flows that count them at one end, and the frames at the other.
//!
//! A flow of the highest priority matches the frames of one probe from one tunnel, counts and drops them; it ends by itself within 10 s,
//! whatever becomes of us. The frame has an address as destination that was drawn by lot for this probe, and the same one as source: a
//! bridge without the flow learns it at the tunnel that the frame came by, and sends the frame nowhere, for its destination is there
//! already. What it must not do: have a frame leave by anything but a tunnel of ours, or match what a VM sends.

use std::collections::{BTreeMap, BTreeSet};

use crate::cookie::temporary::PROBE;
use crate::{DesiredTunnel, Flow, Mac, MacMatch, Match, ObservedBridge, PortName, Rejected};

/// The highest priority that there is.
const PRIORITY: u16 = 0xffff;
/// The type of its frames, for local experiments (IEEE 802).
const ETHERTYPE: u16 = 0x88b5;
/// Seconds after which Open vSwitch deletes the flows at the latest.
pub const PROBE_LASTS: u32 = 10;
/// Frames that are sent at once: of more, the packet socket at the other end may lose some (docs/ovs-facts.md).
pub const PROBE_FRAMES: usize = 200;
/// Bytes of the shortest and of the longest frame, with its Ethernet header and without its checksum.
pub const PROBE_SIZES: std::ops::RangeInclusive<u32> = 60..=9_216;

/// Tunnels of one bridge, and the address of a probe's frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    nonce: Mac,
    tunnels: BTreeMap<u32, DesiredTunnel>,
}

/// What has come by one tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    /// Frames.
    pub frames: u64,
    /// Bytes in them, with Ethernet headers.
    pub bytes: u64,
}

impl Probe {
    /// The rule for a probe's address: 46 bits of it are drawn by lot.
    pub const NONCE: &'static str = "must be a locally administered Ethernet address of one card, such as 0a:5b:1c:22:9f:07: the second \
                                     hexadecimal digit is 2, 6, a or e";

    /// Whether an address is one that no card has by its manufacturer.
    pub fn is_nonce(mac: Mac) -> bool {
        mac.octets()[0] & 0b11 == 0b10
    }

    /// All tunnels of ours on a bridge that the switch has, or those that are named.
    ///
    /// # Errors
    /// Where one that is named is not there, or the switch does not have it.
    pub fn over_bridge(bridge: &ObservedBridge, nonce: Mac, named: Option<&[PortName]>) -> Result<Self, Rejected> {
        let tunnels = bridge.ports.values().filter_map(|port| {
            let tunnel = DesiredTunnel::from_record(port)?;
            Some((port.interface().filter(|interface| interface.is_tunnel())?.openflow_port()?, tunnel))
        });
        let mut tunnels: BTreeMap<u32, DesiredTunnel> = tunnels.collect();
        if let Some(named) = named {
            let named: BTreeSet<&PortName> = named.iter().collect();
            let there: BTreeSet<&PortName> = tunnels.values().map(|tunnel| &tunnel.name).collect();
            if let Some(missing) = named.difference(&there).next() {
                let name = &bridge.name;
                return Err(Rejected::NotFound(format!("bridge {name} has no tunnel {missing} that frames can pass")));
            }
            tunnels.retain(|_, tunnel| named.contains(&tunnel.name));
        }
        Ok(Probe { nonce, tunnels })
    }

    /// The tunnels, by the numbers of their ports.
    pub fn tunnels(&self) -> &BTreeMap<u32, DesiredTunnel> {
        &self.tunnels
    }

    /// The lines of the bundle of flows that count its frames for so many seconds.
    pub fn arming_lines(&self, seconds: u32) -> String {
        let seconds = seconds.min(PROBE_LASTS);
        let line = |(port, tunnel): (&u32, &DesiredTunnel)| {
            let matches = self.probe_match(*port, tunnel);
            format!("add {PROBE},table=0,priority={PRIORITY},hard_timeout={seconds}{matches},actions=drop\n")
        };
        self.tunnels.iter().map(line).collect()
    }

    /// The lines for `ovs-ofctl bundle` that send so many frames of so many bytes into each tunnel.
    pub fn sending_lines(&self, size: u32, count: usize) -> String {
        let mac = self.nonce.to_string().replace(':', "");
        let start = format!("{mac}{mac}{ETHERTYPE:04x}");
        let packet = format!("{start:0<width$}", width = 2 * size.clamp(60, 9_216) as usize);
        // By no port of the bridge: a protected one may not send to a tunnel (docs/ovs-facts.md).
        let line = |port: &u32| format!("packet-out in_port=controller,packet={packet},actions=output:{port}\n");
        let round = || self.tunnels.keys().map(line);
        (0..count).flat_map(|_| round()).collect()
    }

    /// What has come by each of the tunnels for which a flow of the probe is there, by what `bridge/dump-flows` prints.
    pub fn read_arrivals(&self, printed: &str) -> BTreeMap<u32, Arrived> {
        let is_its = |flow: &Flow| flow.matches.dl_dst == Some(MacMatch::Exactly(self.nonce));
        let of_line = |line: &str| {
            let port = probe_flow(line).filter(is_its)?.matches.in_port?;
            self.tunnels.contains_key(&port).then(|| (port, parse_arrived(line)))
        };
        printed.lines().filter_map(of_line).collect()
    }

    fn probe_match(&self, port: u32, tunnel: &DesiredTunnel) -> Match {
        Match {
            in_port: Some(port),
            tun_id: Some(tunnel.key.get().into()),
            dl_dst: Some(MacMatch::Exactly(self.nonce)),
            ethertype: Some(ETHERTYPE),
            ..Match::default()
        }
    }
}

/// Whether a line of printed flows has the form of a probe's, which nothing else of ours has. By the form: not every version prints cookies.
pub fn is_of_a_probe(line: &str) -> bool {
    probe_flow(line).is_some()
}

fn probe_flow(line: &str) -> Option<Flow> {
    // Most lines are others.
    let flow: Flow = line.contains("dl_type=0x88b5").then(|| line.parse().ok()).flatten()?;
    let Match { in_port: Some(_), tun_id: Some(_), dl_dst: Some(MacMatch::Exactly(mac)), .. } = flow.matches else {
        return None;
    };
    let rest = Match { in_port: None, tun_id: None, dl_dst: None, ..flow.matches };
    let of_its_type = rest == Match { ethertype: Some(ETHERTYPE), ..Match::default() };
    let is_its = of_its_type && flow.priority == PRIORITY && flow.table == 0 && flow.actions.is_empty();
    (is_its && Probe::is_nonce(mac)).then_some(flow)
}

fn parse_arrived(line: &str) -> Arrived {
    let value = |name: &str| {
        let fields = line.split(',').map(str::trim);
        fields.filter_map(|field| field.strip_prefix(name)).find_map(|value| value.parse().ok()).unwrap_or_default()
    };
    Arrived { frames: value("n_packets="), bytes: value("n_bytes=") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::{ObservedInterface, ObservedPort, ids};

    fn nonce() -> Mac {
        "0a:00:00:00:00:07".parse().unwrap()
    }

    fn port(name: &str, kind: &str, number: i64, to: Option<&str>) -> (String, ObservedPort) {
        let interface =
            ObservedInterface { name: name.into(), kind: kind.into(), ofport: Some(number), ..Default::default() };
        let ids = to.map(|to| {
            let ids = [(ids::KEY, "5"), (ids::FROM, "1"), (ids::TO, to), (ids::REMOTE_IP, "192.0.2.2")];
            ids.map(|(id, value)| (id.to_owned(), value.to_owned())).into()
        });
        let external_ids = ids.unwrap_or_default();
        (
            name.into(),
            ObservedPort { name: name.into(), external_ids, interfaces: vec![interface], ..Default::default() },
        )
    }

    /// A bridge with a VIF, two tunnels of ours, one that the switch has not got, and one of somebody else's.
    fn bridge() -> ObservedBridge {
        let ports = [
            port("vif1.0", "", 1, None),
            port("t5-1-2", "gre", 2, Some("2")),
            port("t5-1-3", "gre", 3, Some("3")),
            port("t5-1-4", "gre", -1, Some("4")),
            port("gre0", "gre", 9, None),
        ];
        ObservedBridge { name: "br".into(), ports: ports.into(), ..Default::default() }
    }

    #[test]
    fn probe_frames_enter_our_tunnels_only_and_count_from_them_only() {
        let probe = Probe::over_bridge(&bridge(), nonce(), None).unwrap();
        assert_eq!(probe.tunnels().keys().copied().collect::<Vec<_>>(), [2, 3]);
        let lines: Vec<String> = probe.arming_lines(60).lines().map(str::to_owned).collect();
        let flow = "add cookie=0x6f76736200000003,table=0,priority=65535,hard_timeout=10,dl_type=0x88b5,in_port=2,tun_id=0x5,\
                    dl_dst=0a:00:00:00:00:07,actions=drop";
        assert_eq!((lines.len(), lines[0].as_str()), (2, flow));
        let sent = probe.sending_lines(60, 2);
        let frame = format!("0a00000000070a000000000788b5{}", "0".repeat(92));
        let line = |n| format!("packet-out in_port=controller,packet={frame},actions=output:{n}\n");
        assert_eq!(sent, [2, 3, 2, 3].map(line).concat());
        assert_eq!(probe.sending_lines(1572, 1).lines().next().unwrap().matches("00").count(), 1572 - 14 + 8);
    }

    #[test]
    fn a_tunnel_that_is_not_there_is_named() {
        let named = ["t5-1-3", "t5-1-4"].map(|name| name.parse().unwrap());
        let error = Probe::over_bridge(&bridge(), nonce(), Some(&named)).unwrap_err();
        assert!(error.to_string().contains("no tunnel t5-1-4"), "{error}");
        let one = Probe::over_bridge(&bridge(), nonce(), Some(&named[..1])).unwrap();
        assert_eq!(one.tunnels().keys().copied().collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn what_came_is_read_of_this_probe_alone() {
        let printed = "\
duration=1s, n_packets=2, n_bytes=120, priority=65535,tun_id=0x5,in_port=2,dl_dst=0a:00:00:00:00:07,dl_type=0x88b5,actions=drop
cookie=0x6f76736200000003, duration=1s, n_packets=0, n_bytes=0, priority=65535,tun_id=0x5,in_port=3,dl_dst=0a:00:00:00:00:07,dl_type=0x88b5,actions=drop
duration=1s, n_packets=9, n_bytes=540, priority=65535,tun_id=0x5,in_port=2,dl_dst=0a:00:00:00:00:08,dl_type=0x88b5,actions=drop
duration=1s, n_packets=9, n_bytes=540, priority=65535,tun_id=0x5,in_port=2,dl_dst=0a:00:00:00:00:07,dl_type=0x88b5,actions=NORMAL
duration=1s, n_packets=9, n_bytes=540, priority=1000,tun_id=0x5,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=drop
";
        let probe = Probe::over_bridge(&bridge(), nonce(), None).unwrap();
        let read = probe.read_arrivals(printed);
        assert_eq!(read, BTreeMap::from([(2, Arrived { frames: 2, bytes: 120 }), (3, Arrived::default())]));
        assert_eq!(printed.lines().filter(|line| is_of_a_probe(line)).count(), 3);
    }

    #[test]
    fn an_address_that_a_card_can_have_is_no_nonce() {
        let is = |text: &str| Probe::is_nonce(text.parse().unwrap());
        assert!(is("02:00:00:00:00:01") && is("fe:ff:ff:ff:ff:ff") && !is("00:16:3e:00:00:01"));
    }
}
