//! The kind of a network's tunnels changes while it carries frames: none is lost and none comes twice, whatever step each host is at, also
//! where a daemon dies in the middle; and the same way back.

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use ovstunnel_api::{Bridge, BridgeAnswer, Code, HealthState, KindStep, Outcome, PostKind, TunnelKind};
use ovstunnel_client::ClientError;
use ovstunnel_e2e::{NodeConfig, Picture, Place, no_frame_twice, problem};
use ovstunnel_lab::{Host, Kind, Lab, PingReport, Pinger, Stream, StreamReport, Vm, unhurried, wait_until};

const BRIDGE: &str = "xapi1";
const HOSTS: [usize; 3] = [1, 2, 3];
const SOON: Duration = Duration::from_secs(60);
/// How often all hosts switch and go back.
const TURNS: usize = 10;
/// How often a VM sends then.
const DENSE: Duration = Duration::from_millis(2);
/// Flows of the moment in which the kinds are turned around.
const CARRY: &str = "cookie=0x6f76737409000000/0xffffffffff000000";

#[test]
fn a_network_changes_its_kind_and_back_without_loss_or_doubles() -> Result<()> {
    there_and_back("kindcmd", "commands")
}

#[test]
fn a_network_changes_its_kind_and_back_by_native_writes() -> Result<()> {
    there_and_back("kindnat", "native")
}

fn there_and_back(tag: &str, writes: &'static str) -> Result<()> {
    let place = Place::new(tag, NodeConfig { writes: Some(writes), ..NodeConfig::default() })?;
    let before = pictures(&place)?;
    let traffic = Traffic::start(place.cloud.lab(), &place.vms)?;
    for to in [TunnelKind::Vxlan, TunnelKind::Gre] {
        change(&place, to)?;
    }
    traffic.expect_each_frame_once()?;
    // What is left is what was before, names and all.
    for (number, before) in HOSTS.into_iter().zip(before) {
        Picture::of(place.cloud.node(number)?.host())?.expect(&before)?;
    }
    let errors: Vec<String> = place.cloud.nodes().iter().flat_map(|node| node.errors()).collect();
    ensure!(errors.is_empty(), "{errors:?}");
    Ok(())
}

/// Many times, with as many frames as there can be: a moment of some microseconds in which frames were lost or doubled is found.
#[test]
fn the_kinds_are_turned_around_again_and_again() -> Result<()> {
    let place = Place::new("kindturn", NodeConfig::default())?;
    for number in HOSTS {
        step(&place, number, TunnelKind::Vxlan, KindStep::Prepare)??;
    }
    let traffic = Traffic::flood(place.cloud.lab(), &place.vms)?;
    for asked in [KindStep::Switch, KindStep::Prepare].into_iter().cycle().take(2 * TURNS) {
        for number in HOSTS {
            step(&place, number, TunnelKind::Vxlan, asked)??;
        }
    }
    traffic.expect_each_frame_once()
}

/// That a second tunnel that is flooded to is seen by these tests, and mended by the daemon.
#[test]
fn a_flooded_second_tunnel_doubles_frames_and_is_mended() -> Result<()> {
    let place = Place::new("kindtwo", NodeConfig::default())?;
    for number in HOSTS {
        step(&place, number, TunnelKind::Vxlan, KindStep::Prepare)??;
    }
    place.expect_frames_once()?;
    let (node, prepared) = (place.node()?, Picture::of(place.host()?)?);
    node.kill();
    let bridge = place.cloud.call(2, |client| async move { client.bridge(BRIDGE).await })??;
    ensure!(bridge.second.is_some_and(|second| second.tunnels.len() == 2), "host 2 is not prepared");
    for port in seconds(&place, 1)? {
        place.host()?.vsctl(["clear", "Port", port.as_str(), "tag"])?;
    }
    let doubled =
        place.expect_frames_once().err().ok_or_else(|| anyhow!("flooded to both, and nobody got it twice"))?;
    ensure!(format!("{doubled:#}").contains('2'), "{doubled:#}");
    node.start()?;
    place.cloud.wait_until_ready(1)?;
    wait_until("the second tunnels to be mended", SOON, || Picture::of(place.host()?)?.expect(&prepared))?;
    let probes = place.cloud.lab().every_flooded_kind();
    place.cloud.lab().deliver_all(&probes)?.iter().try_for_each(|delivery| delivery.expect_once())
}

