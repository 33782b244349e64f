//! The built command against a daemon of canned answers: what it asks, what it prints, how it exits.

use crate::common::{Asked, FakeDaemon, NEVER, bridge, canned, ctl, foreign, plan, problem, run, tunnel, unavailable};
use serde_json::{Value, json};

/// Runs `args` against a daemon with one answer; gives what the daemon was asked.
fn asked(args: &str, line: &'static str, answer: Value) -> Asked {
    let daemon = FakeDaemon::answering(vec![canned(line, 200, answer)]);
    let ran = run(&mut daemon.ctl(args));
    assert_eq!(ran.status, 0, "{args}: {}", ran.err);
    let asked = daemon.asked();
    assert_eq!(asked.len(), 1, "{args}: {asked:?}");
    asked[0].clone()
}

fn is(line: &str, body: Value) -> Asked {
    Asked { line: line.to_owned(), body }
}

#[test]
fn bridge_commands_become_requests() {
    let list = json!({"bridges": [bridge()]});
    let put = json!({"outcome": "created", "bridge": bridge()});
    let gone = json!({"outcome": "removed"});
    let one = "PUT /v1/bridges/xapi12";
    assert_eq!(asked("bridge list", "GET /v1/bridges", list), is("GET /v1/bridges", Value::Null));
    assert_eq!(
        asked("bridge show xapi12", "GET /v1/bridges/xapi12", bridge()),
        is("GET /v1/bridges/xapi12", Value::Null)
    );
    assert_eq!(asked("bridge setup xapi12 --key 1001", one, put.clone()), is(one, json!({"key": 1001})));
    let all = "bridge setup xapi12 --key 1001 --network-uuid u --host-id 1 --ipv6 allow --kind geneve --tunnel 2=192.0.2.12 --tunnel h-3=192.0.2.13";
    let body = json!({
        "key": 1001, "network_uuid": "u", "host_id": 1, "ipv6": "allow", "kind": "geneve",
        "tunnels": [{"to": 2, "remote_ip": "192.0.2.12"}, {"to": "h-3", "remote_ip": "192.0.2.13"}]
    });
    assert_eq!(asked(&format!("{all} --yes"), one, put.clone()), is(one, body));
    let none = "bridge setup xapi12 --key 1001 --no-tunnels -y";
    assert_eq!(asked(none, one, put.clone()), is(one, json!({"key": 1001, "tunnels": []})));
    assert_eq!(asked("bridge setup xapi12 --key -1", one, put), is(one, json!({"key": -1})));
    let bfd = "PUT /v1/bridges/xapi12/bfd";
    let asks = |args: &str| asked(args, bfd, json!({"outcome": "updated", "bridge": bridge()}));
    let two = json!({"ports": ["t1001-1-2", "t1001-1-3"], "interval": 300});
    assert_eq!(asks("bridge bfd xapi12 --port t1001-1-2 --port t1001-1-3 --interval 300"), is(bfd, two));
    assert_eq!(asks("bridge bfd xapi12 --none"), is(bfd, json!({"ports": []})));
    let delete = "DELETE /v1/bridges/xapi12";
    assert_eq!(asked("bridge destroy xapi12 --yes", delete, gone), is(delete, Value::Null));
}

