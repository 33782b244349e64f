//! How things grow: the same zone with more hosts, with more networks on each host, and with wider networks.
//!
//! What it does: picks the zones to compare, and runs as many at once as there are cores. What it must not do: compare runs of
//! different rates.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, anyhow};
use serde::Serialize;

use crate::run::{Outcome, run};
use crate::zone::{Scenario, Style};

/// Zones that differ in one thing.
#[derive(Clone, Debug, Serialize)]
pub struct Series {
    /// What differs.
    pub title: &'static str,
    /// Its values, each with what came of it.
    pub points: Vec<(f64, Outcome)>,
}

/// All that was simulated.
#[derive(Clone, Debug, Serialize)]
pub struct Everything {
    /// The zone that was asked for.
    pub zone: Outcome,
    /// How things grow.
    pub growth: Vec<Series>,
    /// One zone, called in each style.
    pub styles: Vec<Outcome>,
}

impl Everything {
    /// All simulations, the zone itself first.
    pub fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        let series = self.growth.iter().flat_map(|series| series.points.iter().map(|(_, outcome)| outcome));
        std::iter::once(&self.zone).chain(series).chain(&self.styles)
    }
}

/// Runs the zone, and with `growth` those to compare it with.
///
/// # Errors
/// When a simulation cannot be carried out.
pub fn everything(zone: &Scenario, growth: bool) -> Result<Everything> {
    // Large enough for the widest network, and small enough to run many.
    let base = Scenario { hosts: (zone.hosts / 10).max(zone.hosts.min(20)), broken: None, ..zone.clone() };
    let parts = |of: usize| [of / 20, of / 8, of / 4, of / 2].map(|hosts| hosts.max(2));
    let by_hosts = parts(zone.hosts).map(|hosts| (hosts as f64, Scenario { hosts, ..base.clone() }));
    let by_networks = [2.5, 5.0, 10.0, 20.0].map(|vms| (vms, Scenario { vms_per_host: vms, ..base.clone() }));
    let widths = [4.0, 8.0, 16.0, 32.0].map(|vms: f64| vms.min(base.vms() as f64));
    let by_width = widths.map(|vms| (vms, Scenario { vms_per_network: vms, ..base.clone() }));
    let styles = [Style::Put, Style::Single, Style::Plugin].map(|style| Scenario { style, ..base.clone() });

    let mut scenarios = vec![zone.clone()];
    if growth {
        scenarios.extend(by_hosts.iter().chain(&by_networks).chain(&by_width).map(|(_, scenario)| scenario.clone()));
        scenarios.extend(styles);
    }
    let mut outcomes = run_all(scenarios)?.into_iter();
    let zone = outcomes.next().ok_or_else(|| anyhow!("nothing was simulated"))?;
    let mut series = |title, values: Vec<f64>| {
        let points: Vec<_> = values.into_iter().zip(outcomes.by_ref()).collect();
        Series { title, points }
    };
    if !growth {
        return Ok(Everything { zone, growth: vec![], styles: vec![] });
    }
    let values = |points: &[(f64, Scenario)]| points.iter().map(|(value, _)| *value).collect::<Vec<_>>();
    let mut growth = vec![
        series("hosts", values(&by_hosts)),
        series("VMs on a host", values(&by_networks)),
        series("VMs of a network", values(&by_width)),
    ];
    growth[0].points.push((zone.scenario.hosts as f64, zone.clone()));
    Ok(Everything { zone, growth, styles: outcomes.collect() })
}

/// Runs simulations side by side, and gives what came of them in their order.
fn run_all(scenarios: Vec<Scenario>) -> Result<Vec<Outcome>> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let work = || {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(scenario) = scenarios.get(n) else { return };
            let result = run(scenario.clone());
            results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((n, result));
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(scenarios.len());
    std::thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|(n, _)| *n);
    results.into_iter().map(|(_, result)| result).collect()
}
