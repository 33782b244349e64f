//! What cuts VMs off is seen and said plainly: each fault is planted on a real switch, pings really fail where it says so, the
//! remedy that is told is followed as it stands, and all is well again. Nothing is said of a network that is well.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_api::{Bridge, HealthState, Ipv6Policy, Level, PostTunnel, Ready, Reason};
use ovstunnel_e2e::{
    Cloud, Harm, Network, NodeConfig, OF_BRIDGE, OF_HOST, Old, Place, SwitchFault, VpcCloud, tunnel_to,
};
use ovstunnel_lab::{DEADLINE, Host, Kind, VmSpec, run, unhurried, wait_until};

/// For what comes with the next look; how long it does take is printed.
const PATIENCE: Duration = Duration::from_secs(30);

fn shell(host: &Host, command: &str) -> Result<()> {
    host.run("sh", ["-ec", command]).map(drop).with_context(|| command.to_owned())
}

/// The first command of a remedy, as it stands there.
fn follow(host: &Host, reason: &Reason) -> Result<()> {
    let command = reason.remedy.split('`').nth(1).with_context(|| format!("no command: {}", reason.remedy))?;
    shell(host, command)
}

fn bridge(place: &Place) -> Result<Bridge> {
    Ok(place.cloud.call_on_host(1, |client| async move { client.bridge("xapi1").await })??)
}

fn ready(place: &Place) -> Result<Ready> {
    Ok(place.cloud.call_on_host(1, |client| async move { client.readyz().await })??)
}

fn reasons_of_host(place: &Place) -> Result<Vec<Reason>> {
    Ok(ready(place)?.health.context("nothing is said of the host's health")?.reasons)
}

fn wait_until_well(place: &Place) -> Result<()> {
    wait_until("all to be well again", PATIENCE, || {
        let (bridge, ready) = (bridge(place)?, ready(place)?);
        ensure!(bridge.health.state == HealthState::Ok, "{:?}", bridge.health);
        ensure!(ready.ready && ready.health.as_ref().is_some_and(|h| h.state == HealthState::Ok), "{ready:?}");
        Ok(())
    })
}

/// The reason that is told, once it is.
fn wait_for(fault: &SwitchFault, told: impl Fn() -> Result<Vec<Reason>>) -> Result<Reason> {
    wait_longer_for(fault, PATIENCE, told)
}

fn wait_longer_for(fault: &SwitchFault, patience: Duration, told: impl Fn() -> Result<Vec<Reason>>) -> Result<Reason> {
    wait_until(format!("{} to be told", fault.what), patience, || {
        let reasons = told()?;
        let found = reasons.iter().find(|reason| reason.what == fault.what && reason.subject == fault.subject);
        let found = found.with_context(|| format!("{reasons:?}"))?;
        ensure!(found.severity == fault.severity, "{found:?}");
        Ok(found.clone())
    })
}

fn pings(place: &Place) -> Result<bool> {
    Ok(place.vms[0].ping(place.vms[1].ip(), 2)?.received > 0)
}

fn expect_harm(place: &Place, harm: Harm) -> Result<()> {
    match harm {
        Harm::Later => Ok(()),
        Harm::PingFails => wait_until("pings to fail", PATIENCE, || {
            ensure!(!pings(place)?, "they pass");
            Ok(())
        }),
        Harm::Twice => {
            let probes = place.cloud.lab().every_flooded_kind();
            let most = place.cloud.lab().deliver_all(&probes)?.iter().map(|delivery| delivery.max_copies()).max();
            ensure!(most > Some(1), "no frame came twice");
            Ok(())
        }
    }
}

fn seen_and_mended(
    place: &Place,
    fault: &SwitchFault,
    told: impl Fn() -> Result<Vec<Reason>>,
    dead: bool,
) -> Result<()> {
    let host = place.host()?;
    let of_peer = place.vms[1].mac().to_string();
    fault.commands.iter().try_for_each(|command| shell(host, &command.replace("MAC2", &of_peer)))?;
    let reason = wait_for(fault, told)?;
    expect_harm(place, fault.harm)?;
    if dead {
        let ready = ready(place)?;
        ensure!(!ready.ready && ready.reason.is_some(), "{ready:?}");
        let bridge = bridge(place)?;
        let of_bridge = bridge.health.reasons.iter().filter(|reason| reason.what == "underlay").count();
        ensure!(bridge.health.state == HealthState::Failed && of_bridge == 1, "{:?}", bridge.health);
    }
    follow(host, &reason)?;
    // Some of these have Open vSwitch delete all flows.
    place.reconcile()?;
    wait_until_well(place)?;
    wait_until("pings to pass", PATIENCE, || {
        ensure!(pings(place)?, "they fail");
        Ok(())
    })?;
    let harm = match fault.harm {
        Harm::PingFails => "pings failed",
        Harm::Twice => "frames came twice",
        Harm::Later => "told",
    };
    println!("{} ({}): {harm}, mended by its remedy: {}", fault.what, fault.commands.join("; "), reason.remedy);
    Ok(())
}

