//! xapi's side of a VPC's bridge: what its network says, and a bridge that xapi has made anew.

use anyhow::{Context, Result, ensure};
use ovstunnel_e2e::{Cloud, NodeConfig, Plugin, Pool, network_uuid, whole_topology};

const BRIDGE: &str = "xapi1";
const VPC: &str = "OVS-DR-VPC-Bridge7";

/// Makes the bridge anew, without marks, as xapi does after a restart of the host.
fn restart(cloud: &Cloud) -> Result<()> {
    let host = cloud.node(1)?.host();
    host.vsctl(["--if-exists", "del-br", BRIDGE])?;
    host.add_bridge(BRIDGE)
}

fn expect_vpc(cloud: &Cloud) -> Result<()> {
    let bridge = cloud.call(1, |client| async move { client.bridge(BRIDGE).await })??;
    ensure!(bridge.vpc.context("it is no VPC's")?.id == "7" && bridge.key.is_none() && bridge.adopted);
    let mode = cloud.node(1)?.host().vsctl(["get", "Bridge", BRIDGE, "fail_mode"])?;
    ensure!(mode.trim() == "secure", "{mode}");
    Ok(())
}

#[test]
fn a_vpc_bridge_is_taken_up_again_after_a_host_restart() -> Result<()> {
    let pool = Pool::new(1, 1, "lo")?;
    pool.set_label(1, VPC)?;
    let config = NodeConfig { pool: Some(pool.path().to_owned()), ..NodeConfig::default() };
    let cloud = Cloud::with_config("vpcxapi", 1, config)?;
    let plugin = Plugin::on(cloud.node(1)?)?;
    restart(&cloud)?;
    let setup = [("bridge", BRIDGE), ("key", VPC), ("xs_nw_uuid", &network_uuid(1)), ("cs_host_id", "1")];
    plugin.expect("setup_ovs_bridge_for_distributed_routing", &setup, "SUCCESS:xapi1")?;
    expect_vpc(&cloud)?;
    let flag = pool.other_config(1)?.remove("is-ovs-vpc-distributed-vr-network");
    ensure!(flag.as_deref() == Some("True") && pool.hosts(1)? == ["1"], "{:?}", pool.other_config(1)?);

    // The server knows that it was set up, and goes on: with a tunnel of some tier, or without one.
    restart(&cloud)?;
    let tunnel = [("bridge", BRIDGE), ("remote_ip", "192.0.2.9"), ("key", "1002"), ("from", "1"), ("to", "9")];
    plugin.expect("create_tunnel", &tunnel, "SUCCESS:t1002-1-9")?;
    expect_vpc(&cloud)?;
    restart(&cloud)?;
    let config = whole_topology().to_string();
    let update = [("bridge", BRIDGE), ("config", config.as_str()), ("host-id", "1"), ("seq-no", "12")];
    let told = plugin.call("configure_ovs_bridge_for_network_topology", &update)?;
    ensure!(told == "SUCCESS: topology 12 of xapi1 was applied", "{told}");
    expect_vpc(&cloud)?;

    let destroy = [("bridge", BRIDGE), ("cs_host_id", "1")];
    plugin.expect("destroy_ovs_bridge", &destroy, "SUCCESS:xapi1")?;
    let host = cloud.node(1)?.host();
    ensure!(host.vsctl(["get", "Bridge", BRIDGE, "fail_mode"])?.trim() == "[]");
    ensure!(host.vsctl(["get", "Bridge", BRIDGE, "external_ids"])?.trim() == "{}");
    ensure!(pool.hosts(1)?.is_empty());
    Ok(())
}

#[test]
fn an_update_takes_up_no_bridge_that_xapi_is_silent_of() -> Result<()> {
    let pool = Pool::new(1, 1, "lo")?;
    let config = NodeConfig { pool: Some(pool.path().to_owned()), ..NodeConfig::default() };
    let cloud = Cloud::with_config("vpcnone", 1, config)?;
    restart(&cloud)?;
    let config = whole_topology().to_string();
    let update = [("bridge", BRIDGE), ("config", config.as_str()), ("host-id", "1"), ("seq-no", "12")];
    let told = Plugin::on(cloud.node(1)?)?.call("configure_ovs_bridge_for_network_topology", &update)?;
    ensure!(told.starts_with("FAILURE:IN_THE_WAY "), "{told}");
    ensure!(cloud.node(1)?.host().vsctl(["get", "Bridge", BRIDGE, "external_ids"])?.trim() == "{}");
    Ok(())
}
