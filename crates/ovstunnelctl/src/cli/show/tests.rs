//! How answers look. The same pages at 80 columns and without a terminal.

use ovstunnel_api::{
    Bfd, BfdState, Bridge, Changed, DoctorAnswer, Finding, Flows, FlowsState, Health, HealthState, Interface,
    Ipv6Policy, Level, Outcome, PlanAnswer, PlannedCommand, Ready, Reason, ReconcileAnswer, ReconcileRun, Severity,
    SpanningTree, TakeoverAnswer, TakeoverBridge, TakeoverPlan, TakeoverState, Tier, Tunnel, TunnelKind, TunnelState,
    Vif, Vpc,
};

use super::summary::write_status;
use super::takeover::{write_takeover, write_takeover_plan};
use super::things::{write_bridge, write_tunnels};
use super::*;
use crate::cli::status::Status;
use crate::cli::tunnel::{TunnelList, TunnelOfBridge};

fn tunnel(to: u32, state: TunnelState) -> Tunnel {
    let error =
        (state == TunnelState::Error).then(|| "could not add network device t1001-1-3 (File exists)".to_owned());
    Tunnel {
        bfd: None,
        port: format!("t1001-1-{to}"),
        from: "1".to_owned(),
        to: to.to_string(),
        remote_ip: format!("192.0.2.1{to}"),
        key: 1001,
        ofport: (state == TunnelState::Up).then_some(to + 3),
        state,
        protected: true,
        error,
    }
}

fn health(whats: &[&str]) -> Health {
    let reason = |what: &&str| Reason {
        what: (*what).to_owned(),
        subject: "xapi12".to_owned(),
        severity: Severity::Failed,
        evidence: "something was seen".to_owned(),
        remedy: "`ovs-vsctl del-controller xapi12`".to_owned(),
    };
    let state = if whats.is_empty() { HealthState::Ok } else { HealthState::Failed };
    Health { state, as_of: None, reasons: whats.iter().map(reason).collect() }
}

fn net(name: &str, key: u32, tunnels: Vec<Tunnel>, flows: FlowsState) -> Bridge {
    Bridge {
        name: name.to_owned(),
        key: Some(key),
        vpc: None,
        network_uuid: Some("5b2e1c1a-7d0f-4a57-a6b5-2a9d4c1f0e11".to_owned()),
        host_id: Some("1".to_owned()),
        ipv6: Ipv6Policy::Drop,
        kind: TunnelKind::Gre,
        adopted: true,
        tunnels,
        vifs: vec![
            Vif { name: "vif1.0".to_owned(), ofport: Some(1), mac: None },
            Vif { name: "vif2.0".to_owned(), ofport: None, mac: None },
        ],
        uplink: None,
        second: None,
        dst_port: None,
        neighbours: Vec::new(),
        other_ports: Vec::new(),
        flows: Flows { state: flows, expected: 4, installed: Some(3) },
        health: health(match flows {
            FlowsState::Drifted => &["fail_open", "vlan"],
            FlowsState::InSync | FlowsState::Unknown => &[],
        }),
        max_guest_mtu: Some(1458),
        mtu_request: None,
        claim: None,
    }
}

#[test]
fn an_uplink_is_shown_where_there_is_one() {
    let mut net = net("xapi1", 1001, vec![], FlowsState::InSync);
    let shown = |net: &Bridge| page(|p| write_bridge(p, net));
    assert!(!shown(&net).contains("Uplink"));
    net.uplink = Some("eth1".to_owned());
    assert!(shown(&net).lines().any(|line| line.starts_with("Uplink") && line.ends_with("eth1")), "{}", shown(&net));
}

#[test]
fn the_bridge_of_a_vpc_with_its_tiers() {
    let tier = |n: u32, acl: Option<&str>| Tier {
        key: 1000 + n,
        network_uuid: format!("5b2e1c1a-7d0f-4a57-a6b5-2a9d4c1f0e{n:02}"),
        cidr: format!("10.1.{n}.0/24"),
        gateway_mac: None,
        acl: acl.map(str::to_owned),
    };
    let vpc = Vpc {
        id: "7".to_owned(),
        topology_sequence: Some(12),
        policies_sequence: None,
        tiers: vec![tier(1, Some("a1")), tier(2, None)],
        unplaced_vifs: vec!["vif2.0".to_owned()],
    };
    let bridge = net("xapi7", 1001, vec![tunnel(2, TunnelState::Up)], FlowsState::InSync);
    let bridge = Bridge { key: None, vpc: Some(vpc), ..bridge };
    let text = page(|p| write_bridge(p, &bridge));
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    insta::assert_snapshot!(text);
}

