//! `ovstunnelctl zone apply` against a manager of canned answers: what is asked before anything is changed, and in which order.

use std::fs;

use crate::common::{Asked, FakeDaemon, Ran, canned, problem, run};
use serde_json::{Value, json};
use tempfile::TempDir;

const ZONE: &str = "\
nics:
  - {network: web, name: 7f3a, host: h2, vm: i-2-3-VM}
networks:
  - {name: web, physical_network: p1, key: 1001, adopt: true}
---
physical_networks:
  - {name: p1, isolation: GRE, vnet: 1001-2000}
hosts:
  - {name: h1, api: 'https://h1:8443', number: 1}
  - {name: h2, api: 'https://h2:8443', number: 2}
";

fn host(name: &str, number: u64, rack: Option<&str>) -> Value {
    let mut host = json!({
        "name": name, "number": number, "api": format!("https://{name}:8443"), "mode": "manage", "state": "ok", "watched": true,
        "bridges": 0, "tunnels": 0, "vifs": 0, "troubles": [],
    });
    if let Some(rack) = rack {
        host["rack"] = json!(rack);
    }
    host
}

fn network(name: &str, key: u32, nics: u32) -> Value {
    json!({
        "name": name, "key": key, "state": "whole", "since": "2026-11-26T00:00:00Z", "hosts": 0, "wanted": 0, "proven": 0,
        "record": {"number": key, "physical_network": "p1", "nics": nics},
    })
}

/// A manager that has h1 in a rack, the host h9, and the network `old` with a NIC; the file's h2 and `web` it does not have.
fn manager() -> FakeDaemon {
    let usage = json!({"size": 1000, "in_use": 1, "quarantined": 0, "withdrawn": 0, "free": 999, "warned": false});
    let physical = json!({"name": "p1", "isolation": "GRE", "vnet": "1001-2000", "keys": usage});
    let done = |outcome: &str| json!({"outcome": outcome});
    let prepared = json!({
        "outcome": "disabled", "recorded": "created", "nic": {"id": "7f3a", "host": "h2"},
        "tunnels": {"wanted": 0, "up": 0, "failed": []}, "plan": {"network": "web", "dry_run": true, "requests": [], "blocked": [], "withheld": 0},
    });
    FakeDaemon::answering(vec![
        canned("GET /v1/physical-networks", 200, json!({"physical_networks": [physical]})),
        canned("GET /v1/hosts", 200, json!({"hosts": [host("h1", 1, Some("r1")), host("h9", 9, None)]})),
        canned("GET /v1/networks", 200, json!({"networks": [network("old", 1002, 1)], "total": 1})),
        canned("GET /v1/networks/old/nics", 200, json!({"nics": [{"id": "n1", "host": "h9"}]})),
        canned("PUT /v1/physical-networks/p1", 200, done("unchanged")),
        canned("PUT /v1/hosts/h1", 200, done("updated")),
        canned("PUT /v1/hosts/h2", 200, done("created")),
        canned("PUT /v1/networks/web", 200, done("created")),
        canned("PUT /v1/networks/web/nics/7f3a", 200, prepared),
        canned("DELETE /v1/networks/old/nics/n1", 200, done("removed")),
        canned("DELETE /v1/networks/old", 200, done("removed")),
        canned("DELETE /v1/hosts/h9", 200, done("removed")),
    ])
}

fn file(text: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("zone.yaml"), text).unwrap();
    dir
}

fn apply(manager: &FakeDaemon, dir: &TempDir, args: &str) -> Ran {
    run(manager.ctl(&format!("zone apply {args} -f")).arg(dir.path().join("zone.yaml")))
}

/// What was asked beyond what is recorded.
fn changes(manager: &FakeDaemon) -> Vec<String> {
    let lines = manager.asked().into_iter().map(|Asked { line, .. }| line);
    lines.filter(|line| !line.starts_with("GET")).collect()
}

const PLANS: [&str; 4] = [
    "PUT /v1/physical-networks/p1?dry_run=true",
    "PUT /v1/hosts/h1?dry_run=true",
    "PUT /v1/hosts/h2?dry_run=true",
    "PUT /v1/networks/web?dry_run=true",
];

#[test]
fn all_is_planned_and_shown_before_anything_is_recorded() {
    let (manager, dir) = (manager(), file(ZONE));
    let ran = apply(&manager, &dir, "");
    assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{}", ran.out);
    for part in [
        "host h1: to be updated\n  rack: r1 → none\n",
        "host h2: to be created\n  api: none → https://h2:8443\n",
        "network web: to be created\n  key: none → 1001\n  physical_network: none → p1\n",
        "NIC web/7f3a: to be created\n  host: none → h2\n",
        "4 of 5 to be changed.\nphysical network p1: unchanged\nhost h1: updated\n",
    ] {
        assert!(ran.out.contains(part), "no {part} in {}", ran.out);
    }
    // The NIC's network is not there yet, so that nothing can be said of the NIC before; what is as it should be is not asked for again.
    let then = ["PUT /v1/hosts/h1", "PUT /v1/hosts/h2", "PUT /v1/networks/web", "PUT /v1/networks/web/nics/7f3a"];
    assert_eq!(changes(&manager), [&PLANS[..], &then].concat());
    let body = manager.asked().into_iter().rfind(|asked| asked.line == "PUT /v1/networks/web").unwrap().body;
    assert_eq!(body, json!({"physical_network": "p1", "key": 1001, "adopt": true}));
}