/// A test has no terminal.
#[test]
fn what_removes_much_is_not_done_without_a_yes() {
    let (get, delete, put) = ("GET /v1/bridges/xapi12", "DELETE /v1/bridges/xapi12", "PUT /v1/bridges/xapi12");
    let mut large = bridge();
    let tunnels = [2, 3, 4].map(|to| {
        let mut one = tunnel();
        (one["to"], one["port"]) = (json!(to.to_string()), json!(format!("t1001-1-{to}")));
        one
    });
    large["tunnels"] = json!(tunnels);
    let mut adopted = bridge();
    adopted["adopted"] = json!(true);
    let change =
        json!({"what": "tunnel", "subject": "t1001-1-3", "before": "host 3 at 192.0.2.13, key 1001", "after": null});
    let answers = |bridge: &Value| {
        vec![
            canned(get, 200, bridge.clone()),
            canned(delete, 200, json!({"outcome": "removed", "changes": [change]})),
            canned(put, 200, json!({"outcome": "updated", "changes": [change], "bridge": self::bridge()})),
            canned("POST /v1/bridges/xapi12/release", 200, json!({"outcome": "removed", "changes": []})),
        ]
    };
    let cases = [
        (
            &large,
            "bridge setup xapi12 --key 1001 --tunnel 2=192.0.2.12",
            "this removes 2 tunnels (t1001-1-3, t1001-1-4) of bridge xapi12",
        ),
        (&large, "bridge setup xapi12 --key 1001 --no-tunnels", "this removes 3 tunnels"),
        (&large, "bridge destroy xapi12", "this removes 3 tunnels (t1001-1-2, t1001-1-3, t1001-1-4) and our marks"),
        (&adopted, "bridge destroy xapi12", "which was there before ovstunnel"),
        (&large, "release xapi12", "this removes 3 tunnels"),
    ];
    for (bridge, args, words) in cases {
        let daemon = FakeDaemon::answering(answers(bridge));
        let ran = run(&mut daemon.ctl(args));
        assert!(ran.status == 2 && ran.err.contains(words) && ran.err.contains("--yes"), "{args}: {}", ran.err);
        assert!(daemon.asked().iter().all(|asked| asked.line == get), "{args}: {:?}", daemon.asked());
        let ran = run(&mut daemon.ctl(&format!("{args} --yes")));
        assert_eq!(ran.status, 0, "{args}: {}", ran.err);
        if args.contains("setup") {
            assert!(ran.out.contains("tunnel t1001-1-3 removed: host 3 at 192.0.2.13"), "{}", ran.out);
        }
    }
    // One tunnel, or none that goes, is not asked about.
    for args in
        ["bridge setup xapi12 --key 1001 --tunnel 2=192.0.2.12 --tunnel 3=192.0.2.13", "bridge setup xapi12 --key 1001"]
    {
        let daemon = FakeDaemon::answering(answers(&large));
        assert_eq!(run(&mut daemon.ctl(args)).status, 0, "{args}");
    }
}

#[test]
fn tunnel_commands_become_requests() {
    let post = "POST /v1/bridges/xapi12/tunnels";
    let answer = json!({"outcome": "created", "tunnel": tunnel()});
    let create = "tunnel create xapi12 --from 1 --to 2 --remote-ip 192.0.2.12";
    let body = json!({"from": 1, "to": 2, "remote_ip": "192.0.2.12"});
    assert_eq!(asked(create, post, answer.clone()), is(post, body));
    let keyed = json!({"from": 1, "to": 2, "remote_ip": "192.0.2.12", "key": 7});
    assert_eq!(asked(&format!("{create} --key 7"), post, answer), is(post, keyed));
    let delete = "DELETE /v1/bridges/xapi12/tunnels/t1001-1-2";
    assert_eq!(
        asked("tunnel destroy xapi12 t1001-1-2", delete, json!({"outcome": "removed", "existed": true})),
        is(delete, Value::Null)
    );
    let list = json!({"bridges": [bridge()]});
    assert_eq!(asked("tunnel list", "GET /v1/bridges", list), is("GET /v1/bridges", Value::Null));
    let show = "GET /v1/bridges/xapi12";
    assert_eq!(asked("tunnel list xapi12", show, bridge()), is(show, Value::Null));
}

/// A mistyped name is no success, although for the API it is one.
#[test]
fn what_is_not_there_is_not_removed() {
    let lines = [
        ("bridge destroy nope --yes", "DELETE /v1/bridges/nope"),
        ("release nope --yes", "POST /v1/bridges/nope/release"),
        ("tunnel destroy xapi12 t1", "DELETE /v1/bridges/xapi12/tunnels/t1"),
    ];
    let mut nothing = plan();
    (nothing["outcome"], nothing["changes"], nothing["commands"]) = (json!("unchanged"), json!([]), json!([]));
    for (args, line) in lines {
        let answer = json!({"outcome": "unchanged", "existed": false, "changes": []});
        let daemon = FakeDaemon::answering(vec![canned(line, 200, answer)]);
        let ran = run(&mut daemon.ctl(args));
        assert_eq!((ran.status, ran.out.as_str()), (1, ""), "{args}");
        assert!(ran.err.contains("is not there") && ran.err.contains("--if-exists"), "{args}: {}", ran.err);
        let ran = run(&mut daemon.ctl(&format!("{args} --json")));
        let problem: Value = serde_json::from_str(&ran.err).unwrap();
        assert_eq!((ran.status, &problem["code"]), (1, &json!("not_found")), "{args}");
        let ran = run(&mut daemon.ctl(&format!("{args} --if-exists")));
        assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{args}");
        assert!(ran.out.contains("unchanged"), "{args}: {}", ran.out);
        let daemon = FakeDaemon::answering(vec![canned(line, 200, nothing.clone())]);
        assert_eq!(run(&mut daemon.ctl(&format!("{args} --dry-run"))).status, 1, "{args}");
        assert_eq!(run(&mut daemon.ctl(&format!("{args} --dry-run --if-exists"))).status, 0, "{args}");
    }
}

