//! Has other hosts learn where a bridge's VMs are, and this one where theirs are, by the direct way.
//!
//! In a mesh without a spanning tree and without `protected`, any two hosts may have learnt each other's VMs by way of a third,
//! which passes nothing on once it is taken over. So a frame from each VM here to itself goes out by each tunnel: at the other end
//! NORMAL learns the direct way from it and sends it nowhere, whether that host has been taken over or not. So it is with the first
//! of several equal frames. The next hits a cached datapath flow that may have been made anew meanwhile, by what a frame on its way by the
//! third taught: it is sent there, teaches that host the wrong way, and what comes for the VM is lost. So no two that are
//! told within half a minute are equal: each has another Ethernet type, which every cached flow is about.
//!
//! In a spanning tree two hosts that are not its root have learnt each other's VMs behind the root, and each frame that comes
//! that way teaches it anew. So for some minutes such frames are handed to their VM without being learnt from, while a
//! broadcast in the name of each VM here tells the others, which do the same. What it must not do: send what comes from a
//! tunnel to a tunnel, or keep anything from being learnt that is not known yet (docs/adr/0012-take-over.md).

use std::time::{Duration, SystemTime};

use crate::cookie::temporary::LEARN_NOT;
use crate::transition::{self, Learnt, shortest_packet};
use crate::{ObservedBridge, ids};

/// Seconds for which frames by way of the root are not learnt from. What they would renew is forgotten after 300.
const LIFETIME: u16 = 180;
/// What is older is taught again, so that it outlives these flows.
const OLD: u32 = 60;
/// A table that nobody else is known to use: which VM has which address.
const TABLE: u8 = 251;
/// Ethernet types of frames that announce, by turns: so many from the first on, which nobody has been given. No VM gets one.
const TYPES: (u16, u16) = (0x0680, 128);
/// How long one of them lasts. It comes again after 32 s; Open vSwitch forgets an unused datapath flow after 10
/// (`other_config:max-idle`).
const TURN: Duration = Duration::from_millis(250);
const UNICAST: &str = "dl_dst=00:00:00:00:00:00/01:00:00:00:00:00";

/// What is done on one bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    lines: Vec<String>,
    /// Addresses of VMs that are announced.
    pub addresses: usize,
}

impl Announcement {
    /// For a bridge with what it has learnt; nothing where it has no tunnels or no VMs. Where it was in a spanning tree and not its
    /// root, as its record says, flows are laid too, but not where flows of others decide: `announce_only`. `now` tells its frames
    /// from those of other times.
    pub fn for_bridge(
        bridge: &ObservedBridge,
        learnt: &[Learnt],
        announce_only: bool,
        now: SystemTime,
    ) -> Option<Self> {
        let (tunnels, vifs) = transition::tunnels_and_others(bridge);
        let here: Vec<&Learnt> = learnt.iter().filter(|learnt| vifs.contains(&learnt.port)).collect();
        let Some(root) = bridge.external_ids.get(ids::STP_ROOT_PORT) else {
            let all: Vec<String> = tunnels.iter().map(|tunnel| format!("output:{tunnel}")).collect();
            let (all, ethernet_type) = (all.join(","), type_at(now));
            let lines: Vec<String> =
                here.iter().map(|learnt| transition::teach_by(learnt, ethernet_type, &all)).collect();
            let some = !lines.is_empty() && !all.is_empty();
            return some.then_some(Announcement { lines, addresses: here.len() });
        };
        let number = || Some(bridge.ports.get(root)?.interface()?.openflow_port()?.to_string());
        let root = number().filter(|port| !announce_only && tunnels.contains(port));
        let behind: Vec<&Learnt> = learnt.iter().filter(|learnt| Some(&learnt.port) == root.as_ref()).collect();
        let mut lines = vec![format!("flow delete {LEARN_NOT}/-1")];
        if let Some(root) = root {
            lines.extend(learn_not(&root, &behind, &here));
        }
        lines.extend(behind.iter().filter(|learnt| learnt.age >= OLD).map(|learnt| transition::teaching_line(learnt)));
        lines.extend(here.iter().map(|learnt| announcement_line(learnt)));
        Some(Announcement { lines, addresses: here.len() })
    }

