//! Flows of others in a managed bridge's first table: those that stand above ours, cut off, double, or lead past the split
//! horizon.
//!
//! What it does: compares lines of a dump, field by field. What it must not do: miss one for want of understanding: what it
//! cannot compare counts as overlapping. A hypervisor's flows for the traffic of one VIF are left alone: they are meant to
//! stand above.

use std::collections::BTreeMap;

use super::{Facts, Reason, Severity, degraded_reason};
use crate::{Cookie, ObservedInterface, bridge_flows};

/// Flows of others that are named each by itself.
const NAMED: usize = 5;

/// One line, taken apart.
#[derive(Debug)]
struct Line<'a> {
    table: u8,
    priority: u16,
    cookie: u64,
    fields: BTreeMap<&'a str, &'a str>,
    /// What it matches, as it was printed.
    printed: Vec<&'a str>,
    actions: &'a str,
}

/// What a dump says about a flow beside what it matches.
const NO_MATCH: [&str; 15] = [
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
    "send_flow_rem",
    // How OpenFlow 1.0 made it; `del-flows` takes none of these.
    "reset_counts",
    "check_overlap",
    "no_packet_counts",
    "no_byte_counts",
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
    fn parse_line(line: &'a str) -> Option<Self> {
        let (fields, actions) = line.split_once("actions=")?;
        let mut read = Line {
            table: 0,
            priority: 0x8000,
            cookie: 0,
            fields: BTreeMap::new(),
            printed: Vec::new(),
            actions: actions.trim(),
        };
        for field in fields.split([',', ' ']).map(str::trim).filter(|field| !field.is_empty()) {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            match name {
                "priority" => read.priority = value.parse().ok()?,
                "table" => read.table = value.parse().ok()?,
                "cookie" => read.cookie = u64::from_str_radix(value.trim_start_matches("0x"), 16).unwrap_or(0),
                name if NO_MATCH.contains(&name) => {}
                name => {
                    read.printed.push(field);
                    read.add_field(name, value);
                }
            }
        }
        Some(read)
    }

    fn add_field(&mut self, name: &'a str, value: &'a str) {
        match TYPES.iter().find(|(word, _)| *word == name) {
            Some((_, kind)) if value.is_empty() => drop(self.fields.insert("dl_type", kind)),
            _ => drop(self.fields.insert(name, value)),
        }
    }

    /// Priority and match, as `ovs-ofctl --strict` takes them.
    fn match_text(&self) -> String {
        let priority = format!("priority={}", self.priority);
        [priority.as_str()].into_iter().chain(self.printed.iter().copied()).collect::<Vec<_>>().join(",")
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
            .all(|(name, value)| other.fields.get(name).is_none_or(|theirs| values_compatible(name, value, theirs)))
    }

    /// Whether every frame that matches the other matches this.
    fn covers(&self, other: &Line<'_>) -> bool {
        self.fields.iter().all(|(name, value)| other.fields.get(name) == Some(value))
    }

    fn drops(&self) -> bool {
        self.actions == "drop"
    }

    /// Whether it is about single kinds of IP traffic: somebody's firewall.
    fn is_narrow(&self) -> bool {
        const PARTS: [&str; 8] = ["nw_", "tp_", "tcp", "udp", "icmp", "ipv6_", "sctp", "ct_"];
        self.printed.iter().any(|field| PARTS.iter().any(|part| field.starts_with(part)))
    }

    /// Whether only frames to groups match.
    fn to_groups(&self) -> bool {
        self.fields.get("dl_dst").is_some_and(|mac| *mac == GROUP || is_group(mac))
    }

    /// Whether it sends frames out by a port of its own choice, which `protected` does not see.
    fn outputs_to(&self, ports: &[u32]) -> bool {
        let to = |action: &str| {
            let port = action.strip_prefix("output:").unwrap_or(action);
            port.parse::<u32>().is_ok_and(|port| ports.contains(&port))
        };
        self.each_action().any(|action| is_flood(action) || to(action))
    }

    fn each_action(&self) -> impl Iterator<Item = &str> {
        self.actions.split(',').map(str::trim)
    }

    /// How often a frame leaves by it, at least, for one port.
    fn doubles(&self) -> bool {
        let normal = self.each_action().filter(|action| action.eq_ignore_ascii_case("normal")).count();
        let output = |action: &&str| is_flood(action) || action.starts_with("output:") || action.parse::<u32>().is_ok();
        normal > 1 || (normal == 1 && self.each_action().any(|action| output(&action)))
    }
}

const GROUP: &str = "01:00:00:00:00:00/01:00:00:00:00:00";

fn is_group(mac: &str) -> bool {
    mac.get(..2).and_then(|byte| u8::from_str_radix(byte, 16).ok()).is_none_or(|byte| byte & 1 == 1)
}

fn is_flood(action: &str) -> bool {
    matches!(action.to_ascii_lowercase().as_str(), "flood" | "all")
}

