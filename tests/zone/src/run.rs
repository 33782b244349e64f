//! One simulation from beginning to end, and what came of it. Must not print.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;
use tokio::task::LocalSet;

use crate::counts::{Counts, Messages};
use crate::network::Cause;
use crate::zone::{Broken, Scenario, Zone};
use crate::{check, life};

/// Times in milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Times {
    /// How many.
    pub count: usize,
    /// Half of them are shorter.
    pub median: f64,
    /// Of a hundred one is longer.
    pub p99: f64,
    /// The longest.
    pub longest: f64,
    /// The network that had the longest.
    pub network: String,
    /// Hosts that it spans at the end.
    pub spans: usize,
}

/// What the zone is at the end.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Size {
    /// Networks that have VMs.
    pub networks: usize,
    /// VMs.
    pub vms: usize,
    /// Bridges, on all hosts.
    pub bridges: usize,
    /// Tunnel ports, on all hosts: two for each pair of hosts of a network.
    pub tunnels: usize,
    /// Most bridges on a host.
    pub most_bridges: usize,
    /// Most tunnel ports on a host.
    pub most_tunnels: usize,
    /// Hosts that a network spans, on average.
    pub mean_span: f64,
    /// Most hosts that a network spans.
    pub largest_span: usize,
}

/// Commands and rows.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Work {
    /// Transactions, by `ovs-vsctl`.
    pub transactions: u64,
    /// Bundles of flow changes, by `ovs-ofctl`.
    pub bundles: u64,
    /// Readings of a bridge's flows, by `ovs-ofctl`.
    pub dumps: u64,
    /// Tunnels made.
    pub tunnels_made: u64,
    /// Tunnels removed.
    pub tunnels_removed: u64,
    /// Bridges made.
    pub bridges_made: u64,
    /// Bridges removed.
    pub bridges_removed: u64,
    /// Seconds in transactions.
    pub writing_seconds: f64,
    /// Seconds in commands about flows.
    pub flows_seconds: f64,
    /// The longest transaction, in milliseconds.
    pub longest_transaction: f64,
}

impl From<Counts> for Work {
    fn from(counts: Counts) -> Self {
        Work {
            transactions: counts.transactions,
            bundles: counts.bundles,
            dumps: counts.dumps,
            tunnels_made: counts.tunnels_made,
            tunnels_removed: counts.tunnels_removed,
            bridges_made: counts.bridges_made,
            bridges_removed: counts.bridges_removed,
            writing_seconds: counts.writing.as_secs_f64(),
            flows_seconds: counts.flows.as_secs_f64(),
            longest_transaction: ms(counts.longest),
        }
    }
}

/// The host that was busiest with transactions.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Worst {
    /// Its number.
    pub host: usize,
    /// What it did.
    pub work: Work,
    /// Part of the time in which its writer was in a transaction.
    pub writing: f64,
    /// The same part, on average over all hosts.
    pub mean_writing: f64,
    /// Part of the time in which commands about flows ran, on average over all hosts.
    pub mean_flows: f64,
}

/// What was checked.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Checks {
    /// Networks, each time that nothing was under way for one any more, and all in each minute.
    pub networks: u64,
    /// Ports looked at for that.
    pub ports: u64,
    /// Faults.
    pub faults: u64,
    /// The first of them, in words.
    pub words: Vec<String>,
}

/// What came of a simulation.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// What was simulated.
    pub scenario: Scenario,
    /// The zone at the end.
    pub size: Size,
    /// What happened.
    pub events: BTreeMap<&'static str, u64>,
    /// Messages in the zone's life, without its set-up.
    pub messages: BTreeMap<&'static str, Messages>,
    /// All of them.
    pub all_messages: Messages,
    /// What the switches did in that time.
    pub work: Work,
    /// The busiest host.
    pub worst: Worst,
    /// Milliseconds until a network was whole again, by what began it.
    pub whole: BTreeMap<Cause, Times>,
    /// The same, whatever began it, set-up apart.
    pub whole_all: Times,
    /// Seconds until all networks were set up at the start.
    pub set_up_seconds: f64,
    /// Simulated seconds of the zone's life.
    pub seconds: f64,
    /// Seconds that the simulation took.
    pub real_seconds: f64,
    /// What was checked.
    pub checks: Checks,
}

impl Outcome {
    /// Starts, stops and migrations of VMs.
    pub fn vm_events(&self) -> u64 {
        ["VM starts", "VM stops", "migrations"].iter().filter_map(|what| self.events.get(what)).sum()
    }

    /// Something for each start, stop or migration of a VM.
    pub fn per_event(&self, number: u64) -> f64 {
        number as f64 / self.vm_events().max(1) as f64
    }