#[test]
fn a_vif_in_the_way_has_a_hint_of_its_own() {
    let in_the_way = |what: &str| {
        json!({
            "type": "urn:ovstunnel:problem:conflict", "title": "Conflict", "status": 409, "code": "conflict",
            "detail": "it is in the way", "in_the_way": what
        })
    };
    for (what, hint) in [("vif1.0", "`ovstunnelctl release xapi12`"), ("xapi12", "`ovs-vsctl list-ports`")] {
        let daemon = FakeDaemon::answering(vec![canned("DELETE /v1/bridges/xapi12", 409, in_the_way(what))]);
        let ran = run(&mut daemon.ctl("bridge destroy xapi12 --yes"));
        assert_eq!((ran.status, ran.out.as_str()), (1, ""));
        assert!(ran.err.contains(&format!("in the way: {what}")) && ran.err.contains(hint), "{}", ran.err);
        let ran = run(&mut daemon.ctl("bridge destroy xapi12 --yes --json"));
        assert_eq!(serde_json::from_str::<Value>(&ran.err).unwrap(), in_the_way(what));
    }
}

/// A URL would leave the line feed out, and name another bridge.
#[test]
fn a_name_is_checked_before_a_url_is_made_of_it() {
    let daemon = FakeDaemon::answering(Vec::new());
    for args in [
        ["bridge", "destroy", "n\n2", "--yes"],
        ["bridge", "show", "\tn2", "--json"],
        ["release", "n2\r", "--yes", "--json"],
        ["tunnel", "destroy", "n2", "t1\n"],
        ["interface", "eth\n0", "--json", "--json"],
    ] {
        let args = if args[3] == "--json" { &args[..3] } else { &args[..] };
        let ran = run(daemon.ctl("").args(args));
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{args:?}: {}", ran.err);
        assert!(
            ran.err.contains("a bridge's name") || ran.err.contains("a port's name") || ran.err.contains("a name has"),
            "{}",
            ran.err
        );
    }
    assert!(daemon.asked().is_empty(), "{:?}", daemon.asked());
}

#[test]
fn the_other_commands_become_requests() {
    let interface = json!({"label": "eth0", "device": "eth0", "mtu": 1500, "max_guest_mtu": 1458});
    let reconcile = json!({"bridges": 1, "tunnels": 1, "found": [], "done": [], "failed": []});
    let get = "GET /v1/interfaces/eth0";
    assert_eq!(asked("interface eth0", get, interface), is(get, Value::Null));
    let post = "POST /v1/reconcile";
    assert_eq!(asked("reconcile", post, reconcile), is(post, Value::Null));
}

#[test]
fn a_dry_run_only_asks_and_shows_the_commands() {
    let lines = [
        ("bridge setup xapi12 --key 1001 --dry-run", "PUT /v1/bridges/xapi12"),
        ("bridge bfd xapi12 --none --dry-run", "PUT /v1/bridges/xapi12/bfd"),
        ("bridge destroy xapi12 --dry-run", "DELETE /v1/bridges/xapi12"),
        ("tunnel create xapi12 --from 1 --to 2 --remote-ip 192.0.2.12 --dry-run", "POST /v1/bridges/xapi12/tunnels"),
        ("tunnel destroy xapi12 t1 --dry-run", "DELETE /v1/bridges/xapi12/tunnels/t1"),
        ("reconcile --dry-run", "POST /v1/reconcile"),
    ];
    for (args, line) in lines {
        assert_eq!(asked(args, line, plan()).line, format!("{line}?dry_run=true"), "{args}");
    }
    let daemon = FakeDaemon::answering(vec![canned("DELETE /v1/bridges/xapi12", 200, plan())]);
    let ran = run(&mut daemon.ctl("bridge destroy xapi12 --dry-run"));
    assert!(ran.out.contains("\n  create tunnel t1001-1-2 to 192.0.2.12\n"), "{}", ran.out);
    assert!(ran.out.contains("\n/usr/bin/ovs-vsctl -- set bridge xapi12 'external_ids:a=b c'\n"), "{}", ran.out);
}

