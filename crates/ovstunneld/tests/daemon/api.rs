//! Every route and every outcome, over a simulated switch.

use crate::sim;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::sim::{Sim, member, mesh};
use axum::body::Body;
use axum::http::Request;
use ovstunnel_ovs::{Pace, SimulatedSwitch};
use serde_json::{Value, json};
use tower::ServiceExt;

/// A bridge without how old the knowledge of its health is.
fn timeless(bridge: &Value) -> Value {
    let mut bridge = bridge.clone();
    bridge["health"].as_object_mut().unwrap().remove("as_of");
    bridge
}

/// The parts of an answer's time, in milliseconds.
async fn timing(sim: &Sim, method: &str, path: &str, body: Value) -> Vec<(String, f64)> {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let request = request.body(Body::from(body.to_string())).unwrap();
    let response = sim.router.clone().oneshot(request).await.unwrap();
    let Some(header) = response.headers().get("server-timing") else { return vec![] };
    let parts = header.to_str().unwrap().split(", ").map(|part| part.split_once(";dur=").unwrap());
    parts.map(|(name, ms)| (name.to_owned(), ms.parse().unwrap())).collect()
}

#[tokio::test]
async fn a_change_says_how_long_each_part_took() {
    // A command of the switch takes at least so long.
    let takes = Duration::from_millis(50);
    let sim = Sim::over(SimulatedSwitch::new().with_pace(Pace::new(move |_| takes))).await;
    let put =
        async |bridge: &str, key: u32| timing(&sim, "PUT", &format!("/v1/bridges/{bridge}"), json!({"key": key})).await;
    let (first, second) = tokio::join!(put("b1", 7), put("b2", 8));
    for timing in [first, second] {
        let names: Vec<&str> = timing.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["queue", "switch", "total"]);
        let (queue, switch, total) = (timing[0].1, timing[1].1, timing[2].1);
        assert!(switch >= 50.0 && total + 0.2 >= queue + switch, "{timing:?}");
    }
    // A refusal too, and a look not.
    assert_eq!(timing(&sim, "PUT", "/v1/bridges/b1", json!({"key": 8})).await.len(), 3);
    assert!(timing(&sim, "GET", "/v1/bridges", Value::Null).await.is_empty());
}

