//! Tunnels to hosts that have left, on a simulated switch whose BFD and counters the tests play, on a clock that stands still until everybody
//! waits.

use std::time::Duration;

use ovstunnel_ovs::{SimulatedSwitch, Switch};
use ovstunnel_plan::Settings;
use ovstunneld::testing::{Interfaces, assemble_forgetting};
use serde_json::{Value, json};

use crate::sim::{Sim, ip, mesh, tunnel};

const FORGET_AFTER: Duration = Duration::from_secs(60);

/// Host 1 has two networks with the hosts 2, 3 and 4; BFD runs with each in the first network, and is up.
async fn three_peers() -> Sim {
    let switch = SimulatedSwitch::new();
    let simulated = Switch::Simulated(switch.clone());
    let router = assemble_forgetting(simulated, Interfaces::of_list(vec![]), Settings::default(), FORGET_AFTER);
    let sim = Sim { switch, router, writer: tokio::spawn(async {}) };
    sim.until_ready().await;
    for (bridge, key) in [("b1", 7), ("b2", 8)] {
        sim.put(bridge, mesh(key, [2, 3, 4])).await.expect(201);
        (2..=4).for_each(|host| count(&sim, key, host, 100));
    }
    let ports = json!({"ports": ["t7-1-2", "t7-1-3", "t7-1-4"]});
    sim.ask("PUT", "/v1/bridges/b1/bfd", Some(ports)).await.expect(200);
    (2..=4).for_each(|host| session(&sim, host, "up"));
    pass(FORGET_AFTER / 4).await;
    sim
}

fn session(sim: &Sim, host: u32, state: &str) {
    sim.switch.set_bfd(&format!("t7-1-{host}"), state, 1);
}

/// So many frames have come from a host.
fn count(sim: &Sim, key: u32, host: u32, frames: u64) {
    let statistics = json!({"rx_packets": frames, "tx_packets": 5});
    sim.switch.set_column("Interface", &format!("t{key}-1-{host}"), "statistics", statistics);
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Hosts to which a bridge has tunnels.
async fn peers(sim: &Sim, bridge: &str) -> Vec<String> {
    let bridge = sim.bridge(bridge).await;
    bridge["tunnels"].as_array().unwrap().iter().map(|tunnel| tunnel["to"].as_str().unwrap().to_owned()).collect()
}

async fn expect_all(sim: &Sim, why: &str) {
    for bridge in ["b1", "b2"] {
        assert_eq!(peers(sim, bridge).await, ["2", "3", "4"], "{bridge}: {why}");
    }
}

/// What the doctor says of who is silent: the host, and the reason.
async fn told(sim: &Sim) -> Vec<(Value, String)> {
    let answer = sim.get("/v1/doctor").await.expect(200);
    let all = answer["findings"].as_array().unwrap().iter().filter(|finding| finding["check"] == "silent_peer");
    all.map(|finding| (finding["subject"].clone(), finding["reason"].as_str().unwrap().to_owned())).collect()
}

async fn metric(sim: &Sim, line: &str) -> bool {
    sim.get("/metrics").await.body.as_str().unwrap().lines().any(|there| there == line)
}

#[tokio::test(start_paused = true)]
async fn a_silent_host_is_forgotten_with_its_tunnels_until_requested() {
    let sim = three_peers().await;
    session(&sim, 2, "down");
    pass(FORGET_AFTER / 2).await;
    expect_all(&sim, "not for long enough").await;
    pass(FORGET_AFTER).await;
    for bridge in ["b1", "b2"] {
        assert_eq!(peers(&sim, bridge).await, ["3", "4"], "{bridge}");
    }
    assert!(metric(&sim, "ovstunnel_tunnels_forgotten_total 2").await, "{:?}", sim.get("/metrics").await.body);
    assert!(told(&sim).await[0].1.contains("nothing says"), "{:?}", told(&sim).await);
    sim.post("b1", tunnel(2)).await.expect(201);
    sim.put("b2", mesh(8, [2, 3, 4])).await.expect(200);
    pass(3 * FORGET_AFTER).await;
    expect_all(&sim, "BFD does not run with it any more").await;
}

#[tokio::test(start_paused = true)]
async fn one_host_goes_at_a_time_and_never_more_than_half() {
    let sim = three_peers().await;
    [2, 3].into_iter().for_each(|host| session(&sim, host, "down"));
    pass(3 * FORGET_AFTER).await;
    expect_all(&sim, "one of three answers").await;
    let words = "of 3 hosts with which BFD has been up 1 answer";
    let reasons = told(&sim).await;
    assert!(reasons.len() == 2 && reasons.iter().all(|(_, reason)| reason.contains(words)), "{reasons:?}");
    assert!(metric(&sim, "ovstunnel_silent_peers 2").await);
    session(&sim, 3, "up");
    pass(FORGET_AFTER / 10).await;
    assert_eq!(
        (peers(&sim, "b1").await, peers(&sim, "b2").await),
        (vec!["3".into(), "4".into()], vec!["3".into(), "4".into()])
    );
    // Of two one answers, and it may go too; the last one may not.
    session(&sim, 4, "down");
    pass(2 * FORGET_AFTER).await;
    session(&sim, 3, "down");
    pass(3 * FORGET_AFTER).await;
    assert_eq!(peers(&sim, "b2").await, ["3"]);
}

#[tokio::test(start_paused = true)]
async fn a_host_heard_by_any_tunnel_or_wanted_by_anybody_stays() {
    let sim = three_peers().await;
    session(&sim, 2, "down");
    for frames in 101..110 {
        count(&sim, 8, 2, frames);
        pass(FORGET_AFTER / 2).await;
    }
    expect_all(&sim, "frames come by the tunnel without BFD").await;
    for _ in 0..10 {
        sim.post("b2", tunnel(2)).await.expect(200);
        pass(FORGET_AFTER / 2).await;
    }
    expect_all(&sim, "its tunnel is asked for").await;
    // While Open vSwitch cannot be asked nobody is silent.
    for _ in 0..5 {
        sim.switch.set_database(false);
        pass(FORGET_AFTER / 2).await;
        sim.switch.set_database(true);
        pass(FORGET_AFTER / 2).await;
    }
    expect_all(&sim, "half of the time nothing was seen").await;
}

#[tokio::test(start_paused = true)]
async fn under_a_manager_or_if_bfd_never_was_up_a_silent_host_stays() {
    let sim = three_peers().await;
    let epoch = json!({"zone": "6f1a9c3e-0b7d-4c58-9c11-3d0f2a5b7e90", "epoch": 3});
    sim.ask_as_root("PUT", "/v1/epoch", Some(epoch)).await.expect(201);
    session(&sim, 2, "down");
    pass(3 * FORGET_AFTER).await;
    expect_all(&sim, "a manager decides").await;
    assert!(told(&sim).await[0].1.contains("a zone's manager has recorded its epoch"), "{:?}", told(&sim).await);
    sim.ask("PUT", "/v1/bridges/b1/bfd", Some(json!({"ports": ["t7-1-3", "t7-1-4"]}))).await.expect(200);
    sim.ask_as_root("DELETE", "/v1/epoch", None).await.expect(200);
    [3, 4].into_iter().for_each(|host| session(&sim, host, "up"));
    pass(3 * FORGET_AFTER).await;
    expect_all(&sim, "BFD does not run with it").await;
    let found = told(&sim).await;
    assert_eq!((found.len(), &found[0].0), (1, &json!(ip(2))), "{found:?}");
    assert!(found[0].1.contains("by the 2 tunnels to it; BFD with it has not been seen up"), "{found:?}");
}
