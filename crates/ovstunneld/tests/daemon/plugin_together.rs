//! Calls of the plugin in flight together, in random orders, over a simulated switch: 2,000 runs of five, each of which must end
//! as some order of its calls would.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::serial::{Call, Outcome, Random, Run, Whose};
use crate::sim::{Sim, ip};
use futures_util::future::join_all;
use serde_json::{Value, json};

const RUNS: u64 = 2_000;

/// No run may take longer, and mostly none takes a hundredth of it.
const BOUND: Duration = Duration::from_secs(10);

const NETWORK: &str = "6f1a9c3e-0b7d-4c58-9c11-3d0f2a5b7e90";
const TIER: &str = "00000000-0000-4000-8000-000000000001";

fn request(run: &Run, call: Call) -> (&'static str, Value) {
    let bridge = run.bridge();
    let update = |number: u64, config: Value| json!({"bridge": bridge, "config": config.to_string(), "host-id": "1", "seq-no": number.to_string()});
    match call {
        Call::Setup if run.vpc => (
            "setup_ovs_bridge_for_distributed_routing",
            json!({"bridge": bridge, "key": "OVS-DR-VPC-Bridge7", "xs_nw_uuid": NETWORK, "cs_host_id": "1"}),
        ),
        Call::Setup => (
            "setup_ovs_bridge",
            json!({"bridge": bridge, "key": "OVSTunnel1001", "xs_nw_uuid": NETWORK, "cs_host_id": "1"}),
        ),
        Call::Destroy => ("destroy_ovs_bridge", json!({"bridge": bridge, "cs_host_id": "1"})),
        Call::Create(to) => {
            let remote_ip = ip(to.into());
            (
                "create_tunnel",
                json!({"bridge": bridge, "remote_ip": remote_ip, "key": "1001", "from": "1", "to": to.to_string()}),
            )
        }
        Call::DestroyTunnel(to) => ("destroy_tunnel", json!({"bridge": bridge, "in_port": format!("t1001-1-{to}")})),
        Call::Topology(number) => {
            let tier = json!({"grekey": 1001, "networkuuid": TIER, "gatewayip": "10.1.1.254", "gatewaymac": "02:00:00:00:01:fe", "cidr": "10.1.1.0/24"});
            let config = json!({"vpc": {"cidr": "10.1.0.0/16", "hosts": [], "tiers": [tier], "vms": []}});
            ("configure_ovs_bridge_for_network_topology", update(number, config))
        }
        Call::Policies(number) => {
            let config = json!({"vpc": {"cidr": "10.1.0.0/16", "id": "7", "tiers": [{"id": TIER, "cidr": "10.1.1.0/24", "aclid": null}], "acls": []}});
            ("configure_ovs_bridge_for_routing_policies", update(number, config))
        }
    }
}

async fn call(sim: &Sim, run: &Run, call: Call) -> String {
    let (function, arguments) = request(run, call);
    let answer = sim.ask("POST", &format!("/v1/plugin/{function}"), Some(arguments)).await.expect(200);
    answer["value"].as_str().unwrap().to_owned()
}

/// The calls at once, each after so many turns of the others.
async fn together(sim: &Sim, run: &Run, random: &mut Random) -> Vec<String> {
    let calls = run.together.iter().map(|it| {
        let (late, it) = (random.below(12), *it);
        async move {
            for _ in 0..late {
                tokio::task::yield_now().await;
            }
            call(sim, run, it).await
        }
    });
    join_all(calls).await
}

async fn outcome(sim: &Sim, run: &Run) -> Outcome {
    let answer = sim.get(&format!("/v1/bridges/{}", run.bridge())).await;
    let empty = Outcome { bridge: Whose::Nobodys, tunnels: BTreeSet::new(), last: (None, None), listed: None };
    if answer.status == 404 {
        let there = answer.body["detail"].as_str().unwrap().contains("is there, but not managed");
        return Outcome { bridge: if there { Whose::Xapis } else { Whose::Nobodys }, ..empty };
    }
    let bridge = answer.expect(200);
    let to = |tunnel: &Value| tunnel["to"].as_str().unwrap().parse().unwrap();
    Outcome {
        bridge: Whose::Ours,
        tunnels: bridge["tunnels"].as_array().unwrap().iter().map(to).collect(),
        last: (bridge["vpc"]["topology_sequence"].as_u64(), bridge["vpc"]["policies_sequence"].as_u64()),
        listed: None,
    }
}

#[tokio::test]
async fn calls_in_flight_together_end_as_some_order_of_them_would() {
    let mut longest = Duration::ZERO;
    let sim = Sim::new().await;
    for number in 0..RUNS {
        let mut run = Run::numbered(number);
        // Of a bridge that xapi made only xapi knows that it is a VPC's.
        run.by_xapi &= !run.vpc;
        let mut random = Random::new(number);
        if run.by_xapi {
            sim.switch.run_vsctl(&format!("add-br {}", run.bridge())).unwrap();
        }
        for it in &run.before {
            call(&sim, &run, *it).await;
        }
        let begun = Instant::now();
        let answers = together(&sim, &run, &mut random).await;
        longest = longest.max(begun.elapsed());
        let outcome = outcome(&sim, &run).await;
        assert!(run.has_an_order(&answers, &outcome), "run {number}: {run:?}\n{answers:#?}\n{outcome:?}");
        call(&sim, &run, Call::Destroy).await;
        let gone = sim.switch.run_vsctl(&format!("del-br {}", run.bridge()));
        assert_eq!(gone.is_ok(), run.by_xapi, "what xapi made stays, what we made goes");
    }
    assert!(longest < BOUND, "{longest:?}");
}
