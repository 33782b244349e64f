//! `ovstunnelctl zone` against a manager of canned answers: what it asks, what it prints, how it exits.

use crate::common;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::common::{Canned, FakeDaemon, canned, foreign, problem, run};
use serde_json::{Value, json};

fn overview(whole: u32, settling: u32, broken: u32, silent: u32) -> Value {
    json!({
        "zone": "dc1", "uuid": "u", "version": "0.1.0", "controller": false,
        "networks": {"all": whole + settling + broken, "whole": whole, "settling": settling, "broken": broken},
        "hosts": {"all": 2, "ok": 2 - silent, "degraded": 0, "connecting": 0, "silent": silent},
        "tunnels": {"wanted": 2, "proven": 2}, "age": 0.5,
    })
}

fn host(name: &str, state: &str) -> Value {
    let troubles = match state {
        "ok" => json!([]),
        _ => json!([{"kind": "host_silent", "evidence": "connection refused", "remedy": "see whether it is up"}]),
    };
    json!({
        "name": name, "number": 1, "api": "https://h:8443", "mode": "manage", "state": state, "age": 0.5, "watched": true,
        "bridges": 1, "tunnels": 1, "vifs": 1, "troubles": troubles,
    })
}

fn finding() -> Value {
    json!({
        "what": "tunnel_missing", "host": "h1", "to": "h2", "evidence": "bridge xapi1 has no tunnel to host 2",
        "remedy": "reconcile the network",
    })
}

fn network(state: &str) -> Value {
    json!({
        "name": "key-1001", "key": 1001, "state": state, "since": "2026-11-26T00:00:00Z", "hosts": 2, "wanted": 2, "proven": 1,
        "reason": if state == "whole" { Value::Null } else { finding() },
    })
}

fn zone(overview: Value, networks: Vec<Value>, hosts: Vec<Value>) -> FakeDaemon {
    let total = networks.len();
    FakeDaemon::answering(vec![
        canned("GET /v1/overview", 200, overview),
        canned("GET /v1/networks", 200, json!({"networks": networks, "total": total})),
        canned("GET /v1/hosts", 200, json!({"hosts": hosts})),
    ])
}

#[test]
fn status_is_a_check_for_monitoring() {
    let well = zone(overview(2, 0, 0, 0), vec![], vec![host("h1", "ok"), host("h2", "ok")]);
    let ran = run(&mut well.ctl("zone status"));
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.out.contains("2 (2 whole)") && ran.out.contains("it only looks"), "{}", ran.out);
    assert!(!ran.out.contains("h1"), "what is well is not listed: {}", ran.out);

    let settling = zone(overview(1, 1, 0, 0), vec![network("settling")], vec![]);
    assert_eq!(run(&mut settling.ctl("zone status")).status, 1);

    let broken = zone(overview(1, 0, 1, 1), vec![network("broken")], vec![host("h1", "silent")]);
    let ran = run(&mut broken.ctl("zone status"));
    assert_eq!(ran.status, 2);
    assert!(ran.out.contains("tunnel_missing on h1 to h2"), "{}", ran.out);
    assert!(ran.out.contains("host_silent: connection refused"), "{}", ran.out);
    let asked = broken.asked();
    assert!(asked.iter().any(|asked| asked.line == "GET /v1/networks?state=broken%2Csettling&limit=20"), "{asked:?}");
    let mut own = overview(1, 0, 0, 0);
    own["troubles"] =
        json!([{"kind": "certificate_expires", "evidence": "CN=m1 expires in 3 days", "remedy": "renew it"}]);
    own["replica"] = "m1".into();
    own["leader"] = json!({"name": "m2", "address": "https://m2:8444", "epoch": 7, "since": "2026-11-27T00:00:00Z"});
    let ran = run(&mut zone(own, vec![], vec![]).ctl("zone status"));
    assert_eq!(ran.status, 1);
    let led = "m2 at https://m2:8444, epoch 7 since 2026-11-27T00:00:00Z, asked was m1";
    assert!(ran.out.contains(led), "{}", ran.out);
    assert!(ran.out.contains("certificate_expires: CN=m1 expires in 3 days\n  remedy: renew it"), "{}", ran.out);

    // What is not known is neither well nor broken; of all other commands it is a failure.
    let refuses = FakeDaemon::answering(vec![
        canned("GET /v1/overview", 403, problem()),
        canned("GET /v1/hosts", 403, problem()),
    ]);
    assert_eq!((run(&mut refuses.ctl("zone status")).status, run(&mut refuses.ctl("zone hosts")).status), (3, 1));
    let mut nobody = refuses.ctl("zone status");
    drop(refuses);
    let ran = run(&mut nobody);
    assert_eq!(ran.status, 3);
    assert!(ran.err.contains("is the manager running on this host?"), "{}", ran.err);

    let json: Value = serde_json::from_str(&run(&mut broken.ctl("zone status --json")).out).unwrap();
    assert_eq!((&json["overview"]["zone"], &json["networks"]["total"]), (&json!("dc1"), &json!(1)));
}

