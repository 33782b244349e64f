//! Two masters on the simulated switch: while a zone's manager acts, the plugin's removals are left to it; else they are what they were.

use std::time::Duration;

use crate::sim::watcher::Watcher;
use crate::sim::{Sim, ip};
use axum::body::Body;
use axum::http::{Request, Response};
use ovstunnel_ovs::SimulatedSwitch;
use serde_json::{Value, json};
use tower::ServiceExt;

const ZONE: &str = "6f1a9c3e-0b7d-4c58-9c11-3d0f2a5b7e90";
const NETWORK: &str = "6f1a9c3e-0b7d-4c58-9c11-3d0f2a5b7e91";

/// Names and values.
type Headers<'a> = &'a [(&'a str, &'a str)];

/// How long a manager counts that was connected.
const FIVE_MINUTES: Duration = Duration::from_secs(300);

async fn call(sim: &Sim, function: &str, arguments: Value) -> String {
    let answer = sim.ask("POST", &format!("/v1/plugin/{function}"), Some(arguments)).await.expect(200);
    answer["value"].as_str().unwrap().to_owned()
}

async fn set_up(sim: &Sim, bridge: &str) -> String {
    let arguments = json!({"bridge": bridge, "key": "1001", "xs_nw_uuid": NETWORK, "cs_host_id": "1"});
    call(sim, "setup_ovs_bridge", arguments).await
}

async fn create_tunnel(sim: &Sim, bridge: &str, to: u32) {
    let arguments = json!({"bridge": bridge, "remote_ip": ip(to), "key": "1001", "from": "1", "to": to.to_string()});
    assert_eq!(call(sim, "create_tunnel", arguments).await, format!("SUCCESS:t1001-1-{to}"));
}

async fn destroy_tunnel(sim: &Sim, bridge: &str, port: &str) -> String {
    call(sim, "destroy_tunnel", json!({"bridge": bridge, "in_port": port})).await
}

async fn destroy(sim: &Sim, bridge: &str) -> String {
    call(sim, "destroy_ovs_bridge", json!({"bridge": bridge})).await
}

