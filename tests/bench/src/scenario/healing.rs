//! How soon what others break is seen and mended with many bridges, and what it costs to look for it all the time.
//!
//! Works on the bridges that `bridges` has set up. Must not ask the daemon whether flows are back: it asks the switch.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ovstunnel_e2e::{Cloud, Node};
use ovstunnel_lab::{Host, Signal, wait_until};

use super::bridges::{FLOWS, PATIENCE, dump, each, management, patient_client, wait_for};
use crate::page::grouped;
use crate::process::cpu_seconds;
use crate::report::{Goal, Line, Unit};
use crate::rows::Network;
use crate::scale::Scale;
use crate::stats::Samples;

/// Rounds in which flows are deleted or a process is stopped: each takes some seconds.
const ROUNDS: usize = 5;

/// Times that what is used with and without the daemon is compared.
const IDLE_TURNS: usize = 6;

/// Bridges that are looked at to see whether the flows of all are back; at the end each is.
pub(super) const SAMPLE: usize = 20;

/// Bridges whose flows are deleted at the same time.
pub(super) const AT_ONCE: usize = 16;

/// What is done to a host.
type Act = fn(&Host) -> Result<()>;

/// All of it.
pub fn lines(cloud: &Cloud, node: &Node, networks: &[Network], scale: &Scale) -> Result<Vec<Line>> {
    let mut lines = vec![idle(node, scale)?, one(node.host(), networks, scale)?, all(node, networks, scale)?];
    lines.push(listing(cloud, node, scale)?);
    lines.push(hang(cloud, node, "ovs-vswitchd", [Host::pause_vswitchd, Host::resume_vswitchd], scale)?);
    lines.push(hang(cloud, node, "ovsdb-server", [Host::pause_ovsdb, Host::resume_ovsdb], scale)?);
    Ok(lines)
}

pub(super) fn rounds(scale: &Scale) -> usize {
    ROUNDS.min(scale.rounds)
}

fn delete(host: &Host, bridge: &str) -> Result<()> {
    host.ofctl(["del-flows", &management(host, bridge)]).map(drop)
}

/// Waits until these bridges have their flows again.
fn wait_for_flows<'a>(host: &Host, bridges: impl Iterator<Item = &'a Network> + Clone) -> Result<()> {
    wait_until("the flows to be back", PATIENCE, || {
        for network in bridges.clone() {
            let flows = dump(host, &network.bridge)?;
            ensure!(flows == FLOWS, "{} has {flows} flows", network.bridge);
        }
        Ok(())
    })
}

fn one(host: &Host, networks: &[Network], scale: &Scale) -> Result<Line> {
    let mut times = Samples::default();
    for (round, network) in (1..=rounds(scale)).zip(networks.iter().cycle().skip(networks.len() / 2)) {
        crate::progress(&format!("the flows of one bridge are deleted, round {round}"));
        delete(host, &network.bridge)?;
        let start = Instant::now();
        wait_for_flows(host, std::iter::once(network))?;
        times.push(start.elapsed().as_secs_f64());
    }
    let what = format!("all flows of one of {} bridges deleted: until they are back", grouped(networks.len()));
    let line = Line::new("bridges", what, Unit::Seconds, times.median(), times.len()).spread(&times);
    Ok(line.goal(Goal::at_most(times.max(), 2.0, "s", "at the longest")))
}

/// The daemon is held while they are deleted: so all are gone at once when it goes on.
fn all(node: &Node, networks: &[Network], scale: &Scale) -> Result<Line> {
    let (host, mut times) = (node.host(), Samples::default());
    for round in 1..=rounds(scale) {
        crate::progress(&format!("the flows of all bridges are deleted, round {round}"));
        node.signal(Signal::SIGSTOP)?;
        each(networks, AT_ONCE, |network| delete(host, &network.bridge))?;
        let start = Instant::now();
        node.signal(Signal::SIGCONT)?;
        wait_for_flows(host, networks.iter().step_by(networks.len().div_ceil(SAMPLE).max(1)))?;
        times.push(start.elapsed().as_secs_f64());
        wait_for_flows(host, networks.iter())?;
    }
    let what = format!("all flows of {} bridges deleted: until all are back", grouped(networks.len()));
    let line = Line::new("bridges", what, Unit::Seconds, times.median(), times.len()).spread(&times);
    Ok(line.goal(Goal::at_most(times.max(), 4.0, "s", "at the longest")))
}