#[test]
fn json_is_the_api_s_own() {
    let list = json!({"bridges": [bridge()]});
    let daemon = FakeDaemon::answering(vec![
        canned("GET /v1/bridges", 200, list.clone()),
        canned("DELETE /v1/bridges/xapi12", 200, plan()),
    ]);
    let json_of = |args| serde_json::from_str::<Value>(&run(&mut daemon.ctl(args)).out).unwrap();
    assert_eq!(json_of("bridge list --json"), list);
    assert_eq!(json_of("--json bridge destroy xapi12 --dry-run"), plan());
    let mut one = tunnel();
    one["bridge"] = json!("xapi12");
    assert_eq!(json_of("--json tunnel list"), json!({"tunnels": [one]}));
}

#[test]
fn a_problem_is_shown_with_all_that_it_names() {
    let daemon = FakeDaemon::answering(vec![canned("PUT /v1/bridges/xapi12", 400, problem())]);
    let ran = run(&mut daemon.ctl("bridge setup xapi12 --key 0"));
    assert_eq!((ran.status, ran.out.as_str()), (1, ""));
    for part in ["Invalid request", "out of range", "key", "rule: 1 to 2147483647", "value: 0", "r-1"] {
        assert!(ran.err.contains(part), "{part} in {}", ran.err);
    }
    assert!(!ran.err.contains('\u{1b}'), "no colour where there is no terminal");
    let ran = run(&mut daemon.ctl("bridge setup xapi12 --key 0 --json"));
    assert_eq!((ran.status, ran.out.as_str()), (1, ""));
    assert_eq!(serde_json::from_str::<Value>(&ran.err).unwrap(), problem());
}

#[test]
fn an_answer_of_something_else_is_said_to_be_one() {
    let daemon = FakeDaemon::answering(vec![
        foreign("GET /v1/bridges", 502, "<html>Bad Gateway</html>"),
        foreign("GET /v1/bridges/br0", 200, "{}"),
    ]);
    let ran = run(&mut daemon.ctl("bridge list"));
    assert!(ran.status == 1 && ran.err.contains("502") && ran.err.contains("Bad Gateway"), "{}", ran.err);
    let ran = run(&mut daemon.ctl("bridge show br0"));
    assert!(ran.status == 1 && ran.err.contains("missing field `name`"), "{}", ran.err);
}

#[test]
fn without_a_daemon_it_says_what_to_do_and_exits_with_2() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("none.sock");
    let ran = run(ctl().arg("--socket").arg(&nowhere).arg("status"));
    assert_eq!((ran.status, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains(nowhere.to_str().unwrap()), "{}", ran.err);
    assert!(ran.err.contains("No such file") && ran.err.contains("systemctl status ovstunneld"), "{}", ran.err);
    let ran = run(ctl().arg("--socket").arg(&nowhere).args(["--json", "status"]));
    let problem: Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!((ran.status, &problem["code"]), (2, &json!("daemon_unreachable")));
    assert!(problem["type"].is_string() && problem["title"].is_string() && problem["detail"].is_string());

    let stale = dir.path().join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    let ran = run(ctl().env("OVSTUNNEL_SOCKET", &stale).arg("status"));
    assert!(ran.status == 2 && ran.err.contains("Connection refused"), "{}", ran.err);
}

#[test]
fn a_missing_answer_is_awaited_no_longer_than_asked() {
    let daemon = FakeDaemon::answering(vec![canned("DELETE /v1/bridges/br0", NEVER, Value::Null)]);
    let ran = run(&mut daemon.ctl("--timeout 200ms bridge destroy --yes br0"));
    assert_eq!(ran.status, 2);
    assert!(ran.err.contains("within 200ms") && ran.err.contains("not known"), "{}", ran.err);
    assert_eq!(daemon.asked().len(), 1, "never sent again by itself");
}

#[test]
fn status_tells_monitoring_whether_all_is_well() {
    let ready = json!({"ready": true, "ovs_version": "3.1.0", "version": "0.1.0"});
    let with = |bridge: Value| {
        vec![canned("GET /readyz", 200, ready.clone()), canned("GET /v1/bridges", 200, json!({"bridges": [bridge]}))]
    };
    let well = FakeDaemon::answering(with(bridge()));
    let ran = run(&mut well.ctl("status"));
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.out.contains("ready (") && ran.out.contains("3.1.0"), "{}", ran.out);
    assert!(ran.out.contains("1 bridge is well") && !ran.out.contains("xapi12"), "{}", ran.out);
    let all = run(&mut well.ctl("status --all")).out;
    assert!(all.contains("xapi12") && !all.contains("--all"), "{all}");
    let json: Value = serde_json::from_str(&run(&mut well.ctl("status --json")).out).unwrap();
    assert_eq!((&json["ready"], &json["bridges"]), (&ready, &json!([bridge()])));

    let mut drifted = bridge();
    drifted["flows"] = json!({"state": "drifted", "expected": 4, "installed": 3});
    let ran = run(&mut FakeDaemon::answering(with(drifted)).ctl("status"));
    assert!(ran.status == 1 && ran.out.contains("DRIFTED"), "{}", ran.out);

    let mut refused = bridge();
    refused["tunnels"][0]["state"] = json!("error");
    let ran = run(&mut FakeDaemon::answering(with(refused)).ctl("status"));
    assert!(ran.status == 1 && ran.out.contains("1 ERROR"), "{}", ran.out);
}