#[test]
fn what_is_wrong_with_a_bridge_is_told_and_its_remedy_heals() -> Result<()> {
    let place = Place::new("health", NodeConfig::default())?;
    wait_until_well(&place)?;
    for fault in &OF_BRIDGE {
        let told = || Ok(bridge(&place)?.health.reasons);
        seen_and_mended(&place, fault, told, false).with_context(|| fault.commands.join("; "))?;
    }
    place.expect_frames_once()
}

#[test]
fn an_underlay_fault_is_told_once_and_not_ready() -> Result<()> {
    let place = Place::new("hostdead", NodeConfig::default())?;
    wait_until_well(&place)?;
    for fault in &OF_HOST {
        seen_and_mended(&place, fault, || reasons_of_host(&place), true).with_context(|| fault.commands.join("; "))?;
    }
    // The address is gone: nobody but the operator knows it.
    let (host, ip) = (place.host()?, place.host()?.ip());
    let address = host.run("ip", ["-o", "-4", "addr", "show", "dev", "br-phy"])?;
    let address =
        address.split_whitespace().find(|word| word.starts_with(&format!("{ip}/"))).context("no address")?.to_owned();
    shell(host, &format!("ip addr del {address} dev br-phy"))?;
    let gone = SwitchFault::fails("tunnel_address", "192.0.2.2", Harm::PingFails, &[]);
    wait_for(&gone, || reasons_of_host(&place))?;
    expect_harm(&place, Harm::PingFails)?;
    ensure!(!ready(&place)?.ready, "it is ready");
    shell(host, &format!("ip addr add {address} dev br-phy"))?;
    wait_until_well(&place)?;
    wait_until("pings to pass", PATIENCE, || if pings(&place)? { Ok(()) } else { Err(anyhow!("they fail")) })
}

fn expect_well(cloud: &Cloud, number: usize) -> Result<()> {
    wait_until(format!("host {number} to be well"), PATIENCE, || {
        let bridges = cloud.call(number, |client| async move { client.bridges().await })??.bridges;
        ensure!(!bridges.is_empty(), "there is no bridge");
        for bridge in &bridges {
            ensure!(bridge.health.state == HealthState::Ok, "{}: {:?}", bridge.name, bridge.health);
        }
        let ready = cloud.call(number, |client| async move { client.readyz().await })??;
        ensure!(ready.ready && ready.health.as_ref().is_some_and(|h| h.state == HealthState::Ok), "{ready:?}");
        Ok(())
    })
}

#[test]
fn nothing_is_said_of_vpcs_and_taken_over_bridges() -> Result<()> {
    let vpc = VpcCloud::new("hvpc", NodeConfig::default())?;
    (1..=3).try_for_each(|number| expect_well(vpc.cloud(), number))?;
    drop(vpc);
    let old = Old::new("hold", &[], NodeConfig::default())?;
    old.take_over(1)?;
    expect_well(&old.cloud, 1)
}

#[test]
fn snooping_is_off_while_a_bridge_is_ours_and_back_after() -> Result<()> {
    let cloud = Cloud::new("hadopt", 2)?;
    let host = cloud.node(1)?.host().clone();
    host.add_bridge("xapi1")?;
    host.vsctl(["set", "Bridge", "xapi1", "mcast_snooping_enable=true"])?;
    let network = Network::numbered(1, Ipv6Policy::Drop);
    cloud.mesh(&network, &[1, 2])?;
    expect_well(&cloud, 1)?;
    let snooping = || host.vsctl(["get", "Bridge", "xapi1", "mcast_snooping_enable"]);
    ensure!(snooping()?.trim() == "false", "it is still on");
    cloud.call(1, |client| async move { client.delete_bridge("xapi1").await })??;
    ensure!(snooping()?.trim() == "true", "it did not come back");
    ensure!(!host.vsctl(["get", "Bridge", "xapi1", "external_ids"])?.contains("ovstunnel"), "marks are left");
    Ok(())
}

#[test]
fn a_vif_without_a_device_blocks_no_removal() -> Result<()> {
    let cloud = Cloud::new("hdead", 2)?;
    let host = cloud.node(1)?.host().clone();
    cloud.mesh(&Network::numbered(1, Ipv6Policy::Drop), &[1, 2])?;
    shell(&host, "ip link add vif9.0 type veth peer name far9 && ovs-vsctl add-port xapi1 vif9.0")?;
    let remove = || cloud.call(1, |client| async move { client.delete_bridge("xapi1").await });
    let refused = remove()?;
    ensure!(refused.is_err(), "a VIF with a device is in the way: {refused:?}");
    shell(&host, "ip link del vif9.0")?;
    let removed = remove()??;
    ensure!(removed.outcome == ovstunnel_api::Outcome::Removed, "{removed:?}");
    ensure!(!host.vsctl(["list-br"])?.contains("xapi1"), "it is still there");
    Ok(())
}

