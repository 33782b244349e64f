//! Calls of the plugin in flight together, in random orders, on a real switch and with xapi's list: each run must end as some
//! order of its calls would.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use crate::serial::{Call, Outcome, Random, Run, Whose};
use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_e2e::{Cloud, NodeConfig, Plugin, Pool, network_uuid};
use serde_json::json;

const RUNS: u64 = 50;

/// No run of five calls may take longer.
const BOUND: Duration = Duration::from_secs(20);

const TIER: &str = "00000000-0000-4000-8000-000000000001";

fn request(run: &Run, call: Call) -> (&'static str, Vec<(&'static str, String)>) {
    let text = str::to_owned;
    let of = |rest: Vec<(&'static str, String)>| [vec![("bridge", text(run.bridge()))], rest].concat();
    let update = |number: u64, config: serde_json::Value| {
        of(vec![("config", config.to_string()), ("host-id", text("1")), ("seq-no", number.to_string())])
    };
    match call {
        Call::Setup => {
            let (function, key, n) = match run.vpc {
                true => ("setup_ovs_bridge_for_distributed_routing", "OVS-DR-VPC-Bridge7", 7),
                false => ("setup_ovs_bridge", "OVSTunnel1001", 1),
            };
            let rest = vec![("key", text(key)), ("xs_nw_uuid", network_uuid(n)), ("cs_host_id", text("1"))];
            (function, of(rest))
        }
        Call::Destroy => ("destroy_ovs_bridge", of(vec![("cs_host_id", text("1"))])),
        Call::Create(to) => {
            let remote = format!("192.0.2.{to}");
            let rest = vec![("remote_ip", remote), ("key", text("1001")), ("from", text("1")), ("to", to.to_string())];
            ("create_tunnel", of(rest))
        }
        Call::DestroyTunnel(to) => ("destroy_tunnel", of(vec![("in_port", format!("t1001-1-{to}"))])),
        Call::Topology(number) => {
            let tier = json!({"grekey": 1001, "networkuuid": TIER, "gatewayip": "10.1.1.254", "gatewaymac": "02:00:00:00:01:fe",
                "cidr": "10.1.1.0/24"});
            let config = json!({"vpc": {"cidr": "10.1.0.0/16", "hosts": [], "tiers": [tier], "vms": []}});
            ("configure_ovs_bridge_for_network_topology", update(number, config))
        }
        Call::Policies(number) => {
            let tier = json!({"id": TIER, "cidr": "10.1.1.0/24", "aclid": null});
            let config = json!({"vpc": {"cidr": "10.1.0.0/16", "id": "7", "tiers": [tier], "acls": []}});
            ("configure_ovs_bridge_for_routing_policies", update(number, config))
        }
    }
}

fn call(plugin: &Plugin, run: &Run, it: Call) -> Result<String> {
    let (function, arguments) = request(run, it);
    let arguments: Vec<(&str, &str)> = arguments.iter().map(|(name, value)| (*name, value.as_str())).collect();
    plugin.call(function, &arguments)
}

/// All calls, each from a process of its own, a few milliseconds apart at most.
fn together(plugin: &Plugin, run: &Run, random: &mut Random) -> Result<Vec<String>> {
    let late: Vec<u64> = run.together.iter().map(|_| random.below(8)).collect();
    thread::scope(|scope| {
        let calls = run.together.iter().zip(late).map(|(it, late)| {
            scope.spawn(move || {
                thread::sleep(Duration::from_millis(late));
                call(plugin, run, *it)
            })
        });
        let calls: Vec<_> = calls.collect();
        calls.into_iter().map(|call| call.join().map_err(|_| anyhow!("a call panicked"))?).collect()
    })
}

/// What the switch itself and xapi say, without the daemon.
fn outcome(cloud: &Cloud, pool: &Pool, run: &Run) -> Result<Outcome> {
    let (host, bridge) = (cloud.node(1)?.host(), run.bridge());
    let listed = Some(pool.hosts(if run.vpc { 7 } else { 1 })?.contains(&"1".to_owned()));
    let mut outcome = Outcome { bridge: Whose::Nobodys, tunnels: BTreeSet::new(), last: (None, None), listed };
    if !host.vsctl(["list-br"])?.lines().any(|name| name == bridge) {
        return Ok(outcome);
    }
    let get = |column: &str| host.vsctl(["--if-exists", "get", "Bridge", bridge, column]);
    let ids = get("external_ids")?;
    let ours = ids.contains("ovstunnel-key") || ids.contains("ovstunnel-vpc");
    outcome.bridge = if ours { Whose::Ours } else { Whose::Xapis };
    let number = |key: &str| -> Result<Option<u64>> {
        let text = get(&format!("other_config:{key}"))?;
        Ok(text.trim().trim_matches('"').parse().ok())
    };
    outcome.last = (number("topology-update-sequence-number")?, number("route-policy-update-sequence-number")?);
    for port in host.vsctl(["list-ports", bridge])?.lines().filter(|port| port.starts_with('t')) {
        outcome.tunnels.insert(port.rsplit('-').next().context("a name")?.parse()?);
    }
    Ok(outcome)
}

#[test]
fn calls_in_flight_together_end_as_some_order_of_them_would() -> Result<()> {
    let pool = Pool::new(1, 7, "lo")?;
    pool.set_label(7, "OVS-DR-VPC-Bridge7")?;
    let cloud =
        Cloud::with_config("together", 1, NodeConfig { pool: Some(pool.path().to_owned()), ..NodeConfig::default() })?;
    let (host, plugin) = (cloud.node(1)?.host(), Plugin::on(cloud.node(1)?)?);
    for number in 0..RUNS {
        let (run, mut random) = (Run::numbered(number), Random::new(number));
        if run.by_xapi {
            host.vsctl(["add-br", run.bridge(), "--", "set", "Bridge", run.bridge(), "datapath_type=netdev"])?;
        }
        run.before.iter().try_for_each(|it| call(&plugin, &run, *it).map(drop))?;
        let begun = Instant::now();
        let answers = together(&plugin, &run, &mut random)?;
        ensure!(begun.elapsed() < BOUND, "run {number} took {:?}", begun.elapsed());
        let outcome = outcome(&cloud, &pool, &run)?;
        ensure!(run.has_an_order(&answers, &outcome), "run {number}: {run:?}\n{answers:#?}\n{outcome:?}");
        call(&plugin, &run, Call::Destroy)?;
        host.vsctl(["--if-exists", "del-br", run.bridge()])?;
    }
    ensure!(cloud.node(1)?.errors().is_empty(), "{:?}", cloud.node(1)?.errors());
    Ok(())
}
