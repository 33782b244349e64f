//! BFD of tunnels, on the simulated switch: what is asked for is what runs, and nothing else of the column is touched.

use crate::sim;

use crate::sim::watcher::Watcher;
use crate::sim::{Sim, mesh};
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