#[test]
fn certificates_that_expire_first_are_listed_first() {
    let with = |name: &str, expires: &str| {
        let mut host = host(name, "ok");
        host["certificate_expires"] = expires.into();
        host
    };
    let hosts = vec![host("h1", "silent"), with("h2", "2126-03-01T00:00:00Z"), with("h3", "2024-10-04T00:00:00Z")];
    let manager = FakeDaemon::answering(vec![canned("GET /v1/hosts", 200, json!({"hosts": hosts}))]);
    assert_eq!(run(&mut manager.ctl("zone certificates -q")).out, "h3\nh2\nh1\n");
    let ran = run(&mut manager.ctl("zone certificates"));
    let lines: Vec<Vec<&str>> = ran.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["HOST", "CERTIFICATE", "EXPIRES", "DAYS", "LEFT"]);
    assert_eq!(lines[1][..2], ["h3", "2024-10-04T00:00:00Z"]);
    assert!(lines[1][2].parse::<i64>().unwrap() < 0 && lines[2][2].parse::<i64>().unwrap() > 30_000, "{}", ran.out);
    assert_eq!(lines[3], ["h1", "-", "-"]);
}

#[test]
fn the_managers_doctor_is_a_check_for_monitoring_too() {
    for (level, status) in [("ok", 0), ("warn", 1), ("fail", 2)] {
        let finding = json!({"check": "database", "level": level, "reason": "mode 0644", "remedy": "chmod"});
        let answer = json!({"level": level, "version": "0.1.0", "findings": [finding]});
        let manager = FakeDaemon::answering(vec![canned("GET /v1/doctor", 200, answer.clone())]);
        let ran = run(&mut manager.ctl("zone doctor --all"));
        assert_eq!(ran.status, status, "{}", ran.err);
        assert!(ran.out.contains("database: mode 0644"), "{}", ran.out);
        let json: Value = serde_json::from_str(&run(&mut manager.ctl("zone doctor --json")).out).unwrap();
        assert_eq!(json, answer);
    }
    let refuses = FakeDaemon::answering(vec![canned("GET /v1/doctor", 403, problem())]);
    assert_eq!(run(&mut refuses.ctl("zone doctor")).status, 3);
    let ran = run(common::ctl().args(["--socket", "/nowhere/manager.sock", "zone", "doctor"]));
    assert_eq!(ran.status, 3, "{}", ran.err);
}

#[test]
fn lists_are_filtered_and_have_forms() {
    let zone = zone(overview(1, 0, 0, 0), vec![network("whole")], vec![host("h1", "ok"), host("h2", "silent")]);
    assert_eq!(run(&mut zone.ctl("zone hosts -q --state silent")).out, "h2\n");
    assert_eq!(run(&mut zone.ctl("zone networks -q --on h1 --state whole")).out, "key-1001\n");
    let asked = zone.asked();
    assert!(asked.iter().any(|asked| asked.line == "GET /v1/networks?state=whole&host=h1&limit=1000"), "{asked:?}");
    let wide = run(&mut zone.ctl("zone hosts -o wide")).out;
    assert!(wide.lines().next().unwrap().contains("GUEST MTU") && wide.contains("https://h:8443"), "{wide}");
}

#[test]
fn all_pages_of_networks_are_asked_for() {
    let page = |key: u32, next: Value| {
        let mut network = network("whole");
        network["name"] = json!(format!("key-{key}"));
        json!({"networks": [network], "total": 2, "next": next})
    };
    let zone = FakeDaemon::answering(vec![
        canned("GET /v1/networks", 200, page(1, json!(2))),
        canned("GET /v1/networks", 200, page(2, Value::Null)),
    ]);
    assert_eq!(run(&mut zone.ctl("zone networks -q")).out, "key-1\nkey-2\n");
    assert_eq!(zone.asked()[1].line, "GET /v1/networks?page=2&limit=1000");
}

