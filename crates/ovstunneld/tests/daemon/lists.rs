//! `GET /v1/bridges` in pages, with filters, and with some fields of each bridge.

use crate::sim::{Sim, mesh};
use serde_json::{Value, json};

fn names(answer: &Value) -> Vec<&str> {
    answer["bridges"].as_array().unwrap().iter().map(|bridge| bridge["name"].as_str().unwrap()).collect()
}

async fn list(sim: &Sim, query: &str) -> Value {
    sim.get(&format!("/v1/bridges{query}")).await.expect(200)
}

/// Bridges `b1`, `b2` and so on, the keys with the same numbers.
async fn with_bridges(count: u32) -> Sim {
    let sim = Sim::new().await;
    for n in 1..=count {
        sim.put(&format!("b{n}"), mesh(n, [2])).await.expect(201);
    }
    sim
}

#[tokio::test]
async fn filters_leave_out_and_pages_are_of_what_is_left() {
    let sim = with_bridges(5).await;
    let uuid = "00000000-0000-4000-8000-000000000001";
    let arguments = json!({"bridge": "v", "key": "OVS-DR-VPC-Bridge7", "xs_nw_uuid": uuid, "cs_host_id": "1"});
    let set_up = "/v1/plugin/setup_ovs_bridge_for_distributed_routing";
    assert_eq!(sim.ask("POST", set_up, Some(arguments)).await.expect(200)["value"], "SUCCESS:v");
    let tier = json!({"grekey": 1001, "networkuuid": uuid, "gatewayip": "10.1.1.254",
        "gatewaymac": "02:00:00:00:01:fe", "cidr": "10.1.1.0/24"});
    let config = json!({"vpc": {"cidr": "10.1.0.0/16", "hosts": [], "tiers": [tier], "vms": []}}).to_string();
    let arguments = json!({"bridge": "v", "config": config, "host-id": "1", "seq-no": "1"});
    let tell = "/v1/plugin/configure_ovs_bridge_for_network_topology";
    assert_eq!(
        sim.ask("POST", tell, Some(arguments)).await.expect(200)["value"],
        "SUCCESS: topology 1 of v was applied"
    );
    // A tunnel that the switch refuses makes its bridge ill.
    sim.switch.run_vsctl("set Interface t2-1-2 options:remote_ip=nonsense").unwrap();
    for (query, expected) in [
        ("?key=4", vec!["b4"]),
        ("?key=1001", vec!["v"]),
        ("?key=77", vec![]),
        ("?vpc=7", vec!["v"]),
        ("?vpc=8", vec![]),
        ("?vpc=7&key=4", vec![]),
        ("?state=ok,degraded,failed", vec!["b1", "b2", "b3", "b4", "b5", "v"]),
    ] {
        assert_eq!(names(&list(&sim, query).await), expected, "{query}");
    }
    let all = list(&sim, "").await;
    assert_ne!(all["bridges"][1]["health"]["state"], "ok", "the one that is ill");
    for state in ["ok", "degraded", "failed"] {
        let expected = all["bridges"].as_array().unwrap().iter().filter(|bridge| bridge["health"]["state"] == state);
        let expected: Vec<&str> = expected.map(|bridge| bridge["name"].as_str().unwrap()).collect();
        assert_eq!(names(&list(&sim, &format!("?state={state}")).await), expected, "{state}");
    }
    let page = list(&sim, "?state=ok&limit=2").await;
    assert_eq!(names(&page).len(), 2);
    assert_eq!(page["next"], names(&page)[1], "more are left");
}