/// Whether a frame can have both values.
fn values_compatible(name: &str, one: &str, other: &str) -> bool {
    match (name, one, other) {
        (_, one, other) if one == other => true,
        ("dl_dst", GROUP, mac) | ("dl_dst", mac, GROUP) if !mac.contains('/') => is_group(mac),
        (_, one, other) => one.contains('/') || other.contains('/'),
    }
}

/// A bridge's flows and ports, as they are compared.
struct Table<'a> {
    ours: Vec<Line<'a>>,
    vifs: Vec<u32>,
    tunnels: Vec<u32>,
    /// Nothing may pass by a flow that is not ours.
    closed: bool,
}

pub(super) fn flow_reasons(facts: &Facts<'_>) -> Vec<Reason> {
    if facts.witness.foreign.is_empty() {
        return vec![];
    }
    let (bridge, name) = (facts.observed, &facts.observed.name);
    let ours: Vec<String> =
        bridge_flows(facts.desired, Some(bridge), facts.settings).iter().map(ToString::to_string).collect();
    let number = |interface: &ObservedInterface| interface.openflow_port();
    let of_tunnels = bridge.ports.values().filter(|port| port.is_tunnel_of_ours()).flat_map(|port| &port.interfaces);
    let of_vifs = bridge.vifs(&facts.settings.vif_prefixes).flat_map(|port| &port.interfaces);
    let table = Table {
        ours: ours.iter().filter_map(|line| Line::parse_line(line)).filter(|line| line.table == 0).collect(),
        vifs: of_vifs.filter_map(number).collect(),
        tunnels: of_tunnels.filter_map(number).collect(),
        closed: facts.desired.needs_flows(),
    };
    let foreign = facts.witness.foreign.iter().filter_map(|line| Line::parse_line(line));
    let mut found: Vec<(Severity, &'static str, Line<'_>)> = foreign
        .filter(|line| !line.is_ours() && line.table == 0)
        .filter_map(|line| table.judge_flow(&line).map(|(severity, words)| (severity, words, line)))
        .collect();
    found.sort_by_key(|(severity, ..)| std::cmp::Reverse(*severity));
    let more = found.len().saturating_sub(NAMED);
    let reason = |(n, (severity, words, line)): (usize, &(Severity, &'static str, Line<'_>))| {
        let place = line.match_text();
        let more = if more > 0 && n + 1 == NAMED { format!("; and {more} more such flows") } else { String::new() };
        let evidence = format!("a flow of others on bridge {name} {words}: {place} actions={}{more}", line.actions);
        let remedy = format!("`ovs-ofctl --strict del-flows {name} {place}`, and find out whose it is");
        Reason { severity: *severity, ..degraded_reason("shadowing_flow", name, evidence, remedy) }
    };
    found.iter().take(NAMED).enumerate().map(reason).collect()
}

impl Table<'_> {
    /// What a flow of others does to frames of ours, if it does anything.
    fn judge_flow(&self, line: &Line<'_>) -> Option<(Severity, &'static str)> {
        if line.priority == 0 {
            return None;
        }
        if line.in_port().is_none_or(|port| self.tunnels.contains(&port)) && line.outputs_to(&self.tunnels) {
            return Some((Severity::Failed, "sends frames from a tunnel to a tunnel, past `protected`"));
        }
        // What a hypervisor says of one VIF is meant to be.
        if line.in_port().is_some_and(|port| self.vifs.contains(&port)) {
            return None;
        }
        let below: Vec<&Line<'_>> =
            self.ours.iter().filter(|our| our.priority <= line.priority && our.overlaps(line)).collect();
        if below.is_empty() {
            return None;
        }
        if line.drops() {
            return self.cut_off(line, &below);
        }
        if line.doubles() {
            return Some((Severity::Failed, "doubles what it matches"));
        }
        if line.actions.eq_ignore_ascii_case("normal") {
            let severity = if self.closed { Severity::Failed } else { Severity::Degraded };
            let passes = below.iter().any(|our| our.drops());
            return passes.then_some((severity, "lets pass what ours drop"));
        }
        Some((Severity::Degraded, "takes frames from ours"))
    }

    fn cut_off(&self, line: &Line<'_>, below: &[&Line<'_>]) -> Option<(Severity, &'static str)> {
        // What we drop ourselves is not missed; nor what flows of ours above it forward already.
        let dropped = below.iter().any(|our| our.drops() && our.covers(line));
        let group = self.ours.iter().filter(|our| our.to_groups() && !our.drops()).map(|our| our.priority);
        let forwarded = line.to_groups() && group.max().is_some_and(|priority| priority > line.priority);
        if dropped || forwarded || below.iter().all(|our| our.drops()) {
            return None;
        }
        let elsewhere = line.in_port().is_some_and(|port| !self.tunnels.contains(&port));
        let severity = if line.is_narrow() || elsewhere { Severity::Degraded } else { Severity::Failed };
        Some((severity, "cuts off what it matches"))
    }
}
