//! The plugin's functions over a simulated switch: the exact words that a management server takes as success, calls that come
//! again or late, old servers, and whatever can stand in an argument.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod sim;

use serde_json::{Value, json};
use sim::{Sim, ip};

const NETWORK: &str = "6f1a9c3e-0b7d-4c58-9c11-3d0f2a5b7e90";

/// What a function returns.
async fn call(sim: &Sim, function: &str, arguments: Value) -> String {
    let answer = sim.ask("POST", &format!("/v1/plugin/{function}"), Some(arguments)).await.expect(200);
    assert_eq!(answer.as_object().unwrap().len(), 1, "{answer}");
    answer["value"].as_str().unwrap().to_owned()
}

async fn setup(sim: &Sim, bridge: &str, key: &str) -> String {
    let arguments = json!({"bridge": bridge, "key": key, "xs_nw_uuid": NETWORK, "cs_host_id": "1"});
    call(sim, "setup_ovs_bridge", arguments).await
}

fn tunnel(to: u32) -> Value {
    json!({"bridge": "xapi12", "remote_ip": ip(to), "key": "1001", "from": "1", "to": to.to_string()})
}

#[tokio::test]
async fn a_network_is_set_up_meshed_and_taken_away() {
    let sim = Sim::new().await;
    for key in ["OVSTunnel1001", "1001", "OVSTunnel1001"] {
        assert_eq!(setup(&sim, "xapi12", key).await, "SUCCESS:xapi12");
    }
    let mut new_server = tunnel(2);
    new_server["cloudstack-network-id"] = json!("2d0f5a1c-77aa-4a0b-8a11-000000000001");
    assert_eq!(call(&sim, "create_tunnel", new_server.clone()).await, "SUCCESS:t1001-1-2");
    assert_eq!(call(&sim, "create_tunnel", new_server).await, "SUCCESS:t1001-1-2");
    assert_eq!(call(&sim, "create_tunnel", tunnel(3)).await, "SUCCESS:t1001-1-3");
    let bridge = sim.bridge("xapi12").await;
    assert_eq!(
        (&bridge["key"], &bridge["network_uuid"], &bridge["host_id"]),
        (&1001.into(), &NETWORK.into(), &"1".into())
    );
    assert_eq!((&bridge["ipv6"], bridge["tunnels"].as_array().unwrap().len()), (&"drop".into(), 2));

    for _ in 0..2 {
        let arguments = json!({"bridge": "xapi12", "in_port": "t1001-1-2"});
        assert_eq!(call(&sim, "destroy_tunnel", arguments).await, "SUCCESS");
    }
    assert_eq!(sim.bridge("xapi12").await["tunnels"].as_array().unwrap().len(), 1);
    for arguments in [json!({"bridge": "xapi12"}), json!({"bridge": "xapi12", "cs_host_id": "1"})] {
        assert_eq!(call(&sim, "destroy_ovs_bridge", arguments).await, "SUCCESS:xapi12");
    }
    assert_eq!(sim.get("/v1/bridges").await.expect(200)["bridges"], json!([]));
    let late = json!({"bridge": "xapi12", "in_port": "t1001-1-3"});
    assert_eq!(call(&sim, "destroy_tunnel", late).await, "SUCCESS");
}

#[tokio::test]
async fn a_function_that_is_none_and_a_body_that_is_none_are_refused() {
    let sim = Sim::new().await;
    for function in ["nothing", "SETUP_OVS_BRIDGE", "setup_ovs_bridge%20", "%2e%2e", "getlabel"] {
        sim.ask("POST", &format!("/v1/plugin/{function}"), Some(json!({}))).await.problem(404, "not_found");
    }
    for body in [json!([]), json!("x"), json!({"bridge": 1}), json!({"bridge": null}), json!({"bridge": {"a": "b"}})] {
        sim.ask("POST", "/v1/plugin/create_tunnel", Some(body)).await.problem(400, "invalid_request");
    }
    sim.ask("GET", "/v1/plugin/create_tunnel", None).await.problem(405, "method_not_allowed");
}