#[tokio::test]
async fn a_bridge_is_created_updated_left_and_removed() {
    let sim = Sim::new().await;
    let created = sim.put("xapi1", mesh(5, [2, 3])).await.expect(201);
    assert_eq!(created["outcome"], "created");
    let expected = json!({
        "name": "xapi1", "key": 5, "host_id": "1", "ipv6": "drop", "kind": "gre", "adopted": false, "vifs": [], "other_ports": [],
        "flows": {"state": "in_sync", "expected": 6, "installed": 6}, "health": {"state": "ok", "reasons": []},
        "tunnels": [
            {"port": "t5-1-2", "from": "1", "to": "2", "remote_ip": sim::ip(2), "key": 5, "ofport": 1, "state": "up", "protected": true},
            {"port": "t5-1-3", "from": "1", "to": "3", "remote_ip": sim::ip(3), "key": 5, "ofport": 2, "state": "up", "protected": true},
        ],
    });
    assert_eq!(timeless(&created["bridge"]), expected);
    assert_eq!(timeless(&sim.bridge("xapi1").await), expected);
    let all = sim.get("/v1/bridges").await.expect(200);
    assert_eq!((timeless(&all["bridges"][0]), all["bridges"].as_array().unwrap().len()), (expected.clone(), 1));

    let commits = sim.switch.commits();
    let again = sim.put("xapi1", mesh(5, [2, 3])).await.expect(200);
    assert_eq!((&again["outcome"], timeless(&again["bridge"])), (&json!("unchanged"), expected.clone()));
    let stays = sim.put("xapi1", json!({"key": 5})).await.expect(200);
    assert_eq!(
        (&stays["outcome"], timeless(&stays["bridge"])),
        (&json!("unchanged"), expected),
        "what is absent stays"
    );
    assert_eq!(sim.switch.commits(), commits, "nothing was written");

    let updated = sim.put("xapi1", mesh(5, [3, 4])).await.expect(200);
    assert_eq!(updated["outcome"], "updated");
    let ports: Vec<&Value> = updated["bridge"]["tunnels"].as_array().unwrap().iter().map(|t| &t["port"]).collect();
    assert_eq!(ports, ["t5-1-3", "t5-1-4"]);
    let allowed = sim.put("xapi1", json!({"key": 5, "ipv6": "allow"})).await.expect(200);
    assert_eq!((&allowed["outcome"], &allowed["bridge"]["flows"]["installed"]), (&json!("updated"), &json!(3)));

    let change = |what: &str, subject: &str, before: Option<String>, after: Option<String>| json!({"what": what, "subject": subject, "before": before, "after": after});
    let at = |n: u32| Some(format!("host {n} at {}, key 5", sim::ip(n)));
    let made = created["changes"].as_array().unwrap();
    assert_eq!(
        made[..2],
        [change("bridge", "xapi1", None, Some("key 5".into())), change("tunnel", "t5-1-2", None, at(2))]
    );
    assert_eq!((made.len(), &made[3]["what"]), (4, &json!("flows")));
    assert_eq!((&again["changes"], &stays["changes"]), (&json!([]), &json!([])));
    let two = [change("tunnel", "t5-1-2", at(2), None), change("tunnel", "t5-1-4", None, at(4))];
    assert_eq!(updated["changes"], json!(two));
    let ipv6 = change("external_ids:ovstunnel-ipv6", "xapi1", Some("drop".into()), Some("allow".into()));
    assert_eq!(allowed["changes"][0], ipv6);

    let gone = [
        change("bridge", "xapi1", Some("key 5".into()), None),
        change("tunnel", "t5-1-3", at(3), None),
        change("tunnel", "t5-1-4", at(4), None),
    ];
    assert_eq!(sim.delete("xapi1").await.expect(200), json!({"outcome": "removed", "existed": true, "changes": gone}));
    sim.get("/v1/bridges/xapi1").await.problem(404, "not_found");
    assert_eq!(sim.delete("xapi1").await.expect(200), json!({"outcome": "unchanged", "existed": false, "changes": []}));
}

/// On the simulated switch alone: a real one is asked for its flows again and again, so that they come back by themselves.
#[tokio::test]
async fn a_dry_run_of_a_look_tells_what_the_look_mends() {
    let sim = Sim::new().await;
    sim.put("xapi1", mesh(5, [2])).await.expect(201);
    let (before, written) = (sim.bridge("xapi1").await, sim.switch.commits());
    sim.switch.lose_flows("xapi1");
    let plan = sim.ask("POST", "/v1/reconcile?dry_run=true", None).await.expect(200);
    assert_eq!((&plan["outcome"], plan["changes"].as_array().unwrap().len()), (&json!("updated"), 1), "{plan}");
    let mended = sim.reconcile().await;
    let changes = mended["changes"].as_array().unwrap();
    assert_eq!((changes.len(), &changes[0]["what"], &changes[0]["subject"]), (1, &json!("flows"), &json!("xapi1")));
    let after = timeless(&sim.bridge("xapi1").await);
    assert_eq!((after, sim.switch.commits()), (timeless(&before), written + 1), "only the look that mended");
}

#[tokio::test]
async fn the_host_tells_of_its_devices_and_of_itself() {
    let sim = Sim::new().await;
    let device = sim.get("/v1/interfaces/eth0").await.expect(200);
    assert_eq!((&device["ip"], &device["max_guest_mtu"]), (&json!("192.0.2.1"), &json!(1458)));
    sim.get("/v1/interfaces/nope").await.problem(404, "not_found");
    assert_eq!(sim.get("/healthz").await.expect(200), "ok\n");
    let ready = sim.get("/readyz").await.expect(200);
    assert_eq!((&ready["ready"], &ready["ovs_version"]), (&json!(true), &json!("3.1.0 (simulated)")));
    assert!(sim.get("/metrics").await.expect(200).as_str().unwrap().contains("ovstunnel_bridges 0"));
    sim.get("/v1/nowhere").await.problem(404, "not_found");
    sim.ask("PATCH", "/v1/bridges/xapi1", None).await.problem(405, "method_not_allowed");
}