/// The whole change, with a switch that dies at each step, on the host that was the first to take it: it has no flow of ours until the
/// daemon has written them again. Frames are lost while it is away, none comes twice, and the change goes on.
pub(crate) fn changes_though_switches_die(place: &Place, to: TunnelKind) -> Result<()> {
    let streams = place.streams()?;
    for asked in [KindStep::Prepare, KindStep::Switch, KindStep::Finish] {
        for number in HOSTS {
            // Open vSwitch tells of its counters every few seconds, and has to be back.
            let done = || step(place, number, to, asked)?.map_err(|error| anyhow!(error));
            wait_until(format!("host {number} to {asked}"), SOON, done)?;
            if number == 1 {
                switch_dies(place, number)?;
                place.expect_frames_once()?;
            }
        }
        place.expect_frames_once()?;
    }
    println!("{}", no_frame_twice(streams)?);
    HOSTS.into_iter().try_for_each(|number| ensure_kind(place, number, to))
}

fn switch_dies(place: &Place, number: usize) -> Result<()> {
    let host = place.cloud.node(number)?.host();
    let before = Picture::of(host)?;
    host.kill_vswitchd();
    host.start_vswitchd()?;
    wait_until("the switch to be as it was", SOON, || Picture::of(host)?.expect(&before))?;
    expect_well(place, number)
}

fn ensure_kind(place: &Place, number: usize, kind: TunnelKind) -> Result<()> {
    let bridge = place.cloud.call_on_host(number, |client| async move { client.bridge(BRIDGE).await })??;
    ensure!(bridge.kind == kind && bridge.second.is_none() && bridge.tunnels.len() == 2, "{bridge:?}");
    ensure!(seconds(place, number)?.is_empty(), "left over");
    Ok(())
}

/// The whole change, with a daemon that dies in each step.
fn change(place: &Place, to: TunnelKind) -> Result<()> {
    let first = kind_of(place, 1)?;
    refuses_what_does_not_follow(place, to)?;
    for number in HOSTS {
        let answer = step(place, number, to, KindStep::Prepare)??;
        ensure!(answer.outcome == Outcome::Updated && answer.bridge.kind == first, "{answer:?}");
        expect_paired(&answer.bridge, to)?;
        let again = step(place, number, to, KindStep::Prepare)??;
        ensure!(again.outcome == Outcome::Unchanged, "{again:?}");
    }
    restart(place, 2)?;
    for number in HOSTS {
        if number == 2 {
            dies_while_it_switches(place, number, to)?;
        }
        let answer = step(place, number, to, KindStep::Switch)??;
        ensure!(answer.bridge.kind == to, "{answer:?}");
        expect_paired(&answer.bridge, first)?;
        expect_well(place, number)?;
        restart(place, number)?;
    }
    // Back on one host, and there again: the others are where they were.
    let back = step(place, 3, to, KindStep::Prepare)??;
    ensure!(back.bridge.kind == first, "{back:?}");
    let refused = problem(step(place, 3, to, KindStep::Finish)?, Code::Conflict)?;
    ensure!(refused.detail.contains("`switch` first"), "{refused:?}");
    step(place, 3, to, KindStep::Switch)??;
    for number in HOSTS {
        // Open vSwitch tells of its counters every few seconds.
        let done = || step(place, number, to, KindStep::Finish)?.map_err(|error| anyhow!(error));
        let answer = wait_until("every host to be heard by the new kind", SOON, done)?;
        ensure!(answer.bridge.second.is_none() && answer.bridge.tunnels.len() == 2, "{answer:?}");
        ensure!(seconds(place, number)?.is_empty(), "left over");
    }
    HOSTS.into_iter().try_for_each(|number| expect_well(place, number))
}

