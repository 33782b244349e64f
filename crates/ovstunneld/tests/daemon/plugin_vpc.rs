//! The plugin's functions for a distributed-routing VPC over a simulated switch: the words of success, updates that are old or
//! fail, and what is in the switch afterwards.

use crate::sim::{Sim, ip};
use serde_json::{Value, json};

const NETWORK: &str = "6f1a9c3e-0b7d-4c58-9c11-3d0f2a5b7e90";

async fn call(sim: &Sim, function: &str, arguments: Value) -> String {
    let answer = sim.ask("POST", &format!("/v1/plugin/{function}"), Some(arguments)).await.expect(200);
    answer["value"].as_str().unwrap().to_owned()
}

async fn setup(sim: &Sim) -> String {
    let arguments = json!({"bridge": "xapi7", "key": "OVS-DR-VPC-Bridge7", "xs_nw_uuid": NETWORK, "cs_host_id": "1"});
    call(sim, "setup_ovs_bridge_for_distributed_routing", arguments).await
}

fn uuid(tier: u32) -> String {
    format!("00000000-0000-4000-8000-00000000000{tier}")
}

/// Tiers 1 and 2, each with a VM on hosts 1 and 2.
fn topology(tiers: &[u32]) -> Value {
    let tier = |n: &u32| {
        json!({"grekey": 1000 + n, "networkuuid": uuid(*n), "gatewayip": format!("10.1.{n}.254"),
            "gatewaymac": format!("02:00:00:00:0{n}:fe"), "cidr": format!("10.1.{n}.0/24")})
    };
    let nic = |tier: &u32, host: u32| {
        json!({"ipaddress": format!("10.1.{tier}.{host}"), "macaddress": format!("02:00:00:00:0{tier}:0{host}"),
            "networkuuid": uuid(*tier)})
    };
    let vm = |host: u32| json!({"hostid": host, "nics": tiers.iter().map(|tier| nic(tier, host)).collect::<Vec<_>>()});
    json!({"vpc": {"cidr": "10.1.0.0/16", "hosts": [], "tiers": tiers.iter().map(tier).collect::<Vec<_>>(), "vms": [vm(1), vm(2)]}})
}

fn policies() -> Value {
    let item = json!({"number": 10, "uuid": "u", "action": "allow", "direction": "ingress", "sourceportstart": "80",
        "sourceportend": "443", "protocol": "tcp", "sourcecidrs": ["0.0.0.0/0"]});
    json!({"vpc": {"cidr": "10.1.0.0/16", "id": "7", "tiers": [{"id": uuid(2), "aclid": "a"}],
        "acls": [{"id": "a", "aclitems": [item]}]}})
}

async fn tell(sim: &Sim, what: &str, sequence: u64, config: &Value) -> String {
    let arguments =
        json!({"bridge": "xapi7", "config": config.to_string(), "host-id": "1", "seq-no": sequence.to_string()});
    call(sim, &format!("configure_ovs_bridge_for_{what}"), arguments).await
}

/// Host 1 with a tunnel of each tier to host 2 and a VIF in tier 1.
async fn host_1() -> Sim {
    let sim = Sim::new().await;
    assert_eq!(setup(&sim).await, "SUCCESS:xapi7");
    assert_eq!(setup(&sim).await, "SUCCESS:xapi7");
    for key in ["1001", "1002"] {
        let arguments = json!({"bridge": "xapi7", "remote_ip": ip(2), "key": key, "from": "1", "to": "2"});
        assert_eq!(call(&sim, "create_tunnel", arguments).await, format!("SUCCESS:t{key}-1-2"));
    }
    sim.switch.plug_port("xapi7", "vif1.0");
    sim.switch.run_vsctl("set Interface vif1.0 external_ids:attached-mac=02:00:00:00:01:01").unwrap();
    sim
}

/// Flows with both tiers told: ends and IPv6, two for a tier's tunnels, two to flood, four for a VIF, two for a card whose
/// place is known.
const TOLD: u64 = 10 + 2 * 4 + 4 + 3 * 2;

