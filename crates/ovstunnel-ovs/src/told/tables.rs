//! The flow tables of a bridge as `bridge/dump-flows` prints them: every flow, hidden ones too; cookies only by newer versions.
//! Must not take a line for a flow of ours by itself: `foreign_flows` is told which those are.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use ovstunnel_plan::{Action, Flow, FlowsSeen, Match, is_of_a_probe, is_of_an_answer};

use crate::FlowDigest;

/// The highest priority that a flow of anybody but Open vSwitch itself can have.
const PRIORITY_MAX: u32 = 0xffff;

/// Flows that are kept of one bridge, and characters of each.
const KEPT: usize = 64;
const LENGTH: usize = 300;

/// The flows of a bridge at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// By which it is known later whether they are the same.
    pub digest: FlowDigest,
    /// Flows with a priority above 65,535: Open vSwitch's own.
    pub hidden: Vec<String>,
    /// Whether there is no flow but those that Open vSwitch gives each bridge.
    pub bare: bool,
    /// By which it is known whether flows of probes, and of requests that were answered, have come or gone. They are left out of all else here: they end by themselves.
    pub probes: u64,
    /// Flows of the first table, but for Open vSwitch's own one.
    first: Vec<String>,
}

impl Tables {
    /// Reads what is printed, with the moments before and after it was asked; nothing where a line is not understood.
    pub(crate) fn parse(printed: &str, at: (Instant, Instant)) -> Option<Self> {
        let (of_probes, lines): (Vec<&str>, Vec<&str>) = printed.lines().partition(|line| passes(line));
        let mut probes = DefaultHasher::new();
        of_probes.iter().for_each(|line| without_statistics(line).1.hash(&mut probes));
        let digest = FlowDigest::parse(lines.iter().copied(), at)?;
        let mut tables = Tables { digest, hidden: vec![], bare: true, probes: probes.finish(), first: vec![] };
        for line in lines {
            let (table, flow) = without_statistics(line);
            match (table, flow_priority(&flow)) {
                (None, Some(priority)) if priority > PRIORITY_MAX => tables.hidden.push(shorten_flow(flow)),
                (None, _) if flow == "priority=0,actions=NORMAL" => {}
                (None, _) => tables.first.push(flow),
                // Open vSwitch's own table.
                (Some(254), _) => continue,
                (Some(_), _) => {}
            }
            tables.bare &= tables.hidden.is_empty() && tables.first.is_empty() && table.is_none();
        }
        tables.hidden.truncate(KEPT);
        Some(tables)
    }

    /// The flows of the first table that are not among ours, the first of them. One that looks like one of ours is taken for it:
    /// whether it has our cookie is not printed by every version.
    pub fn foreign_flows(&self, ours: &FlowsSeen) -> Vec<String> {
        let FlowsSeen::Known { flows, .. } = ours else { return vec![] };
        let ours: BTreeSet<Plain> = flows.iter().filter(|flow| flow.table == 0).map(plain_flow).collect();
        let is_ours = |line: &&String| line.parse::<Flow>().is_ok_and(|flow| ours.contains(&plain_flow(&flow)));
        self.first.iter().filter(|line| !is_ours(line)).take(KEPT).cloned().map(shorten_flow).collect()
    }

    /// Whether some flow of ours in the first table is not there.
    pub fn lacks_flow(&self, ours: &FlowsSeen) -> bool {
        let FlowsSeen::Known { flows, .. } = ours else { return false };
        let there: BTreeSet<Plain> =
            self.first.iter().filter_map(|line| Some(plain_flow(&line.parse().ok()?))).collect();
        flows.iter().any(|flow| flow.table == 0 && !there.contains(&plain_flow(flow)))
    }
}

/// Whether a printed flow ends by itself and says nothing of ours.
fn passes(line: &str) -> bool {
    is_of_a_probe(line) || is_of_an_answer(line)
}

/// A flow but for its cookie.
type Plain = (u16, Match, Vec<Action>);

fn plain_flow(flow: &Flow) -> Plain {
    (flow.priority, flow.matches, flow.actions.clone())
}

/// The table, where it is not the first, and the flow without age and counters.
fn without_statistics(line: &str) -> (Option<u8>, String) {
    let mut table = None;
    let mut rest = Vec::new();
    for field in line.split(", ") {
        match field.trim().split_once('=') {
            Some(("table_id", number)) => table = Some(number.parse().unwrap_or(u8::MAX)),
            Some(("duration" | "n_packets" | "n_bytes", _)) => {}
            _ => rest.push(field.trim()),
        }
    }
    (table, rest.join(","))
}

fn flow_priority(flow: &str) -> Option<u32> {
    flow.split(',').find_map(|field| field.strip_prefix("priority="))?.parse().ok()
}

