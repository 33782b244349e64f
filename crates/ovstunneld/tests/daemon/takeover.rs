//! Take-over and release through the API, on a simulated switch.

use crate::sim::{Sim, mesh};
use ovstunnel_ovs::SimulatedSwitch;
use serde_json::{Value, json};

const FOREIGN: &str = " cookie=0x0, table=0, priority=5000,ip actions=NORMAL";
const PLUGINS: [&str; 3] = [
    " cookie=0x0, table=0, priority=65000,ipv6 actions=drop",
    " cookie=0x0, table=0, priority=1100,dl_dst=ff:ff:ff:ff:ff:ff actions=output:77",
    " cookie=0x0, table=0, priority=1000,in_port=78,dl_dst=ff:ff:ff:ff:ff:ff actions=drop",
];

/// A bridge as the plugin leaves it, with a tunnel to host 2.
fn old_bridge(switch: &SimulatedSwitch, name: &str, key: u32) {
    let tunnel = format!("t{key}-1-2");
    for command in [
        format!("add-br {name}"),
        format!("set Bridge {name} stp_enable=true"),
        format!("set Bridge {name} other_config:gre_key={key}"),
        format!("add-port {name} {tunnel}"),
        format!("set Interface {tunnel} type=gre"),
        format!("set Interface {tunnel} options:key={key}"),
        format!("set Interface {tunnel} options:remote_ip=192.0.2.2"),
        format!("add-port {name} vif{key}.0"),
    ] {
        switch.run_vsctl(&command).unwrap();
    }
    PLUGINS.iter().chain([&FOREIGN]).for_each(|line| switch.add_flow(name, line));
}

async fn take_over(sim: &Sim, query: &str, body: Option<Value>) -> Value {
    sim.ask("POST", &format!("/v1/takeover{query}"), body).await.expect(200)
}

#[tokio::test]
async fn a_takeover_happens_once_and_not_in_a_dry_run() {
    let switch = SimulatedSwitch::new();
    old_bridge(&switch, "xapi1", 1001);
    old_bridge(&switch, "xapi2", 1002);
    switch.run_vsctl("add-br theirs").unwrap();
    let sim = Sim::over(switch.clone()).await;
    let commits = switch.commits();
    let plan = take_over(&sim, "?dry_run=true", None).await;
    assert_eq!((&plan["dry_run"], &plan["outcome"]), (&json!(true), &json!("updated")));
    assert_eq!(plan["bridges"].as_array().unwrap().len(), 2);
    assert!(plan["commands"].to_string().contains("delete_strict cookie=0x0/-1,table=0,priority=1100"), "{plan}");
    assert_eq!((switch.commits(), switch.flows_of_others("xapi1").len()), (commits, 4));
    sim.get("/v1/bridges/xapi1").await.problem(404, "not_found");

    let answer = take_over(&sim, "", Some(json!({"bridges": ["xapi1"]}))).await;
    let bridge = &answer["bridges"][0];
    assert_eq!((&answer["outcome"], &bridge["state"]), (&json!("updated"), &json!("taken_over")));
    assert_eq!((&bridge["key"], &bridge["host_id"], &bridge["plugin_flows"]), (&json!(1001), &json!("1"), &json!(3)));
    let stp = json!({"what": "stp_enable", "subject": "xapi1", "before": "true", "after": "false"});
    assert!(bridge["changes"].as_array().unwrap().contains(&stp), "{bridge}");
    assert!(plan["bridges"][0]["changes"].as_array().unwrap().contains(&stp), "{plan}");
    assert_eq!(switch.flows_of_others("xapi1"), [FOREIGN]);
    assert_eq!(switch.flows_of_others("xapi2").len(), 4, "only the named one");
    let seen = sim.bridge("xapi1").await;
    assert_eq!(
        (&seen["adopted"], &seen["ipv6"], &seen["tunnels"][0]["port"]),
        (&json!(true), &json!("drop"), &json!("t1001-1-2"))
    );
    sim.until_flows("xapi1", 8).await;

    let answer = take_over(&sim, "", None).await;
    let states: Vec<&Value> = answer["bridges"].as_array().unwrap().iter().map(|bridge| &bridge["state"]).collect();
    assert_eq!(states, ["unchanged", "taken_over"]);
    let commits = switch.commits();
    let answer = take_over(&sim, "", Some(json!({}))).await;
    assert_eq!((&answer["outcome"], switch.commits()), (&json!("unchanged"), commits));
    assert_eq!(sim.reconcile().await["found"], json!([]));
}

