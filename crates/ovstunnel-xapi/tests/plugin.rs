//! The plugin program beside a daemon that answers what it was told to: what goes to the daemon, and what xapi gets of each kind
//! of answer.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use assert_cmd::Command;
use ovstunnel_test_support::{FakeDaemon, canned, foreign, problem, run, unavailable};
use serde_json::json;

const CALL: &str = "<methodCall><methodName>create_tunnel</methodName><params><param><value>OpaqueRef:1</value></param><param>\
                    <value><struct><member><name>bridge</name><value>xapi12</value></member><member><name>to</name><value>\
                    <string>&lt;2&gt;</string></value></member></struct></value></param></params></methodCall>";

const LINE: &str = "POST /v1/plugin/create_tunnel";

fn answered(daemon: &FakeDaemon) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ovstunnel"));
    let ran = run(command.env_clear().env("OVSTUNNEL_SOCKET", &daemon.socket).arg(CALL));
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    ran.out
}

#[test]
fn the_daemon_is_asked_once_and_its_value_is_the_answer() {
    let daemon = FakeDaemon::answering(vec![canned(LINE, 200, json!({"value": "SUCCESS:t1001-1-2"}))]);
    let out = answered(&daemon);
    assert!(out.contains("<string>Success</string>") && out.contains("<string>SUCCESS:t1001-1-2</string>"), "{out}");
    assert!(out.ends_with("</methodResponse>\n") && out.lines().count() == 1, "{out}");
    let asked = daemon.asked();
    assert_eq!((asked.len(), asked[0].line.as_str()), (1, LINE));
    assert_eq!(asked[0].body, json!({"bridge": "xapi12", "to": "<2>"}));
}

#[test]
fn what_is_no_value_is_a_failure_in_the_words_of_the_contract() {
    let not_found = json!({"type": "urn:ovstunnel:problem:not_found", "title": "x", "status": 404, "detail": "no function",
        "code": "not_found"});
    for (answer, words) in [
        (canned(LINE, 503, unavailable()), "FAILURE:UNAVAILABLE ovs-vswitchd does not answer"),
        (canned(LINE, 400, problem()), "FAILURE:INVALID_ARGUMENT the key is out of range"),
        (canned(LINE, 404, not_found), "UNKNOWN_XENAPI_PLUGIN_FUNCTION"),
        (foreign(LINE, 404, "nothing here"), "FAILURE:UNAVAILABLE the answer from "),
        (foreign(LINE, 200, "ok"), "FAILURE:UNAVAILABLE the answer from "),
        (canned(LINE, 200, json!({"value": 7})), "FAILURE:UNAVAILABLE the answer from "),
        (foreign(LINE, 500, ""), "FAILURE:UNAVAILABLE the answer from "),
        (foreign(LINE, 302, "elsewhere"), "FAILURE:UNAVAILABLE the answer from "),
    ] {
        let out = answered(&FakeDaemon::answering(vec![answer]));
        assert!(out.contains(words), "{words}: {out}");
    }
}