#[test]
fn a_dry_run_changes_nothing_and_pruning_asks() {
    let (planned, asked, told) = (manager(), manager(), manager());
    let dir = file(ZONE);
    let ran = apply(&planned, &dir, "--dry-run --prune --json");
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    let things: Vec<(&str, &str)> = answer["things"]
        .as_array()
        .unwrap()
        .iter()
        .map(|thing| (thing["name"].as_str().unwrap(), thing["outcome"].as_str().unwrap()))
        .collect();
    let wanted = [
        ("old/n1", "removed"),
        ("old", "removed"),
        ("p1", "unchanged"),
        ("h1", "updated"),
        ("h2", "created"),
        ("web", "created"),
        ("web/7f3a", "created"),
        ("h9", "removed"),
    ];
    assert_eq!((things.as_slice(), &answer["dry_run"]), (&wanted[..], &json!(true)));
    assert_eq!(changes(&planned), PLANS);

    // A test has no terminal.
    let ran = apply(&asked, &dir, "--prune");
    assert!(
        ran.status == 2 && ran.err.contains("this removes NIC old/n1; network old; host h9: say --yes"),
        "{}",
        ran.err
    );
    assert_eq!(changes(&asked), PLANS);
    let ran = apply(&told, &dir, "--prune --yes");
    assert_eq!(ran.status, 0, "{}", ran.err);
    let all = changes(&told);
    assert_eq!(all[4..6], ["DELETE /v1/networks/old/nics/n1", "DELETE /v1/networks/old"]);
    assert_eq!(all.last().unwrap(), "DELETE /v1/hosts/h9");
    // Of kinds of which there is no list nothing is forgotten.
    let hosts = manager();
    let ran = apply(&hosts, &file("hosts:\n  - {name: h1, api: 'https://h1:8443'}\n"), "--prune --yes");
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert_eq!(changes(&hosts), [PLANS[1], "PUT /v1/hosts/h1", "DELETE /v1/hosts/h9"]);
}

#[test]
fn what_is_refused_is_named_with_its_place_and_changes_nothing() {
    let refuses = |text: &str, parts: &[&str]| {
        let manager = manager();
        let ran = apply(&manager, &file(text), "");
        assert!(ran.status != 0, "{text}");
        parts.iter().for_each(|part| assert!(ran.err.contains(part), "{text}: no {part} in {}", ran.err));
        assert_eq!(changes(&manager), Vec::<String>::new());
    };
    refuses(
        "hosts:\n  - {name: h1, api: x, colour: red}\n",
        &["zone.yaml: hosts[0]: unknown field `colour`", "nothing was changed"],
    );
    refuses("networks:\n  - {physical_network: p1}\n", &["networks[0].name: is missing"]);
    refuses(
        "networks:\n  - {name: web, physical_network: p1, key: many}\n",
        &["networks[0]: invalid type: string \"many\", expected u32"],
    );
    refuses("hosts:\n  - {name: 'h 1', api: x}\n", &["hosts[0].name: a name has 1 to 63 characters", "got \"h 1\""]);
    refuses(
        "hosts:\n  - {name: h1, api: x}\n  - {name: h1, api: z}\n",
        &["host h1 is there twice; the other one is", "hosts[0]"],
    );
    refuses("hosts:\n  - {name: 007, api: x}\n", &["hosts[0].name: must be a text: write it in quotes; got 7"]);
    refuses("bridges: []\n", &["unknown field `bridges`"]);
    refuses("", &["expected `hosts:, networks:, nics: or physical_networks:`"]);

    let manager = FakeDaemon::answering(vec![
        canned("GET /v1/physical-networks", 200, json!({"physical_networks": []})),
        canned("GET /v1/hosts", 200, json!({"hosts": []})),
        canned("GET /v1/networks", 200, json!({"networks": [], "total": 0})),
        canned("PUT /v1/physical-networks/p1", 200, json!({"outcome": "created"})),
        canned("PUT /v1/hosts/h1", 200, json!({"outcome": "created"})),
        canned("PUT /v1/hosts/h2", 400, problem()),
    ]);
    let ran = apply(&manager, &file(ZONE), "");
    assert!(
        ran.status == 1 && ran.err.contains("zone.yaml: hosts[1] (h2): the key is out of range; nothing was changed"),
        "{}",
        ran.err
    );
    assert!(changes(&manager).iter().all(|line| line.ends_with("dry_run=true")));
}

