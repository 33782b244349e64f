//! Flows of others on managed bridges that stand above ours, or lead frames past the split horizon.
//!
//! What it does: compares the lines of a dump, field by field. What it must not do: miss one for want of understanding: what it
//! cannot compare counts as overlapping. A hypervisor's flows for the traffic of one VIF are left alone: they are meant to
//! stand above.

use std::collections::BTreeMap;

use ovstunnel_api::Finding;
use ovstunnel_core::Cookie;

use super::finding::{About, fail, ok, or_ok, some, warn};

/// Flows of one bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BridgeFlows {
    pub bridge: String,
    /// Our flows, as they are written.
    pub ours: Vec<String>,
    /// All flows of the first table, as a dump prints them.
    pub dump: String,
    /// OpenFlow ports of VIFs, and of tunnels.
    pub vifs: Vec<u32>,
    pub tunnels: Vec<u32>,
}

/// One line, taken apart.
#[derive(Debug)]
struct Line<'a> {
    table: u8,
    priority: u16,
    cookie: u64,
    fields: BTreeMap<&'a str, &'a str>,
    actions: &'a str,
    text: String,
}

/// What a dump says about a flow beside what it matches.
const NO_MATCH: [&str; 10] = [
    "cookie",
    "duration",
    "n_packets",
    "n_bytes",
    "idle_age",
    "hard_age",
    "idle_timeout",
    "hard_timeout",
    "priority",
    "importance",
];

/// Words that stand for a type of Ethernet frame.
const TYPES: [(&str, &str); 13] = [
    ("ip", "0x0800"),
    ("tcp", "0x0800"),
    ("udp", "0x0800"),
    ("icmp", "0x0800"),
    ("sctp", "0x0800"),
    ("ipv6", "0x86dd"),
    ("tcp6", "0x86dd"),
    ("udp6", "0x86dd"),
    ("icmp6", "0x86dd"),
    ("arp", "0x0806"),
    ("rarp", "0x8035"),
    ("mpls", "0x8847"),
    ("mplsm", "0x8848"),
];

impl<'a> Line<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (fields, actions) = line.split_once("actions=")?;
        let mut read = Line {
            table: 0,
            priority: 0x8000,
            cookie: 0,
            fields: BTreeMap::new(),
            actions: actions.trim(),
            text: String::new(),
        };
        for field in fields.split([',', ' ']).map(str::trim).filter(|field| !field.is_empty()) {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            match name {
                "priority" => read.priority = value.parse().ok()?,
                "table" => read.table = value.parse().ok()?,
                "cookie" => read.cookie = u64::from_str_radix(value.trim_start_matches("0x"), 16).unwrap_or(0),
                name if NO_MATCH.contains(&name) || name == "send_flow_rem" => {}
                name => read.add(name, value),
            }
        }
        let matched: Vec<String> = read
            .fields
            .iter()
            .map(|(name, value)| if value.is_empty() { (*name).to_owned() } else { format!("{name}={value}") })
            .collect();
        read.text = format!("priority={},{} actions={}", read.priority, matched.join(","), read.actions);
        Some(read)
    }

    fn add(&mut self, name: &'a str, value: &'a str) {
        match TYPES.iter().find(|(word, _)| *word == name) {
            Some((_, kind)) if value.is_empty() => drop(self.fields.insert("dl_type", kind)),
            _ => drop(self.fields.insert(name, value)),
        }
    }

    fn is_ours(&self) -> bool {
        self.cookie & Cookie::MASK.0 == Cookie::OURS.0
    }

    fn in_port(&self) -> Option<u32> {
        self.fields.get("in_port")?.parse().ok()
    }

    /// Whether a frame can match both.
    fn overlaps(&self, other: &Line<'_>) -> bool {
        self.fields
            .iter()
            .all(|(name, value)| other.fields.get(name).is_none_or(|theirs| compatible(name, value, theirs)))
    }

    /// Whether it sends frames out by a port of its own choice, which `protected` does not see.
    fn outputs_to(&self, ports: &[u32]) -> bool {
        let flood = |action: &str| matches!(action.to_ascii_lowercase().as_str(), "flood" | "all");
        let to = |action: &str| {
            let port = action.strip_prefix("output:").unwrap_or(action);
            port.parse::<u32>().is_ok_and(|port| ports.contains(&port))
        };
        self.actions.split(',').map(str::trim).any(|action| flood(action) || to(action))
    }
}

/// Whether a frame can have both values.
fn compatible(name: &str, one: &str, other: &str) -> bool {
    const GROUP: &str = "01:00:00:00:00:00/01:00:00:00:00:00";
    let group =
        |mac: &str| mac.get(..2).and_then(|byte| u8::from_str_radix(byte, 16).ok()).is_none_or(|byte| byte & 1 == 1);
    match (name, one, other) {
        (_, one, other) if one == other => true,
        ("dl_dst", GROUP, mac) | ("dl_dst", mac, GROUP) if !mac.contains('/') => group(mac),
        (_, one, other) => one.contains('/') || other.contains('/'),
    }
}

