//! The command line. Must not promise what the report does not have.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// What is told after the options.
const MORE: &str = "\
scripts/bench --zone N drives a zone of N simulated hosts instead; --zone --help tells of it.
scripts/bench --kernel measures on the kernel datapath, in a slow virtual machine: it tells of ratios only.
scripts/bench --prepare only installs what is missing.

Exit status:
  0    everything was measured; goals that are missed are told, and are no failure
  1    something could not be measured, or a contender did not leave the same rows as the others
  2    it cannot run here (what is missing is said), or a wrong command line
  130  interrupted; all is taken down before the end";

/// Measures ovstunneld on real switches in network namespaces beside a bare command, a transaction straight into the
/// database, the Python plugin's commands and ovsdbapp, each in turn on the same switch. Needs root; leaves nothing behind.
#[derive(Clone, Debug, Parser)]
#[command(name = "bench", bin_name = "scripts/bench", version, after_help = MORE, max_term_width = 100)]
pub struct Cli {
    /// A smoke run with tiny numbers: its figures say nothing.
    #[arg(long)]
    pub quick: bool,

    /// Measure with this share of all tunnels, bridges and rounds: for a glance, or a slow machine.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub percent: u8,

    /// For how long NICs come and go in the parts `manager` and `galera`, in seconds [default: 20, and 2 with --quick].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub nic_seconds: Option<u64>,

    /// Measure this part alone; may be given several times.
    #[arg(long, value_enum, value_name = "NAME")]
    pub only: Vec<Scenario>,

    /// Write all that was measured to this file; `-` is standard output, in place of the table.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Write the plots to this folder.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Put the table into docs/BENCHMARKS.md and the plots beside it. Only for all of a full run, or for one --from a file.
    #[arg(long, conflicts_with_all = ["quick", "only", "percent"])]
    pub update_docs: bool,

    /// Also tell, for each line that an earlier run has written by --json, how many times as much this run has measured.
    #[arg(long, value_name = "OLD.json")]
    pub compare: Option<PathBuf>,

    /// Measure nothing; show what an earlier run has written by --json.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["quick", "only", "json"])]
    pub from: Option<PathBuf>,
}

/// The parts of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// One tunnel, with none and with many on the host.
    Tunnel,
    /// A whole network by one request; removal of one of its tunnels, and of its bridge.
    Network,
    /// Many requests at the same time.
    Concurrent,
    /// From a VIF that is plugged to its rule; many at once.
    Vif,
    /// How many flows there are.
    Flows,
    /// Many bridges: a look at all of them, memory, what others break.
    Bridges,
    /// Many bridges, and a switch that starts again.
    Restart,
    /// Start, and a daemon that has nothing to do.
    Start,
    /// Packets from VM to VM.
    Traffic,
    /// One tunnel, a whole network and traffic, by tunnels of each kind.
    Kinds,
    /// The small programs, CloudStack's calls end to end, and a NIC that the manager brings to a fourth real host.
    Programs,
    /// One tunnel, a whole network, VIFs, many bridges and a restart by a daemon that writes without programs.
    Native,
    /// What a user would pick instead: Neutron's ovs_lib, os-vif, Xen Orchestra's transactions, OVN. Not in --quick, unless asked for.
    Peers,
    /// The manager, over as many hollow hosts as a zone has.
    Manager,
    /// What probes of all tunnels of a zone cost the manager, and a host.
    Sweeps,
    /// Three managers on one MariaDB: until another leads after the one that led is gone. Not in --quick, unless asked for.
    Replicas,
    /// NICs that come and go, as in `manager`, with the manager's database on three nodes of Galera. Only when asked for.
    Galera,
}

impl Cli {
    /// The parts that are asked for.
    pub fn scenarios(&self) -> Vec<Scenario> {
        let all = Scenario::value_variants().iter().copied();
        // The others' libraries are 350 MB, a lease lives for 10 s, and a cluster is three servers.
        let takes_long = |scenario: &Scenario| [Scenario::Peers, Scenario::Replicas].contains(scenario);
        let asked = |scenario: &Scenario| match self.only.is_empty() {
            true => *scenario != Scenario::Galera && !(self.quick && takes_long(scenario)),
            false => self.only.contains(scenario),
        };
        all.filter(asked).collect()
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
    fn half_a_run_is_not_for_the_docs() {
        for half in [["--quick", "--update-docs"], ["--only=tunnel", "--update-docs"], ["--percent=5", "--update-docs"]]
        {
            assert!(Cli::try_parse_from([&["bench"], &half[..]].concat()).is_err(), "{half:?}");
        }
    }
}
