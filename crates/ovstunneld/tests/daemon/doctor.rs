//! `GET /v1/doctor` over a simulated switch: each thing is broken once, the finding comes with its remedy, it is mended, and
//! the finding goes.

use crate::sim::Sim;
use ovstunnel_ovs::SimulatedSwitch;
use serde_json::{Value, json};

/// A network with a VIF and two tunnels.
async fn network() -> Sim {
    let sim = Sim::over(SimulatedSwitch::new()).await;
    let tunnels = json!([{"to": 2, "remote_ip": "192.0.2.2"}, {"to": 3, "remote_ip": "192.0.2.3"}]);
    sim.put("xapi1", json!({"key": 1001, "host_id": 1, "tunnels": tunnels})).await.expect(201);
    sim.switch.plug_port("xapi1", "vif1.0");
    sim.until_flows("xapi1", 8).await;
    sim
}

/// What is found by a check: levels, and the text of each.
async fn found(sim: &Sim, check: &str) -> Vec<(String, Value)> {
    let answer = sim.get("/v1/doctor").await.expect(200);
    let all = answer["findings"].as_array().unwrap().iter().filter(|finding| finding["check"] == check);
    all.map(|finding| (finding["level"].as_str().unwrap().to_owned(), finding.clone())).collect()
}

async fn expect(sim: &Sim, check: &str, level: &str, words: &str) {
    let found = found(sim, check).await;
    let (worst, finding) = found.first().unwrap_or_else(|| panic!("nothing is said of {check}"));
    assert_eq!(worst, level, "{check}: {finding}");
    assert!(finding["reason"].as_str().unwrap().contains(words), "{words}: {finding}");
    assert_eq!(finding["remedy"].is_string(), level != "ok", "what is wrong has a remedy: {finding}");
}

#[tokio::test]
async fn a_network_that_is_well_has_nothing_against_it() {
    let sim = network().await;
    for check in [
        "ready",
        "repair",
        "ovs_version",
        "protected",
        "stp",
        "controller",
        "tunnel_error",
        "drift",
        "datapath",
        "tunnel_address",
        "peer",
        "mtu",
        "shadowing_flow",
    ] {
        let found = found(&sim, check).await;
        assert!(found.len() == 1 && found[0].0 == "ok", "{check}: {found:?}");
    }
    assert!(found(&sim, "meters").await.is_empty() && found(&sim, "peer_probe").await.is_empty(), "not asked for");
}

#[tokio::test]
async fn what_the_daemon_cannot_put_right_is_found() {
    let sim = network().await;
    sim.switch.refuse_commits(true);
    for (broken, check, words) in [
        ("set Port t1001-1-2 protected=false", "protected", "t1001-1-2"),
        ("set Port xapi1 protected=false", "protected", "xapi1"),
        ("set Bridge xapi1 stp_enable=true", "stp", "STP is on for bridge xapi1"),
    ] {
        sim.switch.run_vsctl(broken).unwrap();
        expect(&sim, check, "fail", words).await;
        sim.switch.refuse_commits(false);
        sim.reconcile().await;
        expect(&sim, check, "ok", "").await;
        sim.switch.refuse_commits(true);
    }
    sim.switch.run_vsctl("set Bridge xapi1 stp_enable=true").unwrap();
    sim.reconcile().await;
    expect(&sim, "repair", "fail", "could not be repaired").await;
}

#[tokio::test]
async fn what_others_do_to_our_bridge_is_found() {
    let sim = network().await;
    sim.switch.run_vsctl("set Bridge xapi1 controller=tcp:192.0.2.9").unwrap();
    expect(&sim, "controller", "warn", "xapi1").await;
    sim.switch.run_vsctl("remove Bridge xapi1 controller x").unwrap();
    expect(&sim, "controller", "ok", "").await;

    sim.switch.run_vsctl("add-port xapi1 theirs").unwrap();
    sim.switch.run_vsctl("set Interface theirs type=vxlan").unwrap();
    expect(&sim, "protected", "fail", "theirs").await;
    sim.switch.run_vsctl("del-port theirs").unwrap();
    expect(&sim, "protected", "ok", "").await;

    // What xapi does for a locked VIF is meant to be.
    sim.switch.add_flow("xapi1", "cookie=0x0, table=0, priority=5000,in_port=3 actions=NORMAL");
    expect(&sim, "shadowing_flow", "ok", "").await;
    sim.switch.add_flow("xapi1", "cookie=0x0, table=0, priority=7000,dl_dst=ff:ff:ff:ff:ff:ff actions=drop");
    expect(&sim, "shadowing_flow", "fail", "cuts off what it matches: priority=7000").await;
}

