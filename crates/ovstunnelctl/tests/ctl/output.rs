//! How lists are written: whole values for pipes, the forms of `--output`, order, choice, colour, and `--watch`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::common::{Canned, FakeDaemon, Ran, bridge, canned, foreign, run, tunnel, unavailable};
use serde_json::{Value, json};

/// A bridge with a state of its health and tunnels to these hosts, the last one in error.
fn net(name: &str, key: u32, state: &str, hosts: &[&str]) -> Value {
    let mut net = bridge();
    let tunnels = hosts.iter().enumerate().map(|(n, to)| {
        let mut one = tunnel();
        (one["to"], one["port"]) = (json!(to), json!(format!("t{key}-1-{to}")));
        one["remote_ip"] = json!(format!("192.0.2.{}", 200 - n));
        if n + 1 == hosts.len() {
            (one["state"], one["ofport"], one["error"]) = (json!("error"), Value::Null, json!("File exists"));
        }
        one
    });
    (net["tunnels"], net["name"], net["key"]) = (tunnels.collect(), json!(name), json!(key));
    let reason = json!({
        "what": "stp", "subject": name, "severity": "failed", "evidence": "STP is on", "remedy": "switch it off"
    });
    let reasons = if state == "ok" { json!([]) } else { json!([reason]) };
    net["health"] = json!({"state": state, "reasons": reasons});
    net
}

fn daemon() -> FakeDaemon {
    let nets = [
        net("xapi2", 30, "ok", &[]),
        net("xapi10", 10, "failed", &["9", "10", "a"]),
        net("xapi3", 20, "degraded", &["2"]),
    ];
    FakeDaemon::answering(vec![canned("GET /v1/bridges", 200, json!({"bridges": nets}))])
}

fn ok(args: &str) -> Ran {
    let ran = run(&mut daemon().ctl(args));
    assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{args}");
    ran
}