#[test]
fn a_host_is_registered_and_forgotten() {
    let zone = FakeDaemon::answering(vec![
        canned("PUT /v1/hosts/h1", 201, json!({"outcome": "created", "host": host("h1", "ok")})),
        canned("DELETE /v1/hosts/h1", 200, json!({"outcome": "unchanged"})),
    ]);
    let ran = run(&mut zone.ctl("zone host add h1 --api https://h:8443 --rack r7 --mode observe"));
    assert_eq!((ran.status, ran.out.as_str()), (0, "host h1 created, number 1\n"), "{}", ran.err);
    assert_eq!(zone.asked()[0].body, json!({"api": "https://h:8443", "rack": "r7", "mode": "observe"}));
    let ran = run(&mut zone.ctl("zone host remove h1"));
    assert_eq!(ran.status, 1, "{}", ran.out);
    assert!(ran.err.contains("host h1 is not there") && ran.err.contains("zone hosts"), "{}", ran.err);
    assert_eq!(run(&mut zone.ctl("zone host remove h1 --if-exists")).status, 0);
    assert_eq!(run(&mut zone.ctl("zone host remove h1 --if-exists --wiped")).status, 0);
    assert_eq!(zone.asked().last().unwrap().line, "DELETE /v1/hosts/h1?wiped=true");
    let ran = run(&mut zone.ctl("zone host show a/b"));
    assert_eq!(ran.status, 2);
    assert!(ran.err.contains("1 to 63 characters"), "{}", ran.err);
}

#[test]
fn a_proof_that_was_changed_is_found_out() {
    let proof = json!({
        "zone": "dc1", "network": "key-1001", "key": 1001, "whole": false, "reason": "tunnel_missing", "generation": 1,
        "at": "2026-11-26T00:00:00Z", "hosts": [], "tunnels": {"wanted": 2, "proven": 1}, "findings": [finding()], "found": 1,
        "digest": "00",
    });
    let zone = FakeDaemon::answering(vec![canned("GET /v1/networks/key-1001/proof", 200, proof.clone())]);
    let ran = run(&mut zone.ctl("zone proof key-1001"));
    assert_eq!(ran.status, 1);
    assert!(ran.out.starts_with("not whole: network key-1001 of zone dc1"), "{}", ran.out);
    assert!(ran.out.contains("remedy: reconcile the network"), "{}", ran.out);

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), proof.to_string()).unwrap();
    let ran = run(&mut zone.ctl(&format!("zone proof --verify {}", file.path().display())));
    assert_eq!(ran.status, 1);
    assert!(ran.out.contains("bad: the digest") && ran.out.contains("not signed"), "{}", ran.out);
    assert_eq!(zone.asked().len(), 1, "a proof is checked without asking anybody");
}

#[test]
fn without_a_manager_it_is_said_where_one_would_be() {
    for (command, status) in [("status", 3), ("hosts", 2)] {
        let ran = run(common::ctl().args(["--socket", "/nowhere/manager.sock", "zone", command]));
        assert_eq!(ran.status, status);
        assert!(ran.err.contains("cannot reach the manager at /nowhere/manager.sock"), "{}", ran.err);
        assert!(ran.err.contains("systemctl status ovstunnel-manager"), "{}", ran.err);
        assert!(!ran.err.contains("daemon"), "{}", ran.err);
    }
    let ran = run(common::ctl().args(["--json", "--socket", "/nowhere/manager.sock", "zone", "hosts"]));
    let problem: Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(problem["code"], "manager_unreachable");
    assert_eq!(problem["title"], "cannot reach the manager at /nowhere/manager.sock");
}

#[test]
fn what_does_not_answer_or_is_no_manager_is_named_by_address() {
    let zone = FakeDaemon::answering(vec![
        canned("GET /v1/hosts", common::NEVER, Value::Null),
        common::foreign("GET /v1/events", 502, "<h1>Bad Gateway</h1>"),
    ]);
    let socket = zone.socket.display();
    let ran = run(&mut zone.ctl("--timeout 1s zone hosts"));
    assert!(ran.err.contains(&format!("no answer from the manager at {socket} within 1s")), "{}", ran.err);
    let ran = run(&mut zone.ctl("zone events"));
    assert!(ran.err.contains("or a manager of another version?") && !ran.err.contains("daemon"), "{}", ran.err);
}

