//! `apply`, `export` and `edit` against a daemon of canned answers: what is asked before anything is changed, and in which order.

use std::fs;

use crate::common::{Asked, FakeDaemon, Ran, bridge, canned, problem, run};
use serde_json::{Value, json};
use tempfile::TempDir;

const TWO: &str = "\
bridges:
  - name: xapi12
    key: 1001
    host_id: 1
    tunnels:
      - {to: 2, remote_ip: 192.0.2.12}
---
bridges:
  - {name: xapi13, key: 1002}
";

fn plan(outcome: &str, change: &str) -> Value {
    let changes: Vec<&str> = if change.is_empty() { vec![] } else { vec![change] };
    json!({"dry_run": true, "outcome": outcome, "changes": changes, "commands": []})
}

fn named(name: &str, vpc: bool) -> Value {
    let mut one = bridge();
    one["name"] = json!(name);
    if vpc {
        one["vpc"] = json!({"id": "7", "tiers": [], "unplaced_vifs": []});
        one.as_object_mut().unwrap().remove("key");
    }
    one
}

/// A daemon that has `xapi12`, `old1` and a VPC's bridge, and answers each change first with its plan.
fn daemon() -> FakeDaemon {
    let all = json!({"bridges": [named("old1", false), named("vpc1", true), named("xapi12", false)]});
    let done = |outcome: &str, name: &str| json!({"outcome": outcome, "changes": [], "bridge": named(name, false)});
    FakeDaemon::answering(vec![
        canned("GET /v1/bridges", 200, all),
        canned("GET /v1/bridges/xapi12", 200, named("xapi12", false)),
        canned("PUT /v1/bridges/xapi12", 200, plan("unchanged", "")),
        canned("PUT /v1/bridges/xapi13", 200, plan("created", "create bridge xapi13")),
        canned("PUT /v1/bridges/xapi13", 201, done("created", "xapi13")),
        canned("DELETE /v1/bridges/old1", 200, plan("removed", "remove bridge old1")),
        canned("DELETE /v1/bridges/old1", 200, json!({"outcome": "removed", "existed": true, "changes": []})),
    ])
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, text)| fs::write(dir.path().join(name), text).unwrap());
    dir
}

fn apply(daemon: &FakeDaemon, dir: &TempDir, args: &str) -> Ran {
    run(daemon.ctl(&format!("apply {args} -f")).arg(dir.path()))
}

fn lines(daemon: &FakeDaemon) -> Vec<String> {
    daemon.asked().into_iter().map(|Asked { line, .. }| line).collect()
}

const PLANS: [&str; 3] =
    ["GET /v1/bridges", "PUT /v1/bridges/xapi12?dry_run=true", "PUT /v1/bridges/xapi13?dry_run=true"];

#[test]
fn all_is_planned_and_shown_before_anything_is_changed() {
    let (daemon, dir) = (daemon(), folder(&[("bridges.yaml", TWO), ("notes.txt", "not read")]));
    let ran = apply(&daemon, &dir, "");
    assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{}", ran.out);
    let shown = "bridge xapi13: to be created\n  create bridge xapi13\n1 of 2 bridges to be changed.\n";
    assert!(ran.out.starts_with(shown), "{}", ran.out);
    assert!(ran.out.ends_with("bridge xapi12: unchanged\nbridge xapi13: created\n"), "{}", ran.out);
    // What is as it should be is not asked for again.
    assert_eq!(lines(&daemon), [&PLANS[..], &["PUT /v1/bridges/xapi13"]].concat());
    let body = json!({"key": 1001, "host_id": 1, "tunnels": [{"to": 2, "remote_ip": "192.0.2.12"}]});
    assert_eq!(daemon.asked()[1].body, body);
}

#[test]
fn a_dry_run_changes_nothing_and_a_refused_plan_neither() {
    let (daemon, dir) = (daemon(), folder(&[("a.yml", TWO)]));
    let ran = apply(&daemon, &dir, "--dry-run --prune --json");
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&answer["dry_run"], &answer["bridges"][0]["bridge"]), (&json!(true), &json!("old1")));
    assert_eq!((&answer["bridges"][2]["outcome"], &answer["left"]), (&json!("created"), &json!(["vpc1"])));
    assert!(lines(&daemon).iter().all(|line| line.starts_with("GET") || line.ends_with("dry_run=true")));

    let refused = FakeDaemon::answering(vec![
        canned("GET /v1/bridges", 200, json!({"bridges": []})),
        canned("PUT /v1/bridges/xapi12", 200, plan("created", "create bridge xapi12")),
        canned("PUT /v1/bridges/xapi13", 400, problem()),
    ]);
    let ran = apply(&refused, &dir, "");
    assert!(ran.status == 1 && ran.err.contains("bridge xapi13: the key is out of range"), "{}", ran.err);
    assert_eq!(lines(&refused), PLANS, "the first one was not set up either");
}