#[tokio::test]
async fn a_change_of_kind_is_told_until_it_is_finished() {
    let sim = network().await;
    let step = async |step: &str| {
        let body = json!({"to": "vxlan", "step": step, "force": true});
        sim.ask("POST", "/v1/bridges/xapi1/kind", Some(body)).await.expect(200);
    };
    assert!(found(&sim, "kind_change").await.is_empty(), "there is none");
    step("prepare").await;
    expect(&sim, "kind_change", "ok", "1 bridges change their kind").await;
    expect(&sim, "kind_change", "ok", "xapi1 (sends by gre, receives by vxlan too)").await;
    step("switch").await;
    expect(&sim, "kind_change", "ok", "xapi1 (sends by vxlan, receives by gre too)").await;
    step("finish").await;
    assert!(found(&sim, "kind_change").await.is_empty(), "it is finished");
    expect(&sim, "tunnel_kind", "ok", "xapi1 (vxlan)").await;
    step("prepare").await;
    assert!(found(&sim, "kind_change").await.is_empty(), "it is there already");
}

#[tokio::test]
async fn drift_is_found_until_it_is_repaired() {
    let sim = network().await;
    sim.switch.refuse_flows("xapi1", true);
    sim.switch.lose_flows("xapi1");
    expect(&sim, "drift", "fail", "a look would change now").await;
    sim.switch.refuse_flows("xapi1", false);
    sim.reconcile().await;
    expect(&sim, "drift", "ok", "").await;
}

#[tokio::test]
async fn the_network_under_the_tunnels_is_judged() {
    let sim = network().await;
    sim.switch.set_column("Interface", "vif1.0", "mtu", json!(1500));
    expect(&sim, "mtu", "warn", "carries guests' MTU of 1458").await;
    sim.switch.set_column("Interface", "vif1.0", "mtu", json!(1458));
    expect(&sim, "mtu", "ok", "").await;

    let counted = |rx, tx| json!({"rx_packets": rx, "tx_packets": tx});
    sim.switch.set_column("Interface", "t1001-1-2", "statistics", counted(0, 500));
    expect(&sim, "peer", "warn", "500 packets went to 192.0.2.2").await;
    sim.switch.set_column("Interface", "t1001-1-2", "statistics", counted(1, 501));
    expect(&sim, "peer", "ok", "").await;
}

#[tokio::test]
async fn without_a_switch_that_is_what_is_found() {
    let sim = network().await;
    sim.switch.set_running(false);
    expect(&sim, "ready", "fail", "ovs-vswitchd has ended").await;
    assert!(found(&sim, "stp").await.is_empty(), "nothing is said of what cannot be seen");
    let answer = sim.get("/v1/doctor").await.expect(200);
    assert_eq!(
        (&answer["level"], &answer["findings"][0]["level"]),
        (&json!("fail"), &json!("fail")),
        "the worst first"
    );
    sim.get("/v1/doctor?probe=1").await.problem(400, "invalid_request");
}

#[tokio::test]
async fn all_counters_are_in_one_answer_and_none_while_ovs_is_down() {
    let sim = network().await;
    let statistics = json!({"rx_packets": 3, "tx_packets": 7});
    sim.switch.set_column("Interface", "t1001-1-2", "statistics", statistics);
    let answer = sim.get("/v1/counters").await.expect(200);
    let counted = json!([{"port": "t1001-1-2", "to": "2", "key": 1001, "rx_packets": 3, "tx_packets": 7}]);
    assert_eq!((&answer["every"], &answer["tunnels"]), (&json!(5.0), &counted), "one was not counted yet: {answer}");
    sim.get("/v1/counters?bridge=xapi1").await.problem(400, "invalid_request");
    sim.switch.set_running(false);
    sim.get("/v1/counters").await.problem(503, "switch_unavailable");
}
