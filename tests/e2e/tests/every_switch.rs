//! What must hold on each switch and each datapath, in little time: this runs on the versions of Open vSwitch that
//! `scripts/setup switches` fetches, and on the kernel datapath in the slow machine of `scripts/kernel`.

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_e2e::{Cloud, Network, NodeConfig, Place, no_frame_twice};
use ovstunnel_lab::{Datapath, Kind, Pinger, Probe, Vm, wait_until};

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
    let known = place.vms[0].start_ping(place.vms[1].ip(), Duration::from_millis(20))?;
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
            10.. => Ok(()),
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
    let stream = cloud.lab().stream(&a, &Kind::FLOODED, Duration::from_millis(20))?;
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
