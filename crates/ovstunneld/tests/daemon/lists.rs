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
async fn without_parameters_all_are_there_and_nothing_else() {
    let sim = with_bridges(3).await;
    let all = list(&sim, "").await;
    assert_eq!((names(&all), all.as_object().unwrap().len()), (vec!["b1", "b2", "b3"], 1));
}

#[tokio::test]
async fn pages_have_each_bridge_once_despite_changes() {
    let sim = with_bridges(7).await;
    let first = list(&sim, "?limit=3").await;
    assert_eq!((names(&first), &first["next"]), (vec!["b1", "b2", "b3"], &json!("b3")));
    // The bridge that the cursor names goes, one comes before it and one after it.
    sim.delete("b3").await.expect(200);
    sim.put("a", mesh(10, [])).await.expect(201);
    sim.put("b41", mesh(11, [])).await.expect(201);
    let second = list(&sim, "?limit=3&cursor=b3").await;
    assert_eq!((names(&second), &second["next"]), (vec!["b4", "b41", "b5"], &json!("b5")));
    let last = list(&sim, "?cursor=b5&limit=2").await;
    assert_eq!((names(&last), last.get("next")), (vec!["b6", "b7"], None), "nothing comes after it");
    let none = list(&sim, "?cursor=zzz").await;
    assert_eq!((names(&none), none.get("next")), (vec![], None));
    // No bridge may be called so, but a cursor may: the bridges after it are there.
    sim.put("z", mesh(12, [])).await.expect(201);
    assert_eq!(names(&list(&sim, "?cursor=ovs-system").await), ["z"]);
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

#[tokio::test]
async fn only_the_fields_that_were_asked_for_are_there() {
    let sim = with_bridges(2).await;
    let some = list(&sim, "?fields=name,key,uplink&limit=1").await;
    assert_eq!(some, json!({"bridges": [{"name": "b1", "key": 1}], "next": "b1"}));
    let whole = list(&sim, "?fields=flows,flows").await;
    assert_eq!(whole["bridges"][1], json!({"flows": sim.bridge("b2").await["flows"]}));
}

#[tokio::test]
async fn a_bad_parameter_is_named_with_its_rule_and_value() {
    let sim = with_bridges(1).await;
    let number = "must be a whole number from 1 to ";
    for (query, field, rule, value) in [
        ("limit=0", "limit", number, Some("0")),
        ("limit=1001", "limit", number, Some("1001")),
        ("limit=%2B5", "limit", number, Some("+5")),
        ("limit=many", "limit", number, Some("many")),
        ("limit=", "limit", number, Some("")),
        ("cursor=a%20b", "cursor", "must be `next` of the answer before", Some("a b")),
        ("key=0", "key", number, Some("0")),
        ("state=bad", "state", "must be ok, degraded or failed", Some("bad")),
        ("state=ok,", "state", "must be ok, degraded or failed", Some("ok,")),
        ("vpc=a%0ab", "vpc", "must be the id of a VPC, 1 to 64 characters", Some("a\\nb")),
        (
            "fields=name,colour",
            "fields",
            "must be fields of a bridge, separated by commas: name, key, ",
            Some("name,colour"),
        ),
        ("fields=", "fields", "must be fields of a bridge", Some("")),
        ("limit=1&limit=2", "limit", "may be given only once", None),
        ("page=2", "page", "is not known here; known: ", None),
    ] {
        let problem = sim.get(&format!("/v1/bridges?{query}")).await.problem(400, "invalid_request");
        assert_eq!((&problem["field"], problem["value"].as_str()), (&json!(field), value), "{query}: {problem}");
        assert!(problem["rule"].as_str().unwrap().starts_with(rule), "{query}: {problem}");
    }
}