#[test]
fn a_network_is_recorded_and_shown() {
    let recorded = json!({
        "name": "web", "state": "whole", "since": "2026-11-26T00:00:00Z", "hosts": 0, "wanted": 0, "proven": 0,
        "record": {"number": 7, "physical_network": "p1", "ipv6": "allow", "nics": 2},
    });
    let zone = FakeDaemon::answering(vec![
        canned("PUT /v1/networks/web", 201, json!({"outcome": "created", "network": recorded})),
        canned("GET /v1/networks/web", 200, recorded.clone()),
        canned("DELETE /v1/networks/web", 200, json!({"outcome": "unchanged"})),
    ]);
    let ran = run(&mut zone.ctl("zone network add web --physical-network p1 --ipv6 allow"));
    assert_eq!((ran.status, ran.out.as_str()), (0, "network web created, number 7, no key yet\n"), "{}", ran.err);
    assert_eq!(zone.asked()[0].body, json!({"physical_network": "p1", "ipv6": "allow"}));
    let ran = run(&mut zone.ctl("zone network web"));
    assert!(ran.out.contains("web (no key yet)") && ran.out.contains("number 7, physical network p1"), "{}", ran.out);
    let ran = run(&mut zone.ctl("zone network remove web"));
    assert_eq!(ran.status, 1, "{}", ran.out);
    assert!(ran.err.contains("network web is not there") && ran.err.contains("zone networks"), "{}", ran.err);
    assert_eq!(run(&mut zone.ctl("zone network remove web --if-exists")).status, 0);
    assert_eq!(run(&mut zone.ctl("zone network add web --physical-network p1 --adopt")).status, 2, "of which key?");
}

#[test]
fn a_nic_is_prepared_moved_and_released() {
    let nic = |moving: Value| json!({"id": "n1", "vm": "i-2-3-VM", "host": "h1", "moving_to": moving});
    let plan = json!({
        "dry_run": true, "network": "web", "withheld": 0,
        "requests": [{"host": "h2", "stage": "joins", "method": "PUT", "path": "/v1/bridges/ovt1001", "body": {"key": 1001}}],
        "blocked": [{"host": "h1", "reason": "it does not answer"}],
    });
    let answer = json!({
        "outcome": "disabled", "recorded": "created", "nic": nic(json!("h2")), "key": 1001, "bridge": "ovt1001", "mtu": 1458,
        "generation": 3, "tunnels": {"wanted": 2, "up": 0, "failed": []}, "plan": plan,
    });
    let zone = FakeDaemon::answering(vec![
        canned("PUT /v1/networks/web/nics/n1", 200, answer),
        canned("GET /v1/networks/web/nics", 200, json!({"nics": [nic(json!("h2"))]})),
        canned("POST /v1/networks/web/nics/n1/rollback", 200, json!({"outcome": "updated", "nic": nic(Value::Null)})),
        canned("DELETE /v1/networks/web/nics/n1", 200, json!({"outcome": "removed"})),
        canned("DELETE /v1/networks/web/nics/n1", 200, json!({"outcome": "unchanged"})),
    ]);
    let ran = run(&mut zone.ctl("zone nic prepare web n1 --on h2 --vm i-2-3-VM --move migrate"));
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(
        ran.out.starts_with("disabled: NIC n1 of network web is recorded, moving from host h1 to host h2"),
        "{}",
        ran.out
    );
    assert!(
        ran.out.contains("h2 (joins): PUT /v1/bridges/ovt1001") && ran.out.contains("it does not answer"),
        "{}",
        ran.out
    );
    assert_eq!(zone.asked()[0].body, json!({"host": "h2", "vm": "i-2-3-VM", "move": "migrate"}));
    assert_eq!(run(&mut zone.ctl("zone nics web -q")).out, "n1\n");
    let wide = run(&mut zone.ctl("zone nics web -o wide")).out;
    assert!(wide.lines().next().unwrap().contains("MOVING TO") && wide.contains("h2"), "{wide}");
    assert_eq!(run(&mut zone.ctl("zone nic rollback web n1")).out, "NIC n1 is on host h1\n");
    assert_eq!(run(&mut zone.ctl("zone nic release web n1 --on h1 --dry-run")).out, "NIC n1 would be released\n");
    assert_eq!(zone.asked().last().unwrap().line, "DELETE /v1/networks/web/nics/n1?host=h1&dry_run=true");
    let ran = run(&mut zone.ctl("zone nic release web n1"));
    assert_eq!(ran.status, 1, "{}", ran.out);
    assert!(ran.err.contains("NIC n1 of network web is not there"), "{}", ran.err);
}

