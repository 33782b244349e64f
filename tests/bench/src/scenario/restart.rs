//! When flows are back after a restart of the switch, beside as many bundles that write the same.
//!
//! Must not ask the daemon what is there: it counts in the switch.

use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_e2e::{Cloud, Node};
use ovstunnel_lab::{Host, Signal};

use super::bridges::{FLOWS, OURS, ROUNDS, check, dump, each, management, networks, set_up, wait_for};
use crate::database::Database;
use crate::ground::{config, lead_somewhere};
use crate::page::grouped;
use crate::report::{Found, Goal, Line, Unit, Who};
use crate::rows::Network;
use crate::scale::Scale;
use crate::stats::Samples;

/// Bare bundles at the same time: as many as the daemon runs.
const AT_ONCE: usize = 64;

pub fn run(scale: &Scale) -> Result<Found> {
    let cloud = Cloud::with_config("restart", 1, config())?;
    let (node, networks) = (Arc::clone(cloud.node(1)?), networks(scale));
    lead_somewhere(node.host())?;
    crate::progress(&format!("{} bridges with {} tunnels each", grouped(scale.bridges), scale.bridge_tunnels));
    set_up(&cloud, &networks)?;
    check(node.host(), &networks)?;
    let line = restarts(&cloud, &node, &networks, scale)?;
    Ok(Found { lines: vec![line], curves: vec![] })
}

/// From the moment when a restarted switch has taken up its configuration to that when all flows are there.
fn restarts(cloud: &Cloud, node: &Node, networks: &[Network], scale: &Scale) -> Result<Line> {
    let (mut times, mut bare) = (Samples::default(), Samples::default());
    for round in 1..=ROUNDS.min(scale.rounds) {
        crate::progress(&format!("a restart of the switch, round {round}"));
        times.push(restart(cloud, node)?.as_secs_f64());
        check(node.host(), networks)?;
        bare.push(bundles(node, networks)?.as_secs_f64());
    }
    let what = format!("flows of {} bridges back after a restart of ovs-vswitchd", grouped(scale.bridges));
    let line = Line::new("bridges", what, Unit::Seconds, times.median(), times.len()).spread(&times);
    let note = format!("{} bundles with the same flows, {AT_ONCE} at once", grouped(scale.bridges));
    let line = line.beside(Who::Command, bare.median(), bare.len(), Some(&note));
    Ok(line.goal(Goal::at_most(times.max(), 2.0, "s", "at the longest")))
}

pub(super) fn restart(cloud: &Cloud, node: &Node) -> Result<Duration> {
    let (host, client) = (node.host(), node.local_client()?);
    host.kill_vswitchd();
    wait_for(cloud, &client, false)?;
    let mut database = Database::connect(&host.rundir().join("db.sock"))?;
    let (back, ready) = thread::scope(|scope| -> Result<(Instant, Instant)> {
        // The first configuration that the new one takes up is one that the lab asks for.
        let back = scope.spawn(move || database.wait_for_configuration().map(|()| Instant::now()));
        let ready = scope.spawn(|| wait_for(cloud, &client, true).map(|()| Instant::now()));
        host.start_vswitchd()?;
        let joined = |_| anyhow!("a watcher panicked");
        Ok((back.join().map_err(joined)??, ready.join().map_err(joined)??))
    })?;
    Ok(ready.saturating_duration_since(back))
}

/// How long it takes to write the flows of all bridges by bare commands, with the daemon held.
fn bundles(node: &Node, networks: &[Network]) -> Result<Duration> {
    let host = node.host();
    let first = networks.first().context("no bridge")?;
    let flows = host.ofctl(["--no-names", "--no-stats", "dump-flows", &management(host, &first.bridge), OURS])?;
    let file = host.rundir().join("flows");
    let lines = flows.lines().filter(|line| line.contains("actions="));
    fs::write(&file, lines.map(|line| format!("add {}\n", line.trim())).collect::<String>())?;
    node.signal(Signal::SIGSTOP)?;
    let took = write_all(host, networks, &file.display().to_string());
    node.signal(Signal::SIGCONT)?;
    took
}

fn write_all(host: &Host, networks: &[Network], file: &str) -> Result<Duration> {
    each(networks, AT_ONCE, |network| host.ofctl(["del-flows", &management(host, &network.bridge), OURS]).map(drop))?;
    let start = Instant::now();
    let write =
        |network: &Network| host.ofctl(["--bundle", "add-flows", &management(host, &network.bridge), file]).map(drop);
    each(networks, AT_ONCE, write)?;
    let took = start.elapsed();
    each(networks, AT_ONCE, |network| {
        ensure!(dump(host, &network.bridge)? == FLOWS, "{} has not all flows again", network.bridge);
        Ok(())
    })?;
    Ok(took)
}
