//! A zone's manager and its epoch on a real switch: what a replaced leader still sends writes nothing, the record outlives the daemon, and
//! removals by the xapi plugin are left to a manager for as long as it acts.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovstunnel_api::{ClaimSays, Code, Epoch, Outcome, PluginArguments, WatchEvent};
use ovstunnel_client::{Client, Watch};
use ovstunnel_e2e::{Cloud, database_file, network_uuid, problem, program, tunnels_to};
use ovstunnel_lab::{Host, output};

const ZONE: &str = "9d3c1b52-8a4e-4f0b-a2c7-5e6f1d0b7a31";
const OTHER: &str = "8d3c1b52-8a4e-4f0b-a2c7-5e6f1d0b7a31";
const PATIENCE: Duration = Duration::from_secs(60);

fn epoch(zone: &str, number: u64) -> Result<Epoch> {
    Ok(format!("{zone}:{number}").parse()?)
}

/// What the switch has, as anybody can ask it.
fn in_switch(host: &Host) -> Result<String> {
    Ok(host.vsctl(["get", "Open_vSwitch", ".", "external_ids:ovstunnel-epoch"])?.trim().to_owned())
}

fn restart(cloud: &Cloud) -> Result<()> {
    let node = cloud.node(1)?;
    node.kill();
    node.start()?;
    cloud.wait_until_ready(1)
}

#[test]
fn a_replaced_leader_writes_nothing_also_after_a_daemon_restart() -> Result<()> {
    let cloud = Cloud::new("epoch", 1)?;
    let host = cloud.node(1)?.host().clone();
    let (fourth, fifth, other) = (epoch(ZONE, 4)?, epoch(ZONE, 5)?, epoch(OTHER, 9)?);
    let put = move |client: Client| async move {
        client.under_epoch(fourth).put_bridge("xapi1", &tunnels_to(1001, &[2])).await
    };
    ensure!(cloud.call(1, put)??.outcome == Outcome::Created);
    ensure!(in_switch(&host)? == format!("\"{fourth}\""), "{}", in_switch(&host)?);
    let recorded = cloud.call(1, move |client| async move { client.record_epoch(fifth).await })??;
    ensure!(recorded.outcome == Outcome::Updated && in_switch(&host)? == format!("\"{fifth}\""));

    for killed in [false, true] {
        if killed {
            restart(&cloud)?;
        }
        let file = database_file(&host)?;
        let gone = move |client: Client| async move { client.under_epoch(fourth).delete_bridge("xapi1").await };
        let stale = problem(cloud.call(1, gone)?, Code::StaleEpoch)?;
        ensure!(stale.recorded.and_then(|recorded| recorded.epoch) == Some(5));
        let gone = move |client: Client| async move { client.under_epoch(other).delete_bridge("xapi1").await };
        problem(cloud.call(1, gone)?, Code::OtherZone)?;
        problem(cloud.call(1, move |client| async move { client.record_epoch(fourth).await })?, Code::StaleEpoch)?;
        ensure!(database_file(&host)? == file, "something was written");
        let state = cloud.call(1, |client| async move { client.epoch().await })??;
        ensure!((state.zone.as_deref(), state.epoch) == (Some(ZONE), Some(5)), "{state:?}");
    }

    let mut clear = host.command(program("ovstunnelctl")?);
    clear.arg("--socket").arg(cloud.node(1)?.socket()).args(["epoch", "clear", "--yes"]);
    let cleared = output(clear, PATIENCE)?;
    ensure!(cleared.status.success(), "{cleared:?}");
    let put = move |client: Client| async move {
        client.under_epoch(other).put_bridge("xapi1", &tunnels_to(1001, &[3])).await
    };
    ensure!(cloud.call(1, put)??.outcome == Outcome::Updated);
    ensure!(in_switch(&host)? == format!("\"{other}\""));
    Ok(())
}

/// A call of the plugin, which must succeed.
fn plugin(cloud: &Cloud, function: &'static str, arguments: &[(&str, &str)]) -> Result<()> {
    let arguments = arguments.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let arguments = PluginArguments(arguments);
    let answer = cloud.call(1, move |client| async move { client.plugin(function, &arguments).await })??;
    ensure!(answer.value.starts_with("SUCCESS"), "{function}: {}", answer.value);
    Ok(())
}

fn set_up(cloud: &Cloud) -> Result<()> {
    let network = network_uuid(1);
    let arguments = [("bridge", "xapi1"), ("key", "1001"), ("xs_nw_uuid", &*network), ("cs_host_id", "1")];
    plugin(cloud, "setup_ovs_bridge", &arguments)?;
    let tunnel = [("bridge", "xapi1"), ("remote_ip", "192.0.2.2"), ("key", "1001"), ("from", "1"), ("to", "2")];
    plugin(cloud, "create_tunnel", &tunnel)
}

fn destroy(cloud: &Cloud) -> Result<()> {
    plugin(cloud, "destroy_tunnel", &[("bridge", "xapi1"), ("in_port", "t1001-1-2")])?;
    plugin(cloud, "destroy_ovs_bridge", &[("bridge", "xapi1"), ("cs_host_id", "1")])
}

/// The ports of the network in the switch, its bridge's own among them.
fn ports(host: &Host) -> Result<Vec<String>> {
    let ports = host.vsctl(["--bare", "--columns=name", "list", "Port"])?;
    let mut ours: Vec<String> = ports.split_whitespace().map(str::to_owned).collect();
    ours.retain(|port| ["t1001-1-2", "xapi1"].contains(&port.as_str()));
    ours.sort();
    Ok(ours)
}

/// Reads on until the bridge's claim is *out*.
async fn until_out(mut watch: Watch) -> Result<Watch> {
    loop {
        let (_, event) = watch.next().await?.context("the watch has ended")?;
        let bridges = match event {
            WatchEvent::Snapshot(snapshot) => snapshot.bridges,
            WatchEvent::Bridge(bridge) => vec![*bridge],
            _ => continue,
        };
        if bridges.iter().any(|bridge| bridge.claim.as_ref().is_some_and(|claim| claim.says == ClaimSays::Out)) {
            return Ok(watch);
        }
    }
}

#[test]
fn what_the_plugin_removes_is_left_to_a_manager_that_acts() -> Result<()> {
    let cloud = Cloud::new("masters", 1)?;
    let (host, leads) = (cloud.node(1)?.host().clone(), epoch(ZONE, 4)?);
    set_up(&cloud)?;
    let watch = cloud.call(1, move |client| async move {
        let client = client.under_epoch(leads);
        client.record_epoch(leads).await?;
        client.watch(None).await
    })??;
    destroy(&cloud)?;
    ensure!(ports(&host)? == ["t1001-1-2", "xapi1"], "{:?}", ports(&host)?);
    let claim = host.vsctl(["get", "Bridge", "xapi1", "external_ids:ovstunnel-claim"])?;
    ensure!(claim.starts_with("\"out "), "{claim}");
    let told = cloud.manager().run(async move { tokio::time::timeout(PATIENCE, until_out(watch)).await });
    let watch = told.context("the manager is not told")??;
    // Which removes it, as any other client may.
    let gone = cloud.call(1, move |client| async move { client.under_epoch(leads).delete_bridge("xapi1").await })??;
    ensure!(gone.outcome == Outcome::Removed && ports(&host)?.is_empty());

    drop(watch);
    restart(&cloud)?;
    set_up(&cloud)?;
    destroy(&cloud)?;
    ensure!(ports(&host)?.is_empty(), "no manager has connected since the daemon was started: {:?}", ports(&host)?);
    Ok(())
}