/// Every `$ref` of a document, and every code that it names in backquotes.
fn walk(value: &Value, refs: &mut BTreeSet<String>, codes: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| match (key.as_str(), value) {
            ("$ref", Value::String(target)) => drop(refs.insert(target.clone())),
            ("description", Value::String(text)) => codes.extend(text.split('`').skip(1).step_by(2).map(str::to_owned)),
            _ => walk(value, refs, codes),
        }),
        Value::Array(items) => items.iter().for_each(|item| walk(item, refs, codes)),
        _ => {}
    }
}

#[tokio::test]
async fn the_description_is_of_all_routes_and_hangs_together() {
    let sim = Sim::new().await;
    let api = sim.get("/openapi.json").await.expect(200);
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"), "{}", api["openapi"]);
    let paths: BTreeSet<String> = api["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| methods.as_object().unwrap().keys().map(move |method| format!("{method} {path}")))
        .collect();
    for route in [
        "put /v1/bridges/{bridge}",
        "get /v1/bridges",
        "get /v1/bridges/{bridge}",
        "delete /v1/bridges/{bridge}",
        "post /v1/bridges/{bridge}/tunnels",
        "delete /v1/bridges/{bridge}/tunnels/{port}",
        "get /v1/interfaces/{label}",
        "post /v1/reconcile",
        "get /healthz",
        "get /readyz",
        "get /metrics",
    ] {
        assert!(paths.contains(route), "{route} is not described: {paths:?}");
    }
    let (mut refs, mut codes) = (BTreeSet::new(), BTreeSet::new());
    walk(&api, &mut refs, &mut codes);
    for target in refs {
        let pointer = target.strip_prefix('#').expect("only references within the document");
        assert!(api.pointer(pointer).is_some(), "{target} leads nowhere");
    }
    let described = api["components"]["schemas"]["Code"]["enum"].as_array().unwrap();
    assert!(!described.contains(&json!("unknown")), "the daemon never says it");
    for code in [
        "invalid_request",
        "not_found",
        "conflict",
        "too_large",
        "switch_refused",
        "switch_unavailable",
        "outcome_unknown",
    ] {
        assert!(described.contains(&json!(code)) && codes.contains(code), "{code} is described nowhere");
    }
    // Every described route is there: it answers, and not that there is no such route.
    for path in api["paths"].as_object().unwrap().keys() {
        let asked =
            path.replace("{bridge}", "b").replace("{port}", "p").replace("{label}", "eth0").replace("{vif}", "vif1.0");
        let answer = sim.ask("PATCH", &asked, None).await;
        assert_eq!(answer.status, 405, "{path}: {}", answer.body);
    }
}

/// A mistyped parameter must not be a request without it, whatever the route: `?dryrun=true` would remove a bridge.
#[tokio::test]
async fn every_route_refuses_parameters_that_it_does_not_know() {
    let sim = Sim::new().await;
    sim.put("b", mesh(5, [2])).await.expect(201);
    let api = sim.get("/openapi.json").await.expect(200);
    let (before, commits) = (timeless(&sim.bridge("b").await), sim.switch.commits());
    let mut asked = vec![("get".to_owned(), "/openapi.json".to_owned(), Vec::new())];
    for (path, methods) in api["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let known = parameters.iter().filter(|parameter| parameter["in"] == "query");
            let known = known.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect();
            asked.push((method.clone(), path.clone(), known));
        }
    }
    for (method, path, known) in asked {
        let place = path.replace("{bridge}", "b").replace("{port}", "t5-1-2").replace("{label}", "eth0");
        let place = place.replace("{vif}", "vif1.0").replace("{function}", "destroy_ovs_bridge");
        let body = ["put", "post"].contains(&method.as_str()).then(|| json!({"bridge": "b"}));
        let answer = sim.ask_as_root(&method.to_uppercase(), &format!("{place}?dryrun=true"), body).await;
        let problem = answer.problem(400, "invalid_request");
        assert_eq!(problem["field"], "dryrun", "{method} {path}: {problem}");
        let rule = problem["rule"].as_str().unwrap();
        assert!(rule.starts_with("is not known here; "), "{method} {path}: {rule}");
        assert!(known.iter().all(|name: &String| rule.contains(&format!("`{name}`"))), "{method} {path}: {rule}");
        assert_eq!(known.is_empty(), rule.ends_with("there are no parameters"), "{method} {path}: {rule}");
    }
    assert_eq!((timeless(&sim.bridge("b").await), sim.switch.commits()), (before, commits));
}

