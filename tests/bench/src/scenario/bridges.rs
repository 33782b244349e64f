//! Many bridges: what a look at all of them costs, and memory.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_client::{Client, Endpoint};
use ovstunnel_e2e::{Cloud, Node};
use ovstunnel_lab::{Host, wait_until};

use crate::contender::daemon::network_body;
use crate::database::Database;
use crate::ground::{config, lead_somewhere};
use crate::page::grouped;
use crate::process::{Peak, cpu_seconds, memory, own_children_seconds};
use crate::report::{Found, Goal, Line, Unit, Who};
use crate::rows::{self, Network};
use crate::scale::Scale;
use crate::stats::Samples;

/// How long a loaded machine may take for any of this.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// Networks that are set up at the same time.
const AT_ONCE: usize = 50;

/// Flows of ours on a bridge that drops IPv6 and has no VIF: what forwards, the baseline, BFD's, three for IPv6, and three that keep
/// VMs from the end of the tunnels.
pub(super) const FLOWS: usize = 9;

/// The daemon's flows.
pub(super) const OURS: &str = "cookie=0x6f76737400000000/0xffffffff00000000";

/// How often each is measured.
pub(super) const ROUNDS: usize = 3;

pub fn run(scale: &Scale) -> Result<Found> {
    let cloud = Cloud::with_config("bridges", 1, config())?;
    let (node, networks) = (Arc::clone(cloud.node(1)?), networks(scale));
    lead_somewhere(node.host())?;
    let (bridges, tunnels) = (grouped(scale.bridges), grouped(scale.bridges * scale.bridge_tunnels));
    crate::progress(&format!("{bridges} bridges with {} tunnels each", scale.bridge_tunnels));
    set_up(&cloud, &networks)?;
    check(node.host(), &networks)?;
    let pid = node.pid().context("the daemon")?;
    // Where the allocator keeps what the set-up needed, that counts, too.
    let resident = memory(pid);
    let mut lines = looks(&cloud, &node, pid, scale)?;
    // A megabyte is a million bytes.
    #[allow(clippy::cast_precision_loss)]
    let bytes = resident as f64;
    let what = format!("memory with {tunnels} tunnels in the mirror, child processes counted");
    let memory = Line::new("bridges", what, Unit::Bytes, bytes, 1);
    lines.push(memory.goal(Goal::at_most(bytes / 1e6, 30.0, "MB", "resident")));
    lines.extend(super::healing::lines(&cloud, &node, &networks, scale)?);
    Ok(Found { lines, curves: vec![] })
}

pub(super) fn networks(scale: &Scale) -> Vec<Network> {
    let numbers = (0..scale.bridges).filter_map(|n| u32::try_from(n).ok());
    numbers.map(|n| Network::new(&format!("xapi{n}"), 1000 + n, scale.bridge_tunnels)).collect()
}

/// A client on the daemon's Unix socket that waits as long as this may take.
pub(super) fn patient_client(node: &Node) -> Result<Client> {
    Client::new(&Endpoint::Unix(node.socket()), PATIENCE).map_err(|error| anyhow!("{error}"))
}

/// Some networks at the same time, then the next: the daemon writes those of one time in one transaction.
pub(super) fn set_up(cloud: &Cloud, networks: &[Network]) -> Result<()> {
    networks.chunks(AT_ONCE).try_for_each(|some| set_up_at_once(cloud, some))
}

fn set_up_at_once(cloud: &Cloud, networks: &[Network]) -> Result<()> {
    let client = patient_client(cloud.node(1)?)?;
    let asked: Vec<_> = networks.iter().map(|network| (network.bridge.clone(), network_body(network))).collect();
    cloud.manager().run(async move {
        let mut set_up = tokio::task::JoinSet::new();
        for (bridge, body) in asked {
            let client = client.clone();
            set_up.spawn(async move { client.put_bridge(&bridge, &body).await.map(drop) });
        }
        set_up.join_all().await.into_iter().collect::<Result<(), _>>()
    })?;
    Ok(())
}