#[test]
fn keys_and_physical_networks_say_how_full_the_ranges_are() {
    let physical = json!({
        "name": "p1", "isolation": "GRE", "vnet": "1001-1005", "label": "cloudbr1",
        "keys": {"size": 5, "in_use": 3, "quarantined": 1, "withdrawn": 0, "free": 1, "warned": true},
    });
    let doubled =
        json!({"kind": "key_doubled", "evidence": "2 bridges of host h1 have key 1002", "remedy": "destroy one"});
    let keys = json!({
        "keys": [
            {"key": 1001, "state": "quarantined", "network": "7", "hosts": ["h1", "h2"], "troubles": []},
            {"key": 1002, "state": "allocated", "network": "web", "hosts": ["h1"], "troubles": [doubled]},
        ],
        "physical_networks": [physical],
    });
    let zone = FakeDaemon::answering(vec![
        canned("GET /v1/keys", 200, keys),
        canned("GET /v1/physical-networks", 200, json!({"physical_networks": [physical]})),
        canned("PUT /v1/physical-networks/p1", 200, json!({"outcome": "updated", "physical_network": physical})),
    ]);
    let ran = run(&mut zone.ctl("zone keys"));
    assert!(ran.out.contains("key_doubled: 2 bridges of host h1 have key 1002"), "{}", ran.out);
    assert!(ran.out.contains("p1: 4 of 5 keys cannot be given, which is nearly all (3 in use"), "{}", ran.out);
    assert_eq!(run(&mut zone.ctl("zone keys -q --state quarantined,allocated")).out, "1001\n1002\n");
    assert!(zone.asked().iter().any(|asked| asked.line == "GET /v1/keys?state=quarantined%2Callocated"));
    let wide = run(&mut zone.ctl("zone physical-network list -o wide")).out;
    assert!(wide.contains("cloudbr1") && wide.contains("nearly used up"), "{wide}");
    let ran = run(&mut zone.ctl("zone physical-network add p1 --vnet 1001-1005"));
    assert_eq!(ran.out, "physical network p1 updated\n", "{}", ran.err);
    assert_eq!(zone.asked().last().unwrap().body, json!({"isolation": "GRE", "vnet": "1001-1005"}));
}

#[test]
fn a_fault_is_shown_with_evidence_remedy_and_commands() {
    let fault = json!({
        "id": "host_silent:h2", "kind": "host_silent", "what": "host_silent", "where": {"host": "h2"},
        "since": "2026-11-26T00:00:00Z", "networks": 23, "hides": 4, "evidence": "connection refused",
        "remedy": "see whether it is up", "commands": [{"run": "ovstunnelctl zone host show h2"},
        {"host": "h2", "run": "systemctl status ovstunneld"}],
    });
    let zone =
        FakeDaemon::answering(vec![canned("GET /v1/faults", 200, json!({"faults": [fault], "total": 1, "age": 0.1}))]);
    let ran = run(&mut zone.ctl("zone faults --on h2 -n 1"));
    assert_eq!(ran.status, 1, "{}", ran.err);
    for part in [
        "host_silent: h2, 23 networks, since 2026-11-26",
        "seen: connection refused (and 4 findings more)",
        "do:   see whether",
        "    systemctl status ovstunneld    (on h2)\n",
    ] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    assert_eq!(zone.asked()[0].line, "GET /v1/faults?limit=1&host=h2");
    assert_eq!(run(&mut zone.ctl("zone faults -q")).out, "host_silent:h2\n");
    let well = FakeDaemon::answering(vec![canned("GET /v1/faults", 200, json!({"faults": [], "total": 0}))]);
    let ran = run(&mut well.ctl("zone faults"));
    assert_eq!((ran.status, ran.out.as_str()), (0, "no faults\n"));
}

