//! What switches tell without a probe, to a manager that only looks: counters of both ends that differ, and packets that no tunnel is for.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovstunnel_api::{Ipv6Policy, Level};
use ovstunnel_client::FaultsWanted;
use ovstunnel_e2e::{Cloud, Network, Zone};
use ovstunnel_lab::{Vm, wait_until};
use ovstunnel_manager_api::{Fault, StepResult};

const PATIENCE: Duration = Duration::from_secs(120);

/// Open vSwitch tells its database of counters every 5 s, and a round must be twice as long.
const EVERY: u32 = 10;

fn wait_for_faults(cloud: &Cloud, zone: &Zone, wanted: &[&str]) -> Result<Vec<Fault>> {
    wait_until(format!("the faults {wanted:?}"), PATIENCE, || {
        let list = zone.ask(cloud, |client| async move { client.faults(&FaultsWanted::default()).await })?;
        let ids: Vec<&str> = list.faults.iter().map(|fault| fault.id.as_str()).collect();
        ensure!(ids == wanted, "{list:#?}");
        Ok(list.faults)
    })
}

/// Has the daemon of a host find the log of its `ovs-vswitchd` where a package would have it.
fn show_log(cloud: &Cloud, number: usize) -> Result<()> {
    let node = cloud.node(number)?;
    let logs = node.false_root().join("var/log/openvswitch");
    fs::create_dir_all(&logs)?;
    for folder in ["sys", "proc"] {
        symlink(format!("/{folder}"), node.false_root().join(folder))?;
    }
    symlink(node.host().rundir().join("ovs-vswitchd.log"), logs.join("ovs-vswitchd.log"))?;
    node.stop()?;
    node.start()?;
    cloud.wait_until_ready(number)
}

/// What the doctor of a host says of packets that no tunnel is for.
fn unexpected(cloud: &Cloud, number: usize) -> Result<(Level, String)> {
    let answer = cloud.call(number, |client| async move { client.doctor(false).await })??;
    let found = answer.findings.into_iter().find(|finding| finding.check == "unexpected_packets");
    found.map(|finding| (finding.level, finding.reason)).context("no such check")
}

/// Hosts 1 and 2 of three have a network with a VM on each, and a manager looks at these two.
fn two_of_three(tag: &str) -> Result<(Cloud, Network, Vec<Vm>, Zone)> {
    let cloud = Cloud::new(tag, 3)?;
    let network = Network::numbered(1, Ipv6Policy::Drop);
    cloud.mesh(&network, &[1, 2])?;
    let vms = (1..=2).map(|n| cloud.plug(&network, n.into(), n)).collect::<Result<Vec<_>>>()?;
    (1..=2).try_for_each(|number| show_log(&cloud, number))?;
    let zone = Zone::new(&cloud)?;
    zone.count_every(EVERY);
    zone.kill();
    zone.start(&cloud)?;
    (1..=2).try_for_each(|number| zone.add_host(&cloud, number, None))?;
    zone.wait_until_whole(&cloud, "key-1001")?;
    Ok((cloud, network, vms, zone))
}

#[test]
fn packets_sent_and_never_counted_are_a_fault_without_a_probe() -> Result<()> {
    let (cloud, _, vms, zone) = two_of_three("counters")?;
    let ping = vms[0].start_ping(vms[1].ip(), Duration::from_millis(100))?;

    // GRE packets from host 1 to host 2 get lost on the way.
    let (one, two) = (cloud.node(1)?.host(), cloud.node(2)?.host());
    let drop_it = format!("cookie=0x77,priority=65000,ip,nw_proto=47,nw_src={},actions=drop", one.ip());
    two.ofctl(["add-flow", "br-phy", &drop_it])?;
    let faults = wait_for_faults(&cloud, &zone, &["direction:key-1001:h1:h2"])?;
    ensure!(
        faults[0].what.as_deref() == Some("counters") && faults[0].evidence.contains("none has arrived"),
        "{faults:?}"
    );
    ensure!(faults[0].commands[0].run == "ovstunnelctl zone why h1 h2 --network key-1001", "{faults:?}");
    let path = zone.ask(&cloud, |client| async move { client.path("h2", "h1", Some("key-1001")).await })?;
    let step = path.steps.iter().find(|step| step.check == "counters").with_context(|| format!("{path:#?}"))?;
    ensure!(step.result == StepResult::Fail && step.host.as_deref() == Some("h1"), "{step:?}");
    two.ofctl(["del-flows", "br-phy", "cookie=0x77/-1"])?;
    wait_for_faults(&cloud, &zone, &[])?;
    ping.stop()?;
    zone.expect_untouched_on(&cloud, [cloud.node(1)?, cloud.node(2)?])?;
    zone.stop()
}

#[test]
fn packets_without_a_tunnel_are_a_fault_that_names_the_sender() -> Result<()> {
    let (cloud, network, vms, zone) = two_of_three("unexpected")?;
    // A host that nobody has registered believes that it is of the mesh.
    ensure!(unexpected(&cloud, 1)?.0 == Level::Ok, "{:?}", unexpected(&cloud, 1)?);
    cloud.join(&network, 3, &[1, 2, 3])?;
    let third = cloud.plug(&network, 3, 3)?;
    let _ping = third.start_ping(vms[0].ip(), Duration::from_millis(200))?;
    let faults = wait_for_faults(&cloud, &zone, &["frames_unexpected:key-1001:h1", "frames_unexpected:key-1001:h2"])?;
    let stray = cloud.node(3)?.host().ip().to_string();
    ensure!(faults[0].evidence.starts_with(&format!("{stray}, which is no registered host's address")), "{faults:?}");
    let (level, reason) = unexpected(&cloud, 1)?;
    ensure!(level == Level::Warn && reason.starts_with(&format!("{stray} sends packets with key 1001")), "{reason}");
    // What has a tunnel is expected, though the log has told of it a moment ago.
    zone.add_host(&cloud, 3, None)?;
    cloud.mesh(&network, &[1, 2, 3])?;
    wait_for_faults(&cloud, &zone, &[])?;
    ensure!(unexpected(&cloud, 1)?.0 == Level::Ok);
    zone.expect_untouched(&cloud)?;
    zone.stop()
}
