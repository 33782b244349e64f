//! Small zones: nothing is wrong in a good one, and each thing that is broken on purpose is found and named.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};

use ovstunnel_zone::costs::Costs;
use ovstunnel_zone::run::{Outcome, run};
use ovstunnel_zone::zone::{Broken, Scenario, Style};
use serde_json::Value;

fn scenario(style: Style) -> Scenario {
    Scenario {
        hosts: 12,
        vms_per_host: 4.0,
        vms_per_network: 6.0,
        minutes: 12.0,
        style,
        starts: 40.0,
        migrations: 40.0,
        failures: 2000.0,
        kills: 2000.0,
        interval: 60.0,
        in_flight: 50,
        seed: 7,
        costs: Costs::default(),
        broken: None,
    }
}

fn expect_good(style: Style) -> Outcome {
    let outcome = run(scenario(style)).unwrap();
    assert_eq!(outcome.checks.words, Vec::<String>::new(), "{style:?}");
    assert!(outcome.is_good());
    for what in ["VM starts", "VM stops", "migrations", "host failures", "killed daemons"] {
        assert!(outcome.events.get(what).is_some_and(|times| *times > 0), "no {what}: {:?}", outcome.events);
    }
    assert!(outcome.checks.ports > 1000 && outcome.work.tunnels_made > 0 && outcome.work.tunnels_removed > 0);
    assert!(outcome.whole_all.longest > 0.0, "{:?}", outcome.whole_all);
    outcome
}

#[test]
fn networks_are_whole_however_the_server_calls() {
    let put = expect_good(Style::Put);
    let single = expect_good(Style::Single);
    let plugin = expect_good(Style::Plugin);
    assert!(single.messages["POST tunnel"].sent > 0 && !put.messages.contains_key("POST tunnel"));
    let sent = |outcome: &Outcome| outcome.per_event(outcome.all_messages.sent);
    assert!(sent(&plugin) > sent(&put), "a call for each tunnel and direction is more than one for each host");
}

#[test]
fn the_same_seed_brings_the_same_events() {
    let mut events = [7, 7, 8].map(|seed| run(Scenario { seed, ..scenario(Style::Put) }).unwrap().events);
    assert_eq!(events[0], events[1]);
    events[0].clear();
    assert_ne!(events[1], events[2]);
}

/// The words of the faults that a zone has in which something is broken.
fn broken(broken: Broken) -> Vec<String> {
    let outcome = run(Scenario { broken: Some(broken), ..scenario(Style::Single) }).unwrap();
    assert!(!outcome.is_good(), "{broken:?} was not found");
    outcome.checks.words
}

#[test]
fn a_lost_message_and_a_deleted_tunnel_are_found_and_named() {
    let names_pair = |words: &str| {
        words.starts_with("network xapi") && words.contains(", tunnel from host ") && words.contains(" to host ")
    };
    for what in [Broken::LostSetup, Broken::LostTunnel] {
        let words = broken(what);
        assert!(words.iter().any(|words| names_pair(words) && words.contains(": one-sided: ")), "{what:?}: {words:?}");
    }
    let words = broken(Broken::LostRemoval);
    assert!(
        words.iter().any(|words| words.starts_with("network xapi") && words.contains(": left over: ")),
        "{words:?}"
    );
}

fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ovstunnel-zone")).args(arguments).output().unwrap()
}

#[test]
fn the_smoke_run_reports_in_a_table_in_json_and_in_a_plot() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zone.json");
    let output = program(&[
        "--quick",
        "--minutes=1",
        "--json",
        file.to_str().unwrap(),
        "--out",
        folder.path().to_str().unwrap(),
    ]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("nothing was wrong") && text.contains("network whole again after"), "{text}");
    let json: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!((&json["zone"]["scenario"]["hosts"], &json["zone"]["checks"]["faults"]), (&20.into(), &0.into()));
    assert_eq!(json["growth"].as_array().unwrap().len(), 3);
    let plot = std::fs::read_to_string(folder.path().join("zone.svg")).unwrap();
    assert!(plot.starts_with("<svg") && plot.contains("messages for a VM event"), "{plot}");
}

#[test]
fn the_end_says_that_something_was_wrong() {
    let output = program(&["--quick", "--no-growth", "--break", "lost-tunnel"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("WRONG: network xapi"), "{text}");
    let output = program(&["--cost", "x=1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no cost `x`"));
}
