//! What a browser waits for, over the zone of hollow hosts while something is wrong in it: each view's first byte and its size; and what leads from a
//! fault to its cause. Must not compress: what is measured is the manager, not the way to it.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use ovstunnel_client::FaultsWanted;
use ovstunnel_hollow::{Hollow, Manager, Plan, look};

use crate::page::MANAGER;
use crate::report::{Goal, Line, Unit};
use crate::scale::Scale;
use crate::stats::Samples;

/// For how long a finding must stand where the manager changes nothing, in seconds (docs/adr/0042).
const STANDS: f64 = 5.0;

/// How often each view is asked for.
const ROUNDS: usize = 10;

/// Hosts of which each lacks a tunnel meanwhile.
const FAULTY: usize = 20;

pub fn run(hollow: &Hollow, manager: &mut Manager, scale: &Scale) -> Result<Vec<Line>> {
    let mut lines = vec![fault(hollow, manager, scale)?, why(hollow, manager)?];
    let faulty = FAULTY.min(scale.zone.hosts);
    (0..faulty).try_for_each(|host| hollow.lack_a_tunnel(host, true).map(drop))?;
    manager.wait("the faults", |overview| {
        ensure!(overview.networks.whole < overview.networks.all, "{overview:?}");
        Ok(())
    })?;
    crate::progress("each view of the page");
    let size = |network: &usize| hollow.plan().members(*network).len();
    let largest = (0..scale.zone.networks).max_by_key(size).context("a network")?;
    let network = format!("/networks/key-{}", Plan::key(largest));
    let views = [
        ("overview", "/".to_owned()),
        ("networks", "/networks".into()),
        ("matrix of a network", network.clone()),
        ("proof of a network", format!("{network}?view=proof")),
        ("hosts", "/hosts".into()),
        ("one host", "/hosts/h0001".into()),
        ("faults", "/faults".into()),
        ("keys", "/keys".into()),
        ("events", "/events".into()),
        ("holds", "/holds".into()),
        ("matrix of the zone by rack", "/v1/zone/matrix.png?by=rack".into()),
    ];
    for (name, path) in views {
        let (seconds, bytes) = asked(manager, &path)?;
        let goals = [
            Goal::at_most(seconds.median() * 1e3, 50.0, "ms", "in the middle"),
            Goal::at_most(bytes / 1e3, 100.0, "kB", "uncompressed"),
        ];
        let line =
            Line::new(MANAGER, format!("page, {name}: first byte"), Unit::Seconds, seconds.median(), seconds.len());
        lines.push(goals.into_iter().fold(line, Line::goal));
    }
    let (seconds, bytes) = asked(manager, "/v1/zone/matrix.png")?;
    let line = Line::new(
        MANAGER,
        "picture of the zone, each pair of hosts a point",
        Unit::Seconds,
        seconds.median(),
        seconds.len(),
    );
    lines.push(line.goal(Goal::at_most(bytes / 1e3, 400.0, "kB", "in all")));
    (0..faulty).try_for_each(|host| hollow.lack_a_tunnel(host, false).map(drop))?;
    manager.wait_until_whole(hollow)?;
    Ok(lines)
}

/// Seconds to the first byte, and the most bytes of an answer.
fn asked(manager: &Manager, path: &str) -> Result<(Samples, f64)> {
    let (mut seconds, mut most) = (Samples::default(), 0);
    for _ in 0..ROUNDS {
        let view = manager.view(path)?;
        seconds.push(view.first_byte.as_secs_f64());
        most = most.max(view.body.len());
    }
    // An answer is not that large.
    #[allow(clippy::cast_precision_loss)]
    Ok((seconds, most as f64))
}

/// From a tunnel that goes on one host to the fault that is told.
fn fault(hollow: &Hollow, manager: &mut Manager, scale: &Scale) -> Result<Line> {
    crate::progress("a tunnel goes until the fault is told");
    let mut seen = Samples::default();
    let faults = |manager: &Manager| manager.ask(async |client| client.faults(&FaultsWanted::default()).await);
    for round in 0..scale.zone_rounds * 5 {
        let start = Instant::now();
        hollow.lack_a_tunnel(round % scale.zone.hosts, true)?;
        look("the fault", || {
            let list = faults(manager)?;
            ensure!(list.total > 0, "{list:?}");
            Ok(())
        })?;
        seen.push(start.elapsed().as_secs_f64());
        hollow.lack_a_tunnel(round % scale.zone.hosts, false)?;
        manager.wait_until_whole(hollow)?;
        look("its end", || {
            let list = faults(manager)?;
            ensure!(list.total == 0, "{list:?}");
            Ok(())
        })?;
    }
    // Of a zone in which a cloud sends the tunnels a finding must stand for 5 s first: it sends them one by one.
    let what = "a tunnel is gone: until GET /v1/faults tells it, 5 s that a finding must stand counted";
    let line = Line::new(MANAGER, what, Unit::Seconds, seen.median(), seen.len());
    Ok(line.goal(Goal::at_most(seen.median() - STANDS, 1.0, "s", "beyond those, in the middle")))
}

/// The question why one host does not reach another one, of pairs that have a network in common.
fn why(hollow: &Hollow, manager: &Manager) -> Result<Line> {
    crate::progress("why");
    let mut took = Samples::default();
    let plan = hollow.plan();
    let networks = (0..plan.size.networks).filter(|network| plan.members(*network).len() > 1).take(ROUNDS);
    for network in networks {
        let [from, to] = [0, 1].map(|at| format!("h{:04}", Plan::number(plan.members(network)[at])));
        let name = format!("key-{}", Plan::key(network));
        let start = Instant::now();
        manager.ask(async |client| client.path(&from, &to, Some(&name)).await)?;
        took.push(start.elapsed().as_secs_f64());
    }
    let line =
        Line::new(MANAGER, "why one host does not reach another: an answer", Unit::Seconds, took.median(), took.len());
    Ok(line.goal(Goal::at_most(took.median() * 1e3, 200.0, "ms", "in the middle")))
}