#[tokio::test]
async fn a_vpc_is_set_up_told_and_taken_away() {
    let sim = host_1().await;
    let bridge = sim.bridge("xapi7").await;
    assert_eq!((bridge.get("key"), &bridge["vpc"]["id"]), (None, &json!("7")));
    assert_eq!(bridge["vpc"]["unplaced_vifs"], json!(["vif1.0"]));
    sim.until_flows("xapi7", 10).await;
    assert_eq!(tell(&sim, "network_topology", 3, &topology(&[1, 2])).await, "SUCCESS: topology 3 of xapi7 was applied");
    sim.until_flows("xapi7", TOLD).await;
    assert_eq!(tell(&sim, "routing_policies", 1, &policies()).await, "SUCCESS: policies 1 of xapi7 was applied");
    let bridge = sim.bridge("xapi7").await;
    assert_eq!(bridge["vpc"]["topology_sequence"], 3);
    assert_eq!(
        bridge["vpc"]["tiers"][1],
        json!({"key": 1002, "network_uuid": uuid(2), "cidr": "10.1.2.0/24", "acl": "a", "gateway_mac": "02:00:00:00:02:fe"})
    );
    assert_eq!(bridge["vpc"]["unplaced_vifs"], json!([]));
    sim.switch.unplug_port("vif1.0");
    // A card that is nowhere has no look-ups.
    sim.until("the VIF's flows to go", async || {
        let flows = sim.bridge("xapi7").await["flows"].clone();
        flows["state"] == "in_sync" && flows["installed"] == TOLD - 4 - 2 + 8
    })
    .await;
    assert_eq!(call(&sim, "destroy_ovs_bridge", json!({"bridge": "xapi7", "cs_host_id": "1"})).await, "SUCCESS:xapi7");
    sim.get("/v1/bridges/xapi7").await.problem(404, "not_found");
}

