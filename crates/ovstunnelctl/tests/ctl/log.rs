//! `log level`: what is asked, and what is shown.

use crate::common::{Asked, FakeDaemon, canned, problem, run};
use serde_json::{Value, json};

fn log(level: &str) -> Value {
    json!({
        "level": level, "configured_level": "info", "file": "/var/log/ovstunnel.log", "format": "text",
        "max_size": 52_428_800, "lines_lost": 3
    })
}

#[test]
fn without_directives_it_is_only_shown() {
    let daemon = FakeDaemon::answering(vec![canned("GET /v1/log", 200, log("info"))]);
    let ran = run(&mut daemon.ctl("log level"));
    assert_eq!(ran.status, 0, "{}", ran.err);
    for words in ["info\n", "/var/log/ovstunnel.log (text; a new one at 51200 KiB, and one older)", "3\n"] {
        assert!(ran.out.contains(words), "{words} is not in {}", ran.out);
    }
    assert!(!ran.out.contains("configured"), "{}", ran.out);
    assert_eq!(daemon.asked(), [Asked { line: "GET /v1/log".to_owned(), body: Value::Null }]);
}

#[test]
fn directives_are_set_and_it_says_until_when() {
    let level = "info,ovstunnel_ovs=debug";
    let daemon = FakeDaemon::answering(vec![canned("PUT /v1/log", 200, log(level))]);
    let ran = run(&mut daemon.ctl(&format!("log level {level}")));
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.out.contains(&format!("{level} (until SIGHUP or a restart; configured: info)")), "{}", ran.out);
    assert_eq!(daemon.asked(), [Asked { line: "PUT /v1/log".to_owned(), body: json!({"level": level}) }]);
}

#[test]
fn what_the_daemon_refuses_is_told() {
    let daemon = FakeDaemon::answering(vec![canned("PUT /v1/log", 400, problem())]);
    let ran = run(&mut daemon.ctl("log level verbose"));
    assert!(ran.status == 1 && ran.err.contains("out of range"), "{}", ran.err);
}