    /// Whether nothing was wrong.
    pub fn is_good(&self) -> bool {
        self.checks.faults == 0
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Runs a simulation, in a runtime of its own whose clock stands still while anything is to be done.
///
/// # Errors
/// When something is not as the simulation expects it; what the checks find is none.
pub fn run(scenario: Scenario) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    LocalSet::new().block_on(&runtime, simulate(scenario))
}

async fn simulate(scenario: Scenario) -> Result<Outcome> {
    let real = Instant::now();
    let zone = Rc::new(Zone::new(scenario));
    let before = tokio::time::Instant::now();
    life::set_up(&zone).await?;
    let set_up = zone.episodes.borrow().iter().map(|(_, time, _)| *time).max().unwrap_or_default();
    forget_set_up(&zone);
    zone.to_break.set(zone.scenario.broken);
    let started = tokio::time::Instant::now();
    ensure!(started > before, "the clock does not go on");
    life::live(&zone).await?;
    let seconds = started.elapsed().as_secs_f64();
    if zone.scenario.broken == Some(Broken::LostTunnel) {
        ensure!(life::break_a_tunnel(&zone), "there is no tunnel to break");
    }
    zone.blame(check::everything(&zone));
    zone.blame(check::flows(&zone).await?);
    Ok(outcome(&zone, set_up, seconds, real.elapsed()))
}

/// What was counted of the set-up is none of the life's.
fn forget_set_up(zone: &Zone) {
    zone.hosts.iter().for_each(|host| host.meter().reset());
    zone.tally.borrow_mut().clear();
    zone.episodes.borrow_mut().clear();
}

fn outcome(zone: &Zone, set_up: Duration, seconds: f64, real: Duration) -> Outcome {
    let mut all_messages = Messages::default();
    zone.tally.borrow().values().for_each(|messages| all_messages.add(messages));
    let mut work = Counts::default();
    zone.hosts.iter().for_each(|host| work.add(&host.meter().counts()));
    let mut by_cause: BTreeMap<Cause, Vec<(Duration, usize)>> = BTreeMap::new();
    for (cause, time, network) in zone.episodes.borrow().iter().filter(|(_, time, _)| !time.is_zero()) {
        by_cause.entry(*cause).or_default().push((*time, *network));
    }
    let all = by_cause.values().flatten().copied().collect();
    let (checked, ports) = zone.checked.get();
    Outcome {
        size: size(zone),
        events: zone.events.borrow().clone(),
        messages: zone.tally.borrow().clone(),
        all_messages,
        work: work.into(),
        worst: worst(zone, &work, seconds),
        whole: by_cause.into_iter().map(|(cause, times_of)| (cause, times(zone, times_of))).collect(),
        whole_all: times(zone, all),
        set_up_seconds: set_up.as_secs_f64(),
        seconds,
        real_seconds: real.as_secs_f64(),
        checks: Checks {
            networks: checked,
            ports,
            faults: zone.fault_count.get(),
            words: zone.faults.borrow().iter().take(20).map(ToString::to_string).collect(),
        },
        scenario: zone.scenario.clone(),
    }
}

fn times(zone: &Zone, mut all: Vec<(Duration, usize)>) -> Times {
    all.sort();
    let at = |part: f64| all.get(((all.len() as f64 * part) as usize).min(all.len().saturating_sub(1)));
    let of = |part| at(part).map(|(time, _)| ms(*time)).unwrap_or_default();
    let networks = zone.networks.borrow();
    let slowest = all.last().map(|(_, network)| &networks[*network]);
    Times {
        count: all.len(),
        median: of(0.5),
        p99: of(0.99),
        longest: of(1.0),
        network: slowest.map(|network| network.bridge.clone()).unwrap_or_default(),
        spans: slowest.map(|network| network.members.len()).unwrap_or_default(),
    }
}

fn size(zone: &Zone) -> Size {
    let networks = zone.networks.borrow();
    let spans: Vec<usize> = networks.iter().map(|n| n.members.len()).filter(|span| *span > 0).collect();
    let (mut bridges, mut tunnels) = (vec![0; zone.hosts.len()], vec![0; zone.hosts.len()]);
    for network in networks.iter() {
        for host in network.members.keys() {
            bridges[*host] += 1;
            tunnels[*host] += network.members.len() - 1;
        }
    }
    Size {
        networks: spans.len(),
        vms: networks.iter().flat_map(|network| network.members.values()).sum(),
        bridges: bridges.iter().sum(),
        tunnels: tunnels.iter().sum(),
        most_bridges: bridges.into_iter().max().unwrap_or_default(),
        most_tunnels: tunnels.into_iter().max().unwrap_or_default(),
        mean_span: spans.iter().sum::<usize>() as f64 / spans.len().max(1) as f64,
        largest_span: spans.into_iter().max().unwrap_or_default(),
    }
}

fn worst(zone: &Zone, all: &Counts, seconds: f64) -> Worst {
    let counts = zone.hosts.iter().map(|host| host.meter().counts()).enumerate();
    let (host, work) = counts.max_by_key(|(_, counts)| counts.writing).unwrap_or_default();
    let hosts = zone.hosts.len() as f64;
    Worst {
        host,
        writing: work.writing.as_secs_f64() / seconds,
        work: work.into(),
        mean_writing: all.writing.as_secs_f64() / seconds / hosts,
        mean_flows: all.flows.as_secs_f64() / seconds / hosts,
    }
}
