//! The manager sees: hosts that run already are pointed at, each fault planted on one of them is named, and none is touched.

use std::time::Duration;

use anyhow::{Result, ensure};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_e2e::{Cloud, Network, NodeConfig, Zone};
use ovstunnel_lab::{Kind, unhurried, wait_until};

const NETWORK: &str = "key-1001";

const PATIENCE: Duration = Duration::from_secs(30);

/// Four hosts with a mesh among them, and a VM on each.
pub(crate) fn cloud(tag: &str) -> Result<(Cloud, Network)> {
    let cloud = Cloud::with_config(tag, 4, NodeConfig { reconcile_interval: "2s".into(), ..NodeConfig::default() })?;
    let network = Network::numbered(1, Ipv6Policy::Allow);
    cloud.mesh(&network, &[1, 2, 3, 4])?;
    (1..=4).try_for_each(|n| cloud.plug(&network, n.into(), n).map(drop))?;
    Ok((cloud, network))
}

fn expect_frames_once(cloud: &Cloud) -> Result<()> {
    let probes = cloud.lab().every_flooded_kind();
    cloud.lab().deliver_all(&probes)?.iter().try_for_each(|delivery| delivery.expect_once())
}

#[test]
fn each_fault_on_a_host_is_named_and_nothing_is_touched() -> Result<()> {
    let (cloud, network) = cloud("zone")?;
    let zone = Zone::new(&cloud)?;
    zone.add_all(&cloud)?;
    zone.wait_until_whole(&cloud, NETWORK)?;
    let vms = cloud.lab().vms();
    let streams: Vec<_> = vms
        .iter()
        .map(|vm| cloud.lab().stream(vm, &Kind::FLOODED, unhurried(Duration::from_millis(20))))
        .collect::<Result<_>>()?;

    // A flow of somebody else that drops what comes by tunnels.
    let host = cloud.node(1)?.host().clone();
    host.ofctl(["add-flow", &network.bridge, "cookie=0x77,priority=2000,tun_id=1001,actions=drop"])?;
    zone.wait_for_finding(&cloud, NETWORK, ("unhealthy", "h1", None))?;
    host.ofctl(["del-flows", &network.bridge, "cookie=0x77/-1"])?;
    zone.wait_until_whole(&cloud, NETWORK)?;

    // The device below a host's tunnels takes smaller packets than those of the others.
    let host = cloud.node(4)?.host().clone();
    host.vsctl(["set", "Interface", "br-phy", "mtu_request=1400"])?;
    zone.wait_for_finding(&cloud, NETWORK, ("mtu_mixed", "h4", None))?;
    host.vsctl(["remove", "Interface", "br-phy", "mtu_request", "1400"])?;
    host.vsctl(["set", "Interface", "br-phy", "mtu_request=1500"])?;
    zone.wait_until_whole(&cloud, NETWORK)?;

    // A daemon that hangs or is killed; a tunnel goes meanwhile, which is seen when it is back.
    let node = cloud.node(2)?;
    node.kill();
    zone.wait_for_finding(&cloud, NETWORK, ("host_silent", "h2", None))?;
    node.host().vsctl(["del-port", &network.bridge, "t1001-2-4"])?;
    node.start()?;
    zone.wait_for_finding(&cloud, NETWORK, ("tunnel_missing", "h2", Some("h4")))?;
    cloud.join(&network, 2, &[1, 2, 3, 4])?;
    zone.wait_until_whole(&cloud, NETWORK)?;

    // The address at which a host's tunnels end is another one.
    let host = cloud.node(3)?.host().clone();
    host.run(
        "sh",
        ["-ec", "ip link add lab0 type veth peer name lab1; ip addr add 198.51.100.3/24 dev lab0; ip link set lab0 up"],
    )?;
    zone.add_host(&cloud, 3, Some("lab0"))?;
    zone.wait_for_finding(&cloud, NETWORK, ("wrong_address", "h1", Some("h3")))?;
    host.run("sh", ["-ec", "ip addr del 198.51.100.3/24 dev lab0; ip addr add 198.51.100.33/24 dev lab0"])?;
    wait_until("the new address", PATIENCE, || {
        let host = zone.ask(&cloud, |client| async move { client.host("h3").await })?;
        ensure!(host.ip.as_deref() == Some("198.51.100.33"), "{host:?}");
        Ok(())
    })?;
    zone.add_host(&cloud, 3, None)?;
    zone.wait_until_whole(&cloud, NETWORK)?;

    // A label that names nothing is one sentence.
    zone.add_host(&cloud, 3, Some("nothing"))?;
    wait_until("the label to be refused", PATIENCE, || {
        let host = zone.ask(&cloud, |client| async move { client.host("h3").await })?;
        ensure!(host.troubles.first().is_some_and(|trouble| trouble.kind == "label_unknown"), "{host:?}");
        Ok(())
    })?;
    zone.add_host(&cloud, 3, None)?;
    zone.wait_until_whole(&cloud, NETWORK)?;

    for stream in streams {
        stream.stop()?.expect_no_duplicates()?;
    }
    expect_frames_once(&cloud)?;
    zone.expect_untouched(&cloud)?;
    zone.stop()
}

#[test]
fn a_manager_that_is_killed_says_the_same_when_it_is_back() -> Result<()> {
    let (cloud, network) = cloud("zonekill")?;
    let zone = Zone::new(&cloud)?;
    zone.add_all(&cloud)?;
    zone.wait_until_whole(&cloud, NETWORK)?;
    zone.kill();
    cloud.call(4, |client| async move { client.delete_tunnel("xapi1", "t1001-4-1").await })??;
    zone.start(&cloud)?;
    zone.wait_for_finding(&cloud, NETWORK, ("tunnel_missing", "h4", Some("h1")))?;
    let events = zone.ask(&cloud, |client| async move {
        client.events(&ovstunnel_client::EventsWanted { kind: Some("host_added".into()), ..Default::default() }).await
    })?;
    ensure!(events.events.len() == 4, "what was registered before it was killed is remembered: {events:?}");
    // A host that nobody reaches is silent; the others are still told of.
    cloud.node(3)?.host().isolate()?;
    zone.wait_for_finding(&cloud, NETWORK, ("host_silent", "h3", None))?;
    cloud.node(3)?.host().rejoin()?;
    cloud.join(&network, 4, &[1, 2, 3, 4])?;
    zone.wait_until_whole(&cloud, NETWORK)?;
    zone.expect_untouched(&cloud)
}
