//! The manager's process over hollow hosts, TLS and SQLite among it: cold start, memory, proofs, files, hosts that all come back at once, and NICs.
//! Must not compare: nobody else does its work.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ovstunnel_hollow::{Hollow, Manager, Plan, Size, look};

use super::{nics, views};
use crate::page::{MANAGER, grouped};
use crate::process::{cpu_seconds, memory};
use crate::report::{Found, Goal, Line, Unit};
use crate::scale::Scale;
use crate::stats::Samples;

/// The same zone each time.
const SEED: u64 = 1;

/// How many networks a change is made of, one after the other.
const CHANGES: usize = 20;

pub fn run(scale: &Scale) -> Result<Found> {
    let Size { hosts, networks, tunnels } = scale.zone;
    crate::progress(&format!("{} hollow hosts", grouped(hosts)));
    let hollow = Hollow::new(Plan::new(scale.zone, SEED)?, |_| false)?;
    let mut manager = Manager::new(&hollow)?;
    crate::progress("a manager, and all hosts registered with it");
    let begun = Instant::now();
    manager.register(&hollow)?;
    let registered = begun.elapsed().as_secs_f64();
    manager.wait_until_whole(&hollow)?;
    let zone = format!("{} hosts, {} networks, {} tunnels", grouped(hosts), grouped(networks), grouped(tunnels));
    let mut lines = cold_start(&hollow, &mut manager, scale, &zone)?;
    lines.push(Line::new(
        MANAGER,
        format!("register {} hosts, one after the other", grouped(hosts)),
        Unit::Seconds,
        registered,
        1,
    ));
    lines.extend(at_rest(&manager, scale)?);
    lines.extend(proofs(&hollow, &mut manager, networks)?);
    lines.push(fault(&hollow, &mut manager, scale)?);
    lines.extend(views::run(&hollow, &mut manager, scale)?);
    lines.extend(storm(&hollow, &mut manager, hosts)?);
    lines.extend(nics::events(&hollow, &manager, scale)?);
    ensure!(hollow.counts().writes == 0, "the manager has sent a host a request that writes: {:?}", hollow.counts());
    Ok(Found { lines, curves: vec![] })
}

/// From the start of the process to a whole zone; it was killed before, and all hosts are registered.
fn cold_start(hollow: &Hollow, manager: &mut Manager, scale: &Scale, zone: &str) -> Result<Vec<Line>> {
    let (mut whole, mut cpu, mut most) = (Samples::default(), Samples::default(), 0);
    for round in 1..=scale.zone_rounds {
        crate::progress(&format!("a cold start, round {round}"));
        manager.kill();
        hollow.reset();
        let start = Instant::now();
        manager.start()?;
        manager.wait_until_whole(hollow)?;
        whole.push(start.elapsed().as_secs_f64());
        cpu.push(cpu_seconds(manager.pid()?)?);
        most = most.max(hollow.counts().most_handshakes);
    }
    let started =
        Line::new(MANAGER, format!("cold start to a full picture: {zone}"), Unit::Seconds, whole.median(), whole.len());
    let goal = Goal::at_most(whole.median(), 5.0, "s", "from the start of the process");
    Ok(vec![
        started.goal(goal),
        Line::new(MANAGER, "the same: CPU time", Unit::Seconds, cpu.median(), cpu.len()),
        handshakes("the same: most handshakes at once", most),
    ])
}

// Counts of a zone are small.
#[allow(clippy::cast_precision_loss)]
fn handshakes(what: &str, most: usize) -> Line {
    let most = most as f64;
    Line::new(MANAGER, what, Unit::Number, most, 1).goal(Goal::at_most(most, 128.0, "", "handshakes at once"))
}

/// What it has once all is there, and what it needs while nothing happens.
fn at_rest(manager: &Manager, scale: &Scale) -> Result<Vec<Line>> {
    crate::progress(&format!("nothing, for {} s", scale.idle_seconds));
    let (pid, hosts) = (manager.pid()?, scale.zone.hosts);
    let (before, start) = (cpu_seconds(pid)?, Instant::now());
    thread::sleep(Duration::from_secs(scale.idle_seconds));
    let percent = 100.0 * (cpu_seconds(pid)? - before) / start.elapsed().as_secs_f64();
    // Bytes and files of a process are few.
    #[allow(clippy::cast_precision_loss)]
    let (bytes, files) = (memory(pid) as f64, fs::read_dir(format!("/proc/{pid}/fd"))?.count() as f64);
    #[allow(clippy::cast_precision_loss)]
    let each = files / hosts as f64;
    let resident = Line::new(MANAGER, format!("memory with {} hosts watched", grouped(hosts)), Unit::Bytes, bytes, 1);
    Ok(vec![
        resident.goal(Goal::at_most(bytes / 1e6, 350.0, "MB", "resident")),
        Line::new(MANAGER, "the same: open files", Unit::Number, files, 1).goal(Goal::at_most(
            each,
            1.1,
            "",
            "for each host",
        )),
        Line::new(MANAGER, "the same: CPU when nothing happens", Unit::Percent, percent, 1),
    ])
}