fn shorten_flow(flow: String) -> String {
    match flow.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &flow[..end]),
        None => flow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by 3.1.0.
    const OWN: &str = "\
duration=0s, n_packets=1, n_bytes=90, priority=0,actions=NORMAL
table_id=254, duration=411s, n_packets=0, n_bytes=0, priority=2,recirc_id=0,actions=drop
table_id=254, duration=411s, n_packets=0, n_bytes=0, priority=0,reg0=0x1,actions=controller(reason=)
table_id=254, duration=411s, n_packets=0, n_bytes=0, priority=0,reg0=0x2,actions=drop
";
    const HIDDEN: &str = "duration=7s, n_packets=9, n_bytes=90, priority=15790320,actions=NORMAL\n";
    const OURS: &str = "duration=8s, n_packets=0, n_bytes=0, priority=1000,tun_id=0x3e9,\
        dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=drop\n";
    const THEIRS: &str = "duration=8s, n_packets=0, n_bytes=0, priority=500,ip,in_port=3,actions=drop\n";

    fn read(printed: &str) -> Tables {
        Tables::parse(printed, (Instant::now(), Instant::now())).unwrap()
    }

    #[test]
    fn a_bridge_with_nothing_but_open_vswitchs_own_is_bare() {
        assert!(read(OWN).bare && read("").bare);
        for more in [HIDDEN, OURS, THEIRS, "table_id=5, duration=1s, n_packets=0, n_bytes=0, actions=drop\n"] {
            assert!(!read(&format!("{more}{OWN}")).bare, "{more}");
        }
    }

    /// Printed by 3.5.0 and 4.0.0: a cookie that is not 0.
    #[test]
    fn a_printed_cookie_changes_nothing() {
        let cookie = |cookie: &str, flow: &str| format!("cookie={cookie}, {flow}");
        let (ours, theirs) = (cookie("0x6f76737401000000", OURS), cookie("0x77", THEIRS));
        let tables = read(&format!("{HIDDEN}{ours}{theirs}{OWN}"));
        assert_eq!(tables.hidden, ["priority=15790320,actions=NORMAL"]);
        let seen = FlowsSeen::parse_dump(&ours);
        assert_eq!(seen.flow_count(), Some(1), "{seen:?}");
        assert_eq!(tables.foreign_flows(&seen), ["cookie=0x77,priority=500,ip,in_port=3,actions=drop"]);
        assert!(!tables.lacks_flow(&seen) && read(&format!("{theirs}{OWN}")).lacks_flow(&seen));
        let elsewhere = cookie("0x77", "table_id=5, duration=1s, n_packets=0, n_bytes=0, actions=drop\n");
        assert!(!read(&elsewhere).bare && read(&elsewhere).foreign_flows(&seen).is_empty());
    }

    #[test]
    fn flows_of_a_probe_are_neither_drift_nor_a_strangers() {
        let probe = "duration=0s, n_packets=1, n_bytes=60, priority=65535,tun_id=0x3e9,in_port=2,dl_dst=0a:00:00:00:00:07,\
                     dl_type=0x88b5,actions=drop\n";
        let at = (Instant::now(), Instant::now() + std::time::Duration::from_secs(5));
        let (without, with) = (Tables::parse(&format!("{OURS}{OWN}"), at), format!("{OURS}{probe}{OWN}"));
        let (without, with) = (without.unwrap(), Tables::parse(&with, at).unwrap());
        assert_eq!(Tables { probes: without.probes, ..with.clone() }, without);
        assert_ne!(with.probes, without.probes);
        let counted = Tables::parse(&format!("{}{OWN}{OURS}", probe.replace("=1,", "=2,")), at).unwrap();
        assert_eq!(counted.probes, with.probes, "its counters are no news");
    }

    #[test]
    fn hidden_flows_are_told_and_those_of_others_are_not_ours() {
        let tables = read(&format!("{HIDDEN}{OURS}{THEIRS}{OWN}"));
        assert_eq!(tables.hidden, ["priority=15790320,actions=NORMAL"]);
        let ours = format!(" cookie=0x6f76737401000000, {}", OURS.replace("8s", "8.1s"));
        let seen = FlowsSeen::parse_dump(&ours);
        assert_eq!(seen.flow_count(), Some(1), "{seen:?}");
        assert_eq!(tables.foreign_flows(&seen), ["priority=500,ip,in_port=3,actions=drop"]);
        assert!(!tables.lacks_flow(&seen) && read(&format!("{THEIRS}{OWN}")).lacks_flow(&seen));
        assert_eq!(tables.foreign_flows(&FlowsSeen::none()).len(), 2);
        assert!(tables.foreign_flows(&FlowsSeen::Unknown).is_empty());
    }
}
