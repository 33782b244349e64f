//! What the zone says is wrong after what its hosts have said, and when.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ovstunnel_api::{Bfd, BfdState, Bridge};

use super::patience::STANDS;
use super::*;
use crate::zone::Sessions;
use crate::zone::tests::{Bench, bridge, number};

impl Bench {
    fn faults_after(&self, after: Duration) -> Vec<Fault> {
        self.zone.prove_changed();
        let now = self.zone.now();
        self.zone.look_for_faults(now);
        self.zone.look_for_faults(now + after);
        self.zone.faults(&Wrong { limit: 100, ..Wrong::default() }).faults
    }
}

fn named(faults: &[Fault]) -> Vec<&str> {
    faults.iter().map(|fault| fault.id.as_str()).collect()
}

#[test]
fn a_lasting_missing_tunnel_is_reported_when_found_and_mended() {
    let mut bench = Bench::new();
    assert_eq!(named(&bench.faults_after(SETTLING)), [""; 0]);
    bench.says(2, &[bridge(2, &[1])]);
    assert_eq!(named(&bench.faults_after(STANDS)), [""; 0], "who sends tunnels one by one needs a moment");
    let faults = bench.faults_after(SETTLING);
    assert_eq!(named(&faults), ["one_sided:key-1001:h2:h3"]);
    let [fault] = &faults[..] else { panic!("{faults:?}") };
    assert!(fault.evidence.contains("no tunnel to host 3") && fault.remedy.contains("controller"), "{fault:?}");
    assert_eq!(fault.commands[0].run, "ovstunnelctl zone plan key-1001");
    bench.happened();
    bench.says(2, &[bridge(2, &[1, 3])]);
    assert_eq!(named(&bench.faults_after(Duration::ZERO)), [""; 0], "what is mended is gone at once");
    let told = bench.happened();
    assert!(told.iter().any(|(kind, text)| *kind == "fault_gone" && text.contains("one_sided")), "{told:?}");
}

#[test]
fn where_the_manager_acts_the_remedy_of_a_fault_is_to_reconcile() {
    let mut bench = Bench::new();
    bench.zone.start_acting();
    bench.says(2, &[bridge(2, &[1])]);
    let faults = bench.faults_after(STANDS);
    let runs: Vec<&str> = faults[0].commands.iter().map(|command| command.run.as_str()).collect();
    assert_eq!(runs, ["ovstunnelctl zone plan key-1001", "ovstunnelctl zone reconcile key-1001"]);
}

#[test]
fn a_silent_host_is_one_fault_and_hides_its_last_report() {
    let mut bench = Bench::new();
    bench.says(2, &[bridge(2, &[1])]);
    bench.zone.host_silent(number(2), "connection refused".to_owned());
    let faults = bench.faults_after(SETTLING);
    assert_eq!(named(&faults), ["host_silent:h2"]);
    assert_eq!((faults[0].evidence.as_str(), faults[0].hides, faults[0].networks), ("connection refused", 1, 1));
    assert_eq!(faults[0].commands[1].run, "systemctl status ovstunneld");
    let only = |wanted: Wrong| bench.zone.faults(&Wrong { limit: 100, ..wanted }).total;
    assert_eq!(only(Wrong { host: Some("h2".into()), ..Wrong::default() }), 1);
    assert_eq!(only(Wrong { host: Some("h1".into()), ..Wrong::default() }), 0);
    assert_eq!(only(Wrong { key: Some(bench.key()), ..Wrong::default() }), 1);
    assert_eq!(only(Wrong { kind: Some("pair".into()), ..Wrong::default() }), 0);
}

#[test]
fn faults_of_a_host_in_maintenance_are_counted_and_told_later() {
    let mut bench = Bench::new();
    let now = OffsetDateTime::now_utc();
    bench.zone.set_maintenance(number(3), Some(now + Duration::from_secs(3600)));
    bench.zone.host_silent(number(3), "connection refused".to_owned());
    bench.says(2, &[bridge(2, &[1])]);
    bench.happened();
    assert_eq!(named(&bench.faults_after(SETTLING)), [""; 0], "neither of it nor of the tunnel to it");
    assert_eq!(bench.zone.faults(&Wrong { limit: 100, ..Wrong::default() }).silenced, 2);
    assert!(bench.happened().iter().all(|(kind, _)| *kind != "fault_found"));
    bench.zone.set_maintenance(number(3), Some(now - Duration::from_secs(1)));
    assert_eq!(named(&bench.faults_after(SETTLING)), ["host_silent:h3", "one_sided:key-1001:h2:h3"]);
}

#[test]
fn a_host_without_bridges_and_its_own_faults_are_told_once_each() {
    let mut bench = Bench::new();
    bench.says(2, &[]);
    let faults = bench.faults_after(SETTLING);
    assert_eq!(named(&faults), ["returned_empty:h2"]);
    assert_eq!(faults[0].what.as_deref(), Some("bridge_missing"));
}