/// What proofs cost: of one network after a change on one of its hosts, and of all.
fn proofs(hollow: &Hollow, manager: &mut Manager, networks: usize) -> Result<Vec<Line>> {
    crate::progress("a change in single networks, then in all of them");
    let mut one = Samples::default();
    for change in 0..CHANGES {
        let (count, seconds) = changed(hollow, manager, change * networks / CHANGES..=change * networks / CHANGES)?;
        one.push(seconds / count);
    }
    let (count, seconds) = changed(hollow, manager, 0..=networks - 1)?;
    // Some may have been proven twice: a change that came in the middle of a pass.
    #[allow(clippy::cast_precision_loss)]
    let all = seconds * networks as f64 / count;
    let first =
        Line::new(MANAGER, "proof of one network after a change on a host", Unit::Seconds, one.median(), one.len());
    let second = format!("proofs of all {} networks after a change in each", grouped(networks));
    Ok(vec![
        first.goal(Goal::at_most(one.median() * 1e3, 1.0, "ms", "for one")),
        Line::new(MANAGER, second, Unit::Seconds, all, 1).goal(Goal::at_most(all, 0.2, "s", "for all")),
    ])
}

/// Has something change in these networks, and gives how many proofs were made for it, and how long they took in seconds.
fn changed(hollow: &Hollow, manager: &Manager, networks: std::ops::RangeInclusive<usize>) -> Result<(f64, f64)> {
    let figures = || {
        let of = |name: &str| manager.metric(&format!("ovstunnel_manager_{name}_total "));
        Ok::<_, anyhow::Error>((of("proofs")?, of("proof_seconds")?))
    };
    // Counts of a zone are small.
    #[allow(clippy::cast_precision_loss)]
    let wanted = networks.clone().count() as f64;
    let (before, took_before) = figures()?;
    networks.into_iter().try_for_each(|network| hollow.change(network))?;
    look("the proofs", || {
        let (count, took) = figures()?;
        ensure!(count - before >= wanted, "{} of {wanted}", count - before);
        Ok((count - before, took - took_before))
    })
}

/// From a tunnel that goes on one host to the overview that says so.
fn fault(hollow: &Hollow, manager: &mut Manager, scale: &Scale) -> Result<Line> {
    crate::progress("a tunnel goes and comes back");
    let mut seen = Samples::default();
    for round in 0..scale.zone_rounds * 5 {
        let start = Instant::now();
        hollow.lack_a_tunnel(round % scale.zone.hosts, true)?;
        manager.wait("the fault", |overview| {
            ensure!(overview.networks.whole < overview.networks.all, "{overview:?}");
            Ok(())
        })?;
        seen.push(start.elapsed().as_secs_f64());
        hollow.lack_a_tunnel(round % scale.zone.hosts, false)?;
        manager.wait_until_whole(hollow)?;
    }
    let line =
        Line::new(MANAGER, "a tunnel is gone: until the overview says so", Unit::Seconds, seen.median(), seen.len());
    Ok(line.goal(Goal::at_most(seen.median(), 1.0, "s", "in the middle")))
}

/// All connections end at once.
fn storm(hollow: &Hollow, manager: &mut Manager, hosts: usize) -> Result<Vec<Line>> {
    crate::progress("all connections end at once");
    let before = hollow.counts().all_connections;
    hollow.reset();
    let start = Instant::now();
    hollow.cut_all();
    manager.wait("all hosts to be back", |_| {
        let counts = hollow.counts();
        ensure!(counts.all_connections >= before + hosts as u64 && counts.watching >= hosts, "{counts:?}");
        Ok(())
    })?;
    manager.wait_until_whole(hollow)?;
    let back = start.elapsed().as_secs_f64();
    let what = format!("all {} connections end: until all hosts are back and all networks whole", grouped(hosts));
    Ok(vec![
        Line::new(MANAGER, what, Unit::Seconds, back, 1).goal(Goal::at_most(back, 10.0, "s", "for all")),
        handshakes("the same: most handshakes at once", hollow.counts().most_handshakes),
    ])
}