fn refuses_what_does_not_follow(place: &Place, to: TunnelKind) -> Result<()> {
    let before = Picture::of(place.host()?)?;
    for (asked, words) in [(KindStep::Switch, "`prepare` first"), (KindStep::Finish, "`prepare` first")] {
        let refused = problem(step(place, 1, to, asked)?, Code::Conflict)?;
        ensure!(refused.detail.contains(words), "{asked}: {refused:?}");
    }
    let nothing = step(place, 1, to, KindStep::Abort)??;
    ensure!(nothing.outcome == Outcome::Unchanged, "{nothing:?}");
    // There and away again, while nobody sends by it.
    step(place, 1, to, KindStep::Prepare)??;
    step(place, 1, to, KindStep::Abort)??;
    Picture::of(place.host()?)?.expect(&before)
}

/// The daemon is killed as soon as anything of the switch is to be seen.
fn dies_while_it_switches(place: &Place, number: usize, to: TunnelKind) -> Result<()> {
    let node = place.cloud.node(number)?;
    let marked = format!("{to}");
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| step(place, number, to, KindStep::Switch));
        wait_until("the switch to begin", SOON, || {
            let carries = !node.host().ofctl(["dump-flows", BRIDGE, CARRY])?.matches("cookie=").count().eq(&0);
            let mark = node.host().vsctl(["--if-exists", "get", "Bridge", BRIDGE, "external_ids:ovstunnel-encap"])?;
            let turned = mark.contains(&marked) || (to == TunnelKind::Gre && mark.trim().is_empty());
            ensure!(carries || turned, "neither flows nor a record");
            Ok(())
        })?;
        node.kill();
        // It has answered, or it has not.
        drop(asked.join());
        node.start()
    })?;
    place.cloud.wait_until_ready(number)?;
    place.cloud.call(number, |client| async move { client.reconcile().await })??;
    Ok(())
}

fn restart(place: &Place, number: usize) -> Result<()> {
    let node = place.cloud.node(number)?;
    let before = Picture::of(node.host())?;
    let bridge = place.cloud.call_on_host(number, |client| async move { client.bridge(BRIDGE).await })??;
    let second = bridge.second.ok_or_else(|| anyhow!("host {number} is not in the middle of a change"))?.kind;
    let said = format!("{BRIDGE} (sends by {}, receives by {second} too)", bridge.kind);
    node.kill();
    let old = node.log().len();
    node.start()?;
    place.cloud.wait_until_ready(number)?;
    wait_until("the log to tell of the change", SOON, || {
        let log = node.log();
        let mut new = log.get(old..).unwrap_or_default().lines();
        let is_it = |line: &str| line.contains("bridges are in the middle of a change of kind") && line.contains(&said);
        ensure!(new.any(is_it), "no line has {said:?}");
        Ok(())
    })?;
    let found = place.cloud.call_on_host(number, |client| async move { client.doctor(false).await })??;
    let told = found.findings.iter().find(|finding| finding.check == "kind_change");
    ensure!(told.is_some_and(|finding| finding.reason.contains(&said)), "{told:?}");
    Picture::of(node.host())?.expect(&before)
}

fn step(place: &Place, number: usize, to: TunnelKind, step: KindStep) -> Result<Result<BridgeAnswer, ClientError>> {
    let body = PostKind { to, step, force: false };
    place.cloud.call_on_host(number, move |client| async move { client.post_kind(BRIDGE, &body).await })
}

fn kind_of(place: &Place, number: usize) -> Result<TunnelKind> {
    Ok(place.cloud.call_on_host(number, |client| async move { client.bridge(BRIDGE).await })??.kind)
}

/// That each tunnel has one of the other kind beside it, and both are up.
fn expect_paired(bridge: &Bridge, second: TunnelKind) -> Result<()> {
    let there = bridge.second.as_ref().ok_or_else(|| anyhow!("no second kind: {bridge:?}"))?;
    let ends = |tunnels: &[ovstunnel_api::Tunnel]| {
        let mut ends: Vec<_> =
            tunnels.iter().map(|t| (t.to.clone(), t.remote_ip.clone(), t.ofport.is_some())).collect();
        ends.sort();
        ends
    };
    ensure!(there.kind == second && ends(&there.tunnels) == ends(&bridge.tunnels), "{bridge:?}");
    ensure!(bridge.tunnels.len() == 2 && there.tunnels.iter().all(|tunnel| tunnel.protected), "{bridge:?}");
    Ok(())
}