fn status(ready: bool, bridges: Option<Vec<Bridge>>) -> Status {
    let reason = (!ready).then(|| "ovs-vswitchd does not answer".to_owned());
    let look = |at: &str, why: &str, words: &[&str]| ReconcileRun {
        at: at.to_owned(),
        why: why.to_owned(),
        found: u32::try_from(words.len()).unwrap(),
        failed: 0,
        words: words.iter().map(|words| (*words).to_owned()).collect(),
    };
    let repair = look("2026-05-01T03:12:07.25Z", "Open vSwitch has come up", &["flows of bridge xapi12: replace all"]);
    let drifted = bridges.iter().flatten().any(|bridge| bridge.flows.state == FlowsState::Drifted);
    let ready = Ready {
        ready,
        health: ready.then(|| health(if drifted { &["underlay_bridge"] } else { &[] })),
        reason,
        ovs_version: Some("3.1.0".to_owned()),
        version: "0.1.0".to_owned(),
        last_reconcile: ready.then(|| look("2026-05-01T03:20:00.5Z", "the interval has passed", &[])),
        last_repair: ready.then_some(repair),
        warnings: if ready { vec!["VIFs have no limit".to_owned()] } else { vec![] },
    };
    Status { daemon: "/run/ovstunnel/ovstunneld.sock".to_owned(), ready, bridges }
}

/// A page of two minutes after the status was asked for.
fn page(write: impl FnOnce(&mut Page)) -> String {
    let mut page = Page::at(humantime::parse_rfc3339("2026-05-01T03:22:00Z").unwrap());
    write(&mut page);
    page.into()
}

#[test]
fn status_tells_of_what_is_wrong() {
    let up = net("xapi12", 1001, vec![tunnel(2, TunnelState::Up), tunnel(3, TunnelState::Error)], FlowsState::InSync);
    let wide = net("a-bridge-of-15c", 2_147_483_647, vec![tunnel(2, TunnelState::Up)], FlowsState::Drifted);
    let status = status(true, Some(vec![up, wide]));
    assert!(status.needs_attention());
    insta::assert_snapshot!(page(|p| write_status(p, &status, false)));
}

#[test]
fn status_lists_what_needs_attention_and_counts_the_rest() {
    let well = |name: &str| net(name, 1, vec![tunnel(2, TunnelState::Up)], FlowsState::InSync);
    let mut slow = well("degraded");
    slow.health.state = HealthState::Degraded;
    let status = status(true, Some(vec![well("a"), slow, well("b")]));
    assert!(!status.needs_attention(), "it works");
    let text = page(|p| write_status(p, &status, false));
    assert!(text.contains("Bridges:       3 (1 needs attention)\n"), "{text}");
    assert!(text.ends_with("\n2 bridges are well: --all lists all.\n"), "{text}");
    let rows = |text: &str| text.lines().filter(|line| line.ends_with(" ok") || line.ends_with("degraded")).count();
    assert_eq!(rows(&text), 1 + 1, "one bridge, and the health of the whole: {text}");
    let all = page(|p| write_status(p, &status, true));
    assert!(rows(&all) == 3 + 1 && !all.contains("--all"), "{all}");
}

