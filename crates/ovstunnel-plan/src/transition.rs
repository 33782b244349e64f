//! Flows that carry a bridge's frames for the moment in which NORMAL cannot.
//!
//! Setting `protected` makes Open vSwitch forget what it has learnt on the port, and switching STP off makes it forget
//! everything and shut the ports out of flooding until each is told otherwise (docs/ovs-facts.md). Meanwhile a frame to a
//! known address would be flooded, and a flooded one lost. So before that these flows are laid: each learnt address by
//! its port, all else to all ports, and what comes from tunnels, of whatever kind, never to tunnels. When all is done, what was learnt is taught
//! anew, in the same bundle that takes the flows away again. They end by themselves, should nobody do that.
//! What it must not do: be there when nothing else changes, or stand above flows that keep a VM from sending
//! (docs/adr/0012-take-over.md).

use std::collections::BTreeSet;

use crate::cookie::temporary::CARRY;
use crate::{ObservedBridge, ObservedInterface, ObservedPort};

/// Seconds after which Open vSwitch deletes them, whatever becomes of us.
const LIFETIME: u8 = 5;
/// Ethernet type of a frame that teaches: one that nobody uses (IEEE 802, for local experiments).
const TYPE: u16 = 0x88b5;
/// Bytes of the shortest frame.
const SHORTEST: usize = 60;
const GROUP: &str = "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00";

/// The highest priority of these flows that is not below those of others which may decide otherwise.
pub(crate) const PRIORITY: u16 = 1250;
/// Above those by address: tunnels whose frames look as if they came by none, which no bridge has that can be taken over.
const UNKEYED: u16 = PRIORITY + 1;

/// An address that a bridge has learnt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learnt {
    pub(crate) port: String,
    pub(crate) mac: String,
    /// Seconds since a frame from it came.
    pub(crate) age: u32,
}

impl Learnt {
    /// Reads what `fdb/show` prints; lines that are about no port, or about a VLAN, are left out.
    pub fn parse(text: &str) -> Vec<Self> {
        let entry = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [port, "0", mac, age] = words.as_slice() else { return None };
            let port_good = *port == "LOCAL" || port.parse::<u32>().is_ok();
            let mac_good = mac.len() == 17 && mac.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
            let age = age.parse().unwrap_or_default();
            (port_good && mac_good).then(|| Learnt { port: (*port).to_owned(), mac: (*mac).to_owned(), age })
        };
        text.lines().filter_map(entry).collect()
    }
}

/// The flows for one bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransitionFlows {
    lines: Vec<String>,
    learnt: Vec<Learnt>,
}

impl TransitionFlows {
    /// The flows for a bridge as it is, and what it has learnt.
    pub fn over_bridge(bridge: &ObservedBridge, learnt: &[Learnt]) -> Self {
        let (tunnels, mut here) = tunnels_and_others(bridge);
        here.insert("LOCAL".to_owned());
        let output = |ports: &mut dyn Iterator<Item = &String>| {
            ports.map(|port| format!("output:{port}")).collect::<Vec<_>>().join(",")
        };
        let (to_here, to_all) = (output(&mut here.iter()), output(&mut here.iter().chain(&tunnels)));
        let carry = |priority: u16, matches: &str, actions: &str| {
            format!("add {CARRY},table=0,priority={priority},hard_timeout={LIFETIME}{matches},actions={actions}")
        };
        let mut lines = vec![
            carry(1240, &format!(",tun_id=0,{GROUP}"), &to_all),
            carry(1239, &format!(",{GROUP}"), &to_here),
            carry(1230, ",tun_id=0", &to_all),
            carry(1229, "", &to_here),
        ];
        let unkeyed = numbers_of_unkeyed_tunnels(bridge);
        lines.extend(unkeyed.iter().map(|port| carry(UNKEYED, &format!(",in_port={port}"), &to_here)));
        for Learnt { port, mac, .. } in learnt {
            // What came by a tunnel goes to an address behind a tunnel by no flow: it never leaves by one.
            let from = if tunnels.contains(port) { ",tun_id=0" } else { "" };
            lines.push(carry(PRIORITY, &format!("{from},dl_dst={mac}"), &format!("output:{port}")));
        }
        TransitionFlows { lines, learnt: learnt.to_vec() }
    }