fn expect_well(place: &Place, number: usize) -> Result<()> {
    wait_until("a bridge in good health", SOON, || {
        let bridge = place.cloud.call_on_host(number, |client| async move { client.bridge(BRIDGE).await })??;
        ensure!(bridge.health.state == HealthState::Ok, "{:?}", bridge.health);
        Ok(())
    })
}

/// The ports of a host that only receive.
fn seconds(place: &Place, number: usize) -> Result<Vec<String>> {
    let asked = ["--bare", "--columns=name", "find", "Port", "external_ids:ovstunnel-second=true"];
    Ok(place.cloud.node(number)?.host().vsctl(asked)?.split_whitespace().map(str::to_owned).collect())
}

fn pictures(place: &Place) -> Result<Vec<Picture>> {
    HOSTS.into_iter().map(|number| Picture::of(place.cloud.node(number)?.host())).collect()
}

/// Numbered frames of each flooded kind from each VM, frames to known addresses, and pings both ways between all.
pub(crate) struct Traffic {
    hosts: Vec<Host>,
    /// Frames that the hosts' switches had not heard before it began.
    unheard: u64,
    streams: Vec<Stream>,
    pings: Vec<Pinger>,
}

impl Traffic {
    pub(crate) fn start(lab: &Lab, vms: &[Vm]) -> Result<Self> {
        // Few enough that none is lost while a busy machine lets a switch wait for a moment: a socket that is not read holds some 270.
        let interval = unhurried(Duration::from_millis(25));
        let flooded = vms.iter().map(|vm| lab.stream(vm, &Kind::FLOODED, interval)).collect::<Result<_>>()?;
        let hosts = lab.hosts();
        let mut traffic = Traffic { unheard: unheard(&hosts)?, hosts, streams: flooded, pings: Vec::new() };
        for from in vms {
            for to in vms.iter().filter(|to| to.name() != from.name()) {
                // One of them so often that nothing fits between two pings.
                let interval = Duration::from_millis(if traffic.pings.is_empty() { 2 } else { 10 });
                traffic.pings.push(from.start_ping(to.ip(), unhurried(interval))?);
                let known: Kind = to.as_target();
                traffic.streams.push(lab.stream_to(from, &[known], interval, vec![to.clone()])?);
            }
        }
        Ok(traffic)
    }

    /// Nothing but broadcast and multicast, and as much of it as there can be.
    fn flood(lab: &Lab, vms: &[Vm]) -> Result<Self> {
        let hosts = lab.hosts();
        let unheard = unheard(&hosts)?;
        let dense = |vm| lab.stream(vm, &[Kind::Broadcast, Kind::SSDP_MULTICAST], unhurried(DENSE));
        Ok(Traffic { hosts, unheard, streams: vms.iter().map(dense).collect::<Result<_>>()?, pings: Vec::new() })
    }

    /// Frames that no switch has heard, for want of time, are lost without anybody's fault, and only those.
    pub(crate) fn expect_each_frame_once(self) -> Result<()> {
        let pings = self.pings.into_iter().map(Pinger::stop).collect::<Result<Vec<_>>>()?;
        self.streams.iter().for_each(Stream::end);
        let streams = self.streams.into_iter().map(Stream::stop).collect::<Result<Vec<_>>>()?;
        let unheard = unheard(&self.hosts)? - self.unheard;
        pings.iter().for_each(|report| println!("{report}"));
        streams.iter().for_each(|report| println!("{report}"));
        println!("{unheard} frames for which a switch's socket had no room");
        pings.iter().try_for_each(|report| report.expect_no_duplicates())?;
        streams.iter().try_for_each(|report| report.expect_no_duplicates())?;
        // A frame that is flooded is missed by two VMs.
        let missed: u64 = streams.iter().map(StreamReport::missed).sum();
        let lost: u64 = pings.iter().map(PingReport::lost).sum();
        if unheard > 0 && lost + missed <= 2 * unheard {
            return Ok(());
        }
        pings.iter().try_for_each(|report| report.expect_no_loss())?;
        streams.iter().try_for_each(|report| report.expect_once())
    }
}

fn unheard(hosts: &[Host]) -> Result<u64> {
    hosts.iter().map(Host::frames_unheard).sum()
}