/// What flows of others do to ours.
pub(super) fn check(bridges: &[BridgeFlows]) -> Vec<Finding> {
    or_ok(bridges.iter().flat_map(of_bridge).collect(), || ok("shadowing_flow", "no flow of others stands above ours"))
}

fn of_bridge(flows: &BridgeFlows) -> Vec<Finding> {
    let ours: Vec<Line<'_>> =
        flows.ours.iter().filter_map(|line| Line::read(line)).filter(|line| line.table == 0).collect();
    let others = flows.dump.lines().filter_map(Line::read).filter(|line| !line.is_ours());
    let of_a_vif = |line: &Line<'_>| line.in_port().is_some_and(|port| flows.vifs.contains(&port));
    let (mut past, mut above) = (Vec::new(), Vec::new());
    for line in others.filter(|line| line.priority > 0) {
        match line.in_port().is_none_or(|port| flows.tunnels.contains(&port)) && line.outputs_to(&flows.tunnels) {
            true => past.push(line.text),
            false
                if !of_a_vif(&line) && ours.iter().any(|our| our.priority <= line.priority && our.overlaps(&line)) =>
            {
                above.push(line.text);
            }
            false => {}
        }
    }
    let bridge = &flows.bridge;
    let remove = format!("find out whose they are, then `ovs-ofctl --strict del-flows {bridge} 'priority=…,<match>'`");
    let past = (!past.is_empty()).then(|| {
        let reason = format!(
            "flows of others on bridge {bridge} send frames from a tunnel to a tunnel, past `protected`: {}",
            some(&past, 3)
        );
        fail("shadowing_flow", reason, remove.clone()).about(bridge)
    });
    let above = (!above.is_empty()).then(|| {
        let reason =
            format!("flows of others on bridge {bridge} stand above ours and take their frames: {}", some(&above, 3));
        warn("shadowing_flow", reason, remove).about(bridge)
    });
    past.into_iter().chain(above).collect()
}

#[cfg(test)]
mod tests {
    use ovstunnel_api::Level;

    use super::*;

    const OURS: [&str; 3] = [
        "cookie=0x6f76737400000001,table=0,priority=1000,tun_id=0x3e9,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=drop",
        "cookie=0x6f76737400000002,table=0,priority=1200,in_port=3,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=NORMAL",
        "cookie=0x6f76737400000003,table=0,priority=1300,ipv6,actions=drop",
    ];

    fn found(line: &str) -> Vec<Level> {
        let dump = format!(
            "NXST_FLOW reply (xid=0x4):\n {} actions=drop\n cookie=0x0, duration=1s, table=0, {line}\n",
            OURS[2].replace(",actions=drop", "")
        );
        let flows = BridgeFlows {
            bridge: "xapi1".into(),
            ours: OURS.map(str::to_owned).to_vec(),
            dump,
            vifs: vec![3],
            tunnels: vec![7, 8],
        };
        check(&[flows]).iter().map(|finding| finding.level).collect()
    }

    #[test]
    fn what_takes_our_frames_is_found() {
        for line in [
            "n_packets=0, n_bytes=0, idle_age=3, priority=7000 actions=drop",
            "priority=1000,tun_id=0x3e9 actions=drop",
            "priority=1500,dl_dst=ff:ff:ff:ff:ff:ff actions=drop",
            "priority=1300,ipv6 actions=NORMAL",
            "priority=2000,udp6 actions=NORMAL",
            "priority=2000,in_port=7 actions=CONTROLLER:65535",
            "priority=2000,dl_dst=33:33:00:00:00:00/ff:ff:00:00:00:00 actions=drop",
        ] {
            assert_eq!(found(line), [Level::Warn], "{line}");
        }
    }

    #[test]
    fn what_does_not_touch_our_frames_is_left_alone() {
        for line in [
            "priority=0 actions=NORMAL",
            "priority=900,dl_dst=ff:ff:ff:ff:ff:ff actions=drop",
            "priority=5000,in_port=3,arp actions=NORMAL",
            "priority=8000,in_port=3 actions=drop",
            "priority=5000,in_port=9,dl_dst=02:00:00:00:00:01,ip actions=NORMAL",
            "priority=1250,tun_id=0x5,ip,dl_dst=02:00:00:00:00:01 actions=NORMAL",
        ] {
            assert_eq!(found(line), [Level::Ok], "{line}");
        }
    }

    #[test]
    fn an_output_from_tunnel_to_tunnel_is_worse() {
        assert_eq!(found("priority=10,in_port=7 actions=output:8"), [Level::Fail]);
        assert_eq!(found("priority=10 actions=FLOOD"), [Level::Fail]);
        assert_eq!(found("priority=10,in_port=3 actions=output:8"), [Level::Ok], "from a VIF it is no storm");
    }
}
