//! `epoch show` and `epoch clear`: what is asked, and what is shown.

use crate::common::{Asked, FakeDaemon, canned, plan, run};
use serde_json::{Value, json};

const ZONE: &str = "9d3c1b52-8a4e-4f0b-a2c7-5e6f1d0b7a31";

fn daemon(recorded: Value, existed: bool) -> FakeDaemon {
    let outcome = if existed { "removed" } else { "unchanged" };
    FakeDaemon::answering(vec![
        canned("GET /v1/epoch", 200, recorded),
        canned("DELETE /v1/epoch", 200, json!({"outcome": outcome, "existed": existed, "changes": []})),
    ])
}

fn asked(daemon: &FakeDaemon) -> Vec<String> {
    daemon.asked().into_iter().map(|Asked { line, .. }| line).collect()
}

#[test]
fn what_is_recorded_is_shown() {
    let there = daemon(json!({"zone": ZONE, "epoch": 4}), true);
    let ran = run(&mut there.ctl("epoch show"));
    assert!(ran.status == 0 && ran.out.contains(ZONE) && ran.out.contains('4'), "{} {}", ran.out, ran.err);
    let ran = run(&mut there.ctl("--json epoch show"));
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap(), json!({"zone": ZONE, "epoch": 4}));
    let none = daemon(json!({}), false);
    let ran = run(&mut none.ctl("epoch show"));
    assert!(ran.status == 0 && ran.out.contains("no epoch is recorded"), "{} {}", ran.out, ran.err);
}

/// A test has no terminal.
#[test]
fn it_is_not_cleared_without_a_yes() {
    let there = daemon(json!({"zone": ZONE, "epoch": 4}), true);
    let ran = run(&mut there.ctl("epoch clear"));
    assert!(ran.status == 2 && ran.err.contains("--yes") && ran.err.contains(ZONE), "{}", ran.err);
    assert_eq!(asked(&there), ["GET /v1/epoch"]);
    let ran = run(&mut there.ctl("epoch clear --yes"));
    assert_eq!((ran.status, asked(&there).len()), (0, 2), "{}", ran.err);
    assert_eq!(asked(&there)[1], "DELETE /v1/epoch");
}

#[test]
fn what_is_not_there_is_no_success_unless_that_is_said() {
    let none = daemon(json!({}), false);
    let ran = run(&mut none.ctl("epoch clear"));
    assert!(ran.status == 1 && ran.err.contains("the recorded epoch"), "{}", ran.err);
    assert_eq!(run(&mut none.ctl("epoch clear --if-exists")).status, 0);
}

#[test]
fn a_dry_run_asks_nobody_and_clears_nothing() {
    let there = FakeDaemon::answering(vec![canned("DELETE /v1/epoch", 200, plan())]);
    assert_eq!(run(&mut there.ctl("epoch clear --dry-run")).status, 0);
    assert_eq!(asked(&there), ["DELETE /v1/epoch?dry_run=true"]);
}
