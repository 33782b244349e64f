//! The epoch of the zone's manager, on the simulated switch: what is recorded, and which writes are refused. What happens to a write that
//! waits while a newer epoch is recorded: `fenced.rs`.

use crate::sim;

use crate::sim::watcher::Watcher;
use crate::sim::{Sim, mesh, tunnel};
use ovstunnel_ovs::SimulatedSwitch;
use serde_json::{Value, json};

const ZONE: &str = "6f1a9c3e-0b7d-4c58-9c11-3d0f2a5b7e90";
const OTHER: &str = "7f1a9c3e-0b7d-4c58-9c11-3d0f2a5b7e90";

fn epoch(zone: &str, number: u64) -> String {
    format!("{zone}:{number}")
}

async fn record(sim: &Sim, zone: &str, number: u64) -> sim::Answer {
    sim.ask("PUT", "/v1/epoch", Some(json!({"zone": zone, "epoch": number}))).await
}

async fn recorded(sim: &Sim) -> Value {
    sim.get("/v1/epoch").await.expect(200)
}

/// Each request that changes something, as the switch of [`with_bridge`] has what it is about.
fn changing() -> Vec<(&'static str, &'static str, Option<Value>)> {
    vec![
        ("PUT", "/v1/bridges/b1", Some(mesh(7, [2, 3]))),
        ("DELETE", "/v1/bridges/b1", None),
        ("POST", "/v1/bridges/b1/tunnels", Some(tunnel(4))),
        ("DELETE", "/v1/bridges/b1/tunnels/t7-1-2", None),
        ("PUT", "/v1/bridges/b1/bfd", Some(json!({"ports": ["t7-1-2"]}))),
        ("POST", "/v1/bridges/b1/kind", Some(json!({"to": "vxlan", "step": "prepare"}))),
        ("POST", "/v1/bridges/b1/probe", Some(json!({"action": "arm", "nonce": "0a:1b:2c:3d:4e:5f"}))),
        ("POST", "/v1/bridges/b1/release", None),
        ("POST", "/v1/takeover", None),
        ("POST", "/v1/reconcile", None),
        ("PUT", "/v1/vifs/vif1.0", None),
        ("DELETE", "/v1/vifs/vif1.0", None),
        ("POST", "/v1/plugin/destroy_ovs_bridge", Some(json!({"bridge": "b1"}))),
        ("POST", "/v1/kvm/destroy_ovs_bridge", Some(json!({"bridge": "OVSTunnel7"}))),
        ("PUT", "/v1/networks/7", Some(json!({}))),
        ("PUT", "/v1/log", Some(json!({"level": "debug"}))),
        ("PUT", "/v1/epoch", Some(json!({"zone": ZONE, "epoch": 9}))),
        ("DELETE", "/v1/epoch", None),
    ]
}

async fn with_bridge() -> Sim {
    let sim = Sim::new().await;
    sim.put("b1", mesh(7, [2])).await.expect(201);
    sim
}

#[tokio::test]
async fn every_change_is_refused_under_an_old_or_malformed_epoch() {
    let sim = with_bridge().await;
    record(&sim, ZONE, 4).await.expect(201);
    let (bridge, commits) = (sim.bridge("b1").await, sim.switch.commits());
    for (method, path, body) in changing() {
        let refused = async |epoch: &str, status, code| {
            let answer = sim.ask_under(&[epoch], method, path, body.clone()).await;
            assert_eq!(
                (answer.status, &answer.body["code"]),
                (status, &json!(code)),
                "{method} {path}: {}",
                answer.body
            );
            answer.body
        };
        let problem = refused("4", 400, "invalid_request").await;
        assert_eq!((&problem["field"], &problem["value"]), (&json!("ovstunnel-epoch"), &json!("4")));
        assert!(problem["rule"].as_str().unwrap().starts_with("must be <zone-uuid>:<number>"), "{problem}");
        let stale = refused(&epoch(ZONE, 3), 409, "stale_epoch").await;
        assert_eq!(stale["recorded"], json!({"zone": ZONE, "epoch": 4}));
        refused(&epoch(OTHER, 9), 409, "other_zone").await;
        let twice = sim.ask_under(&[&epoch(ZONE, 4), &epoch(ZONE, 5)], method, path, body.clone()).await;
        assert_eq!(twice.problem(400, "invalid_request")["rule"], "must be given once");
    }
    assert_eq!((sim.bridge("b1").await, sim.switch.commits()), (bridge, commits), "nothing was changed");
    assert_eq!(recorded(&sim).await, json!({"zone": ZONE, "epoch": 4}));
}

