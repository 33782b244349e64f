//! What must hold on each switch and each datapath, in little time: this runs on the versions of Open vSwitch that
//! `scripts/setup switches` fetches, and on the kernel datapath in the slow machine of `scripts/kernel`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_api::{HealthState, Ipv6Policy, Level, TunnelKind};
use ovstunnel_e2e::{Away, Cloud, Network, NodeConfig, Place};
use ovstunnel_lab::{Datapath, Host, Probe, Vm, VmSpec, unhurried, wait_until};

use crate::answers::answered_and_withdrawn;
use crate::answers_discovery::solicited_and_withdrawn;
use crate::kind_changes::changes_though_switches_die;

const SOON: Duration = Duration::from_secs(20);

#[test]
fn each_class_of_frame_comes_exactly_once() -> Result<()> {
    let cloud = Cloud::new("class", 3)?;
    println!("{}", cloud.lab().switch());
    let (open, closed) = (Network::numbered(1, Ipv6Policy::Allow), Network::numbered(2, Ipv6Policy::Drop));
    let mut vms: Vec<Vec<Vm>> = Vec::new();
    for (network, first) in [(&open, 0), (&closed, 10)] {
        cloud.mesh(network, &[1, 2, 3])?;
        vms.push((1..=3).map(|n| cloud.plug(network, n.into(), first + n)).collect::<Result<_>>()?);
    }
    cloud.lab().announce_all()?;
    let mut probes = cloud.lab().every_flooded_kind();
    for vms in &vms {
        let pairs = vms.iter().flat_map(|from| vms.iter().map(move |to| (from, to)));
        probes.extend(pairs.filter(|(a, b)| a.name() != b.name()).map(|(from, to)| Probe::new(from, to.as_target())));
    }
    for delivery in cloud.lab().deliver_all(&probes)? {
        let dropped = delivery.kind.is_ipv6() && vms[1].iter().any(|vm| *vm.name() == *delivery.from);
        if dropped { delivery.expect_nowhere()? } else { delivery.expect_once()? }
    }
    println!("{} frames", probes.len());
    cloud.lab().expect_no_duplicates()
}

/// In userspace nothing is forwarded without `ovs-vswitchd`; the kernel goes on with the flows that it has.
#[test]
fn nothing_is_doubled_while_vswitchd_is_away_and_comes_back() -> Result<()> {
    let away = Away::begin("away")?;
    let host = away.place.host()?;
    host.kill_vswitchd();
    away.expect_cached_flows_alone("SIGKILL")?;
    away.comes_back(Host::start_vswitchd)?;
    host.stop_vswitchd()?;
    away.expect_cached_flows_alone("SIGTERM")?;
    away.comes_back(Host::start_vswitchd)?;
    away.end()
}

#[test]
fn a_kind_changes_though_its_switches_die() -> Result<()> {
    let place = Place::new("kinddies", NodeConfig::default())?;
    changes_though_switches_die(&place, TunnelKind::Vxlan)?;
    place.cloud.lab().expect_no_duplicates()
}

#[test]
fn a_known_address_is_answered_and_withdrawn() -> Result<()> {
    answered_and_withdrawn("known")
}

#[test]
fn a_known_ipv6_address_is_answered_and_withdrawn() -> Result<()> {
    solicited_and_withdrawn("known6")
}

/// Each is done by `ovs-vsctl` or `ovs-ofctl` on the first host.
const HARM: [&[&str]; 4] = [
    &["ovs-ofctl", "del-flows", "xapi1"],
    &["ovs-vsctl", "set", "Port", "t1001-1-2", "protected=false", "--", "set", "Port", "xapi1", "protected=false"],
    &["ovs-vsctl", "set", "Interface", "t1001-1-3", "options:key=77"],
    &["ovs-vsctl", "del-port", "t1001-1-2"],
];

/// What `doctor` rightly says of any host of the lab: certificates of 30 days, no installed rule of udev, VIFs of 1500 bytes.
const SO_IN_THE_LAB: [&str; 3] = ["certificate", "udev_rule", "mtu"];

/// That `doctor` finds nothing else and every bridge is told as well, once what has just been done has been looked at.
fn expect_no_alarm(place: &Place) -> Result<()> {
    wait_until("a clean bill of health", 3 * SOON, || {
        let found = place.cloud.call(1, |client| async move { client.doctor(false).await })??;
        let mut alarms: Vec<_> = found.findings.iter().filter(|finding| finding.level != Level::Ok).collect();
        alarms.retain(|finding| !SO_IN_THE_LAB.contains(&finding.check.as_str()));
        ensure!(alarms.is_empty(), "{alarms:?}");
        let seen = place.cloud.call(1, |client| async move { client.bridges().await })??;
        ensure!(seen.bridges.len() == 1 && seen.bridges[0].health.state == HealthState::Ok, "{:?}", seen.bridges);
        Ok(())
    })
}