#[test]
fn each_finding_has_its_reason_and_its_remedy() {
    let finding = |check: &str, level, subject: Option<&str>, remedy: Option<&str>| Finding {
        check: check.to_owned(),
        level,
        subject: subject.map(str::to_owned),
        reason: format!("what was found of {check}"),
        remedy: remedy.map(str::to_owned),
    };
    let stp = finding("stp", Level::Fail, Some("xapi12"), Some("switch it off"));
    let mtu = finding("mtu", Level::Warn, None, Some("make it smaller"));
    let log = finding("log", Level::Ok, None, None);
    let answer = |findings: Vec<Finding>| DoctorAnswer { level: Level::Fail, version: "0.1.0".to_owned(), findings };
    let bad = answer(vec![stp, mtu, log.clone()]);
    insta::assert_snapshot!(String::from(doctor_page(&bad, false)), @r"
    FAIL  stp (xapi12): what was found of stp
          remedy: switch it off
    WARN  mtu: what was found of mtu
          remedy: make it smaller
    1 failure, 1 warning, 1 check found nothing wrong.
    ");
    assert_eq!(String::from(doctor_page(&answer(vec![log.clone()]), false)), "Nothing is wrong: 1 check made.\n");
    let all = String::from(doctor_page(&answer(vec![log]), true));
    assert!(all.starts_with("OK    log: what was found of log\n"), "{all}");
}

#[test]
fn status_says_why_it_is_not_ready() {
    let status = status(false, None);
    assert!(status.needs_attention());
    insta::assert_snapshot!(page(|p| write_status(p, &status, false)));
}

#[test]
fn what_is_not_known_yet_is_not_wrong() {
    let pending = net("br0", 7, vec![tunnel(2, TunnelState::Pending)], FlowsState::Unknown);
    let status = status(true, Some(vec![pending]));
    assert!(!status.needs_attention());
    insta::assert_snapshot!(page(|p| write_status(p, &status, false)));
}

#[test]
fn a_bridge_with_its_tunnels() {
    let bridge =
        net("xapi12", 1001, vec![tunnel(2, TunnelState::Up), tunnel(3, TunnelState::Error)], FlowsState::InSync);
    insta::assert_snapshot!(page(|p| write_bridge(p, &bridge)));
}

#[test]
fn each_row_is_one_line() {
    let tunnels = [tunnel(2, TunnelState::Up), tunnel(3, TunnelState::Pending)]
        .map(|tunnel| TunnelOfBridge { bridge: "a-bridge-of-15c".to_owned(), tunnel });
    let list = TunnelList { tunnels: tunnels.into() };
    insta::assert_snapshot!(page(|p| write_tunnels(p, &list, false)));
    insta::assert_snapshot!(page(|p| write_tunnels(p, &TunnelList { tunnels: Vec::new() }, false)), @"No tunnels.");
}

#[test]
fn a_bfd_session_has_a_column_where_one_is_to_run() {
    let session = |state| {
        let (remote_state, diagnostic, remote_diagnostic) = (None, None, None);
        Some(Bfd { interval: 1000, state, remote_state, diagnostic, remote_diagnostic, forwarding: true, flaps: 1 })
    };
    let of = |to, bfd| Tunnel { bfd, ..tunnel(to, TunnelState::Up) };
    let tunnels = [of(2, session(Some(BfdState::Up))), of(3, session(None)), of(4, None)];
    let tunnels = tunnels.map(|tunnel| TunnelOfBridge { bridge: "xapi12".to_owned(), tunnel }).into();
    let shown = page(|p| write_tunnels(p, &TunnelList { tunnels }, false));
    let last = |line: &str| line.rsplit("  ").next().unwrap_or_default().trim().to_owned();
    assert_eq!(shown.lines().take(4).map(last).collect::<Vec<_>>(), ["BFD", "up", "not begun", "-"]);
}

#[test]
fn a_plan_can_be_copied_into_a_shell() {
    let vsctl = ["/usr/bin/ovs-vsctl", "--", "set", "bridge", "br0", "external_ids:x=a b", "other_config:y='z'"];
    let flows = PlannedCommand {
        argv: ["ovs-ofctl", "--bundle", "add-flows", "br0", "-"].map(str::to_owned).into(),
        stdin: Some("priority=1000,actions=drop\nEOF\n".to_owned()),
    };
    let answer = PlanAnswer {
        dry_run: true,
        outcome: Outcome::Updated,
        changes: vec!["mark bridge br0 as ours".to_owned()],
        commands: vec![PlannedCommand { argv: vsctl.map(str::to_owned).into(), stdin: None }, flows],
    };
    insta::assert_snapshot!(String::from(plan_page(&answer)));
    let nothing = PlanAnswer { outcome: Outcome::Unchanged, changes: vec![], commands: vec![], ..answer };
    insta::assert_snapshot!(String::from(plan_page(&nothing)));
}

#[test]
fn an_interface_without_a_netmask() {
    let eth0 = Interface {
        label: "Pool-wide network associated with eth0".to_owned(),
        device: "xenbr0".to_owned(),
        ip: Some("192.0.2.11".to_owned()),
        netmask: None,
        ipv6: Some("2001:db8::11".to_owned()),
        mac: None,
        mtu: 1500,
        max_guest_mtu: 1458,
    };
    insta::assert_snapshot!(String::from(interface_page(&eth0)));
}

#[test]
fn reconcile_says_what_it_found_and_what_stays() {
    let clean = ReconcileAnswer { bridges: 1, tunnels: 2, ..ReconcileAnswer::default() };
    insta::assert_snapshot!(String::from(reconcile_page(&clean)));
    let dirty = ReconcileAnswer {
        found: vec!["br0: 1 flow is missing".to_owned()],
        done: vec!["br0: flows installed".to_owned()],
        changes: vec![Changed {
            what: "flows".to_owned(),
            subject: "br0".to_owned(),
            before: None,
            after: Some("1 flow more".to_owned()),
        }],
        failed: vec!["br1: t7-1-2: refused".to_owned()],
        ..clean
    };
    insta::assert_snapshot!(String::from(reconcile_page(&dirty)));
}

#[test]
fn a_removal_says_whether_something_was_there() {
    assert_eq!(String::from(removed_page("bridge br0", Outcome::Removed)), "bridge br0: removed\n");
    assert_eq!(
        String::from(removed_page("bridge br0", Outcome::Unchanged)),
        "bridge br0: unchanged (it was not there)\n"
    );
}

fn tree(root_port: Option<&str>) -> SpanningTree {
    SpanningTree {
        bridge_id: "8000.de4b5507b14c".to_owned(),
        root_id: "8000.42cd07800645".to_owned(),
        root_port: root_port.map(str::to_owned),
    }
}

fn stp_off(bridge: &str) -> Changed {
    Changed {
        what: "stp_enable".to_owned(),
        subject: bridge.to_owned(),
        before: Some("true".to_owned()),
        after: Some("false".to_owned()),
    }
}

fn old_bridge(name: &str, state: TakeoverState) -> TakeoverBridge {
    let ours = state == TakeoverState::TakenOver;
    TakeoverBridge {
        bridge: name.to_owned(),
        state,
        key: ours.then_some(1001),
        network_uuid: None,
        host_id: ours.then(|| "1".to_owned()),
        ipv6: ours.then_some(Ipv6Policy::Allow),
        tunnels: if ours { vec!["t1001-1-2".to_owned(), "t1001-1-3".to_owned()] } else { vec![] },
        vifs: if ours { vec!["vif1.0".to_owned()] } else { vec![] },
        plugin_flows: if ours { 9 } else { 0 },
        other_flows: u32::from(ours),
        spanning_tree: ours.then(|| tree(Some("t1001-1-2"))),
        announced: u32::from(ours),
        done: if ours { vec![format!("change bridge {name}: stp_enable=false")] } else { vec![] },
        changes: if ours { vec![stp_off(name)] } else { vec![] },
        left: if ours { vec![] } else { vec!["bridge xapi14 has key 1001 too".to_owned()] },
    }
}

#[test]
fn a_takeover_says_what_it_found_did_and_left() {
    let mut root = old_bridge("xapi13", TakeoverState::Left);
    root.spanning_tree = Some(tree(None));
    let bridges = vec![old_bridge("xapi12", TakeoverState::TakenOver), root];
    let answer = TakeoverAnswer { outcome: Outcome::Updated, bridges: bridges.clone() };
    insta::assert_snapshot!(page(|p| write_takeover(p, &answer)));
    let changes = vec!["change bridge xapi12: stp_enable=false".to_owned()];
    let plan = PlanAnswer { dry_run: true, outcome: Outcome::Updated, changes, commands: vec![] };
    insta::assert_snapshot!(page(|p| write_takeover_plan(p, &TakeoverPlan { plan, bridges })));
    let nothing = TakeoverAnswer { outcome: Outcome::Unchanged, bridges: vec![] };
    insta::assert_snapshot!(page(|p| write_takeover(p, &nothing)), @"No bridge of the Python plugin was found.");
}

#[test]
fn a_release_says_whether_there_was_anything_to_release() {
    assert_eq!(String::from(released_page("br0", Outcome::Removed)), "bridge br0: released\n");
    let unchanged = "bridge br0: unchanged (nothing of ours was there)\n";
    assert_eq!(String::from(released_page("br0", Outcome::Unchanged)), unchanged);
}

#[test]
fn control_characters_are_written_out() {
    assert_eq!(printable("a\u{1b}[2Jb\nc\u{9b}é"), "a\\u{1b}[2Jb\\nc\\u{9b}é");
    assert_eq!(quoted("a b"), "'a b'");
}