#[test]
fn status_of_a_daemon_without_its_switch_is_an_answer() {
    let down = json!({"ready": false, "reason": "ovs-vswitchd does not answer", "version": "0.1.0"});
    let daemon = FakeDaemon::answering(vec![
        canned("GET /readyz", 503, down.clone()),
        canned("GET /v1/bridges", 503, unavailable()),
    ]);
    let ran = run(&mut daemon.ctl("status"));
    assert_eq!((ran.status, ran.err.as_str()), (1, ""));
    assert!(ran.out.contains("NOT READY: ovs-vswitchd does not answer"), "{}", ran.out);
    let ran = run(&mut daemon.ctl("status --json"));
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.status, &json["ready"], &json["bridges"]), (1, &down, &Value::Null));
}

#[test]
fn what_reconcile_could_not_repair_is_wrong() {
    let answer = json!({"bridges": 1, "tunnels": 1, "found": ["x"], "done": [], "failed": ["br1: t7-1-2: refused"]});
    let daemon = FakeDaemon::answering(vec![canned("POST /v1/reconcile", 200, answer)]);
    let ran = run(&mut daemon.ctl("reconcile"));
    assert!(ran.status == 1 && ran.out.contains("br1: t7-1-2: refused"), "{}", ran.out);
}

#[test]
fn a_wrong_command_line_asks_nobody_and_exits_with_2() {
    let daemon = FakeDaemon::answering(Vec::new());
    let lines = [
        "bridge setup br0",
        "bridge setup br0 --key x",
        "bridge setup br0 --key 1 --tunnel 192.0.2.12",
        "bridge setup br0 --key 1 --tunnel 2=192.0.2.12 --no-tunnels",
        "bridge bfd br0",
        "bridge bfd br0 --port a/b",
        "bridge bfd br0 --port t1-1-2 --none",
        "bridge bfd br0 --none --interval 300",
        "bridge destroy ..",
        "bridge show a/b",
        "bridge setup a-bridge-of-16ch --key 1",
        "tunnel destroy xapi12 a/b",
        "release -x",
        "interface .",
        "--timeout 0 status",
        "tunnel create br0",
        "pki issue --dir d",
        "pki issue --dir d --host h --client c",
        "pki issue --dir d --client c --address 192.0.2.1",
        "pki issue --dir d --client ../c",
        "pki issue --dir d --client c --days 826",
        "nonsense",
        "",
    ];
    for args in lines {
        let ran = run(&mut daemon.ctl(args));
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{args}");
        assert!(!ran.err.is_empty(), "{args}");
    }
    assert!(daemon.asked().is_empty());
    let ran = run(ctl().args(["--url", "https://localhost:1", "--ca", "x", "status"]));
    assert!(ran.status == 2 && ran.err.contains("--cert, --client-key"), "{}", ran.err);
}

#[test]
fn a_bad_number_is_told_in_words() {
    let lines = [
        ("bridge setup br0 --key x", "expected a whole number"),
        ("tunnel create br0 --from 1 --to 2 --remote-ip 192.0.2.2 --key 1.5", "expected a whole number"),
        ("logs -n many", "expected a whole number, not negative"),
        ("pki issue --dir d --client c --days 826", "expected a whole number from 1 to 825"),
        ("pki init --dir d --days ten", "expected a whole number from 1 to 7300"),
    ];
    for (args, words) in lines {
        let ran = run(ctl().args(args.split(' ')));
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{args}");
        assert!(ran.err.contains(words) && !ran.err.contains("digit"), "{args}: {}", ran.err);
    }
}

#[test]
fn help_and_version_are_there() {
    let ran = run(ctl().arg("--version"));
    assert_eq!((ran.status, ran.out.as_str()), (0, concat!("ovstunnelctl ", env!("CARGO_PKG_VERSION"), "\n")));
    let ran = run(ctl().arg("--help"));
    assert!(ran.status == 0 && ran.out.contains("Examples:") && ran.out.contains("Exit status:"));
}
