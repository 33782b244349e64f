//! Three managers of a zone on one MariaDB: for how long nobody leads after the one that led was killed, stands still, or is cut off from the
//! database. Must not count what comes once the next one leads.

use std::time::Instant;

use anyhow::Result;
use ovstunnel_e2e::{Cloud, Replicas};

use crate::ground::config;
use crate::page::MANAGER;
use crate::report::{Found, Goal, Line, Unit};
use crate::scale::Scale;
use crate::stats::Samples;

const MANAGERS: usize = 3;

/// What happens to the manager that leads.
const FAULTS: [(&str, Fault); 3] =
    [("is killed", Fault::Kill), ("stands still", Fault::Freeze), ("is cut off from the database", Fault::CutOff)];

#[derive(Clone, Copy)]
enum Fault {
    Kill,
    Freeze,
    CutOff,
}

pub fn run(scale: &Scale) -> Result<Found> {
    let cloud = Cloud::with_config("breplicas", 1, config())?;
    let mut managers = Replicas::new(&cloud, MANAGERS)?;
    let mut lines = Vec::new();
    for (what, fault) in FAULTS {
        let mut times = Samples::default();
        for round in 1..=scale.zone_rounds {
            crate::progress(&format!("the manager that leads {what}, round {round}"));
            times.push(until_another_leads(&cloud, &mut managers, fault)?);
        }
        let what = format!("one of {MANAGERS} on MariaDB leads and {what}: until another leads");
        let line = Line::new(MANAGER, what, Unit::Seconds, times.median(), times.len());
        lines.push(line.goal(Goal::at_most(times.max(), 12.0, "s", "at the longest")));
    }
    managers.stop()?;
    Ok(Found { lines, curves: vec![] })
}

/// Seconds from the fault until another one leads and the others name it. The fault is over when this returns.
fn until_another_leads(cloud: &Cloud, managers: &mut Replicas, fault: Fault) -> Result<f64> {
    let (leader, _) = managers.wait_for_leader(cloud, None)?;
    let started = Instant::now();
    let cut = match fault {
        Fault::Kill => managers.kill(leader).map(|()| None)?,
        Fault::Freeze => managers.freeze(leader).map(|()| None)?,
        Fault::CutOff => Some(managers.cut_off(&[leader])?),
    };
    managers.wait_for_leader(cloud, Some(leader))?;
    let took = started.elapsed().as_secs_f64();
    drop(cut);
    match fault {
        Fault::Kill => managers.start(cloud, leader)?,
        Fault::Freeze => managers.thaw(leader)?,
        Fault::CutOff => {}
    }
    managers.wait_for_leader(cloud, None)?;
    Ok(took)
}