/// A manager with the network `old`, which has this kind recorded, and answers for two networks' kinds.
fn manager_with_kind(recorded: Option<&str>, kind: (u16, Value)) -> FakeDaemon {
    let mut old = network("old", 1002, 0);
    if let Some(recorded) = recorded {
        old["record"]["kind"] = json!(recorded);
    }
    let done = |outcome: &str| json!({"outcome": outcome});
    FakeDaemon::answering(vec![
        canned(
            "GET /v1/physical-networks",
            200,
            json!({"physical_networks": [
                {"name": "p1", "isolation": "GRE", "vnet": "1001-2000", "keys": {"size": 1000, "in_use": 1, "quarantined": 0, "withdrawn": 0, "free": 999, "warned": false}},
            ]}),
        ),
        canned("GET /v1/hosts", 200, json!({"hosts": []})),
        canned("GET /v1/networks", 200, json!({"networks": [old], "total": 1})),
        canned("PUT /v1/networks/old", 200, done("unchanged")),
        canned("PUT /v1/networks/old/kind", kind.0, kind.1),
        canned("PUT /v1/networks/web", 200, done("created")),
        canned("PUT /v1/networks/web/kind", 200, done("updated")),
    ])
}

const KINDS: &str = "\
networks:
  - {name: old, physical_network: p1, kind: vxlan}
  - {name: web, physical_network: p1, key: 1003, kind: geneve}
";

#[test]
fn a_networks_kind_is_asked_for_by_its_own_request() {
    let (manager, dir) = (manager_with_kind(Some("gre"), (200, json!({"outcome": "updated"}))), file(KINDS));
    let ran = apply(&manager, &dir, "");
    assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{}", ran.out);
    for part in [
        "network old: to be updated\n  kind: gre → vxlan\n",
        "network web: to be created\n  key: none → 1003\n  kind: none → geneve\n",
        "network old: updated\nnetwork web: created\n",
    ] {
        assert!(ran.out.contains(part), "no {part} in {}", ran.out);
    }
    // Of a network that is still to be recorded the manager cannot be asked for the kind before.
    let planned = ["PUT /v1/networks/old?dry_run=true", "PUT /v1/networks/old/kind?dry_run=true"];
    let then =
        ["PUT /v1/networks/old", "PUT /v1/networks/old/kind", "PUT /v1/networks/web", "PUT /v1/networks/web/kind"];
    assert_eq!(changes(&manager), [&planned[..], &["PUT /v1/networks/web?dry_run=true"], &then].concat());
    let body = |line: &str| manager.asked().into_iter().rfind(|asked| asked.line == line).unwrap().body;
    assert_eq!(body("PUT /v1/networks/old/kind"), json!({"kind": "vxlan"}));
    assert_eq!(body("PUT /v1/networks/web"), json!({"physical_network": "p1", "key": 1003}));
}

#[test]
fn a_kind_that_is_there_and_one_left_out_change_nothing() {
    let unchanged = || manager_with_kind(Some("vxlan"), (200, json!({"outcome": "unchanged"})));
    let (same, left_out) = (unchanged(), unchanged());
    let ran = apply(&same, &file("networks:\n  - {name: old, physical_network: p1, kind: vxlan}\n"), "");
    assert!(ran.status == 0 && ran.out.contains("0 of 1 to be changed."), "{}{}", ran.out, ran.err);
    let planned = ["PUT /v1/networks/old?dry_run=true", "PUT /v1/networks/old/kind?dry_run=true"];
    assert_eq!(changes(&same), planned);
    let ran = apply(&left_out, &file("networks:\n  - {name: old, physical_network: p1}\n"), "");
    assert!(ran.status == 0 && ran.out.contains("0 of 1 to be changed."), "{}{}", ran.out, ran.err);
    assert_eq!(changes(&left_out), planned[..1]);
}

#[test]
fn a_kind_that_cannot_be_is_refused_and_nothing_is_changed() {
    let (manager, dir) = (manager_with_kind(None, (400, problem())), file(KINDS));
    let ran = apply(&manager, &dir, "");
    let told = "zone.yaml: networks[0] (old): the key is out of range; nothing was changed";
    assert!(ran.status == 1 && ran.err.contains(told), "{}", ran.err);
    assert!(changes(&manager).iter().all(|line| line.ends_with("dry_run=true")), "{:?}", changes(&manager));
    let refuses = |network: &str, part: &str| {
        let manager = manager_with_kind(None, (200, json!({"outcome": "updated"})));
        let ran = apply(&manager, &file(&format!("networks:\n  - {network}\n")), "");
        assert!(ran.status == 1 && ran.err.contains(part), "{network}: no {part} in {}", ran.err);
        assert_eq!(changes(&manager), Vec::<String>::new());
    };
    refuses(
        "{name: web, physical_network: p1, kind: mpls}",
        "networks[0].kind: unknown variant `mpls`, expected one of `gre`, `vxlan`, `geneve`; nothing was changed",
    );
    refuses(
        "{name: web, physical_network: p1, key: 16777216, kind: vxlan}",
        "networks[0].key: must be from 1 to 16777215 where its tunnels are of kind vxlan; got `16777216`",
    );
}
