//! A switch with thousands of tunnels: each request is answered, and many at once share their transactions.
//!
//! `--nocapture` prints the times. What they must be is the benchmark's business: a test on a busy machine cannot tell.

use crate::sim;

use std::time::Instant;

use crate::sim::{Sim, mesh, tunnel};
use futures_util::future::join_all;
use ovstunnel_ovs::SimulatedSwitch;
use serde_json::json;

async fn timed<T>(what: &str, work: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let result = work.await;
    println!("{what}: {} ms", started.elapsed().as_millis());
    result
}

#[tokio::test]
async fn five_thousand_tunnels_are_served() {
    let sim = Sim::new().await;
    let answer = timed("PUT a bridge with 3,000 tunnels", sim.put("big", mesh(5, 2..3002))).await;
    answer.expect(201);
    timed("PUT a second bridge with 1,999 tunnels", sim.put("net", mesh(6, 2..2001))).await.expect(201);
    timed("the same PUT again", sim.put("net", mesh(6, 2..2001))).await.expect(200);
    timed("one POST", sim.post("big", tunnel(4000))).await.expect(201);
    let before = sim.switch.commits();
    let posts = join_all((5000..5200).map(|n| sim.post("big", tunnel(n))));
    let answers = timed("200 POSTs at the same time", posts).await;
    assert!(answers.iter().all(|answer| answer.status == 201));
    let commits = sim.switch.commits() - before;
    assert!(commits <= 20, "200 requests at the same time took {commits} transactions");
    let moved: Vec<_> = (2..2001).map(|n| json!({"to": n, "remote_ip": sim::ip(n + 20_000)})).collect();
    let moved = json!({"key": 6, "tunnels": moved});
    timed("PUT with another address for each of 1,999", sim.put("net", moved)).await.expect(200);
    timed("a VIF's rules", async {
        sim.switch.plug_port("big", "vif1.0");
        sim.until_flows("big", 8).await;
    })
    .await;
    timed("a look at everything", sim.reconcile()).await;
    timed("GET all", sim.get("/v1/bridges")).await.expect(200);
    let clone: SimulatedSwitch = sim.switch.clone();
    timed("a start over it", Sim::over(clone)).await;
    timed("DELETE the bridge with 1,999", sim.delete("net")).await.expect(200);
}
