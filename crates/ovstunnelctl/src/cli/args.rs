//! The command line as types, with the help that goes with each option.
//!
//! What it must not do: promise what is not there yet. Help says what is true today.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::engine::ArgValueCandidates;
use ovstunnel_api::Id;

use super::apply_args::{Apply, Edit, Export};
use super::bridge_args::{BridgeCommand, EndOfBridge, TunnelCommand};
use super::complete::{self, Shell};
use super::connection::{Connection, GENERAL};
use super::examples;
use super::join::Join;
use super::pki_args::Pki;
use super::renew::Renew;
use super::values;
use super::zone::ZoneCommand;

/// Operates ovstunneld: GRE tunnels between the Open vSwitch bridges of a cloud's hosts.
#[derive(Debug, Parser)]
#[command(name = "ovstunnelctl", version, after_help = examples::ALL, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    /// Print JSON: the API's own types on standard output, an error as a problem (RFC 9457) on standard error.
    #[arg(long, global = true, help_heading = GENERAL)]
    pub(super) json: bool,

    /// How long to wait for an answer: a number of seconds, or with a unit (500ms, 2m).
    #[arg(long, global = true, value_name = "TIME", default_value = "40s", value_parser = values::timeout, help_heading = GENERAL)]
    pub(super) timeout: Duration,

    #[command(flatten)]
    pub(super) connection: Connection,

    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show whether the daemon is ready, what it manages in numbers, and what of it needs attention.
    #[command(after_help = examples::STATUS)]
    Status(Status),
    /// Say what is wrong with this host, why, and what to do about it; also where the daemon does not answer.
    #[command(after_help = examples::DOCTOR)]
    Doctor(Doctor),
    /// Write one archive for a bug report: configuration, versions, rows and flows of our bridges, log, doctor; no keys.
    #[command(after_help = examples::SUPPORT_BUNDLE)]
    SupportBundle(Bundle),
    /// Show, set up and destroy the bridges of virtual networks.
    #[command(subcommand)]
    Bridge(BridgeCommand),
    /// Show, create and destroy single GRE tunnels.
    #[command(subcommand)]
    Tunnel(TunnelCommand),
    /// Show and set up networks of xapi's, on XenServer and XCP-ng: they name the bridges there.
    #[command(subcommand)]
    Network(NetworkCommand),
    /// Set several bridges up as files say, after showing what that changes. Repeating it is safe.
    #[command(after_help = examples::APPLY)]
    Apply(Apply),
    /// Write bridges as YAML, or with --json as JSON, that `apply` reads.
    #[command(after_help = examples::EXPORT)]
    Export(Export),
    /// Open a bridge in the editor (VISUAL, EDITOR, else vi), and apply what was changed.
    #[command(after_help = examples::EDIT)]
    Edit(Edit),
    /// Show address and MTU of a network device: what a tunnel's end point is taken from.
    #[command(after_help = examples::INTERFACE)]
    Interface {
        /// A device or a bridge; on XenServer and XCP-ng also the name-label of a network.
        #[arg(value_parser = values::label)]
        label: String,
    },
    /// Have Open vSwitch follow a frame through the tables of a bridge, and show where it comes out. Nothing is sent.
    #[command(after_help = examples::TRACE)]
    Trace(Trace),
    /// Compare the switch with the record and repair it now.
    #[command(after_help = examples::RECONCILE)]
    Reconcile {
        /// Show what would be done, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Take bridges over from CloudStack's Python plugin, on a running network: its marks and flows go, its bridges, tunnels
    /// and VIFs stay. Repeating it is safe.
    #[command(after_help = examples::TAKEOVER)]
    Takeover {
        /// The bridges; all that are found when none is named.
        #[arg(value_name = "BRIDGE", value_parser = values::bridge, add = ArgValueCandidates::new(complete::bridge_candidates))]
        bridges: Vec<String>,
        /// Show what would be done, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Leave a plain bridge behind: its tunnels, and our marks and flows, go; the bridge, its VIFs and what is not ours stay.
    /// It asks before.
    #[command(after_help = examples::RELEASE)]
    Release(EndOfBridge),
    /// Show, or clear, which leader of a zone's manager may write to this host.
    #[command(subcommand)]
    Epoch(EpochCommand),
    /// Show how the daemon's log is set, and set its level while it runs.
    #[command(subcommand)]
    Log(LogCommand),
    /// Ask the manager of the zone: which hosts there are, which networks are whole, and which are not.
    #[command(subcommand)]
    Zone(ZoneCommand),
    /// Have this host join a zone by a token: its certificate, its registration, its daemon's configuration.
    #[command(after_help = examples::JOIN)]
    Join(Join),
    /// Have the certificate of this host renewed, which has joined a zone, where it is due; its daemon reads it without a restart.
    #[command(after_help = examples::RENEW)]
    Renew(Renew),
    /// Make the certificates for HTTPS: a CA, hosts' and clients' certificates.
    Pki(Pki),
    /// Show the end of the daemon's log, on its own host; with --follow also what is added to it.
    #[command(after_help = examples::LOGS)]
    Logs(Logs),
    /// Show the versions of this command, of the daemon, and of Open vSwitch.
    #[command(after_help = examples::VERSION)]
    Version {
        /// Only of this command; asks no daemon.
        #[arg(long)]
        client: bool,
    },
    /// Write a script for a shell, with which it completes commands, options, and names of bridges and ports as they are now.
    #[command(after_help = examples::COMPLETION)]
    Completion {
        /// The shell.
        #[arg(value_enum)]
        shell: Shell,
    },
}

#[derive(Args, Debug)]
pub(super) struct Trace {
    /// The bridge.
    #[arg(value_parser = values::bridge, add = ArgValueCandidates::new(complete::bridge_candidates))]
    pub(super) bridge: String,
    /// The port by which it comes in: a VIF or a tunnel of the bridge.
    #[arg(value_parser = values::port)]
    pub(super) port: String,
    /// MAC of the sender.
    pub(super) source: String,
    /// MAC of the receiver; of what goes to another tier of a VPC, that of the gateway.
    pub(super) destination: String,
    /// IPv4 address of the sender, with --to-ip: a packet is followed, and what the ACLs of a VPC decide of it is told.
    #[arg(long, value_name = "IP", requires = "to_ip")]
    pub(super) from_ip: Option<std::net::Ipv4Addr>,
    /// IPv4 address of the receiver.
    #[arg(long, value_name = "IP", requires = "from_ip")]
    pub(super) to_ip: Option<std::net::Ipv4Addr>,
    /// The packet: icmp, tcp:PORT or udp:PORT [default: icmp].
    #[arg(long, value_name = "PACKET", requires = "to_ip", value_parser = values::packet)]
    pub(super) packet: Option<(String, Option<u16>)>,
}

#[derive(Args, Debug)]
pub(super) struct Logs {
    /// Go on with what is added, until it is interrupted.
    #[arg(short, long)]
    pub(super) follow: bool,
    /// So many lines of the end.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 100, value_parser = values::count)]
    pub(super) lines: usize,
    /// The file [default: the one that the daemon names, else /var/log/ovstunnel.log].
    #[arg(long, value_name = "FILE")]
    pub(super) log: Option<PathBuf>,
}

#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Status {
    /// List all bridges, not only those that need attention.
    #[arg(short, long)]
    pub(super) all: bool,
    /// Read again whenever something changes, until it is interrupted.
    #[arg(short, long)]
    pub(super) watch: bool,
}