    /// The lines for `ovs-ofctl bundle`.
    pub fn bundle_lines(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

/// The Ethernet type of frames that announce at a time.
fn type_at(now: SystemTime) -> u16 {
    let (first, count) = TYPES;
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // The rest of a division by a `u16`.
    first + (since.as_millis() / TURN.as_millis() % u128::from(count)) as u16
}

/// Flows that hand frames from known addresses behind the root to VMs here, past NORMAL, which would learn from them.
fn learn_not(root: &str, behind: &[&Learnt], here: &[&Learnt]) -> Vec<String> {
    let add = |table: u8, lifetime: u16, rest: String| {
        format!("flow add {LEARN_NOT},table={table},hard_timeout={lifetime},{rest}")
    };
    // The second table's flows end after those that lead to it.
    let later = LIFETIME + 5;
    let to_vm = |Learnt { port, mac, .. }: &&Learnt| {
        add(TABLE, later, format!("priority=2,dl_dst={mac},actions=output:{port}"))
    };
    let from = |Learnt { mac, .. }: &&Learnt| {
        let priority = transition::PRIORITY;
        let rest = format!("priority={priority},in_port={root},dl_src={mac},{UNICAST},actions=resubmit(,{TABLE})");
        add(0, LIFETIME, rest)
    };
    let other = add(TABLE, later, "priority=1,actions=NORMAL".to_owned());
    here.iter().map(to_vm).chain([other]).chain(behind.iter().map(from)).collect()
}

/// A broadcast in the name of a VM: the request 'who am I' of RARP, which hypervisors send after a migration and no VM
/// answers.
fn announcement_line(Learnt { port, mac, .. }: &Learnt) -> String {
    let mac = mac.replace(':', "");
    let rarp = format!("8035{}{mac}00000000{mac}00000000", "0001080006040003");
    let packet = shortest_packet(&format!("ffffffffffff{mac}{rarp}"));
    format!("packet-out in_port={port},packet={packet},actions=NORMAL")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ObservedInterface, ObservedPort};

    fn port(name: &str, kind: &str, number: i64) -> (String, ObservedPort) {
        let interface =
            ObservedInterface { name: name.into(), kind: kind.into(), ofport: Some(number), ..Default::default() };
        (name.into(), ObservedPort { name: name.into(), interfaces: vec![interface], ..Default::default() })
    }

    /// A bridge with one VM, by port 1, and tunnels to the root, by port 2, and to another host, by port 3.
    fn bridge(root: Option<&str>) -> ObservedBridge {
        let ports = [port("vif1.0", "", 1), port("t7-1-2", "gre", 2), port("t7-1-3", "gre", 3), port("br", "", 65534)];
        let mark = root.map(|port| (ids::STP_ROOT_PORT.to_owned(), port.to_owned()));
        ObservedBridge {
            name: "br".into(),
            ports: ports.into(),
            external_ids: mark.into_iter().collect(),
            ..Default::default()
        }
    }

    const FDB: &str = "1 0 02:00:00:00:00:01 0\n2 0 02:00:00:00:00:02 9\n2 0 02:00:00:00:00:04 99\n\
        3 0 02:00:00:00:00:03 200\nLOCAL 0 02:00:00:00:00:05 0\n";

    #[test]
    fn behind_the_root_frames_reach_vms_and_vms_announced() {
        let announcement =
            Announcement::for_bridge(&bridge(Some("t7-1-2")), &Learnt::parse(FDB), false, SystemTime::UNIX_EPOCH)
                .unwrap();
        let expected = "\
flow delete cookie=0x6f76736200000002/-1
flow add cookie=0x6f76736200000002,table=251,hard_timeout=185,priority=2,dl_dst=02:00:00:00:00:01,actions=output:1
flow add cookie=0x6f76736200000002,table=251,hard_timeout=185,priority=1,actions=NORMAL
flow add cookie=0x6f76736200000002,table=0,hard_timeout=180,priority=1250,in_port=2,dl_src=02:00:00:00:00:02,dl_dst=00:00:00:00:00:00/01:00:00:00:00:00,actions=resubmit(,251)
flow add cookie=0x6f76736200000002,table=0,hard_timeout=180,priority=1250,in_port=2,dl_src=02:00:00:00:00:04,dl_dst=00:00:00:00:00:00/01:00:00:00:00:00,actions=resubmit(,251)
packet-out in_port=2,packet=02000000000402000000000488b500000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000,actions=NORMAL
packet-out in_port=1,packet=ffffffffffff020000000001803500010800060400030200000000010000000002000000000100000000000000000000000000000000000000000000,actions=NORMAL
";
        assert_eq!((announcement.bundle_lines().as_str(), announcement.addresses), (expected, 1));
    }

    #[test]
    fn no_flow_is_laid_where_others_decide_or_the_root_went() {
        let learnt = Learnt::parse(FDB);
        let alone = Announcement::for_bridge(&bridge(Some("t7-1-2")), &learnt, true, SystemTime::UNIX_EPOCH).unwrap();
        let gone = Announcement::for_bridge(&bridge(Some("t7-1-9")), &learnt, false, SystemTime::UNIX_EPOCH).unwrap();
        for announcement in [alone, gone] {
            let lines = announcement.bundle_lines();
            assert!(!lines.contains("flow add") && announcement.addresses == 1, "{lines}");
        }
    }

    #[test]
    fn without_stp_each_vm_is_announced_and_no_flow_laid() {
        let announcement =
            Announcement::for_bridge(&bridge(None), &Learnt::parse(FDB), false, SystemTime::UNIX_EPOCH).unwrap();
        let frame = format!("{0}{0}0680{1}", "020000000001", "00".repeat(46));
        let expected = format!("packet-out in_port=1,packet={frame},actions=output:2,output:3\n");
        assert_eq!((announcement.bundle_lines(), announcement.addresses), (expected, 1));
        let (mut lonely, learnt) = (bridge(None), Learnt::parse(FDB));
        lonely.ports.retain(|name, _| !name.starts_with('t'));
        assert_eq!(Announcement::for_bridge(&lonely, &learnt, false, SystemTime::UNIX_EPOCH), None);
        assert_eq!(Announcement::for_bridge(&bridge(None), &learnt[1..], false, SystemTime::UNIX_EPOCH), None);
    }

    #[test]
    fn no_two_announcements_of_half_a_minute_are_equal() {
        let at = |millis: u64| {
            let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_796_000_000_100 + millis);
            Announcement::for_bridge(&bridge(None), &Learnt::parse(FDB), true, now).unwrap().bundle_lines()
        };
        let told: std::collections::BTreeSet<String> = (0..31_750).step_by(250).map(at).collect();
        assert_eq!(told.len(), 127);
    }
}