/// The descriptions of an answer's fields, checked against answers that were really given.
#[tokio::test]
async fn answers_have_the_fields_that_are_described() {
    let sim = Sim::new().await;
    let api = sim.get("/openapi.json").await.expect(200);
    let answer = sim.put("xapi1", json!({"key": 5, "host_id": 1, "tunnels": [member(2)]})).await.expect(201);
    let problem = sim.put("xapi1", json!({"key": 0})).await.problem(400, "invalid_request");
    let examples = [
        ("BridgeAnswer", answer.clone()),
        ("Bridge", answer["bridge"].clone()),
        ("Tunnel", answer["bridge"]["tunnels"][0].clone()),
        ("Flows", answer["bridge"]["flows"].clone()),
        ("Problem", problem),
        ("PlanAnswer", sim.put("b?dry_run=true", mesh(6, [])).await.expect(200)),
        ("ReconcileAnswer", sim.reconcile().await),
        ("Ready", sim.get("/readyz").await.expect(200)),
        ("Interface", sim.get("/v1/interfaces/eth0").await.expect(200)),
    ];
    for (name, example) in examples {
        let schema = &api["components"]["schemas"][name];
        let fields = example.as_object().unwrap();
        for field in fields.keys() {
            assert!(schema["properties"].get(field).is_some(), "{name}.{field} is not described");
        }
        for field in schema["required"].as_array().unwrap() {
            assert!(fields.contains_key(field.as_str().unwrap()), "{name}.{field} is required and absent: {example}");
        }
    }
}

#[tokio::test]
async fn a_probe_that_is_wrong_is_told_field_and_rule() {
    let sim = Sim::new().await;
    sim.put("xapi1", mesh(5, [2, 3])).await.expect(201);
    let probe =
        async |bridge: &str, body: Value| sim.ask("POST", &format!("/v1/bridges/{bridge}/probe"), Some(body)).await;
    let nonce = "0a:00:00:00:00:07";
    let bad = [
        (json!({"action": "arm", "nonce": "00:16:3e:00:00:07"}), "nonce"),
        (json!({"action": "arm", "nonce": "7"}), "nonce"),
        (json!({"action": "arm", "nonce": nonce, "seconds": 11}), "seconds"),
        (json!({"action": "arm", "nonce": nonce, "size": 60}), "size"),
        (json!({"action": "send", "nonce": nonce, "size": 59}), "size"),
        (json!({"action": "send", "nonce": nonce, "count": 11}), "count"),
        (json!({"action": "read", "nonce": nonce, "seconds": 1}), "seconds"),
        (json!({"action": "send", "nonce": nonce, "tunnels": [""]}), "tunnels[0]"),
    ];
    for (body, field) in bad {
        let problem = probe("xapi1", body).await.problem(400, "invalid_request");
        assert!(problem["detail"].as_str().unwrap().contains(field), "{problem}");
    }
    let arm = json!({"action": "arm", "nonce": nonce});
    probe("xapi9", arm.clone()).await.problem(404, "not_found");
    let other = json!({"action": "arm", "nonce": nonce, "tunnels": ["t5-1-9"]});
    probe("xapi1", other).await.problem(404, "not_found");
    probe("xapi1", json!({"action": "read", "nonce": nonce})).await.problem(409, "conflict");
    let problem = probe("xapi1", arm).await.problem(422, "switch_refused");
    assert!(problem["detail"].as_str().unwrap().contains("simulated"), "{problem}");
}
