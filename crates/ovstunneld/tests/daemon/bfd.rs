//! BFD of tunnels, on the simulated switch: what is asked for is what runs, and nothing else of the column is touched.

use crate::sim;

use crate::sim::watcher::Watcher;
use crate::sim::{Sim, mesh, tunnel};
use serde_json::{Value, json};

async fn put(sim: &Sim, body: Value) -> sim::Answer {
    sim.ask("PUT", "/v1/bridges/b1/bfd", Some(body)).await
}

/// The intervals of a bridge's sessions by port.
fn intervals(bridge: &Value) -> Vec<(String, u64)> {
    let tunnels = bridge["tunnels"].as_array().unwrap().iter();
    let of = |tunnel: &Value| Some((tunnel["port"].as_str()?.to_owned(), tunnel["bfd"]["interval"].as_u64()?));
    tunnels.filter_map(of).collect()
}

async fn there(sim: &Sim) -> Vec<(String, u64)> {
    intervals(&sim.get("/v1/bridges/b1").await.expect(200))
}

#[tokio::test]
async fn it_runs_on_exactly_the_tunnels_that_are_named() {
    let sim = Sim::new().await;
    sim.put("b1", mesh(7, [2, 3])).await.expect(201);
    let first = put(&sim, json!({"ports": ["t7-1-2", "t7-1-3"]})).await.expect(200);
    assert_eq!(first["outcome"], "updated");
    assert_eq!(intervals(&first["bridge"]), [("t7-1-2".into(), 1000), ("t7-1-3".into(), 1000)]);
    let told: Vec<&str> = first["changes"].as_array().unwrap().iter().filter_map(|it| it["what"].as_str()).collect();
    assert!(told.contains(&"bfd:enable") && told.contains(&"bfd:bfd_remote_dst_mac"), "{told:?}");
    let session = &first["bridge"]["tunnels"][0]["bfd"];
    assert_eq!(
        (&session["state"], &session["flaps"], &session["forwarding"]),
        (&json!("down"), &json!(0), &json!(false))
    );

    let again = put(&sim, json!({"ports": ["t7-1-3", "t7-1-2"], "interval": 1000})).await.expect(200);
    assert_eq!((&again["outcome"], &again["changes"]), (&json!("unchanged"), &json!([])));
    put(&sim, json!({"ports": ["t7-1-3"], "interval": 300})).await.expect(200);
    assert_eq!(there(&sim).await, [("t7-1-3".into(), 300)]);

    // Neither a set of tunnels nor one of them says anything of it.
    sim.put("b1", mesh(7, [2, 3, 4])).await.expect(200);
    sim.post("b1", tunnel(3)).await.expect(200);
    assert_eq!(there(&sim).await, [("t7-1-3".into(), 300)]);
    put(&sim, json!({"ports": []})).await.expect(200);
    assert_eq!(there(&sim).await, []);
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_a_watch_tells_of_it() {
    let sim = Sim::new().await;
    sim.put("b1", mesh(7, [2])).await.expect(201);
    let plan = sim.ask("PUT", "/v1/bridges/b1/bfd?dry_run=true", Some(json!({"ports": ["t7-1-2"]}))).await.expect(200);
    assert!(plan["commands"].to_string().contains("bfd_remote_dst_mac"), "{plan}");
    assert_eq!(there(&sim).await, []);
    let mut watcher = Watcher::new(&sim).await;
    let first = watcher.change().await;
    assert!(first.data["capabilities"].as_array().unwrap().contains(&json!("bfd")));
    put(&sim, json!({"ports": ["t7-1-2"]})).await.expect(200);
    watcher.until_it_knows_all(&sim).await;
    assert_eq!(intervals(&watcher.bridges["b1"]), [("t7-1-2".into(), 1000)]);
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_field_rule_and_value() {
    let sim = Sim::new().await;
    put(&sim, json!({"ports": []})).await.problem(404, "not_found");
    sim.put("b1", mesh(7, [2])).await.expect(201);
    let cases = [
        (json!({"ports": ["t7-1-9"]}), "ports[0]", "port of a tunnel of bridge b1"),
        (json!({"ports": ["t7-1-2", "t7-1-2"]}), "ports[1]", "must not stand twice"),
        (json!({"ports": ["t7-1-2"], "interval": 99}), "interval", "from 100 to 60000"),
        (json!({"ports": ["t7-1-2"], "interval": 60001}), "interval", "from 100 to 60000"),
        (json!({"ports": "t7-1-2"}), "ports", "must be a list"),
    ];
    for (body, field, rule) in cases {
        let problem = put(&sim, body).await.problem(400, "invalid_request").to_string();
        assert!(problem.contains(field) && problem.contains(rule), "{problem}");
    }
    assert_eq!(there(&sim).await, []);
}
