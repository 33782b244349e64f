//! The command line. Must not promise what the report does not have.

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

use crate::costs::{Costs, SOURCES};
use crate::zone::{Broken, Scenario, Style};

/// Simulates a zone of hosts, each with the real routes, writer and planner over a switch in memory, and counts.
///
/// Times are simulated: what a command of Open vSwitch costs was measured (`docs/zone.md`). After each event, once nothing is under way
/// for a network any more, its tunnels are checked in all switches. Exit status 0: nothing was wrong; 1: something was.
#[derive(Clone, Debug, Parser)]
#[command(name = "ovstunnel-zone", version, max_term_width = 100)]
pub struct Cli {
    /// Number of hosts.
    #[arg(default_value_t = 2000, value_parser = clap::value_parser!(u16).range(2..=10000))]
    pub hosts: u16,

    /// A smoke run: 20 hosts and small steps of growth, some seconds.
    #[arg(long)]
    pub quick: bool,

    /// Only the zone itself, without smaller and larger ones that show how things grow.
    #[arg(long)]
    pub no_growth: bool,

    /// What chance depends on: the same number brings the same events.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Simulated minutes of the zone's life.
    #[arg(long, default_value_t = 10.0)]
    pub minutes: f64,

    /// How the management server calls.
    #[arg(long, value_enum, default_value_t = Style::Put)]
    pub style: Style,

    /// VMs on a host, on average.
    #[arg(long, default_value_t = 10.0)]
    pub vms_per_host: f64,

    /// VMs of a network, on average.
    #[arg(long, default_value_t = 8.0)]
    pub vms_per_network: f64,

    /// Starts of VMs on a host in an hour, and as many stops.
    #[arg(long, default_value_t = 2.0)]
    pub starts: f64,

    /// Migrations from a host in an hour.
    #[arg(long, default_value_t = 1.0)]
    pub migrations: f64,

    /// Failures in an hour, of 1,000 hosts.
    #[arg(long, default_value_t = 10.0)]
    pub failures: f64,

    /// Killed daemons in an hour, of 1,000 hosts.
    #[arg(long, default_value_t = 20.0)]
    pub kills: f64,

    /// Seconds between two looks of a daemon at everything, as `[reconcile] interval`.
    #[arg(long, default_value_t = 60.0)]
    pub interval: f64,

    /// Requests that the management server has under way at most.
    #[arg(long, default_value_t = 500)]
    pub in_flight: u16,

    /// What something costs, in milliseconds; may be given several times.
    #[arg(long, value_name = "NAME=MS", long_help = cost_help())]
    pub cost: Vec<String>,

    /// Break something on purpose, to see that the checks find it: the end is 1 then.
    #[arg(long = "break", value_enum, value_name = "WHAT")]
    pub broken: Option<Broken>,

    /// Write all numbers into this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Write the plot `zone.svg` into this folder.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

fn cost_help() -> String {
    let figures = serde_json::to_value(Costs::default()).unwrap_or_default();
    let lines = SOURCES.map(|(name, source)| format!("  {name}={}  ({source})", figures[name]));
    format!("What something costs, in milliseconds; may be given several times:\n{}", lines.join("\n"))
}

impl Cli {
    /// What is simulated.
    ///
    /// # Errors
    /// When a value is out of its range.
    pub fn scenario(&self) -> Result<Scenario> {
        let mut costs = Costs::default();
        for cost in &self.cost {
            costs.set(cost)?;
        }
        let within = [
            ("--minutes", self.minutes, 0.1, 100_000.0),
            ("--vms-per-host", self.vms_per_host, 0.1, 1000.0),
            ("--vms-per-network", self.vms_per_network, 1.0, 100_000.0),
            ("--starts", self.starts, 0.0, 10_000.0),
            ("--migrations", self.migrations, 0.0, 10_000.0),
            ("--failures", self.failures, 0.0, 1_000_000.0),
            ("--kills", self.kills, 0.0, 1_000_000.0),
            ("--interval", self.interval, 1.0, 1_000_000.0),
            ("--in-flight", f64::from(self.in_flight), 1.0, 65_535.0),
        ];
        for (name, value, least, most) in within {
            anyhow::ensure!((least..=most).contains(&value), "{name} must be from {least} to {most}, not {value}");
        }
        Ok(Scenario {
            hosts: if self.quick { 20 } else { usize::from(self.hosts) },
            vms_per_host: self.vms_per_host,
            vms_per_network: self.vms_per_network,
            minutes: self.minutes,
            style: self.style,
            // In so small a zone something is to happen all the same.
            starts: if self.quick { 30.0 } else { self.starts },
            migrations: if self.quick { 15.0 } else { self.migrations },
            failures: if self.quick { 500.0 } else { self.failures },
            kills: if self.quick { 500.0 } else { self.kills },
            interval: self.interval,
            in_flight: usize::from(self.in_flight),
            seed: self.seed,
            costs,
            broken: self.broken,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_value_out_of_range_is_told_with_its_name() {
        for (argument, words) in [
            ("--minutes=0", "--minutes must be"),
            ("--interval=0", "--interval must be"),
            ("--cost=x=1", "no cost `x`"),
        ] {
            let error = Cli::try_parse_from(["zone", argument]).unwrap().scenario().unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
        assert!(Cli::try_parse_from(["zone", "1"]).is_err(), "one host has nobody to be meshed with");
    }
}