/// The first column of each row.
fn first(args: &str) -> Vec<String> {
    let ran = ok(args);
    ran.out.lines().map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

/// What `tunnel list | grep` counts, however wide a terminal is said to be.
#[test]
fn a_value_is_never_split() {
    let long = "x".repeat(200);
    let mut one = net("xapi12", 7, "ok", &["2", "3"]);
    one["tunnels"][1]["error"] = json!(long);
    let daemon = FakeDaemon::answering(vec![canned("GET /v1/bridges", 200, json!({"bridges": [one]}))]);
    let ran = run(daemon.ctl("tunnel list -o wide").env("COLUMNS", "20"));
    let rows: Vec<&str> = ran.out.lines().filter(|line| line.contains("xapi12")).collect();
    assert_eq!(rows.len(), 2, "{}", ran.out);
    assert!(rows[1].ends_with(&long), "{}", ran.out);
}

#[test]
fn lists_have_the_form_that_was_asked_for() {
    assert_eq!(first("bridge list -o name"), ["xapi10", "xapi2", "xapi3"]);
    assert_eq!(ok("bridge list -q").out, ok("bridge list --output name").out);
    assert_eq!(first("tunnel list -q"), ["t10-1-9", "t10-1-10", "t10-1-a", "t20-1-2"]);
    let json: Value = serde_json::from_str(&ok("bridge list -o json").out).unwrap();
    assert_eq!(json["bridges"][1]["name"], "xapi2");
    assert_eq!(ok("bridge list -o json").out, ok("bridge list --json").out);
    assert_eq!(ok("--json bridge list").out, ok("bridge list --json").out);
    let yaml = ok("bridge list -o yaml").out;
    assert!(yaml.starts_with("bridges:\n"), "{yaml}");
    assert_eq!(serde_saphyr::from_str::<Value>(&yaml).unwrap(), json, "the same in YAML");
    let wide = ok("bridge list -o wide").out;
    assert!(wide.lines().next().unwrap().ends_with("REASON") && wide.contains("stp: STP is on"), "{wide}");
    let ran = run(&mut daemon().ctl("bridge list --json -o yaml"));
    assert!(ran.status == 2 && ran.out.is_empty() && ran.err.contains("leave one out"), "{}", ran.err);
}

#[test]
fn without_headers_there_are_rows_alone() {
    let with = ok("tunnel list").out;
    assert!(with.starts_with("BRIDGE") && with.ends_with("t20-1-2: File exists\n"), "{with}");
    let rows = ok("tunnel list --no-headers").out;
    assert_eq!(rows.lines().count(), 4, "{rows}");
    assert!(rows.lines().all(|row| row.starts_with("xapi")), "{rows}");
    assert_eq!(ok("bridge list --no-headers").out.lines().count(), 3);
    let empty = FakeDaemon::answering(vec![canned("GET /v1/bridges", 200, json!({"bridges": []}))]);
    for args in ["bridge list --no-headers", "bridge list -q", "tunnel list --no-headers", "tunnel list -q"] {
        assert_eq!(run(&mut empty.ctl(args)).out, "", "{args}");
    }
    assert_eq!(run(&mut empty.ctl("bridge list")).out, "No managed bridges.\n");
}

#[test]
fn lists_are_sorted_and_chosen() {
    let by = |order| first(&format!("bridge list -q --sort {order}"));
    assert_eq!(by("name"), ["xapi10", "xapi2", "xapi3"]);
    assert_eq!(by("key"), ["xapi10", "xapi3", "xapi2"]);
    assert_eq!(by("tunnels"), ["xapi10", "xapi3", "xapi2"]);
    assert_eq!(by("health"), ["xapi10", "xapi3", "xapi2"]);
    assert_eq!(first("bridge list -q --state failed,ok"), ["xapi10", "xapi2"]);
    assert_eq!(first("bridge list -q --state degraded"), ["xapi3"]);
    let by = |order| first(&format!("tunnel list -q --sort {order}"));
    assert_eq!(by("to"), ["t20-1-2", "t10-1-9", "t10-1-10", "t10-1-a"]);
    assert_eq!(by("remote-ip"), ["t10-1-a", "t10-1-10", "t10-1-9", "t20-1-2"]);
    assert_eq!(by("state")[..2], ["t10-1-a", "t20-1-2"]);
    assert_eq!(first("tunnel list -q --state error"), ["t10-1-a", "t20-1-2"]);
    let ran = run(&mut daemon().ctl("tunnel list --state broken"));
    assert!(ran.status == 2 && ran.err.contains("up, error, pending"), "{}", ran.err);
}

#[test]
fn colour_is_for_terminals() {
    let out = |name: &str, value: &str| {
        let daemon = daemon();
        let mut command = daemon.ctl("bridge list");
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        run(command.env(name, value)).out
    };
    assert!(!out("TERM", "xterm").contains('\u{1b}'), "a pipe");
    assert!(out("CLICOLOR_FORCE", "1").contains("\u{1b}[31mxapi10"), "{:?}", out("CLICOLOR_FORCE", "1"));
    let daemon = daemon();
    let ran = run(daemon.ctl("bridge list").env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1"));
    assert!(!ran.out.contains('\u{1b}'), "{:?}", ran.out);
}

/// What the command writes of bridges where this is what the daemon answers to who watches: the first `lines` lines, and standard error.
fn watched(watch: Canned, lines: usize) -> (Vec<String>, String) {
    let list = |name: &str| canned("GET /v1/bridges", 200, json!({"bridges": [net(name, 1, "ok", &[])]}));
    let daemon = FakeDaemon::answering(vec![watch, list("first"), list("second")]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_ovstunnelctl"));
    command.arg("--socket").arg(&daemon.socket).args(["bridge", "list", "--watch", "-q"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let written = BufReader::new(child.stdout.take().unwrap()).lines().take(lines).map(Result::unwrap).collect();
    child.kill().unwrap();
    (written, String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap())
}

#[test]
fn changes_are_watched_or_asked_for() {
    let gone = "event: bridge_gone\nid: 5f3a-2\ndata: {\"name\": \"third\", \"by_plugin\": false}\n\n";
    assert_eq!(watched(foreign("GET /v1/watch", 200, gone), 2), (vec!["first".into(), "second".into()], String::new()));
    let old = json!({
        "type": "urn:ovstunnel:problem:not_found", "title": "Not found", "status": 404,
        "detail": "there is no route /v1/watch", "code": "not_found"
    });
    let (written, said) = watched(canned("GET /v1/watch", 404, old), 2);
    assert_eq!(written, ["first", "second"]);
    assert_eq!(said, "This daemon does not tell of changes, as newer ones do; it is asked every 1 s.\n");
}

#[test]
fn watching_reads_again_and_survives_an_error() {
    let list = |net: Value| json!({"bridges": [net]});
    let daemon = FakeDaemon::answering(vec![
        canned("GET /v1/bridges", 200, list(net("first", 1, "ok", &[]))),
        canned("GET /v1/bridges", 200, list(net("first", 1, "ok", &[]))),
        canned("GET /v1/bridges", 503, unavailable()),
        canned("GET /v1/bridges", 200, list(net("second", 2, "ok", &[]))),
    ]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_ovstunnelctl"));
    command.arg("--socket").arg(&daemon.socket).args(["bridge", "list", "--watch", "-q"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "first");
    assert_eq!(lines.next().unwrap().unwrap(), "second", "what did not change is not written again");
    child.kill().unwrap();
    let left = child.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&left.stderr).contains("ovs-vswitchd does not answer"), "{left:?}");
    // A wrong name is told at once.
    let ran = run(&mut daemon.ctl("tunnel list nope --watch"));
    assert_eq!(ran.status, 1, "{}", ran.err);
}