/// CPU time of the daemon, and what `ovs-vswitchd` and `ovsdb-server` use beyond what they use while the daemon is held.
///
/// What they use by themselves is several times as much: so both are measured in turns, and the statistics of all ports, which take
/// some tenths of a second each 5 s, are not written meanwhile.
pub(super) fn idle(node: &Node, scale: &Scale) -> Result<Line> {
    let what = format!("CPU when nothing happens, {} bridges, daemon and switch together", grouped(scale.bridges));
    crate::progress(&format!("nothing, for {IDLE_TURNS} times {} s", scale.idle_seconds * 2 / 3));
    let switch = [node.host().vswitchd_pid(), node.host().ovsdb_pid()];
    let switch: Vec<u32> = switch.into_iter().collect::<Option<_>>().context("the switch")?;
    let (daemon, span) = (node.pid().context("the daemon")?, Duration::from_secs(scale.idle_seconds) / 3);
    node.host().vsctl(["set", "Open_vSwitch", ".", "other_config:stats-update-interval=3600000"])?;
    settle(daemon, span)?;
    let mut percent = Samples::default();
    for _ in 0..IDLE_TURNS {
        node.signal(Signal::SIGSTOP)?;
        let without = used(&switch, span);
        node.signal(Signal::SIGCONT)?;
        let without = without?;
        // What came while it was held is no part of it.
        thread::sleep(span / 5);
        percent.push(100.0 * (used(&[&[daemon], switch.as_slice()].concat(), span)? - without));
    }
    node.host().vsctl(["remove", "Open_vSwitch", ".", "other_config", "stats-update-interval"])?;
    let line = Line::new("bridges", what, Unit::Percent, percent.median(), percent.len()).spread(&percent);
    Ok(line.goal(Goal::at_most(percent.median(), 1.0, "%", "of a core, in the middle")))
}

/// Waits until the daemon has read back what it wrote: until it uses no less in a span than in the one before.
fn settle(daemon: u32, span: Duration) -> Result<()> {
    let start = Instant::now();
    let mut before = f64::MAX;
    while start.elapsed() < PATIENCE {
        let from = cpu_seconds(daemon)?;
        thread::sleep(span);
        let now = cpu_seconds(daemon)? - from;
        if now > before * 0.9 {
            return Ok(());
        }
        before = now;
    }
    Ok(())
}

/// CPU seconds that processes use in a second, over a time in which nothing happens.
fn used(pids: &[u32], span: Duration) -> Result<f64> {
    let sum = || pids.iter().map(|pid| cpu_seconds(*pid)).sum::<Result<f64>>();
    let (before, start) = (sum()?, Instant::now());
    thread::sleep(span);
    Ok((sum()? - before) / start.elapsed().as_secs_f64())
}

/// What it costs to tell of all bridges with the health of each.
fn listing(cloud: &Cloud, node: &Node, scale: &Scale) -> Result<Line> {
    let (pid, mut cpu) = (node.pid().context("the daemon")?, Samples::default());
    for _ in 0..rounds(scale) {
        let (client, before) = (patient_client(node)?, cpu_seconds(pid)?);
        let told = cloud.manager().run(async move { client.bridges().await })?;
        ensure!(told.bridges.len() == scale.bridges, "{} bridges", told.bridges.len());
        cpu.push(cpu_seconds(pid)? - before);
    }
    let bridges = grouped(scale.bridges);
    let what = format!("GET /v1/bridges with the health of {bridges} bridges: CPU time of the daemon");
    Ok(Line::new("bridges", what, Unit::Seconds, cpu.median(), cpu.len()))
}

/// From SIGSTOP to `readyz` with 503.
fn hang(cloud: &Cloud, node: &Node, process: &str, [stop, go_on]: [Act; 2], scale: &Scale) -> Result<Line> {
    let (client, mut times) = (node.local_client()?, Samples::default());
    for round in 1..=rounds(scale) {
        crate::progress(&format!("{process} is stopped, round {round}"));
        stop(node.host())?;
        let start = Instant::now();
        let seen = wait_for(cloud, &client, false);
        times.push(start.elapsed().as_secs_f64());
        go_on(node.host())?;
        seen?;
        wait_for(cloud, &client, true)?;
    }
    let what = format!("{process} hangs (SIGSTOP): until readyz says so");
    let line = Line::new("bridges", what, Unit::Seconds, times.median(), times.len());
    Ok(line.goal(Goal::at_most(times.max(), 5.0, "s", "at the longest")))
}
