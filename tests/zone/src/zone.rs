//! All of a zone that its parts share: hosts, networks, VMs, what is under way and what was counted.
//! Must not send or change anything itself.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::check::Fault;
use crate::costs::Costs;
use crate::counts::Tally;
use crate::host::Host;
use crate::network::{Cause, Network};
use crate::server::Lanes;
use crate::vms::Vms;

/// Faults that are kept in words.
const FAULTS_KEPT: usize = 1000;

/// How the management server calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    /// Each host that is concerned gets one PUT with its complete set of tunnels.
    Put,
    /// The host that joins gets one PUT, each other one POST; DELETE of a tunnel when a host leaves.
    Single,
    /// CloudStack's: calls of the plugin, one after another for each network, one for each tunnel.
    Plugin,
}

/// What is broken on purpose, so that a check must see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Broken {
    /// One message that asks for a tunnel is lost, and the server takes it for answered. With PUT it may be one that takes
    /// another tunnel away, which is left over then.
    LostSetup,
    /// One message that takes something away is lost likewise.
    LostRemoval,
    /// At the end somebody deletes a tunnel in a switch whose daemon does not run.
    LostTunnel,
}

/// What is simulated.
#[derive(Clone, Debug, Serialize)]
pub struct Scenario {
    /// Hosts.
    pub hosts: usize,
    /// VMs on a host, on average.
    pub vms_per_host: f64,
    /// VMs of a network, on average; few networks have many, many have few.
    pub vms_per_network: f64,
    /// Simulated minutes of the zone's life.
    pub minutes: f64,
    /// How the management server calls.
    pub style: Style,
    /// Starts of VMs on a host in an hour, and as many stops.
    pub starts: f64,
    /// Migrations from a host in an hour.
    pub migrations: f64,
    /// Failures in an hour, of 1,000 hosts.
    pub failures: f64,
    /// Killed daemons in an hour, of 1,000 hosts.
    pub kills: f64,
    /// Seconds between two looks of a daemon at everything.
    pub interval: f64,
    /// Requests that the management server has under way at most.
    pub in_flight: usize,
    /// What chance depends on.
    pub seed: u64,
    /// What things cost.
    pub costs: Costs,
    /// What is broken on purpose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken: Option<Broken>,
}

impl Scenario {
    /// How many networks there are.
    pub fn networks(&self) -> usize {
        ((self.hosts as f64 * self.vms_per_host / self.vms_per_network).round() as usize).max(1)
    }

    /// How many VMs there are at the start.
    pub fn vms(&self) -> usize {
        (self.hosts as f64 * self.vms_per_host).round() as usize
    }
}

/// A zone.
#[derive(Debug)]
pub struct Zone {
    /// What is simulated.
    pub scenario: Scenario,
    /// Its hosts, by number.
    pub hosts: Vec<Host>,
    /// Which of them answer, as far as the server knows.
    pub up: RefCell<Vec<bool>>,
    /// Its networks, by number.
    pub networks: RefCell<Vec<Network>>,
    /// How often each network is chosen for a VM: the sums of the weights up to it.
    weights: Vec<f64>,
    /// VMs.
    pub vms: RefCell<Vms>,
    /// Requests that wait.
    pub lanes: RefCell<Lanes>,
    /// One for each request that may be under way.
    pub permits: Semaphore,
    /// Messages.
    pub tally: RefCell<Tally>,
    /// Events by what they were.
    pub events: RefCell<BTreeMap<&'static str, u64>>,
    /// Events that are not over.
    pub running: Cell<usize>,
    /// Times for which networks were not whole, with the network.
    pub episodes: RefCell<Vec<(Cause, Duration, usize)>>,
    /// What is wrong.
    pub faults: RefCell<Vec<Fault>>,
    /// How many faults there were, those that were not kept among them.
    pub fault_count: Cell<u64>,
    /// Networks checked, and tunnels looked at for it.
    pub checked: Cell<(u64, u64)>,
    /// What is still to be broken.
    pub to_break: Cell<Option<Broken>>,
    dice: RefCell<StdRng>,
}

impl Zone {
    /// A zone in which nothing has been set up.
    pub fn new(scenario: Scenario) -> Self {
        let mut dice = StdRng::seed_from_u64(scenario.seed);
        let interval = Duration::from_secs_f64(scenario.interval);
        let mut sum = 0.0;
        let mut weight = || {
            // Pareto's, cut off: most networks are small, some have dozens of VMs.
            sum += (1.0 - dice.random::<f64>()).powf(-1.0 / 1.5).min(20.0);
            sum
        };
        let weights = (0..scenario.networks()).map(|_| weight()).collect();
        Zone {
            hosts: (0..scenario.hosts).map(|n| Host::new(n, scenario.costs.clone(), interval)).collect(),
            up: RefCell::new(vec![true; scenario.hosts]),
            networks: RefCell::new((0..scenario.networks()).map(Network::new).collect()),
            weights,
            vms: RefCell::default(),
            lanes: RefCell::default(),
            permits: Semaphore::new(scenario.in_flight),
            tally: RefCell::default(),
            events: RefCell::default(),
            running: Cell::default(),
            episodes: RefCell::default(),
            faults: RefCell::default(),
            fault_count: Cell::default(),
            checked: Cell::default(),
            to_break: Cell::new(None),
            dice: RefCell::new(dice),
            scenario,
        }
    }

    /// Whether a host answers, as far as the server knows.
    pub fn is_up(&self, host: usize) -> bool {
        self.up.borrow()[host]
    }

    /// A number below 1, by chance.
    pub fn chance(&self) -> f64 {
        self.dice.borrow_mut().random()
    }

    /// A number below `end`, by chance.
    pub fn below(&self, end: usize) -> usize {
        self.dice.borrow_mut().random_range(0..end)
    }

    /// A network by chance, a larger one more often.
    pub fn some_network(&self) -> usize {
        let at = self.chance() * self.weights.last().copied().unwrap_or_default();
        self.weights.partition_point(|sum| *sum <= at).min(self.weights.len() - 1)
    }

    /// A host that is up, by chance; none where there is none but `except`.
    pub fn some_host(&self, except: Option<usize>) -> Option<usize> {
        let fits = |host: &usize| self.is_up(*host) && Some(*host) != except;
        (0..100).map(|_| self.below(self.hosts.len())).find(fits).or_else(|| (0..self.hosts.len()).find(fits))
    }

    /// Notes what is wrong.
    pub fn blame(&self, faults: Vec<Fault>) {
        self.fault_count.set(self.fault_count.get() + faults.len() as u64);
        let mut kept = self.faults.borrow_mut();
        let room = FAULTS_KEPT.saturating_sub(kept.len());
        kept.extend(faults.into_iter().take(room));
    }
}