    /// The lines of the bundle that lays them.
    pub fn laying_lines(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// The lines for `ovs-ofctl bundle` that teach the bridge what it had learnt, and then take the flows away.
    pub fn teach_and_down(&self) -> String {
        let teach = |learnt| format!("{}\n", teaching_line(learnt));
        self.learnt.iter().map(teach).chain([format!("flow {}", Self::removal_line())]).collect()
    }

    /// The line of the bundle that takes the flows away.
    pub fn removal_line() -> String {
        format!("delete {CARRY}/-1\n")
    }
}

/// The line for `ovs-ofctl bundle` that teaches a bridge an address: a frame from it to itself, by the port behind which it
/// is. NORMAL learns from it. Within a bundle it has not learnt it yet when it sends the frame, and floods it: from a VIF to
/// the other hosts, which learn it, too, and from a tunnel to VIFs, which take no frame for others.
pub(crate) fn teaching_line(learnt: &Learnt) -> String {
    teach_by(learnt, TYPE, "NORMAL")
}

/// The same with other actions and another Ethernet type: by tunnels it teaches the hosts at their other ends.
pub(crate) fn teach_by(Learnt { port, mac, .. }: &Learnt, ethernet_type: u16, actions: &str) -> String {
    let mac = mac.replace(':', "");
    let packet = shortest_packet(&format!("{mac}{mac}{ethernet_type:04x}"));
    format!("packet-out in_port={port},packet={packet},actions={actions}")
}

/// A frame of the shortest length that is allowed, in hexadecimal.
pub(crate) fn shortest_packet(start: &str) -> String {
    format!("{start:0<width$}", width = 2 * SHORTEST)
}

/// The numbers of the tunnels from which a frame may come with `tun_id=0`, as one from a VIF has: those that have not the
/// fixed key of a tunnel of ours.
fn numbers_of_unkeyed_tunnels(bridge: &ObservedBridge) -> BTreeSet<u32> {
    let keyed = |interface: &ObservedInterface| {
        let key = interface.tunnel_endpoint().map_or(0, |leads| leads.key);
        key != 0 && !interface.options.contains_key("in_key")
    };
    let interfaces = bridge.ports.values().flat_map(|port| &port.interfaces);
    let unkeyed = interfaces.filter(|interface| interface.is_tunnel() && !keyed(interface));
    unkeyed.filter_map(ObservedInterface::openflow_port).collect()
}

/// The numbers of a bridge's tunnels, of whatever kind and whosever they are, and of its other ports but its own.
pub(crate) fn tunnels_and_others(bridge: &ObservedBridge) -> (BTreeSet<String>, BTreeSet<String>) {
    let number = |port: &ObservedPort| Some(port.interface()?.openflow_port()?.to_string());
    let (tunnels, others): (Vec<&ObservedPort>, Vec<&ObservedPort>) =
        bridge.ports.values().partition(|port| port.is_tunnel());
    let own = others.into_iter().filter(|port| port.name != bridge.name);
    (tunnels.into_iter().filter_map(number).collect(), own.filter_map(number).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_bridge_has_learnt_is_read() {
        let text = " port  VLAN  MAC                Age\n    2     0  02:00:00:00:00:01    3\nLOCAL     0  02:00:00:00:00:02   12\n    3     7  02:00:00:00:00:03    1\n";
        let expected = [("2", "02:00:00:00:00:01", 3), ("LOCAL", "02:00:00:00:00:02", 12)];
        let expected = expected.map(|(port, mac, age)| Learnt { port: port.into(), mac: mac.into(), age });
        assert_eq!(Learnt::parse(text), expected);
    }

    fn port(name: &str, kind: &str, number: i64, options: &[(&str, &str)]) -> (String, ObservedPort) {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let interface = ObservedInterface {
            name: name.into(),
            kind: kind.into(),
            ofport: Some(number),
            options,
            ..Default::default()
        };
        (name.into(), ObservedPort { name: name.into(), interfaces: vec![interface], ..Default::default() })
    }

    /// The ports to which the flows send a frame; Open vSwitch sends none back to where it came from.
    fn outputs(lines: &str, in_port: &str, tun_id: &str, dl_dst: &str) -> BTreeSet<String> {
        let matches = |line: &str| {
            line.split(',').all(|field| match field.split_once('=') {
                Some(("in_port", port)) => port == in_port,
                Some(("tun_id", id)) => id == tun_id,
                Some(("dl_dst", group)) if group.contains('/') => dl_dst.starts_with("ff"),
                Some(("dl_dst", mac)) => mac == dl_dst,
                _ => true,
            })
        };
        let flow = |line: &str| {
            let (fields, actions) = line.split_once(",actions=").unwrap();
            let (_, priority) = fields.split_once("priority=").unwrap();
            let priority: u16 = priority.split(',').next().unwrap().parse().unwrap();
            matches(fields).then(|| (priority, actions.to_owned()))
        };
        let (_, actions) = lines.lines().filter_map(flow).max().unwrap();
        let ports = actions.split(',').map(|action| action.strip_prefix("output:").unwrap().to_owned());
        ports.filter(|port| port != in_port).collect()
    }

    #[test]
    fn what_came_by_a_tunnel_of_any_kind_leaves_by_none() {
        let remote = ("remote_ip", "192.0.2.9");
        let ports = [
            port("vif1.0", "", 1, &[]),
            port("t5-1-2", "gre", 2, &[("remote_ip", "192.0.2.2"), ("key", "5")]),
            port("t5-1-3", "gre", 3, &[("remote_ip", "192.0.2.3"), ("key", "5")]),
            port("vx0", "vxlan", 4, &[remote]),
            port("gnv0", "geneve", 5, &[remote, ("key", "flow")]),
            port("vx1", "vxlan", 6, &[remote, ("key", "7")]),
            port("gre0", "gre", 7, &[remote]),
            port("gre1", "gre", 8, &[remote, ("key", "9"), ("in_key", "0")]),
            port("eth9", "", 9, &[]),
            port("b", "internal", 65534, &[]),
        ];
        let bridge = ObservedBridge { name: "b".into(), ports: ports.into(), ..Default::default() };
        let mac = |port: u32| format!("02:00:00:00:00:0{port}");
        let learnt: String = (1..=9).map(|port| format!("{port} 0 {} 3\n", mac(port))).collect();
        let lines = TransitionFlows::over_bridge(&bridge, &Learnt::parse(&learnt)).laying_lines();

        let to = |dl_dst: &str, in_port: &str, tun_id: &str| outputs(&lines, in_port, tun_id, dl_dst);
        let set = |ports: &[&str]| ports.iter().map(|port| (*port).to_owned()).collect::<BTreeSet<String>>();
        let (here, tunnels) = (["1", "9", "LOCAL"], ["2", "3", "4", "5", "6", "7", "8"]);
        let addresses: Vec<String> =
            (1..=9).map(mac).chain(["ff:ff:ff:ff:ff:ff", "02:aa:00:00:00:01"].map(Into::into)).collect();
        let came = [("2", "5"), ("3", "5"), ("4", "0"), ("5", "0"), ("5", "8"), ("6", "7"), ("7", "0"), ("8", "0")];
        for (in_port, tun_id) in came {
            for address in &addresses {
                let outs = to(address, in_port, tun_id);
                assert!(tunnels.iter().all(|tunnel| !outs.contains(*tunnel)), "{in_port} {tun_id} {address}: {outs:?}");
            }
            assert_eq!(to("ff:ff:ff:ff:ff:ff", in_port, tun_id), set(&here), "{in_port} {tun_id}");
            assert!(to(&mac(1), in_port, tun_id).contains("1"), "{in_port} {tun_id}");
        }
        // What came by no tunnel comes to everybody, and to a known address by its port alone.
        assert_eq!(to("ff:ff:ff:ff:ff:ff", "1", "0"), &set(&["9", "LOCAL"]) | &set(&tunnels));
        assert_eq!(to(&mac(4), "1", "0"), set(&["4"]));
    }

    #[test]
    fn a_frame_that_teaches_goes_from_an_address_to_itself() {
        let learnt = Learnt { port: "2".into(), mac: "02:00:00:00:00:01".into(), age: 0 };
        let text = TransitionFlows::over_bridge(&ObservedBridge::default(), &[learnt]).teach_and_down();
        let (teach, down) = text.split_once('\n').unwrap();
        let packet =
            teach.strip_prefix("packet-out in_port=2,packet=").unwrap().strip_suffix(",actions=NORMAL").unwrap();
        assert_eq!(packet.len(), 120);
        assert!(packet.starts_with("02000000000102000000000188b50000"), "{packet}");
        assert_eq!(down, "flow delete cookie=0x6f76736200000001/-1\n");
    }
}