/// A watch with these headers; who drops it is not connected any more.
async fn watch(sim: &Sim, headers: Headers<'_>) -> Response<Body> {
    let request = headers
        .iter()
        .fold(Request::builder().uri("/v1/watch"), |request, (name, value)| request.header(*name, *value));
    sim.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

/// That of a manager which leads under an epoch, and acts.
async fn manager(sim: &Sim, epoch: u64) -> Response<Body> {
    let epoch = format!("{ZONE}:{epoch}");
    let watch = watch(sim, &[("ovstunnel-epoch", &epoch), ("ovstunnel-controller", "on")]).await;
    assert_eq!(watch.status(), 200);
    watch
}

async fn record(sim: &Sim, epoch: u64) {
    let answer = sim.ask("PUT", "/v1/epoch", Some(json!({"zone": ZONE, "epoch": epoch}))).await;
    assert!(answer.status < 300, "{}", answer.body);
}

/// A bridge of the plugin's with a tunnel to host 2.
async fn with_network(sim: &Sim) {
    assert_eq!(set_up(sim, "xapi12").await, "SUCCESS:xapi12");
    create_tunnel(sim, "xapi12", 2).await;
}

/// What the bridge's claim says, and its tunnels.
async fn there(sim: &Sim) -> (String, usize) {
    let bridge = sim.bridge("xapi12").await;
    (bridge["claim"]["says"].as_str().unwrap_or_default().to_owned(), bridge["tunnels"].as_array().unwrap().len())
}

async fn is_gone(sim: &Sim, bridge: &str) -> bool {
    sim.get(&format!("/v1/bridges/{bridge}")).await.status == 404
}

/// That the plugin removes what it is told to.
async fn removes_by_itself(sim: &Sim, why: &str) {
    assert_eq!(destroy_tunnel(sim, "xapi12", "t1001-1-2").await, "SUCCESS", "{why}");
    assert_eq!(there(sim).await.1, 0, "{why}");
    assert_eq!(destroy(sim, "xapi12").await, "SUCCESS:xapi12", "{why}");
    assert!(is_gone(sim, "xapi12").await, "{why}");
}

#[tokio::test(start_paused = true)]
async fn removals_are_left_to_an_acting_manager_and_five_minutes_more() {
    let sim = Sim::new().await;
    with_network(&sim).await;
    record(&sim, 4).await;
    let acting = manager(&sim, 4).await;
    let mut watcher = Watcher::new(&sim).await;
    watcher.until_it_knows_all(&sim).await;
    assert_eq!(destroy_tunnel(&sim, "xapi12", "t1001-1-2").await, "SUCCESS");
    assert_eq!(there(&sim).await, ("in".to_owned(), 1), "that another host has none says nothing of this one");
    assert_eq!(destroy(&sim, "xapi12").await, "SUCCESS:xapi12");
    assert_eq!(there(&sim).await, ("out".to_owned(), 1));
    while watcher.bridges["xapi12"]["claim"]["says"] != "out" {
        watcher.change().await;
    }
    let commits = sim.switch.commits();
    assert_eq!(destroy(&sim, "xapi12").await, "SUCCESS:xapi12");
    assert_eq!(sim.switch.commits(), commits, "what was said is not written again");
    // It has VMs again, and what was there is there.
    assert_eq!(set_up(&sim, "xapi12").await, "SUCCESS:xapi12");
    assert_eq!(there(&sim).await, ("in".to_owned(), 1));

    drop(acting);
    tokio::time::advance(FIVE_MINUTES - Duration::from_secs(20)).await;
    assert_eq!(destroy(&sim, "xapi12").await, "SUCCESS:xapi12");
    assert_eq!(there(&sim).await, ("out".to_owned(), 1), "it may come back");
    tokio::time::advance(Duration::from_secs(20)).await;
    removes_by_itself(&sim, "it was gone for five minutes").await;
}

#[tokio::test(start_paused = true)]
async fn without_an_acting_leader_the_plugin_removes_by_itself() {
    let epoch = format!("{ZONE}:4");
    let cases: [(Headers<'_>, &str); 4] = [
        (&[], "it is nobody in particular who watches"),
        (&[("ovstunnel-epoch", &epoch)], "it does not say that it acts"),
        (&[("ovstunnel-epoch", &epoch), ("ovstunnel-controller", "off")], "it says that it only looks"),
        (&[("ovstunnel-controller", "off")], "the same, of no epoch"),
    ];
    for (headers, why) in cases {
        let sim = Sim::new().await;
        record(&sim, 4).await;
        with_network(&sim).await;
        let watches = watch(&sim, headers).await;
        assert_eq!(watches.status(), 200, "{why}");
        removes_by_itself(&sim, why).await;
    }
    let sim = Sim::new().await;
    with_network(&sim).await;
    let _acting = manager(&sim, 4).await;
    removes_by_itself(&sim, "no epoch is recorded").await;
    with_network(&sim).await;
    record(&sim, 5).await;
    removes_by_itself(&sim, "another leads now").await;
}

#[tokio::test(start_paused = true)]
async fn who_says_that_it_acts_no_more_is_believed_at_once() {
    let sim = Sim::new().await;
    record(&sim, 4).await;
    with_network(&sim).await;
    drop(manager(&sim, 4).await);
    let epoch = format!("{ZONE}:4");
    let _off = watch(&sim, &[("ovstunnel-epoch", &epoch), ("ovstunnel-controller", "off")]).await;
    removes_by_itself(&sim, "its flag is off").await;
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_of_the_daemon_nobody_has_been_connected() {
    let switch = SimulatedSwitch::new();
    let sim = Sim::over(switch.clone()).await;
    record(&sim, 4).await;
    with_network(&sim).await;
    let acting = manager(&sim, 4).await;
    assert_eq!(destroy(&sim, "xapi12").await, "SUCCESS:xapi12");
    assert_eq!(there(&sim).await, ("out".to_owned(), 1));
    drop((acting, sim));
    let sim = Sim::over(switch).await;
    removes_by_itself(&sim, "it has not come back yet").await;
    with_network(&sim).await;
    let _back = manager(&sim, 4).await;
    assert_eq!(destroy(&sim, "xapi12").await, "SUCCESS:xapi12");
    assert_eq!(there(&sim).await, ("out".to_owned(), 1));
}

#[tokio::test(start_paused = true)]
async fn a_set_up_on_another_bridge_takes_the_claim_with_it() {
    let sim = Sim::new().await;
    record(&sim, 4).await;
    with_network(&sim).await;
    let _acting = manager(&sim, 4).await;
    let refused = set_up(&sim, "xapi13").await;
    assert!(refused.starts_with("FAILURE:IN_THE_WAY"), "while nobody has wanted the other gone: {refused}");
    assert_eq!(destroy(&sim, "xapi12").await, "SUCCESS:xapi12");
    // A VM is still there.
    sim.switch.plug_port("xapi12", "vif1.0");
    assert!(set_up(&sim, "xapi13").await.starts_with("FAILURE:IN_THE_WAY"));
    assert_eq!(there(&sim).await, ("out".to_owned(), 1));
    sim.switch.unplug_port("vif1.0");
    assert_eq!(set_up(&sim, "xapi13").await, "SUCCESS:xapi13");
    assert!(is_gone(&sim, "xapi12").await);
    assert_eq!(sim.bridge("xapi13").await["claim"]["says"], "in");
}

#[tokio::test(start_paused = true)]
async fn what_a_manager_never_removes_is_not_left_to_it() {
    let sim = Sim::new().await;
    record(&sim, 4).await;
    let _acting = manager(&sim, 4).await;
    let arguments = json!({"bridge": "xapi7", "key": "OVS-DR-VPC-Bridge7", "xs_nw_uuid": NETWORK, "cs_host_id": "1"});
    let answer = call(&sim, "setup_ovs_bridge_for_distributed_routing", arguments).await;
    assert_eq!(answer, "SUCCESS:xapi7");
    create_tunnel(&sim, "xapi7", 2).await;
    assert_eq!(destroy_tunnel(&sim, "xapi7", "t1001-1-2").await, "SUCCESS");
    assert_eq!(sim.bridge("xapi7").await["tunnels"], json!([]));
    assert_eq!(destroy(&sim, "xapi7").await, "SUCCESS:xapi7");
    assert!(is_gone(&sim, "xapi7").await, "a VPC's");
    assert_eq!(destroy(&sim, "xapi12").await, "SUCCESS:xapi12", "what is not there");
    sim.switch.foreign_bridge("xapi12");
    assert_eq!(destroy(&sim, "xapi12").await, "SUCCESS:xapi12", "what is not ours");
}

#[tokio::test]
async fn a_watch_that_does_not_name_its_epoch_is_refused() {
    let sim = Sim::new().await;
    let epoch = format!("{ZONE}:4");
    let cases: [(Headers<'_>, &str, &str); 5] = [
        (&[("ovstunnel-controller", "on")], "ovstunnel-controller", "ovstunnel-epoch"),
        (&[("ovstunnel-epoch", "4"), ("ovstunnel-controller", "on")], "ovstunnel-epoch", "<zone-uuid>:<number>"),
        (&[("ovstunnel-epoch", &epoch), ("ovstunnel-controller", "yes")], "ovstunnel-controller", "`on` or `off`"),
        (&[("ovstunnel-controller", "on"), ("ovstunnel-controller", "on")], "ovstunnel-controller", "once"),
        (&[("ovstunnel-epoch", "")], "ovstunnel-epoch", "<zone-uuid>:<number>"),
    ];
    for (headers, field, rule) in cases {
        let response = watch(&sim, headers).await;
        assert_eq!(response.status(), 400, "{headers:?}");
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let problem: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(problem["field"], field, "{problem}");
        assert!(problem["rule"].as_str().unwrap().contains(rule), "{problem}");
    }
}
