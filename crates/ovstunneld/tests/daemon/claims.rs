//! What calls of the plugin say about whether this host has VMs of a network: on the bridge, to those who ask and those who watch.

use crate::sim::watcher::Watcher;
use crate::sim::{Sim, ip, mesh};
use ovstunnel_ovs::Switch;
use ovstunnel_plan::View;
use serde_json::{Value, json};

const NETWORK: &str = "6f1a9c3e-0b7d-4c58-9c11-3d0f2a5b7e90";

async fn call(sim: &Sim, function: &str, arguments: Value) -> String {
    let answer = sim.ask("POST", &format!("/v1/plugin/{function}"), Some(arguments)).await.expect(200);
    assert!(!answer["changes"].to_string().contains("ovstunnel-claim"), "{answer}");
    answer["value"].as_str().unwrap().to_owned()
}

async fn set_up(sim: &Sim, bridge: &str) {
    let arguments = json!({"bridge": bridge, "key": "1001", "xs_nw_uuid": NETWORK, "cs_host_id": "1"});
    assert_eq!(call(sim, "setup_ovs_bridge", arguments).await, format!("SUCCESS:{bridge}"));
}

async fn create_tunnel(sim: &Sim, bridge: &str, to: u32) {
    let arguments = json!({"bridge": bridge, "remote_ip": ip(to), "key": "1001", "from": "1", "to": to.to_string()});
    assert_eq!(call(sim, "create_tunnel", arguments).await, format!("SUCCESS:t1001-1-{to}"));
}

async fn destroy(sim: &Sim, bridge: &str) -> String {
    call(sim, "destroy_ovs_bridge", json!({"bridge": bridge})).await
}

/// What a bridge's claim says, and of whom.
fn claim(bridge: &Value) -> (Option<&str>, Option<&str>) {
    (bridge["claim"]["says"].as_str(), bridge["claim"]["peer"].as_str())
}

/// The name and data of the next event that is about a bridge.
async fn about_a_bridge(watcher: &mut Watcher) -> (String, Value) {
    loop {
        let event = watcher.change().await;
        if event.name.starts_with("bridge") {
            return (event.name, event.data);
        }
    }
}

#[tokio::test]
async fn a_set_up_claims_until_the_bridge_is_to_go() {
    let sim = Sim::new().await;
    set_up(&sim, "xapi12").await;
    assert_eq!(claim(&sim.bridge("xapi12").await), (Some("in"), None));
    let commits = sim.switch.commits();
    set_up(&sim, "xapi12").await;
    assert_eq!(sim.switch.commits(), commits, "nothing is written for a word that stands");
    create_tunnel(&sim, "xapi12", 2).await;
    assert_eq!(claim(&sim.bridge("xapi12").await), (Some("in"), None), "a set-up says more than a tunnel");
    let changed = sim.put("xapi12", mesh(1001, [2, 3])).await.expect(200);
    assert_eq!(claim(&changed["bridge"]), (Some("in"), None), "others leave it");

    let mut watcher = Watcher::new(&sim).await;
    watcher.until_it_knows_all(&sim).await;
    sim.switch.plug_port("xapi12", "vif1.0");
    watcher.until_it_knows_all(&sim).await;
    assert!(destroy(&sim, "xapi12").await.starts_with("FAILURE:IN_THE_WAY"));
    while claim(&watcher.bridges["xapi12"]).0 != Some("out") {
        watcher.change().await;
    }
    set_up(&sim, "xapi12").await;
    assert_eq!(claim(&sim.bridge("xapi12").await), (Some("in"), None), "it has VMs again");
    sim.switch.unplug_port("vif1.0");
    watcher.until_it_knows_all(&sim).await;
    assert_eq!(destroy(&sim, "xapi12").await, "SUCCESS:xapi12");
    let gone = loop {
        if let (name, data) = about_a_bridge(&mut watcher).await
            && name == "bridge_gone"
        {
            break data;
        }
    };
    assert_eq!(gone, json!({"name": "xapi12", "by_plugin": true}));
}

#[tokio::test]
async fn a_foreign_bridge_has_no_claim_but_of_a_tunnel() {
    let sim = Sim::new().await;
    sim.put("xapi12", mesh(1001, [2])).await.expect(201);
    assert_eq!(claim(&sim.bridge("xapi12").await), (None, None));
    create_tunnel(&sim, "xapi12", 3).await;
    assert_eq!(claim(&sim.bridge("xapi12").await), (Some("tunnel"), Some("3")));
    create_tunnel(&sim, "xapi12", 4).await;
    assert_eq!(claim(&sim.bridge("xapi12").await), (Some("tunnel"), Some("4")));
    let mut watcher = Watcher::new(&sim).await;
    watcher.until_it_knows_all(&sim).await;
    sim.delete("xapi12").await.expect(200);
    let (name, data) = about_a_bridge(&mut watcher).await;
    assert_eq!((name.as_str(), data), ("bridge_gone", json!({"name": "xapi12", "by_plugin": false})));
}

#[tokio::test]
async fn a_bridge_that_is_given_back_has_no_mark_of_it() {
    let sim = Sim::new().await;
    sim.switch.foreign_bridge("xapi12");
    set_up(&sim, "xapi12").await;
    let mut watcher = Watcher::new(&sim).await;
    watcher.until_it_knows_all(&sim).await;
    assert_eq!(destroy(&sim, "xapi12").await, "SUCCESS:xapi12");
    let (name, data) = about_a_bridge(&mut watcher).await;
    assert_eq!((name.as_str(), &data["by_plugin"]), ("bridge_gone", &json!(true)));
    let switch = Switch::Simulated(sim.switch.clone());
    let left = switch.observer().read(|db| db.view().bridge("xapi12").unwrap().external_ids.clone());
    assert!(left.keys().all(|key| !key.starts_with("ovstunnel-")), "{left:?}");
}

#[tokio::test]
async fn the_bridge_of_a_vpc_has_a_claim_too() {
    let sim = Sim::new().await;
    let key = "OVS-DR-VPC-Bridge7";
    let arguments = json!({"bridge": "xapi7", "key": key, "xs_nw_uuid": NETWORK, "cs_host_id": "1"});
    let answer = call(&sim, "setup_ovs_bridge_for_distributed_routing", arguments).await;
    assert_eq!(answer, "SUCCESS:xapi7");
    assert_eq!(claim(&sim.bridge("xapi7").await), (Some("in"), None));
}