#[tokio::test]
async fn every_route_that_changes_something_is_among_those() {
    let sim = Sim::new().await;
    let api = sim.get("/openapi.json").await.expect(200);
    let described = api["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().keys());
    assert_eq!(described.filter(|method| *method != "get").count(), changing().len());
}

#[tokio::test]
async fn the_newest_leader_writes_and_its_epoch_is_recorded_before() {
    let sim = Sim::new().await;
    sim.switch.record_commands();
    sim.ask_under(&[&epoch(ZONE, 4)], "PUT", "/v1/bridges/b1", Some(mesh(7, [2]))).await.expect(201);
    let ran: Vec<String> = sim.switch.take_commands().iter().map(|command| command.argv.join(" ")).collect();
    assert!(ran[0].contains(&format!("\"ovstunnel-epoch\"=\"{ZONE}:4\"")) && !ran[0].contains("Bridge"), "{ran:?}");
    assert!(ran[1].contains("create Bridge"), "{ran:?}");
    // Each in its own way: none of these is a change of a bridge.
    let ways = [("POST", "/v1/reconcile", 5), ("POST", "/v1/takeover", 6), ("PUT", "/v1/vifs/vif1.0", 7)];
    for (method, path, number) in ways {
        sim.ask_under(&[&epoch(ZONE, number)], method, path, None).await.expect(200);
        assert_eq!(recorded(&sim).await["epoch"], number, "{path}");
    }
    let call = json!({"bridge": "b1", "in_port": "t7-1-2"});
    sim.ask_under(&[&epoch(ZONE, 8)], "POST", "/v1/plugin/destroy_tunnel", Some(call)).await.expect(200);
    assert_eq!(recorded(&sim).await["epoch"], 8);
    // Who has no epoch writes as ever.
    sim.put("b2", mesh(8, [2])).await.expect(201);
    sim.delete("b1").await.expect(200);
    let before = sim.switch.commits();
    sim.ask_under(&[&epoch(ZONE, 8)], "DELETE", "/v1/bridges/b2", None).await.expect(200);
    assert_eq!(sim.switch.commits(), before + 1, "an epoch that is recorded is not written again");
}

#[tokio::test]
async fn a_dry_run_is_judged_and_records_nothing() {
    let sim = with_bridge().await;
    record(&sim, ZONE, 4).await.expect(201);
    let commits = sim.switch.commits();
    let dry = "/v1/bridges/b1?dry_run=true";
    sim.ask_under(&[&epoch(ZONE, 3)], "DELETE", dry, None).await.problem(409, "stale_epoch");
    let plan = sim.ask_under(&[&epoch(ZONE, 5)], "DELETE", dry, None).await.expect(200);
    assert_eq!(plan["outcome"], "removed");
    let body = |number: u64| Some(json!({"zone": ZONE, "epoch": number}));
    let put = "/v1/epoch?dry_run=true";
    sim.ask("PUT", put, body(3)).await.problem(409, "stale_epoch");
    let plan = sim.ask("PUT", put, body(5)).await.expect(200);
    assert_eq!(
        (&plan["outcome"], &plan["changes"][0]),
        (&json!("updated"), &json!(format!("record epoch 5 of zone {ZONE}")))
    );
    assert_eq!(sim.ask("DELETE", put, None).await.expect(200)["outcome"], "removed");
    assert_eq!(recorded(&sim).await, json!({"zone": ZONE, "epoch": 4}));
    assert_eq!(sim.switch.commits(), commits);
    // What a plan of it prints is what is run.
    sim.switch.record_commands();
    record(&sim, ZONE, 5).await.expect(200);
    let ran: Vec<_> = sim.switch.take_commands().into_iter().map(|command| json!(command.argv)).collect();
    assert_eq!(ran, [plan["commands"][0]["argv"].clone()]);
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_written_under() {
    let sim = with_bridge().await;
    record(&sim, ZONE, 4).await.expect(201);
    sim.switch.refuse_commits(true);
    let under = |number| epoch(ZONE, number);
    sim.ask_under(&[&under(5)], "DELETE", "/v1/bridges/b1", None).await.problem(422, "switch_refused");
    record(&sim, ZONE, 5).await.problem(422, "switch_refused");
    sim.switch.refuse_commits(false);
    assert_eq!(recorded(&sim).await["epoch"], 4);
    sim.ask_under(&[&under(4)], "DELETE", "/v1/bridges/b1", None).await.expect(200);
}

#[tokio::test]
async fn it_outlives_the_daemon_and_who_watches_is_told() {
    let switch = SimulatedSwitch::new();
    let sim = Sim::over(switch.clone()).await;
    let first = Watcher::new(&sim).await.event().await.unwrap();
    assert!(first.data.get("zone").is_none() && first.data.get("epoch").is_none(), "{}", first.data);
    assert!(first.data["capabilities"].as_array().unwrap().contains(&json!("epoch")));
    record(&sim, ZONE, 4).await.expect(201);
    drop(sim);
    let sim = Sim::over(switch).await;
    assert_eq!(recorded(&sim).await, json!({"zone": ZONE, "epoch": 4}));
    let first = Watcher::new(&sim).await.event().await.unwrap();
    assert_eq!((&first.data["zone"], &first.data["epoch"]), (&json!(ZONE), &json!(4)));
    sim.ask_under(&[&epoch(ZONE, 3)], "POST", "/v1/reconcile", None).await.problem(409, "stale_epoch");
}

#[tokio::test]
async fn a_damaged_record_refuses_each_epoch_until_it_is_cleared() {
    let sim = with_bridge().await;
    sim.switch.run_vsctl("set Open_vSwitch . external_ids:ovstunnel-epoch=four").unwrap();
    let problem = sim.get("/v1/epoch").await.problem(409, "conflict");
    assert!(problem["detail"].as_str().unwrap().contains("\"four\""), "{problem}");
    record(&sim, ZONE, 4).await.problem(409, "conflict");
    sim.ask_under(&[&epoch(ZONE, 4)], "DELETE", "/v1/bridges/b1", None).await.problem(409, "conflict");
    sim.put("b1", mesh(7, [2, 3])).await.expect(200);
    assert_eq!(sim.ask("DELETE", "/v1/epoch", None).await.expect(200)["outcome"], "removed");
    record(&sim, ZONE, 4).await.expect(201);
}