/// Two VMs of one host with one address, both of which speak all the time: to the switch it looks as a loop does.
#[test]
fn a_loop_is_told_with_its_two_ports() -> Result<()> {
    let place = Place::new("loop", NodeConfig::default())?;
    wait_until_well(&place)?;
    let mut streams = Vec::new();
    for (number, vif) in [(21, "vif21.0"), (22, "vif22.0")] {
        let spec = VmSpec::numbered(number).network(&place.network.bridge).mac("02:aa:00:00:00:21".parse()?);
        let vm = place.host()?.plug_vm(&place.network.bridge, vif, spec)?;
        streams.push(place.cloud.lab().stream(&vm, &Kind::FLOODED, unhurried(Duration::from_millis(5)))?);
    }
    let told = || Ok(bridge(&place)?.health.reasons);
    let fault = SwitchFault::fails("loop", "xapi1", Harm::Later, &[]);
    let named = wait_until("the two ports to be named", PATIENCE, || {
        let reason = wait_for(&fault, told)?;
        let named = ["vif21.0", "vif22.0"].iter().all(|port| reason.evidence.contains(port));
        named.then_some(reason.evidence.clone()).with_context(|| format!("{reason:?}"))
    })?;
    println!("{named}");
    streams.into_iter().try_for_each(|stream| stream.stop().map(drop))?;
    wait_until_well(&place)
}

#[test]
#[ignore = "takes long: scripts/test --long"]
fn a_full_mac_table_is_told_with_the_port_that_fills_it() -> Result<()> {
    let place = Place::new("full", NodeConfig::default())?;
    wait_until_well(&place)?;
    // A VM that speaks by ever more addresses, as one does that wants others' frames to be flooded.
    let speak = "import socket, struct, time
card = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
card.bind(('eth0', 0))
for number in range(56000):
    card.send(b'\\xff' * 6 + b'\\x02\\xaa' + struct.pack('>I', number) + b'\\x88\\xb5' + bytes(46))
    if number % 100 == 0:
        time.sleep(0.002)";
    let told = || {
        let mut command = place.vms[0].command("python3");
        command.args(["-c", speak]);
        run(command, DEADLINE)?;
        Ok(bridge(&place)?.health.reasons)
    };
    let fault = SwitchFault::told("address_table_full", "xapi1", Harm::Later, &[]);
    // A slow machine loses most of these frames, and each time others.
    let reason = wait_longer_for(&fault, 6 * PATIENCE, told)?;
    ensure!(reason.evidence.contains("by port vif1.0") && reason.remedy.contains("vif1.0"), "{reason:?}");
    println!("{}: {}", reason.evidence, reason.remedy);
    ensure!(reason.remedy.ends_with("`ovs-appctl fdb/flush xapi1`"), "{reason:?}");
    shell(place.host()?, "ovs-appctl fdb/flush xapi1")?;
    wait_until_well(&place)
}

/// The kernel has a way, Open vSwitch does not take it: no row and no flow shows that, only a frame that is followed does.
/// `doctor` follows all frames when it is asked, and does not wait for the turn of the daemon, which is a frame a second.
#[test]
fn doctor_follows_frames_and_says_what_ends_them() -> Result<()> {
    let place = Place::new("follow", NodeConfig::default())?;
    let of_frames = || {
        let answer = place.cloud.call_on_host(1, |client| async move { client.doctor(false).await })??;
        anyhow::Ok(answer.findings.into_iter().filter(|finding| finding.check == "trace").collect::<Vec<_>>())
    };
    let well = of_frames()?;
    ensure!(well.iter().all(|finding| finding.level == Level::Ok), "{well:?}");
    shell(place.host()?, "ip route add 198.51.100.0/24 dev br-phy")?;
    let tunnel = PostTunnel { remote_ip: "198.51.100.9".into(), ..tunnel_to(9) };
    place.cloud.call_on_host(1, |client| async move { client.post_tunnel("xapi1", &tunnel).await })??;
    let found = of_frames()?;
    let [finding] = &found[..] else { return Err(anyhow!("{found:#?}")) };
    ensure!(finding.level == Level::Fail, "{finding:?}");
    for part in ["t1001-1-9", "native tunnel routing failed"] {
        ensure!(finding.reason.contains(part), "{part} is not in: {}", finding.reason);
    }
    Ok(())
}
