//! Start of the daemon, and a daemon that has nothing to do: memory without a bridge, CPU time with many tunnels.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ovstunnel_e2e::Node;

use crate::contender::daemon;
use crate::database::Database;
use crate::ground::Ground;
use crate::page::grouped;
use crate::process::{cpu_seconds, memory};
use crate::report::{Found, Goal, Line, Unit, Who};
use crate::rows::Network;
use crate::scale::Scale;
use crate::stats::Samples;

/// The interval at which the daemon looks at everything unless told otherwise, in seconds. In the benchmark it does not; what
/// its looks cost is measured by themselves and added.
const LOOK_EVERY: f64 = 60.0;

/// Time between two questions whether it is ready.
const INTERVAL: Duration = Duration::from_micros(500);

pub fn run(scale: &Scale) -> Result<Found> {
    let ground = Ground::new("start")?;
    let node = ground.cloud.node(1)?.clone();
    crate::progress("memory without a bridge");
    let mut lines = vec![idle_memory(node.pid().context("the daemon")?)];
    let half = scale.started_with / 2;
    for (bridge, key) in [("xapi1", 1001), ("xapi2", 1002)] {
        daemon::set_up(&ground.cloud, &Network::new(bridge, key, half))?;
    }
    lines.push(starts(&ground, &node, scale)?);
    lines.push(idle(&ground, &node, scale)?);
    Ok(Found { lines, curves: vec![] })
}

fn idle_memory(pid: u32) -> Line {
    // Bytes of a small process.
    #[allow(clippy::cast_precision_loss)]
    let bytes = memory(pid) as f64;
    let what = "memory without a bridge, child processes counted";
    Line::new("start", what, Unit::Bytes, bytes, 1).goal(Goal::at_most(bytes / 1e6, 10.0, "MB", "resident"))
}

/// From the start of the process to its answer that it is ready, beside one reading of the database.
fn starts(ground: &Ground, node: &Node, scale: &Scale) -> Result<Line> {
    let (mut ready, mut read) = (Samples::default(), Samples::default());
    let socket = node.host().rundir().join("db.sock");
    let client = node.local_client()?;
    for round in 1..=scale.rounds.div_ceil(5) {
        crate::progress(&format!("a start with {} tunnels, round {round}", grouped(scale.started_with)));
        node.stop()?;
        let start = Instant::now();
        let rows = Database::read_all(&socket)?;
        let reading = start.elapsed().as_secs_f64();
        ensure!(rows > scale.started_with, "{rows} rows");
        let start = Instant::now();
        node.start()?;
        loop {
            let client = client.clone();
            let answer = ground.cloud.manager().run(async move { client.readyz().await });
            if answer.is_ok_and(|answer| answer.ready) {
                break;
            }
            ensure!(start.elapsed() < Duration::from_secs(30), "the daemon does not become ready: {}", node.log());
            thread::sleep(INTERVAL);
        }
        ready.push(start.elapsed().as_secs_f64());
        read.push(reading);
    }
    let what = format!("start to ready with {} tunnels", grouped(scale.started_with));
    let line = Line::new("start", what, Unit::Seconds, ready.median(), ready.len());
    let line = line.beside(Who::Database, read.median(), read.len(), Some("reading the database"));
    Ok(line.at_most_times(Who::Database, 1.3, "reading the database"))
}

/// CPU time while nothing happens, with the share of a look that falls into it.
fn idle(ground: &Ground, node: &Node, scale: &Scale) -> Result<Line> {
    crate::progress(&format!("nothing, for {} s", scale.idle_seconds));
    let (pid, client) = (node.pid().context("the daemon")?, node.local_client()?);
    ground.cloud.wait_until_ready(1)?;
    let (before, start) = (cpu_seconds(pid)?, Instant::now());
    thread::sleep(Duration::from_secs(scale.idle_seconds));
    let idle = (cpu_seconds(pid)? - before) / start.elapsed().as_secs_f64();
    // Many of them: the children's time is told in hundredths of a second.
    let looks = scale.rounds;
    let before = cpu_seconds(pid)?;
    for _ in 0..looks {
        let client = client.clone();
        ground.cloud.manager().run(async move { client.reconcile().await })?;
    }
    // A count of rounds is small.
    #[allow(clippy::cast_precision_loss)]
    let look = (cpu_seconds(pid)? - before) / looks as f64;
    let percent = 100.0 * (idle + look / LOOK_EVERY);
    let what =
        format!("CPU when nothing happens, {} tunnels, the look every minute counted", grouped(scale.started_with));
    let line = Line::new("start", what, Unit::Percent, percent, 1);
    Ok(line.goal(Goal::at_most(percent, 0.2, "%", "of a core")))
}
