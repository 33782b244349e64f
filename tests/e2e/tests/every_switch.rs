//! What must hold on each switch and each datapath, in little time: this runs on the versions of Open vSwitch that
//! `scripts/setup switches` fetches, and on the kernel datapath in the slow machine of `scripts/kernel`.

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_e2e::{Cloud, Network, NodeConfig, Place, no_frame_twice};
use ovstunnel_lab::{Datapath, Kind, Pinger, Probe, Vm, VmSpec, unhurried, wait_until};

const SOON: Duration = Duration::from_secs(20);

/// Waits until so many more pings were sent; how many of those were answered.
fn answered_of(pinger: &Pinger, count: u64) -> Result<u64> {
    let before = pinger.report();
    let after = wait_until("pings", SOON, || match pinger.report() {
        now if now.sent >= before.sent + count => Ok(now),
        now => Err(anyhow!("{} of {count} sent", now.sent - before.sent)),
    })?;
    Ok(after.received - before.received)
}

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
    let place = Place::new("away", NodeConfig::default())?;
    let (host, datapath) = (place.host()?, place.cloud.lab().switch().datapath());
    let known = place.vms[0].start_ping(place.vms[1].ip(), unhurried(Duration::from_millis(10)))?;
    let streams = place.streams()?;
    answered_of(&known, 10)?;
    for how in ["SIGKILL", "SIGTERM"] {
        if how == "SIGKILL" {
            host.kill_vswitchd()
        } else {
            host.stop_vswitchd()?
        }
        let answered = answered_of(&known, 50)?;
        println!("{datapath:?}, {how}: {answered} of 50 pings answered while ovs-vswitchd is away");
        match datapath {
            Datapath::Kernel => ensure!(answered >= 40, "cached flows did not go on"),
            Datapath::Userspace => ensure!(answered <= 1, "something was forwarded"),
        }
        let before = known.report();
        host.start_vswitchd()?;
        place.wait_until_healed()?;
        let after = known.report();
        println!(
            "  {} of {} lost while it came back",
            after.sent - before.sent - (after.received - before.received),
            after.sent - before.sent
        );
        wait_until("pings to be answered", SOON, || match answered_of(&known, 10)? {
            // One may be under way.
            9.. => Ok(()),
            few => Err(anyhow!("{few} of 10")),
        })?;
    }
    println!("{}", no_frame_twice(streams)?);
    let report = known.stop()?;
    ensure!(report.duplicates == 0, "{report:?}");
    place.cloud.lab().expect_no_duplicates()
}

/// A path with delay and loss, which only a kernel with `netem` has: late is not twice, and lost is not stormed.
#[test]
fn a_slow_and_lossy_path_doubles_nothing() -> Result<()> {
    let cloud = Cloud::new("netem", 2)?;
    let network = Network::numbered(1, Ipv6Policy::Allow);
    cloud.mesh(&network, &[1, 2])?;
    let (a, b) = (cloud.plug(&network, 1, 1)?, cloud.plug(&network, 2, 2)?);
    let host = cloud.node(1)?.host();
    a.ping(b.ip(), 5)?.expect_no_loss()?;
    if host.run("tc", "qdisc add dev eth0 root netem delay 40ms loss 20%".split(' ')).is_err() {
        // Not a test that is skipped: without the kernel's netem there is no such path.
        ensure!(cloud.lab().switch().datapath() == Datapath::Userspace, "no netem where the kernel datapath is");
        return Ok(());
    }
    let stream = cloud.lab().stream(&a, &Kind::FLOODED, unhurried(Duration::from_millis(10)))?;
    let report = a.ping(b.ip(), 50)?;
    println!("{report:?}");
    ensure!(report.rtt_min >= Duration::from_millis(40), "no delay: {report:?}");
    ensure!(report.received < report.sent && report.received > 0 && report.duplicates == 0, "{report:?}");
    let stream = stream.stop()?;
    stream.expect_no_duplicates()?;
    println!("{stream}");
    host.run("tc", "qdisc del dev eth0 root".split(' '))?;
    let probes = cloud.lab().every_flooded_kind();
    cloud.lab().deliver_all(&probes)?.iter().try_for_each(|delivery| delivery.expect_once())?;
    cloud.lab().expect_no_duplicates()
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
fn a_packet_of_the_largest_mtu_for_guests_passes_and_a_larger_one_does_not() -> Result<()> {
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
    c.ping(d.ip(), 3)?.expect_no_loss()?;
    let fragmented = passes(&c, &d, 1500 - 28, "do")?;
    println!("{}: df_default=false, 1500 bytes: passed: {fragmented}", cloud.lab().switch());
    ensure!(fragmented == (cloud.lab().switch().datapath() == Datapath::Kernel), "fragments: {fragmented}");
    Ok(())
}
