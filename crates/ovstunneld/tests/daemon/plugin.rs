//! The plugin's functions over a simulated switch: the exact words that a management server takes as success, calls that come
//! again or late, old servers, and whatever can stand in an argument.

use crate::sim::{Sim, endpoint, ip};
use serde_json::{Value, json};

const NETWORK: &str = "6f1a9c3e-0b7d-4c58-9c11-3d0f2a5b7e90";

/// What a function returns.
async fn call(sim: &Sim, function: &str, arguments: Value) -> String {
    let answer = sim.ask("POST", &format!("/v1/plugin/{function}"), Some(arguments)).await.expect(200);
    assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), ["changes", "value"], "{answer}");
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
async fn what_a_call_changes_stands_beside_its_value() {
    let sim = Sim::new().await;
    setup(&sim, "xapi12", "1001").await;
    let create = || sim.ask("POST", "/v1/plugin/create_tunnel", Some(tunnel(2)));
    let subjects = |answer: &Value| {
        let changes = answer["changes"].as_array().unwrap().iter();
        changes.map(|change| format!("{} {}", change["what"], change["subject"])).collect::<Vec<_>>()
    };
    let first = create().await.expect(200);
    assert!(subjects(&first).contains(&r#""tunnel" "t1001-1-2""#.to_owned()), "{first}");
    let second = create().await.expect(200);
    assert_eq!((&second["value"], subjects(&second)), (&json!("SUCCESS:t1001-1-2"), vec![]));
}

fn destroy() -> Value {
    json!({"bridge": "xapi12", "cs_host_id": "1"})
}

#[tokio::test]
async fn a_bridge_of_xapi_is_left_and_a_vif_on_it_is_named() {
    let sim = Sim::new().await;
    sim.switch.foreign_bridge("xapi12");
    assert_eq!(setup(&sim, "xapi12", "1001").await, "SUCCESS:xapi12");
    sim.switch.plug_port("xapi12", "vif3.0");
    let told = call(&sim, "destroy_ovs_bridge", destroy()).await;
    assert!(told.starts_with("FAILURE:IN_THE_WAY ") && told.contains("vif3.0"), "{told}");
    sim.switch.unplug_port("vif3.0");
    assert_eq!(call(&sim, "destroy_ovs_bridge", destroy()).await, "SUCCESS:xapi12");
    let told = sim.get("/v1/bridges/xapi12").await.problem(404, "not_found");
    assert!(told["detail"].as_str().unwrap().contains("not managed"), "{told}");
    // Again, late, and by a daemon that remembers nothing.
    let sim = Sim::over(sim.switch).await;
    assert_eq!(call(&sim, "destroy_ovs_bridge", destroy()).await, "SUCCESS:xapi12");
    let late = json!({"bridge": "xapi12", "in_port": "t1001-1-2"});
    assert_eq!(call(&sim, "destroy_tunnel", late).await, "SUCCESS");
}

#[tokio::test]
async fn tunnels_of_another_plugin_are_not_mixed_with_ours() {
    let sim = Sim::new().await;
    sim.switch.foreign_bridge("xapi12");
    for line in
        ["add-port xapi12 t1001-1-9", "set Interface t1001-1-9 type=gre", "set Bridge xapi12 other_config:gre_key=1001"]
    {
        sim.switch.run_vsctl(line).unwrap();
    }
    let commits = sim.switch.commits();
    let theirs = json!({"bridge": "xapi12", "in_port": "t1001-1-9"});
    let told = [
        setup(&sim, "xapi12", "1001").await,
        call(&sim, "create_tunnel", tunnel(2)).await,
        call(&sim, "destroy_ovs_bridge", destroy()).await,
        call(&sim, "destroy_tunnel", theirs).await,
    ];
    assert!(told.iter().all(|told| told.starts_with("FAILURE:IN_THE_WAY ")), "{told:?}");
    assert!(told[..3].iter().all(|told| told.contains("t1001-1-9")), "{told:?}");
    assert_eq!(sim.switch.commits(), commits);
}

#[tokio::test]
async fn what_the_switch_does_is_told_in_the_words_of_the_contract() {
    let sim = Sim::new().await;
    assert_eq!(setup(&sim, "xapi12", "OVSTunnel1001").await, "SUCCESS:xapi12");
    sim.switch.refuse_tunnel(endpoint(5, 1001));
    let told = call(&sim, "create_tunnel", tunnel(5)).await;
    assert!(told.starts_with("FAILURE:VERIFY_INTERFACE_FAILED t1001-1-5: "), "{told}");
    assert_eq!(sim.bridge("xapi12").await["tunnels"], json!([]));
    assert_eq!(setup(&sim, "xapi12", "OVS-DR-VPC-Bridge7").await.split(' ').next(), Some("FAILURE:INVALID_ARGUMENT"));
    let mut own = tunnel(2);
    own["remote_ip"] = json!("192.0.2.1");
    let told = call(&sim, "create_tunnel", own).await;
    assert!(told.starts_with("FAILURE:INVALID_ARGUMENT remote_ip "), "{told}");
    sim.switch.set_running(false);
    let told = call(&sim, "create_tunnel", tunnel(2)).await;
    assert!(told.starts_with("FAILURE:SWITCH_NOT_RUN "), "{told}");
    sim.switch.set_database(false);
    let told = call(&sim, "create_tunnel", tunnel(2)).await;
    assert!(told.starts_with("FAILURE:DB_NOT_RUN "), "{told}");
    for function in ["is_xcp", "getLabel"] {
        let told = call(&sim, function, json!({})).await;
        assert!(told.starts_with("FAILURE:NOT_SUPPORTED "), "{told}");
    }
}

/// The list in the description of the API is that of the functions that answer.
#[tokio::test]
async fn every_function_that_is_described_is_there() {
    let sim = Sim::new().await;
    for function in ovstunneld::testing::FUNCTIONS {
        let told = call(&sim, function, json!({})).await;
        assert!(told.starts_with("FAILURE:"), "{function}: {told}");
    }
}

/// A network that is on one host so far: the plugin has made its bridge, and there are no tunnels.
#[tokio::test]
async fn a_python_bridge_without_tunnels_waits_for_takeover() {
    let sim = Sim::new().await;
    sim.switch.run_vsctl("add-br xapi12").unwrap();
    sim.switch.run_vsctl("set Bridge xapi12 other_config:gre_key=OVSTunnel1001").unwrap();
    sim.switch.plug_port("xapi12", "vif1.0");
    let plugins = [
        " cookie=0x0, table=0, priority=1200,in_port=1,dl_dst=ff:ff:ff:ff:ff:ff actions=NORMAL",
        " cookie=0x0, table=0, priority=1100,dl_dst=ff:ff:ff:ff:ff:ff actions=output:1",
    ];
    plugins.iter().for_each(|line| sim.switch.add_flow("xapi12", line));
    let commits = sim.switch.commits();
    let destroy = json!({"bridge": "xapi12", "cs_host_id": "1"});
    let refused = async |words: &str| {
        let answers = [
            setup(&sim, "xapi12", "1001").await,
            call(&sim, "create_tunnel", tunnel(2)).await,
            call(&sim, "destroy_ovs_bridge", destroy.clone()).await,
        ];
        for answer in answers {
            assert!(answer.starts_with("FAILURE:IN_THE_WAY ") && answer.contains(words), "{answer}");
        }
    };
    refused("`ovstunnelctl takeover xapi12`").await;
    let doctor = sim.get("/v1/doctor").await.expect(200);
    let findings = doctor["findings"].as_array().unwrap();
    let waits = findings.iter().find(|finding| finding["check"] == "python_bridge").unwrap();
    assert_eq!((&waits["level"], &waits["subject"]), (&json!("warn"), &json!("xapi12")));
    assert_eq!(sim.switch.commits(), commits);

    let take_over = async |body| sim.ask("POST", "/v1/takeover", body).await.expect(200)["bridges"][0].clone();
    assert_eq!(take_over(None).await["state"], "taken_over");
    assert_eq!(setup(&sim, "xapi12", "1001").await, "SUCCESS:xapi12");
    assert_eq!(call(&sim, "create_tunnel", tunnel(2)).await, "SUCCESS:t1001-1-2");

    // Given back, it is taken over again only by name, and while the plugin is not at work on it, set up by the server.
    sim.ask("POST", "/v1/bridges/xapi12/release", None).await.expect(200);
    let left = take_over(None).await;
    assert_eq!((&left["state"], &left["bridge"]), (&json!("left"), &json!("xapi12")));
    assert!(left["left"].to_string().contains("it was released; `ovstunnelctl takeover xapi12`"), "{left}");
    assert_eq!(setup(&sim, "xapi12", "1001").await, "SUCCESS:xapi12");
    sim.ask("POST", "/v1/bridges/xapi12/release", None).await.expect(200);
    plugins.iter().for_each(|line| sim.switch.add_flow("xapi12", line));
    refused("has flows of the Python plugin's again").await;
    assert_eq!(take_over(Some(json!({"bridges": ["xapi12"]}))).await["state"], "taken_over");
    let marks = sim.switch.flows_of_others("xapi12");
    assert!(marks.is_empty(), "{marks:?}");
    assert_eq!(take_over(None).await["state"], "unchanged", "the mark of the release is gone");
}

/// A host that was removed and added again has a new id and its old address.
#[tokio::test]
async fn a_host_with_a_new_id_keeps_its_tunnel() {
    let sim = Sim::new().await;
    assert_eq!(setup(&sim, "xapi12", "1001").await, "SUCCESS:xapi12");
    assert_eq!(call(&sim, "create_tunnel", tunnel(2)).await, "SUCCESS:t1001-1-2");
    let mut again = tunnel(2);
    again["to"] = json!("9");
    let ofport = async || sim.bridge("xapi12").await["tunnels"][0]["ofport"].clone();
    let before = ofport().await;
    for _ in 0..2 {
        assert_eq!(call(&sim, "create_tunnel", again.clone()).await, "SUCCESS:t1001-1-2");
    }
    let bridge = sim.bridge("xapi12").await;
    let one = &bridge["tunnels"][0];
    assert_eq!(
        (bridge["tunnels"].as_array().unwrap().len(), &one["to"], &one["port"]),
        (1, &json!("9"), &json!("t1001-1-2"))
    );
    assert_eq!((ofport().await, sim.reconcile().await["found"].clone()), (before, json!([])));
    // The name is another host's now.
    let told = call(
        &sim,
        "create_tunnel",
        json!({"bridge": "xapi12", "remote_ip": ip(3), "key": "1001", "from": "1", "to": "2"}),
    )
    .await;
    assert!(told.starts_with("FAILURE:IN_THE_WAY port t1001-1-2 of bridge xapi12 leads to host 9"), "{told}");
    // Where the API is told so, it is a mistake.
    let two = json!({"from": 1, "to": 10, "remote_ip": ip(2)});
    sim.post("xapi12", two).await.problem(409, "conflict");
    assert_eq!(call(&sim, "destroy_tunnel", json!({"bridge": "xapi12", "in_port": "t1001-1-2"})).await, "SUCCESS");
    assert_eq!(sim.bridge("xapi12").await["tunnels"], json!([]));
}

/// Ids of servers that have run for years: the Python plugin's names have more than 15 characters.
#[tokio::test]
async fn a_long_plugin_name_is_taken_over_and_removed() {
    const LONG: &str = "t1001-12341-12342";
    let sim = Sim::new().await;
    for command in [
        "add-br xapi12".to_owned(),
        "set Bridge xapi12 other_config:gre_key=OVSTunnel1001".to_owned(),
        format!("add-port xapi12 {LONG}"),
        format!("set Interface {LONG} type=gre"),
        format!("set Interface {LONG} options:key=1001"),
        format!("set Interface {LONG} options:remote_ip={}", ip(2)),
        format!("set Interface {LONG} options:cloudstack-network-id=2d0f5a1c-77aa-4a0b-8a11-000000000001"),
    ] {
        sim.switch.run_vsctl(&command).unwrap();
    }
    let create = json!({"bridge": "xapi12", "remote_ip": ip(2), "key": "1001", "from": "12341", "to": "12342"});
    let destroy = json!({"bridge": "xapi12", "in_port": LONG});
    for (function, arguments) in [("create_tunnel", &create), ("destroy_tunnel", &destroy)] {
        let told = call(&sim, function, arguments.clone()).await;
        assert!(told.starts_with("FAILURE:IN_THE_WAY "), "{told}");
    }
    let taken = sim.ask("POST", "/v1/takeover", None).await.expect(200)["bridges"][0].clone();
    assert_eq!((&taken["state"], &taken["tunnels"]), (&json!("taken_over"), &json!([LONG])));
    assert_eq!(call(&sim, "create_tunnel", create.clone()).await, format!("SUCCESS:{LONG}"));
    assert_eq!(sim.bridge("xapi12").await["tunnels"].as_array().unwrap().len(), 1);
    assert_eq!(sim.reconcile().await["found"], json!([]));
    assert_eq!(call(&sim, "destroy_tunnel", destroy.clone()).await, "SUCCESS");
    assert_eq!(sim.bridge("xapi12").await["tunnels"], json!([]));
    // A new one has a short name, and the long one still means it.
    let answer = call(&sim, "create_tunnel", create).await;
    assert!(answer.starts_with("SUCCESS:t") && answer.len() <= "SUCCESS:".len() + 15, "{answer}");
    assert_eq!(call(&sim, "destroy_tunnel", destroy).await, "SUCCESS");
    assert_eq!(sim.bridge("xapi12").await["tunnels"], json!([]));
}