/// What a host tells of itself, and that it heals.
#[test]
fn a_good_host_raises_no_alarm_and_a_harmed_one_heals() -> Result<()> {
    let place = Place::new("order", NodeConfig::default())?;
    let host = place.host()?;
    expect_no_alarm(&place)?;
    let below = place.cloud.call(1, |client| async move { client.interface("br-phy").await })??;
    assert_eq!((below.ip, below.mtu, below.max_guest_mtu), (Some(host.ip().to_string()), 1500, 1458));
    for harm in HARM {
        host.run(harm[0], &harm[1..])?;
        if harm[1] == "del-flows" {
            host.ofctl(["add-flow", "xapi1", "priority=0,actions=NORMAL"])?;
        }
        let started = Instant::now();
        place.wait_until_healed().with_context(|| harm.join(" "))?;
        println!("{}: healed, frames counted again after {:?}", harm.join(" "), started.elapsed());
    }
    ensure!(place.metric("ovstunnel_repairs_total{result=\"done\"}")? >= 4.0, "nothing was harmed");
    expect_no_alarm(&place)?;
    place.cloud.lab().expect_no_duplicates()
}

/// Whether a ping with so many bytes of data is answered: 28 more are the guest's IP packet.
fn passes(from: &Vm, to: &Vm, bytes: u16, fragments: &str) -> Result<bool> {
    let mut command = from.command("ping");
    command.args(["-c", "1", "-W", &unhurried(Duration::from_secs(1)).as_secs().to_string(), "-M", fragments, "-s"]);
    command.arg(bytes.to_string()).arg(to.ip().to_string());
    Ok(ovstunnel_lab::output(command, SOON)?.status.success())
}

/// Guests' MTU is 1500 and the network's below, too: what a user sees of GRE's 42 bytes.
#[test]
fn the_largest_guest_mtu_passes_and_no_more() -> Result<()> {
    let cloud = Cloud::new("large", 2)?;
    let network = Network::numbered(1, Ipv6Policy::Allow);
    cloud.mesh(&network, &[1, 2])?;
    let mut ends = Vec::new();
    for number in [1, 2] {
        let spec = VmSpec::numbered(number).network(&network.bridge).mtu(1500);
        let vm = cloud.node(number.into())?.host().plug_vm(&network.bridge, "vif1.0", spec)?;
        cloud.wait_for_rules(&network, number.into())?;
        ends.push(vm);
    }
    let [a, b] = ends.as_slice() else { return Err(anyhow!("two VMs")) };
    a.ping(b.ip(), 3)?.expect_no_loss()?;
    ensure!(passes(a, b, 1458 - 28, "do")?, "a packet of 1458 bytes is lost");
    for (bytes, fragments) in [(1459, "do"), (1459, "dont"), (1500, "do"), (1500, "dont")] {
        let passed = passes(a, b, bytes - 28, fragments)?;
        println!("{bytes} bytes, ping -M {fragments}: passed: {passed}");
        ensure!(!passed, "a packet of {bytes} bytes has passed, {fragments}");
    }
    // Fragments of the outer packet are somebody else's choice: the daemon takes that option away again.
    for number in [1, 2] {
        let (host, other) = (cloud.node(number)?.host(), cloud.node(3 - number)?.host());
        host.add_bridge("plain")?;
        let remote = format!("options:remote_ip={}", other.ip());
        let options = ["type=gre", "options:key=77", "options:df_default=false", &remote];
        host.vsctl([&["add-port", "plain", "g", "--", "set", "Interface", "g"], &options[..]].concat())?;
        host.wait_for_ofport("g")?;
    }
    let spec = |n| VmSpec::numbered(n).network("plain").mtu(1500);
    let c = cloud.node(1)?.host().plug_vm("plain", "vif3.0", spec(3))?;
    let d = cloud.node(2)?.host().plug_vm("plain", "vif4.0", spec(4))?;
    // The switch has made its ports just now.
    wait_until("pings on the plain bridge", SOON, || c.ping(d.ip(), 3)?.expect_no_loss())?;
    let fragmented = passes(&c, &d, 1500 - 28, "do")?;
    println!("{}: df_default=false, 1500 bytes: passed: {fragmented}", cloud.lab().switch());
    ensure!(fragmented == (cloud.lab().switch().datapath() == Datapath::Kernel), "fragments: {fragmented}");
    Ok(())
}