/// A test has no terminal.
#[test]
fn pruning_asks_and_leaves_the_bridges_of_vpcs() {
    let dir = folder(&[("a.yaml", TWO)]);
    let (asked, told) = (daemon(), daemon());
    let ran = apply(&asked, &dir, "--prune");
    assert!(ran.status == 2 && ran.err.contains("--yes") && ran.err.contains("bridge old1"), "{}", ran.err);
    assert!(lines(&asked).iter().all(|line| line.starts_with("GET") || line.ends_with("dry_run=true")));
    let ran = apply(&told, &dir, "--prune --yes");
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.out.contains("bridge old1: removed\n") && ran.out.contains("bridge vpc1: stays"), "{}", ran.out);
    let changes: Vec<String> =
        lines(&told).into_iter().filter(|line| !line.starts_with("GET") && !line.contains('?')).collect();
    assert_eq!(changes, ["DELETE /v1/bridges/old1", "PUT /v1/bridges/xapi13"], "what frees a key comes first");
}

#[test]
fn a_bad_file_is_named_and_nobody_is_asked() {
    let cases = [
        ("a.yaml", "bridges:\n  - name: a\n    kee: 1\n", "kee"),
        ("a.yaml", "bridges:\n  - {name: \"n\\n2\", key: 1}\n", "a bridge's name"),
        ("a.yaml", "bridges:\n  - {name: a, key: 1}\n  - {name: a, key: 2}\n", "bridge a is there twice"),
        ("a.json", "{\"bridges\": [{\"name\": \"a\"}]}", "key"),
        ("a.txt", "", "no file in it ends with"),
    ];
    for (name, text, words) in cases {
        let (daemon, dir) = (daemon(), folder(&[(name, text)]));
        let ran = apply(&daemon, &dir, "");
        assert_eq!((ran.status, ran.out.as_str()), (1, ""), "{text}");
        let file = if words.starts_with("no file") { dir.path().to_owned() } else { dir.path().join(name) };
        assert!(ran.err.contains(words) && ran.err.contains(file.to_str().unwrap()), "{text}: {}", ran.err);
        assert!(daemon.asked().is_empty());
    }
}

#[test]
fn what_is_exported_can_be_applied() {
    let daemon = daemon();
    let exported = run(&mut daemon.ctl("export"));
    assert!(exported.status == 0 && exported.err.contains("vpc1 is left out"), "{}", exported.err);
    let json: Value = serde_json::from_str(&run(&mut daemon.ctl("export xapi12 --json")).out).unwrap();
    let entry = json!({
        "name": "xapi12", "key": 1001, "host_id": 1, "ipv6": "drop", "kind": "gre", "tunnels": [{"to": 2, "remote_ip": "192.0.2.12"}]
    });
    assert_eq!(json, json!({"bridges": [entry]}));
    let other = FakeDaemon::answering(vec![
        canned("GET /v1/bridges", 200, json!({"bridges": []})),
        canned("PUT /v1/bridges/old1", 200, plan("unchanged", "")),
        canned("PUT /v1/bridges/xapi12", 200, plan("unchanged", "")),
    ]);
    let ran = run(other.ctl("apply -f -").write_stdin(exported.out));
    assert_eq!(ran.status, 0, "{}", ran.err);
    let mut body = entry.clone();
    body.as_object_mut().unwrap().remove("name");
    assert_eq!(other.asked()[2].body, body);
}

#[test]
fn an_edited_bridge_is_applied_and_a_bad_text_is_kept() {
    let edited = |editor: &str| {
        let daemon = daemon();
        let dir = tempfile::tempdir().unwrap();
        let ran =
            run(daemon.ctl("edit xapi12 --yes").env("EDITOR", editor).env_remove("VISUAL").env("TMPDIR", dir.path()));
        let left: Vec<String> =
            fs::read_dir(dir.path()).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
        (ran, lines(&daemon), left)
    };
    let (ran, asked, left) = edited("true");
    assert!(ran.status == 0 && ran.out.contains("left as it was"), "{}", ran.err);
    assert_eq!((asked.len(), left.len()), (1, 0), "{asked:?}");
    let (ran, asked, left) = edited("sed -i s/drop/allow/");
    assert_eq!((ran.status, left.len()), (0, 0), "{}", ran.err);
    assert_eq!(asked[2], "PUT /v1/bridges/xapi12?dry_run=true");
    let (ran, asked, left) = edited("sed -i s/key:/kee:/");
    assert!(ran.status == 1 && ran.err.contains("kee") && ran.err.contains("The text is in"), "{}", ran.err);
    assert_eq!(asked, ["GET /v1/bridges/xapi12"]);
    assert!(left.len() == 1 && left[0].contains("kee: 1001"), "{left:?}");
    let (ran, asked, _) = edited("false");
    assert!(ran.status == 1 && ran.err.contains("the editor failed"), "{}", ran.err);
    assert_eq!(asked.len(), 1);
}