#[test]
fn wait_ends_when_the_network_is_whole_or_says_why_it_is_not() {
    let canned_network = |state: &str| canned("GET /v1/networks/key-1001", 200, network(state));
    let zone =
        FakeDaemon::answering(vec![canned_network("settling"), canned_network("broken"), canned_network("whole")]);
    let ran = run(&mut zone.ctl("zone wait key-1001"));
    assert_eq!((ran.status, zone.asked().len()), (0, 3), "{}", ran.err);
    assert!(ran.out.starts_with("network key-1001 is whole: 1 of 2"), "{}", ran.out);
    let zone = FakeDaemon::answering(vec![canned_network("broken")]);
    let ran = run(&mut zone.ctl("zone wait key-1001 --for 0s"));
    assert_eq!(ran.status, 1, "{}", ran.err);
    for part in ["key-1001 is broken after 0s", "tunnel_missing on h1 to h2: bridge xapi1", "do: reconcile the network"]
    {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
}

#[test]
fn why_names_the_first_failing_step_and_exits_accordingly() {
    let step = |host: &str, check: &str, result: &str| json!({"host": host, "check": check, "result": result, "evidence": "as seen"});
    let mut bad = step("h2", "tunnel", "fail");
    bad["remedy"] = json!("reconcile the network");
    bad["commands"] = json!([{"run": "ovstunnelctl zone reconcile acme"}]);
    let path = |reachable: Value, steps: Vec<Value>, first: Value| {
        json!({
            "network": "acme", "from": {"host": "h1", "vm": "web"}, "to": {"host": "h2"}, "reachable": reachable,
            "first_failure": first, "steps": steps, "asked": "2026-11-26T00:00:00Z", "took": 0.012,
        })
    };
    let asked = |path: Value| {
        let zone = FakeDaemon::answering(vec![canned("GET /v1/path", 200, path)]);
        let ran = run(&mut zone.ctl("zone why web h2 --network acme"));
        assert_eq!(zone.asked()[0].line, "GET /v1/path?from=web&to=h2&network=acme");
        ran
    };
    let ran = asked(path(json!(false), vec![step("h1", "host", "ok"), bad], json!(1)));
    assert_eq!(ran.status, 2, "{}", ran.err);
    for part in [
        "frames do not pass between web on h1 and h2 in network acme: see step 2",
        " 2 FAIL    h2: tunnel: as seen",
        "      do: reconcile the network",
        "          ovstunnelctl zone reconcile acme\n",
        "12 ms",
    ] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    assert_eq!(asked(path(json!(true), vec![step("h1", "host", "ok")], Value::Null)).status, 0);
    let ran = asked(path(Value::Null, vec![step("h1", "vif", "unknown")], Value::Null));
    assert_eq!(ran.status, 1);
    assert!(ran.out.contains("UNKNOWN") && ran.out.contains(" 1 unknown h1: vif"), "{}", ran.out);
}

/// What `zone hosts --watch` writes where this is what the manager answers to who watches: the first two lines, and standard error.
fn watched(watch: Canned) -> (Vec<String>, String) {
    let list = |name: &str| canned("GET /v1/hosts", 200, json!({"hosts": [host(name, "ok")]}));
    let manager = FakeDaemon::answering(vec![watch, list("first"), list("second")]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_ovstunnelctl"));
    command.arg("--socket").arg(&manager.socket).args(["zone", "hosts", "--watch", "-q"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let written = BufReader::new(child.stdout.take().unwrap()).lines().take(2).map(Result::unwrap).collect();
    child.kill().unwrap();
    (written, String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap())
}

#[test]
fn changes_of_a_zone_are_watched_or_asked_for() {
    let gone = "event: host_gone\nid: 5f3a-2\ndata: {\"name\": \"third\"}\n\n";
    let both = ["first".to_owned(), "second".to_owned()];
    assert_eq!(watched(foreign("GET /v1/watch", 200, gone)), (both.to_vec(), String::new()));
    let old = json!({
        "type": "urn:ovstunnel:problem:not_found", "title": "Not found", "status": 404,
        "detail": "there is no route /v1/watch", "code": "not_found"
    });
    let (written, said) = watched(canned("GET /v1/watch", 404, old));
    assert_eq!(written, both);
    assert_eq!(said, "This manager does not tell of changes, as newer ones do; it is asked every 1 s.\n");
}

#[test]
fn a_link_to_the_page_is_printed_with_what_it_is_good_for() {
    let link = json!({"url": "https://m1:8444/sign-in?link=abc", "path": "/sign-in?link=abc", "role": "viewer", "ends_in": 600});
    let manager = FakeDaemon::answering(vec![canned("POST /v1/links", 201, link)]);
    let ran = run(&mut manager.ctl("zone open --role viewer"));
    let words = "https://m1:8444/sign-in?link=abc\nlets one browser in, once, within 10 min; role: viewer. Whoever has it can follow it.\n";
    assert_eq!((ran.status, ran.out.as_str()), (0, words), "{}", ran.err);
    assert_eq!(manager.asked()[0].body, json!({"role": "viewer"}));
}