/// That all is there: tunnels that are up, and flows.
pub(super) fn check(host: &Host, networks: &[Network]) -> Result<()> {
    let mut database = Database::connect(&host.rundir().join("db.sock"))?;
    for network in networks.iter().step_by(networks.len().div_ceil(20).max(1)) {
        rows::expect(&mut database, &network.bridge, &network.tunnels, false)?;
    }
    // Those that follow the underlay come a moment after the first tunnel.
    each(networks, AT_ONCE, |network| {
        wait_until("the flows of a bridge", PATIENCE, || {
            let flows = dump(host, &network.bridge)?;
            ensure!(flows == FLOWS, "{} has {flows} flows of ours, not {FLOWS}", network.bridge);
            Ok(())
        })
    })
}

/// Where `ovs-ofctl` reaches a bridge.
pub(super) fn management(host: &Host, bridge: &str) -> String {
    format!("unix:{}/{bridge}.mgmt", host.rundir().display())
}

/// Works on each network, so many at a time: each command waits for a round of the main loop of `ovs-vswitchd`, and they share it.
pub(super) fn each(networks: &[Network], at_once: usize, work: impl Fn(&Network) -> Result<()> + Sync) -> Result<()> {
    let part = |networks: &[Network]| networks.iter().try_for_each(&work);
    thread::scope(|scope| {
        let parts = networks.chunks(networks.len().div_ceil(at_once).max(1));
        let working: Vec<_> = parts.map(|networks| scope.spawn(move || part(networks))).collect();
        working.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?)
    })
}

/// The number of our flows on a bridge, by a command like the daemon's.
pub(super) fn dump(host: &Host, bridge: &str) -> Result<usize> {
    let flows = host.ofctl(["--no-names", "dump-flows", &management(host, bridge), OURS])?;
    Ok(flows.lines().filter(|line| line.contains("actions=")).count())
}

/// What looks at everything cost, beside as many bare dumps.
fn looks(cloud: &Cloud, node: &Node, pid: u32, scale: &Scale) -> Result<Vec<Line>> {
    let (mut cpu, mut time, mut bare) = (Samples::default(), Samples::default(), Samples::default());
    let mut most = 0;
    for round in 1..=ROUNDS.min(scale.rounds) {
        crate::progress(&format!("a look at all bridges, round {round}"));
        let (before, start, peak) = (cpu_seconds(pid)?, Instant::now(), Peak::of(pid));
        let client = patient_client(node)?;
        let report = cloud.manager().run(async move { client.reconcile().await })?;
        time.push(start.elapsed().as_secs_f64());
        most = most.max(peak.finish());
        cpu.push(cpu_seconds(pid)? - before);
        ensure!(report.found.is_empty() && report.failed.is_empty(), "not clean: {report:?}");
        ensure!(report.bridges as usize == scale.bridges, "{} bridges were looked at", report.bridges);
        let before = own_children_seconds()?;
        for n in 0..scale.bridges {
            dump(node.host(), &format!("xapi{n}"))?;
        }
        bare.push(own_children_seconds()? - before);
    }
    let bridges = grouped(scale.bridges);
    let what = format!("look at {bridges} clean bridges with {} tunnels each: CPU time", scale.bridge_tunnels);
    let line = Line::new("bridges", what, Unit::Seconds, cpu.median(), cpu.len());
    let note = format!("{bridges} bare dumps of flows");
    let line = line.beside(Who::Command, bare.median(), bare.len(), Some(&note));
    let line = line.goal(Goal::at_most(cpu.median(), 1.0, "s", "of one core"));
    let wall = Line::new("bridges", "the same: elapsed time", Unit::Seconds, time.median(), time.len());
    // A megabyte is a million bytes.
    #[allow(clippy::cast_precision_loss)]
    let most = most as f64;
    let peak = Line::new("bridges", "the same: most memory at any moment", Unit::Bytes, most, cpu.len());
    let peak = peak.goal(Goal::at_most(most / 1e6, 60.0, "MB", "resident, its commands counted"));
    Ok(vec![line, wall, peak])
}

/// Waits until the daemon answers that it is ready, or that it is not.
pub(super) fn wait_for(cloud: &Cloud, client: &Client, ready: bool) -> Result<()> {
    wait_until(format!("readyz to answer {ready}"), PATIENCE, || {
        let client = client.clone();
        match cloud.manager().run(async move { client.readyz().await }) {
            Ok(answer) if answer.ready == ready => Ok(()),
            answer => Err(anyhow!("{answer:?}")),
        }
    })
}
