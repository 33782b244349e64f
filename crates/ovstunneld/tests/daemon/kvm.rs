//! The functions of CloudStack's KVM agent over a simulated switch: its options, the bridges that it has made, and what it reads on them.

use crate::sim::{Sim, ip};
use ovstunnel_ovs::Switch;
use ovstunnel_plan::View;
use serde_json::{Value, json};

const BRIDGE: &str = "OVSTunnel1001";

async fn call(sim: &Sim, function: &str, options: Value) -> String {
    let answer = sim.ask("POST", &format!("/v1/kvm/{function}"), Some(options)).await.expect(200);
    answer["value"].as_str().unwrap().to_owned()
}

async fn set_up(sim: &Sim, id: &str) -> String {
    call(sim, "setup_ovs_bridge", json!({"bridge": BRIDGE, "key": BRIDGE, "cs_host_id": id})).await
}

fn tunnel(to: u32) -> Value {
    json!({"bridge": BRIDGE, "remote_ip": ip(to), "key": "1001", "src_host": "1", "dst_host": to.to_string()})
}

async fn destroy(sim: &Sim) -> String {
    call(sim, "destroy_ovs_bridge", json!({"bridge": BRIDGE})).await
}

/// What the agent runs before each call.
fn agent_makes_bridge(sim: &Sim) {
    sim.switch.run_vsctl(&format!("add-br {BRIDGE}")).unwrap();
    sim.switch.run_vsctl(&format!("set Bridge {BRIDGE} other_config:ovs-host-setup=-1")).unwrap();
}

async fn claim(sim: &Sim) -> Value {
    sim.bridge(BRIDGE).await["claim"]["says"].clone()
}

fn is_there(sim: &Sim) -> bool {
    Switch::Simulated(sim.switch.clone()).observer().read(|db| db.bridge_names().iter().any(|name| name == BRIDGE))
}

fn config(sim: &Sim, key: &str) -> Option<String> {
    let switch = Switch::Simulated(sim.switch.clone());
    switch.observer().read(|db| db.view().bridge(BRIDGE)?.other_config.get(key).cloned())
}

#[tokio::test]
async fn a_network_is_set_up_meshed_and_taken_away() {
    let sim = Sim::new().await;
    agent_makes_bridge(&sim);
    for _ in 0..2 {
        assert_eq!(set_up(&sim, "1").await, "SUCCESS:OVSTunnel1001");
        assert_eq!(call(&sim, "create_tunnel", tunnel(2)).await, "SUCCESS:t1001-1-2");
    }
    assert_eq!(call(&sim, "create_tunnel", tunnel(3)).await, "SUCCESS:t1001-1-3");
    assert_eq!(config(&sim, "ovs-host-setup").as_deref(), Some("-1,1,-1"));
    assert_eq!(config(&sim, "is-ovs-tun-network").as_deref(), Some("True"));
    assert_eq!((claim(&sim).await, sim.bridge(BRIDGE).await["host_id"].clone()), (json!("in"), json!("1")));
    let gone = json!({"bridge": BRIDGE, "iface_name": "t1001-1-3"});
    for _ in 0..2 {
        assert_eq!(call(&sim, "destroy_tunnel", gone.clone()).await, "SUCCESS");
    }
    sim.switch.plug_port(BRIDGE, "vnet0");
    let told = destroy(&sim).await;
    assert!(told.starts_with("FAILURE:IN_THE_WAY ") && told.contains("vnet0"), "{told}");
    assert_eq!(config(&sim, "ovs-host-setup").as_deref(), Some("-1"), "the next start of a VM sets it up again");
    sim.switch.unplug_port("vnet0");
    for _ in 0..2 {
        assert_eq!(destroy(&sim).await, "SUCCESS:OVSTunnel1001");
    }
    assert!(!is_there(&sim), "the agent made it, and it goes");
}

#[tokio::test]
async fn a_tunnel_takes_up_what_the_agent_has_made_and_nobody_set_up() {
    let sim = Sim::new().await;
    let told = call(&sim, "create_tunnel", tunnel(2)).await;
    assert!(told.starts_with("FAILURE:NO_BRIDGE "), "{told}");
    agent_makes_bridge(&sim);
    assert_eq!(call(&sim, "create_tunnel", tunnel(2)).await, "SUCCESS:t1001-1-2");
    assert_eq!(config(&sim, "ovs-host-setup").as_deref(), Some("-1,1,-1"));
    // Also one that only the Python program has marked, with its key and spanning tree, and that has nothing else.
    let sim = Sim::new().await;
    agent_makes_bridge(&sim);
    sim.switch.run_vsctl(&format!("set Bridge {BRIDGE} other_config:gre_key=OVSTunnel1001")).unwrap();
    assert_eq!(set_up(&sim, "1").await, "SUCCESS:OVSTunnel1001");
    // This host has another id now.
    assert_eq!(set_up(&sim, "7").await, "SUCCESS:OVSTunnel1001");
    assert_eq!(config(&sim, "ovs-host-setup").as_deref(), Some("-1,7,-1"));
}