#[derive(Args, Debug)]
pub(super) struct Doctor {
    /// Also have the daemon try a TCP connection to the API's port of each host to which tunnels go.
    #[arg(long)]
    pub(super) probe_peers: bool,
    /// Show also what is as it should be.
    #[arg(long)]
    pub(super) all: bool,
    #[command(flatten)]
    pub(super) files: DaemonFiles,
}

#[derive(Args, Debug)]
pub(super) struct Bundle {
    /// File to write [default: ovstunnel-support-HOST-TIME.tar.gz].
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    #[command(flatten)]
    pub(super) files: DaemonFiles,
}

/// Where to look while the daemon does not answer.
#[derive(Args, Debug)]
pub(super) struct DaemonFiles {
    /// The daemon's configuration file, for when it does not answer.
    #[arg(long, value_name = "FILE", default_value = "/etc/ovstunnel/ovstunneld.toml")]
    pub(super) config: PathBuf,
    /// The daemon's log, for when it does not answer.
    #[arg(long, value_name = "FILE", default_value = "/var/log/ovstunnel.log")]
    pub(super) log: PathBuf,
}

impl DaemonFiles {
    pub(super) fn as_ref(&self) -> super::doctor::Files<'_> {
        super::doctor::Files { config: &self.config, log: &self.log }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum NetworkCommand {
    /// Show a network as it is in xapi: its bridge, and the hosts on which it is set up.
    #[command(after_help = examples::NETWORK_SHOW)]
    Show {
        /// GRE key of the network.
        #[arg(value_parser = values::key)]
        key: u32,
    },
    /// Have a network in xapi, found by its name or made, with all that it needs there. Repeating it is safe.
    #[command(after_help = examples::NETWORK_SETUP)]
    Setup {
        /// GRE key of the network.
        #[arg(value_parser = values::key)]
        key: u32,
        /// Id of the daemon's host in the management server, to be listed in the network's other-config:ovs-host-setup.
        #[arg(long, value_name = "ID", value_parser = values::id)]
        host_id: Option<Id>,
        /// Show what would be done, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum EpochCommand {
    /// Show the newest leadership of a zone's manager that was seen here: what an older one writes is refused.
    #[command(after_help = examples::EPOCH_SHOW)]
    Show,
    /// Have none recorded any more, so that another zone's manager may write here. It asks before.
    #[command(after_help = examples::EPOCH_CLEAR)]
    Clear {
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
        /// Show what would be done, and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// That none is recorded is a success.
        #[arg(long)]
        if_exists: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum LogCommand {
    /// Show the level of the log, or set it.
    #[command(after_help = examples::LOG_LEVEL)]
    Level {
        /// off, error, warn, info, debug or trace; and after it, separated by commas, MODULE=LEVEL.
        #[arg(value_name = "DIRECTIVES")]
        level: Option<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bridge_args::Setup;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_two_keys_do_not_meet() {
        let line = "ovstunnelctl --url https://h --ca a --cert b --key c bridge setup br0 --key 7";
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        assert_eq!(cli.connection.old_key, Some(PathBuf::from("c")));
        assert!(matches!(cli.command, Command::Bridge(BridgeCommand::Setup(Setup { key: 7, .. }))));
    }

    #[test]
    fn the_connection_may_stand_anywhere() {
        let lines = [
            "ovstunnelctl --url https://h --ca a --cert b --client-key c bridge setup br0 --key 7",
            "ovstunnelctl bridge --url https://h setup --ca a br0 --key 7 --cert b --client-key c",
        ];
        for line in lines {
            let Connection { url, ca, cert, client_key, .. } = Cli::try_parse_from(line.split(' ')).unwrap().connection;
            let path = |text: &str| Some(PathBuf::from(text));
            assert!(url.is_some() && (ca, cert, client_key) == (path("a"), path("b"), path("c")), "{line}");
        }
    }

    /// The host that a certificate is for is not one to be asked, and the CA to be renewed no file.
    #[test]
    fn pki_has_a_host_and_a_ca_of_its_own() {
        let issue = Cli::try_parse_from("ovstunnelctl pki issue --dir d --host h".split(' ')).unwrap();
        assert_eq!(issue.connection.host, None);
        Cli::try_parse_from("ovstunnelctl pki renew --dir d --ca".split(' ')).unwrap();
    }

    #[test]
    fn what_is_general_may_stand_behind_the_command() {
        let cli =
            Cli::try_parse_from(["ovstunnelctl", "status", "--json", "--timeout", "3", "--socket", "/x"]).unwrap();
        assert!(cli.json);
        assert_eq!((cli.timeout, cli.connection.socket), (Duration::from_secs(3), Some(PathBuf::from("/x"))));
    }
}
