//! The command line, and the help that documents the JSON. Must not promise what the report does not have.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// What is told after the options.
const MORE: &str = "\
scripts/demo --kernel, with any of these, plays it on the kernel datapath, as
users' hosts have it, in a virtual machine, some ten times slower.

Exit status:
  0    every count is right
  1    a count is wrong (the last lines say which), or something failed
  2    it cannot run here (what is missing is said), or a wrong command line
  130  interrupted; all is taken down before the end, with --keep too

JSON, one document on standard output (what ends in _ms is in milliseconds):
  ok, wrong[]       the verdict, and each thing that was wrong in words
  ovstunnel, open_vswitch, seconds
  by_plugin         whether the networks were set up through the plugin
  hosts[]           name, ip, url, namespace, rundir
  networks[]        name, key, bridge, ipv6,
    vms[]           name, host, ip, mac, vif
    bridges[]       host, bridge (as GET /v1/bridges/{bridge} answers), flows[]
  requests[]        request, host, outcome, time_ms (as the client saw it)
  plugs[]           host, vif, plug_to_rule_ms (from the end of the
                    hypervisor's command to the rule that stayed)
  rounds[]          name: new_mesh, no_flows, flows_back
                    (with --break: new_mesh, unprotected or broken, mended);
                    what;
    pings[]         network, from, to, sent, received, duplicates,
                    rtt_min_ms, rtt_mean_ms, rtt_max_ms
    frames[]        network, kind, from, to, copies {VM: count},
                    expected_once_at[], lost_by_sniffers, ok
  restart           host, flows_before, flows_when_sent[], flows_after,
                    switch_back_ms, flows_back_ms
  mended_ms         with --break: until the daemons had mended it, or its
                    remedy had; told[] what the daemon said of it: host,
                    what, evidence, remedy
  totals            frames, copies, copies_expected, copies_too_many,
                    copies_missing, pings, pings_lost
  bridge_show       host, command, output";

/// Starts hosts with ovstunneld in network namespaces, sets up two virtual networks as a management server does, and
/// counts from packets really sent how often each frame comes to each VM. Needs root; leaves nothing behind.
#[derive(Clone, Debug, Parser)]
#[command(name = "demo", bin_name = "scripts/demo", version, after_help = MORE, max_term_width = 100)]
pub struct Cli {
    /// Number of hosts.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=20))]
    pub hosts: u16,

    /// Number of VMs of each network on each host.
    #[arg(long, default_value_t = 2, value_name = "M", value_parser = clap::value_parser!(u16).range(1..=10))]
    pub vms: u16,

    /// Print one JSON document on standard output, and nothing else there.
    #[arg(long)]
    pub json: bool,

    /// Set the networks up as CloudStack does on XenServer, through the plugin of xapi's, instead of by HTTPS. A plugin is not
    /// told what to do with IPv6, so both networks drop it.
    #[arg(long)]
    pub plugin: bool,

    /// Point a manager at four hosts that run already, and have it name each of four faults that are planted on them.
    #[arg(long, conflicts_with_all = ["hosts", "vms", "json", "plugin", "broken"])]
    pub zone: bool,

    /// With `--zone`: make pictures of the manager's page in this folder while the first of those faults is there.
    #[arg(long, value_name = "DIR", requires = "zone")]
    pub pictures: Option<PathBuf>,

    /// Have so many managers of one zone on one MariaDB, kill the one that leads while NICs come and go, and count every frame.
    #[arg(long, value_name = "N", conflicts_with_all = ["hosts", "vms", "json", "plugin", "broken", "zone", "keep"],
        value_parser = clap::value_parser!(u8).range(2..=5))]
    pub replicas: Option<u8>,

    /// Leave everything running until Ctrl-C, and say how to look around; with `--zone` the manager's page, too, with a link that lets one
    /// browser in.
    #[arg(long)]
    pub keep: bool,

    /// Break something to see what becomes of it; the demo then ends with status 1. `split-horizon` clears Port.protected on
    /// the tunnels while the daemons are held, lets one broadcast frame circle for a moment, and has the daemons mend it.
    /// Needs at least 3 hosts: between 2 there is no circle. `flows` deletes every flow of a network's bridges, Open vSwitch's
    /// own too, while the daemons are held. `foreign-drop` lays somebody else's flow that drops: the daemon leaves it alone,
    /// says what it cuts off and what takes it away, and that is done.
    #[arg(long = "break", value_enum, value_name = "WHAT")]
    pub broken: Option<Broken>,
}

/// What can be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Broken {
    /// A frame that came in by a tunnel may leave by another.
    SplitHorizon,
    /// Every flow is deleted.
    Flows,
    /// A flow of somebody else's drops frames.
    ForeignDrop,
}

impl Cli {
    /// Reads the command line; ends the program when it is wrong or asks for help.
    pub fn read() -> Self {
        let cli = Cli::parse();
        if cli.broken == Some(Broken::SplitHorizon) && cli.hosts < 3 {
            let kind = clap::error::ErrorKind::ValueValidation;
            let message = "--break split-horizon needs --hosts 3 or more: between 2 hosts there is no circle";
            <Cli as clap::CommandFactory>::command().error(kind, message).exit();
        }
        cli
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
    fn the_size_is_bounded() {
        for bad in [
            "--hosts=1",
            "--hosts=21",
            "--vms=0",
            "--vms=11",
            "--break=all",
            "--zone --json",
            "--replicas 1",
            "--replicas 3 --zone",
            "--pictures there",
        ] {
            assert!(Cli::try_parse_from(std::iter::once("demo").chain(bad.split(' '))).is_err(), "{bad}");
        }
    }
}