#[tokio::test]
async fn what_the_agent_made_and_nobody_took_up_is_deleted() {
    let sim = Sim::new().await;
    agent_makes_bridge(&sim);
    sim.switch.plug_port(BRIDGE, "vnet0");
    assert!(destroy(&sim).await.starts_with("FAILURE:IN_THE_WAY "));
    sim.switch.unplug_port("vnet0");
    assert_eq!(destroy(&sim).await, "SUCCESS:OVSTunnel1001");
    assert!(!is_there(&sim));
}

#[tokio::test]
async fn what_contradicts_its_name_or_is_not_ours_is_in_the_way() {
    let sim = Sim::new().await;
    agent_makes_bridge(&sim);
    sim.switch.run_vsctl(&format!("set Bridge {BRIDGE} other_config:gre_key=1002")).unwrap();
    let commits = sim.switch.commits();
    for told in [set_up(&sim, "1").await, call(&sim, "create_tunnel", tunnel(2)).await] {
        assert!(told.starts_with("FAILURE:IN_THE_WAY ") && told.contains("gre_key=1002"), "{told}");
    }
    sim.switch.run_vsctl(&format!("set Bridge {BRIDGE} other_config:gre_key={BRIDGE}")).unwrap();
    for line in [format!("add-port {BRIDGE} t1001-1-9"), "set Interface t1001-1-9 type=gre".to_owned()] {
        sim.switch.run_vsctl(&line).unwrap();
    }
    for told in [set_up(&sim, "1").await, call(&sim, "create_tunnel", tunnel(2)).await] {
        assert!(told.starts_with("FAILURE:IN_THE_WAY ") && told.contains("ovstunnelctl takeover"), "{told}");
    }
    assert_eq!(sim.switch.commits(), commits);
}

#[tokio::test]
async fn options_are_exactly_those_of_the_contract() {
    let sim = Sim::new().await;
    let good = |function: &str| match function {
        "create_tunnel" => tunnel(2),
        "destroy_tunnel" => json!({"bridge": BRIDGE, "iface_name": "t1001-1-2"}),
        "destroy_ovs_bridge" => json!({"bridge": BRIDGE}),
        _ => json!({"bridge": BRIDGE, "key": BRIDGE, "cs_host_id": "1"}),
    };
    let with = |function: &str, option: &str, value: Option<&str>| {
        let mut options = good(function);
        match value {
            Some(value) => drop(options.as_object_mut().unwrap().insert(option.to_owned(), value.into())),
            None => drop(options.as_object_mut().unwrap().remove(option)),
        }
        options
    };
    for function in ["setup_ovs_bridge", "create_tunnel", "destroy_tunnel", "destroy_ovs_bridge"] {
        for option in good(function).as_object().unwrap().keys() {
            for value in [None, Some("")] {
                let told = call(&sim, function, with(function, option, value)).await;
                assert_eq!(told, format!("FAILURE:INVALID_ARGUMENT {option} is required"), "{function}");
            }
        }
        let told = call(&sim, function, with(function, "config", Some("{}"))).await;
        assert!(told.starts_with("FAILURE:INVALID_ARGUMENT there is no option --config; "), "{function}: {told}");
    }
    for (function, option, value, words) in [
        ("setup_ovs_bridge", "key", "OVSTunnel1002", "key must be that of bridge OVSTunnel1001; got `OVSTunnel1002`"),
        ("create_tunnel", "key", "1002", "key must be that of bridge OVSTunnel1001; got `1002`"),
        ("create_tunnel", "remote_ip", "null", "got `null`"),
        ("destroy_ovs_bridge", "bridge", "cloudbr0", "bridge must be OVSTunnel<GRE key>; got `cloudbr0`"),
        ("destroy_ovs_bridge", "bridge", "OVSTunnel01", "must be OVSTunnel<GRE key>"),
        ("setup_ovs_bridge", "bridge", "OVSTunnel1000000", "so on KVM GRE keys end at 999999; got `OVSTunnel1000000`"),
    ] {
        let told = call(&sim, function, with(function, option, Some(value))).await;
        assert!(told.starts_with("FAILURE:INVALID_ARGUMENT ") && told.contains(words), "{words}: {told}");
    }
    let vpc = "OVS-DR-VPC-Bridge7";
    for (function, options) in [
        ("setup_ovs_bridge", json!({"bridge": vpc, "key": vpc, "cs_host_id": "1"})),
        ("setup_ovs_bridge_for_distributed_routing", json!({"bridge": vpc, "key": vpc, "cs_host_id": "1"})),
        ("configure_ovs_bridge_for_network_topology", json!({"bridge": vpc, "config": "{}"})),
        ("configure_ovs_bridge_for_routing_policies", json!({"bridge": vpc, "config": "{}"})),
    ] {
        assert!(call(&sim, function, options).await.starts_with("FAILURE:NOT_SUPPORTED "), "{function}");
    }
    sim.ask("POST", "/v1/kvm/getLabel", Some(json!({}))).await.problem(404, "not_found");
    assert_eq!(sim.get("/v1/bridges").await.expect(200)["bridges"], json!([]));
}