#[tokio::test]
async fn an_old_or_repeated_update_is_ignored_and_says_so() {
    let sim = host_1().await;
    tell(&sim, "network_topology", 5, &topology(&[1, 2])).await;
    sim.until_flows("xapi7", TOLD).await;
    for old in [5, 4, 0] {
        let answer = tell(&sim, "network_topology", old, &topology(&[1])).await;
        assert_eq!(answer, format!("SUCCESS: topology {old} of xapi7 was ignored, for 5 was applied before"));
    }
    sim.until_flows("xapi7", TOLD).await;
    assert!(tell(&sim, "network_topology", 6, &topology(&[1])).await.ends_with("applied"));
    assert_eq!(sim.bridge("xapi7").await["vpc"]["tiers"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_update_with_failed_flows_is_not_recorded() {
    let sim = host_1().await;
    tell(&sim, "network_topology", 1, &topology(&[1])).await;
    sim.switch.refuse_flows("xapi7", true);
    let answer = tell(&sim, "network_topology", 2, &topology(&[1, 2])).await;
    assert!(answer.starts_with("FAILURE:REFUSED "), "{answer}");
    let vpc = sim.bridge("xapi7").await["vpc"].clone();
    assert_eq!((&vpc["topology_sequence"], vpc["tiers"].as_array().unwrap().len()), (&json!(1), 1));
    sim.switch.refuse_flows("xapi7", false);
    assert_eq!(tell(&sim, "network_topology", 2, &topology(&[1, 2])).await, "SUCCESS: topology 2 of xapi7 was applied");
    sim.until_flows("xapi7", TOLD).await;
}

#[tokio::test]
async fn flows_whose_record_cannot_be_written_are_put_back() {
    let sim = host_1().await;
    tell(&sim, "network_topology", 1, &topology(&[1, 2])).await;
    sim.until_flows("xapi7", TOLD).await;
    sim.switch.refuse_commits(true);
    let answer = tell(&sim, "network_topology", 2, &topology(&[1])).await;
    assert!(answer.starts_with("FAILURE:REFUSED "), "{answer}");
    // The look that is due then.
    sim.reconcile().await;
    sim.until_flows("xapi7", TOLD).await;
    assert_eq!(sim.bridge("xapi7").await["vpc"]["topology_sequence"], 1);
    sim.switch.refuse_commits(false);
    assert!(tell(&sim, "network_topology", 2, &topology(&[1])).await.ends_with("applied"));
}

#[tokio::test]
async fn one_bridges_failed_flows_delay_no_other_repair() {
    let sim = host_1().await;
    sim.put("plain", json!({"key": 5})).await.expect(201);
    tell(&sim, "network_topology", 1, &topology(&[1, 2])).await;
    sim.until_flows("xapi7", TOLD).await;
    sim.switch.refuse_flows("xapi7", true);
    sim.switch.lose_flows("xapi7");
    sim.switch.run_vsctl("remove Bridge xapi7 external_ids ovstunnel-topology-0").unwrap();
    sim.switch.run_vsctl("set Port plain protected=false").unwrap();
    sim.switch.lose_flows("plain");
    let report = sim.reconcile().await;
    assert!(!report["failed"].as_array().unwrap().is_empty(), "{report}");
    sim.until_flows("plain", 6).await;
    sim.switch.refuse_flows("xapi7", false);
    sim.reconcile().await;
    sim.until_flows("xapi7", TOLD).await;
}

#[tokio::test]
async fn a_daemon_that_starts_anew_knows_the_vpc_from_the_switch() {
    let sim = host_1().await;
    tell(&sim, "network_topology", 4, &topology(&[1, 2])).await;
    tell(&sim, "routing_policies", 2, &policies()).await;
    let before = sim.bridge("xapi7").await;
    let switch = sim.switch.clone();
    drop(sim.router);
    sim.writer.abort();
    switch.set_running(false);
    switch.set_running(true);
    let again = Sim::over(switch).await;
    let count = before["flows"]["expected"].as_u64().unwrap();
    again.until_flows("xapi7", count).await;
    assert_eq!(again.bridge("xapi7").await["vpc"], before["vpc"]);
    assert!(tell(&again, "network_topology", 4, &topology(&[1])).await.contains("ignored"));
}

#[tokio::test]
async fn what_is_improper_is_named_and_changes_nothing() {
    let sim = host_1().await;
    let commits = sim.switch.commits();
    let improper = "FAILURE:IMPROPER_JSON_CONFG_FILE ";
    for (config, words) in [
        ("{".to_owned(), "config must be JSON"),
        ("{}".to_owned(), "vpc is required"),
        ("[]".to_owned(), "config must be an object"),
        (json!({"vpc": {"cidr": "10.1.0.0/16; rm -rf /", "tiers": [], "vms": []}}).to_string(), "vpc.cidr must be"),
        (json!({"VPC": {}}).to_string(), "vpc is required"),
    ] {
        let arguments = json!({"bridge": "xapi7", "config": config, "host-id": "1", "seq-no": "9"});
        let answer = call(&sim, "configure_ovs_bridge_for_network_topology", arguments).await;
        assert!(answer.starts_with(&format!("{improper}{words}")), "{answer}");
    }
    let good = topology(&[1]).to_string();
    for (bridge, sequence, words) in [
        ("nowhere", "1", "FAILURE:NO_BRIDGE "),
        ("xapi7", "-1", "FAILURE:INVALID_ARGUMENT seq-no must be"),
        ("xapi7", "", "FAILURE:INVALID_ARGUMENT seq-no is required"),
        ("../x", "1", "FAILURE:INVALID_ARGUMENT bridge must"),
    ] {
        let arguments = json!({"bridge": bridge, "config": good, "host-id": "1", "seq-no": sequence});
        let answer = call(&sim, "configure_ovs_bridge_for_network_topology", arguments).await;
        assert!(answer.starts_with(words), "{answer}");
    }
    let mut huge = topology(&[1]);
    let nic = huge["vpc"]["vms"][0]["nics"][0].clone();
    huge["vpc"]["vms"][0]["nics"] = json!(vec![nic; 7900]);
    let answer = tell(&sim, "network_topology", 9, &huge).await;
    assert!(answer.starts_with("FAILURE:INVALID_ARGUMENT config must be small enough to be recorded"), "{answer}");
    let plain = json!({"bridge": "xapi8", "key": "1001", "xs_nw_uuid": NETWORK, "cs_host_id": "1"});
    let answer = call(&sim, "setup_ovs_bridge_for_distributed_routing", plain).await;
    assert!(answer.starts_with("FAILURE:INVALID_ARGUMENT key is that of a plain network"), "{answer}");
    assert_eq!(sim.switch.commits(), commits);
}

/// As today's server sends them: an ACL that two tiers share stands there once for each of them.
#[tokio::test]
async fn a_shared_acl_and_its_change_are_applied() {
    let sim = host_1().await;
    tell(&sim, "network_topology", 1, &topology(&[1, 2])).await;
    let shared = |action: &str| {
        let item = |number: u32, direction: &str| {
            json!({"number": number, "uuid": "u", "action": action, "direction": direction, "protocol": "all",
                "sourcecidrs": ["0.0.0.0/0"]})
        };
        let acl = json!({"id": "default", "aclitems": [item(1, "ingress"), item(2, "egress")]});
        let tier = |n: u32| json!({"id": uuid(n), "cidr": format!("10.1.{n}.1/24"), "aclid": "default"});
        json!({"vpc": {"cidr": "10.1.0.1/16", "id": "7", "tiers": [tier(1), tier(2)], "acls": [acl, acl]}})
    };
    assert_eq!(tell(&sim, "routing_policies", 1, &shared("allow")).await, "SUCCESS: policies 1 of xapi7 was applied");
    sim.until_flows("xapi7", TOLD + 4).await;
    assert_eq!(tell(&sim, "routing_policies", 2, &shared("deny")).await, "SUCCESS: policies 2 of xapi7 was applied");
    sim.until_flows("xapi7", TOLD + 4).await;
    assert_eq!(sim.bridge("xapi7").await["vpc"]["policies_sequence"], 2);
    let mut unequal = shared("allow");
    unequal["vpc"]["acls"][1]["aclitems"][0]["action"] = json!("deny");
    let answer = tell(&sim, "routing_policies", 3, &unequal).await;
    let told = "FAILURE:IMPROPER_JSON_CONFG_FILE vpc.acls[1].id must not stand twice with different aclitems";
    assert!(answer.starts_with(told), "{answer}");
}