#[tokio::test]
async fn what_cannot_be_taken_over_is_left_and_told() {
    let switch = SimulatedSwitch::new();
    old_bridge(&switch, "xapi1", 1001);
    switch.run_vsctl("add-port xapi1 gre9").unwrap();
    switch.run_vsctl("set Interface gre9 type=gre").unwrap();
    let sim = Sim::over(switch.clone()).await;
    let commits = switch.commits();
    let answer = take_over(&sim, "", Some(json!({"bridges": ["xapi1", "nothing"]}))).await;
    assert_eq!(answer["outcome"], "unchanged");
    let told = answer["bridges"].to_string();
    for words in ["tunnel gre9: its name is not t<key>-<from>-<to>", "there is no bridge nothing"] {
        assert!(told.contains(words), "{told}");
    }
    assert_eq!((switch.commits(), switch.flows_of_others("xapi1").len()), (commits, 4));
    let bad = sim.ask("POST", "/v1/takeover", Some(json!({"bridges": ["ok", "a b"]}))).await;
    assert_eq!(bad.problem(400, "invalid_request")["field"], "bridges[1]");
    let bad = sim.ask("POST", "/v1/takeover", Some(json!({"bridge": "xapi1"}))).await;
    bad.problem(400, "invalid_request");
}

#[tokio::test]
async fn a_release_leaves_the_vif_and_is_repeated_without_harm() {
    let sim = Sim::new().await;
    sim.put("xapi1", mesh(1001, 2..4)).await.expect(201);
    sim.switch.plug_port("xapi1", "vif1.0");
    sim.until_flows("xapi1", 8).await;
    sim.delete("xapi1").await.problem(409, "conflict");
    let plan = sim.ask("POST", "/v1/bridges/xapi1/release?dry_run=true", None).await.expect(200);
    assert_eq!((&plan["dry_run"], &plan["outcome"]), (&json!(true), &json!("removed")));
    for outcome in ["removed", "unchanged"] {
        let answer = sim.ask("POST", "/v1/bridges/xapi1/release", None).await.expect(200);
        assert_eq!(answer["outcome"], outcome);
    }
    let gone = sim.get("/v1/bridges/xapi1").await.problem(404, "not_found");
    assert!(gone["detail"].as_str().unwrap().contains("is there, but not managed"), "{gone}");
    assert_eq!(sim.reconcile().await["found"], json!([]), "it is not taken back");
}

#[tokio::test]
async fn ipv6_passes_after_as_it_did_before() {
    let switch = SimulatedSwitch::new();
    old_bridge(&switch, "xapi1", 1001);
    for command in ["add-br xapi2", "set Bridge xapi2 other_config:gre_key=OVSTunnel1002", "add-port xapi2 vif2.0"] {
        switch.run_vsctl(command).unwrap();
    }
    PLUGINS.iter().skip(1).for_each(|line| switch.add_flow("xapi2", line));
    let sim = Sim::over(switch.clone()).await;
    let ipv6 = |answer: &Value| [0, 1].map(|n| answer["bridges"][n]["ipv6"].clone());
    let expected = [json!("drop"), json!("allow")];
    assert_eq!(ipv6(&take_over(&sim, "?dry_run=true", None).await), expected);
    assert_eq!(ipv6(&take_over(&sim, "", None).await), expected);
    assert_eq!([sim.bridge("xapi1").await["ipv6"].clone(), sim.bridge("xapi2").await["ipv6"].clone()], expected);
}