/// The bridge of host `n` whose tunnel to this host has a session.
fn watched(n: u64, to: u64, state: BfdState, flaps: u32) -> Bridge {
    let others: Vec<u64> = (1..=3).filter(|other| *other != n).collect();
    let mut bridge = bridge(n, &others);
    let tunnel = bridge.tunnels.iter_mut().find(|tunnel| tunnel.to == to.to_string()).unwrap();
    tunnel.bfd = Some(Bfd {
        interval: 1000,
        state: Some(state),
        remote_state: None,
        diagnostic: Some("Control Detection Time Expired".into()),
        remote_diagnostic: None,
        forwarding: state == BfdState::Up,
        flaps,
    });
    bridge
}

#[test]
fn where_bfd_is_down_a_pair_or_direction_is_at_fault() {
    let mut bench = Bench::new();
    bench.zone.start_acting();
    bench.says(1, &[watched(1, 2, BfdState::Down, 2)]);
    assert_eq!(named(&bench.faults_after(SETTLING)), [""; 0], "the other end has no BFD");
    bench.says(2, &[watched(2, 1, BfdState::Init, 3)]);
    let faults = bench.faults_after(STANDS);
    assert_eq!(named(&faults), ["direction:key-1001:h2:h1"]);
    assert_eq!(faults[0].what.as_deref(), Some("bfd_down"));
    let words = (faults[0].evidence.as_str(), faults[0].remedy.as_str());
    assert!(
        words.0.contains("h1: BFD on t1001-1-2 hears nothing from 192.0.2.2") && words.1.contains("GRE"),
        "{words:?}"
    );
    assert_eq!(faults[0].commands[0].run, "ovs-appctl bfd/show");
    bench.says(2, &[watched(2, 1, BfdState::Down, 3)]);
    assert_eq!(named(&bench.faults_after(STANDS)), ["pair:key-1001:h1:h2"]);
    assert!(bench.zone.proof(bench.key()).unwrap().whole, "it is not what the switches hold");
    bench.zone.host_silent(number(2), "connection refused".to_owned());
    assert_eq!(named(&bench.faults_after(SETTLING)), ["host_silent:h2"], "what it said is old");
}

#[test]
fn a_session_that_never_was_up_has_its_time_to_begin() {
    let mut bench = Bench::new();
    bench.zone.start_acting();
    bench.says(1, &[watched(1, 2, BfdState::Down, 0)]);
    bench.says(2, &[watched(2, 1, BfdState::Down, 0)]);
    assert_eq!(named(&bench.faults_after(STANDS)), [""; 0]);
    let faults = bench.faults_after(SETTLING);
    assert_eq!(named(&faults), ["pair:key-1001:h1:h2"]);
    assert!(faults[0].evidence.contains("was never up"), "{:?}", faults[0]);
}

/// Whoever asks why a host does not reach another is not told of a session that is just beginning, and is told of one that does not come up.
#[tokio::test(start_paused = true)]
async fn a_session_that_begins_is_no_cut_between_two_hosts() {
    let mut bench = Bench::new();
    bench.zone.start_acting();
    bench.says(1, &[watched(1, 2, BfdState::Down, 0)]);
    bench.says(2, &[watched(2, 1, BfdState::Down, 0)]);
    let told = |bench: &Bench| bench.zone.bfd_sessions(number(1), number(2));
    assert_eq!(told(&bench), None);
    bench.faults_after(Duration::ZERO);
    tokio::time::advance(STANDS).await;
    assert_eq!(told(&bench), None);
    tokio::time::advance(SETTLING).await;
    let Some(Sessions::Down(cuts)) = told(&bench) else { panic!("{:?}", told(&bench)) };
    assert_eq!(cuts.len(), 2, "{cuts:?}");
    bench.says(1, &[watched(1, 2, BfdState::Down, 2)]);
    bench.says(2, &[watched(2, 1, BfdState::Init, 3)]);
    bench.says(1, &[watched(1, 3, BfdState::Down, 2)]);
    bench.says(3, &[watched(3, 1, BfdState::Down, 1)]);
    let cuts = bench.zone.bfd_sessions(number(1), number(3));
    assert!(
        matches!(&cuts, Some(Sessions::Down(cuts)) if cuts.len() == 2),
        "what was up and is down is told at once: {cuts:?}"
    );
}

/// A fault is no news because a daemon at one of its ends starts anew; one that was not told before is, once that could have been mended.
#[tokio::test(start_paused = true)]
async fn a_fault_that_was_told_stays_while_its_host_comes_back() {
    let mut bench = Bench::new();
    bench.zone.start_acting();
    bench.says(2, &[bridge(2, &[1])]);
    assert_eq!(named(&bench.faults_after(STANDS)), ["one_sided:key-1001:h2:h3"]);
    bench.happened();
    tokio::time::advance(STANDS * 2).await;
    bench.zone.host_silent(number(2), "connection refused".to_owned());
    bench.says(2, &[bridge(2, &[1])]);
    assert_eq!(named(&bench.faults_after(Duration::ZERO)), ["one_sided:key-1001:h2:h3"], "it was told before");
    assert!(!bench.happened().iter().any(|(kind, _)| kind.starts_with("fault_")), "and is no news");
    bench.zone.host_silent(number(3), "connection refused".to_owned());
    bench.says(3, &[bridge(3, &[1])]);
    assert_eq!(named(&bench.faults_after(Duration::ZERO)), ["one_sided:key-1001:h2:h3"], "that of host 3 is new");
    assert_eq!(named(&bench.faults_after(STANDS)), ["pair:key-1001:h2:h3"]);
}
