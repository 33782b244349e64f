//! The change of a bridge's tunnel kind, on the simulated switch: what is answered at each step, and what is refused.

use crate::sim;

use crate::sim::{Sim, mesh};
use serde_json::{Value, json};

async fn post(sim: &Sim, body: Value) -> sim::Answer {
    sim.ask("POST", "/v1/bridges/b1/kind", Some(body)).await
}

fn to_vxlan(step: &str) -> Value {
    json!({"to": "vxlan", "step": step})
}

/// By which kind a bridge sends, and by which it receives too.
fn kinds(bridge: &Value) -> (Value, Value) {
    (bridge["kind"].clone(), bridge["second"]["kind"].clone())
}

#[tokio::test]
async fn each_step_answers_with_what_is_there() {
    let sim = Sim::new().await;
    sim.put("b1", mesh(7, [2, 3])).await.expect(201);
    let prepared = post(&sim, to_vxlan("prepare")).await.expect(200);
    assert_eq!(prepared["outcome"], "updated");
    assert_eq!(kinds(&prepared["bridge"]), (json!("gre"), json!("vxlan")));
    let (first, second) = (&prepared["bridge"]["tunnels"], &prepared["bridge"]["second"]["tunnels"]);
    assert_eq!((first.as_array().unwrap().len(), second.as_array().unwrap().len()), (2, 2));
    // What is answered is ready: also the flows that name ports which were not there before.
    assert_eq!(prepared["bridge"]["flows"]["state"], "in_sync", "{prepared}");
    let again = post(&sim, to_vxlan("prepare")).await.expect(200);
    assert_eq!((&again["outcome"], &again["changes"]), (&json!("unchanged"), &json!([])));
    let switched = post(&sim, to_vxlan("switch")).await.expect(200);
    assert_eq!(kinds(&switched["bridge"]), (json!("vxlan"), json!("gre")));
    let told = switched["changes"].to_string();
    assert!(told.contains("tag 4095") && told.contains("external_ids:ovstunnel-encap"), "{told}");
    // Nobody sends anything here.
    let silent = post(&sim, to_vxlan("finish")).await.problem(409, "conflict");
    assert!(silent["detail"].as_str().unwrap().contains("nothing has come by vxlan from host 2, host 3"), "{silent}");
    let finished = post(&sim, json!({"to": "vxlan", "step": "finish", "force": true})).await.expect(200);
    assert_eq!(kinds(&finished["bridge"]), (json!("vxlan"), Value::Null));
    assert_eq!(finished["bridge"]["tunnels"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_dry_run_shows_flows_transaction_flows_and_changes_nothing() {
    let sim = Sim::new().await;
    sim.put("b1", mesh(7, [2])).await.expect(201);
    post(&sim, to_vxlan("prepare")).await.expect(200);
    let before = sim.bridge("b1").await;
    let plan = sim.ask("POST", "/v1/bridges/b1/kind?dry_run=true", Some(to_vxlan("switch"))).await.expect(200);
    let commands: Vec<String> = plan["commands"].as_array().unwrap().iter().map(ToString::to_string).collect();
    let kinds: Vec<bool> = commands.iter().map(|command| command.contains("ovs-ofctl")).collect();
    assert_eq!(kinds, [true, false, true], "{plan}");
    assert!(commands[1].contains("tag=4095") && commands[1].contains("clear"), "{plan}");
    assert_eq!(sim.bridge("b1").await, before);
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_field_rule_and_value() {
    let sim = Sim::new().await;
    post(&sim, to_vxlan("prepare")).await.problem(404, "not_found");
    sim.put("b1", mesh(1 << 24, [2])).await.expect(201);
    let before = sim.bridge("b1").await;
    let key = post(&sim, to_vxlan("prepare")).await.problem(400, "invalid_request");
    assert_eq!((&key["field"], &key["value"]), (&json!("key"), &json!("16777216")), "{key}");
    for (body, field) in [
        (json!({"to": "stt", "step": "prepare"}), "to"),
        (json!({"to": "vxlan", "step": "go"}), "step"),
        (json!({"to": "vxlan"}), "step"),
        (json!({"to": "vxlan", "step": "prepare", "force": 1}), "force"),
        (json!({"to": "vxlan", "step": "prepare", "hosts": []}), "hosts"),
    ] {
        assert_eq!(post(&sim, body.clone()).await.problem(400, "invalid_request")["field"], field, "{body}");
    }
    let other = sim.ask("PUT", "/v1/bridges/b1", Some(json!({"key": 1 << 24, "kind": "vxlan"}))).await;
    let words = other.problem(409, "conflict")["detail"].to_string();
    assert!(words.contains("1 tunnels of kind gre") && words.contains("/v1/bridges/b1/kind"), "{words}");
    assert_eq!(sim.bridge("b1").await, before);
}
