//! The command line of `zone …`: what is asked of the manager.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::{Args, Subcommand, ValueEnum};
use ovstunnel_manager_api::{HostState, Mode, NetworkState};

use super::examples;
use super::faults::FaultsArgs;
use super::holds::{HoldCommand, HoldsArgs};
use super::mesh::MeshArgs;
use super::network_args::{KeysArgs, NetworkArgs, NicCommand, NicsArgs, PhysicalCommand};
use super::open::OpenArgs;
use super::sweep::SweepArgs;
use super::tokens::TokenCommand;
use super::upgrade::UpgradeCommand;
use super::wait::WaitArgs;
use super::why::WhyArgs;
use crate::cli::bridge_args::Listing;
use crate::cli::values;

#[derive(Clone, Debug, Subcommand)]
pub(in crate::cli) enum ZoneCommand {
    /// Show the zone in numbers, and what of it needs attention.
    #[command(after_help = examples::STATUS)]
    Status {
        /// Read again whenever something changes, until it is interrupted.
        #[arg(short, long)]
        watch: bool,
    },
    /// Show the zone on the whole terminal, as it changes: numbers, worst networks, faults, events. `q` ends it.
    #[command(after_help = examples::TOP)]
    Top,
    /// Say what is wrong with the manager and its zone, why, and what to do about it.
    #[command(after_help = examples::DOCTOR)]
    Doctor {
        /// Also what is as it should be.
        #[arg(long)]
        all: bool,
    },
    /// List the registered hosts.
    #[command(after_help = examples::HOSTS)]
    Hosts(HostsArgs),
    /// Register a host, show it, have it connected to anew, or forget it.
    #[command(subcommand)]
    Host(HostCommand),
    /// List the certificates that daemons show, those that expire first at the top.
    #[command(after_help = examples::CERTIFICATES)]
    Certificates(Listing),
    /// Say in which order hosts whose daemon is older than the manager are upgraded. Nothing is upgraded.
    #[command(subcommand)]
    Upgrade(UpgradeCommand),
    /// Make, list or take away tokens by which new hosts join.
    #[command(subcommand)]
    Token(TokenCommand),
    /// List the networks that hosts have bridges of, the worst first.
    #[command(after_help = examples::NETWORKS)]
    Networks(NetworksArgs),
    /// Show a network with its hosts; record one, or forget it.
    #[command(after_help = examples::NETWORK)]
    Network(NetworkArgs),
    /// List the NICs of a network.
    #[command(after_help = examples::NICS)]
    Nics(NicsArgs),
    /// Say where a NIC is: prepare it on a host, release it, or say how its migration ended.
    #[command(subcommand)]
    Nic(NicCommand),
    /// List, record or forget physical networks: where networks get their keys from.
    #[command(subcommand)]
    PhysicalNetwork(PhysicalCommand),
    /// List the keys that cannot be given, and how full the ranges are.
    #[command(after_help = examples::KEYS)]
    Keys(KeysArgs),
    /// Prove that a network is whole, or say why it is not; or check a proof that was written to a file.
    #[command(after_help = examples::PROOF)]
    Proof(ProofArgs),
    /// Show each direction between a network's hosts as a matrix: a row is from, a column is to.
    #[command(after_help = examples::MESH)]
    Mesh(MeshArgs),
    /// Show what would be sent to which host to make a network whole. Nothing is sent.
    #[command(after_help = examples::PLAN)]
    Plan {
        /// Its name, such as key-1001.
        #[arg(value_parser = values::zone_name)]
        network: String,
    },
    /// Have a network made whole now: what hosts refused before is tried again at once.
    #[command(after_help = examples::RECONCILE)]
    Reconcile {
        /// Its name, such as key-1001.
        #[arg(value_parser = values::zone_name)]
        network: String,
    },
    /// Send a frame of full size into each tunnel of a network, and say by which none arrives. They reach no VM.
    #[command(after_help = examples::SWEEP)]
    Sweep(SweepArgs),
    /// Wait until a network is whole: every host has what it must have.
    #[command(after_help = examples::WAIT)]
    Wait(WaitArgs),
    /// List the removals that wait for somebody's word: more than is ordinary, and nobody asked for them by name.
    #[command(after_help = examples::HOLDS)]
    Holds(HoldsArgs),
    /// Let what a hold is about go or stay.
    #[command(subcommand)]
    Hold(HoldCommand),
    /// Say what is wrong now, each cause once, and what to do about it.
    #[command(after_help = examples::FAULTS)]
    Faults(FaultsArgs),
    /// Say why one VM or host does not reach another one: each step there and back, with what to do.
    #[command(after_help = examples::WHY)]
    Why(WhyArgs),
    /// Make what is recorded of the zone what files say: physical networks, hosts, networks and NICs. Repeating it is safe.
    #[command(after_help = examples::APPLY)]
    Apply(ApplyArgs),
    /// Make a link to the manager's page that lets one browser in, once, within ten minutes.
    #[command(after_help = examples::OPEN)]
    Open(OpenArgs),
    /// List what has happened, the newest first.
    #[command(after_help = examples::EVENTS)]
    Events(EventsArgs),
    /// Say how networks and hosts differ from what they were at a time.
    #[command(after_help = examples::DIFF)]
    Diff(DiffArgs),
    /// List who is told of what happens, and how far each receiver is; or send again what one has not taken.
    #[command(after_help = examples::WEBHOOKS)]
    Webhooks {
        /// Send again, once, each event that this one has not taken.
        #[arg(long, value_name = "WEBHOOK", value_parser = values::zone_name)]
        redeliver: Option<String>,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(in crate::cli) enum HostCommand {
    /// Register a host. Nothing on it is changed. Repeating it is safe.
    #[command(after_help = examples::HOST_ADD)]
    Add(AddHost),
    /// Show a host, and what is wrong with it.
    #[command(after_help = examples::HOST_SHOW)]
    Show {
        /// Its name.
        #[arg(value_parser = values::zone_name)]
        name: String,
    },
    /// Forget a host. Nothing on it is changed.
    #[command(after_help = examples::HOST_REMOVE)]
    Remove {
        /// Its name.
        #[arg(value_parser = values::zone_name)]
        name: String,
        /// It need not be registered.
        #[arg(long)]
        if_exists: bool,
        /// It has nothing of any network any more and will not come back with it: released keys wait for it no longer.
        #[arg(long)]
        wiped: bool,
        /// Show what would be done, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Tell no faults of a host while it is worked at; nothing on it is changed.
    #[command(after_help = examples::HOST_MAINTENANCE)]
    Maintenance {
        /// Its name.
        #[arg(value_parser = values::zone_name)]
        name: String,
        /// For how long, such as 2h or 3days; at most 30 days.
        #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration, required_unless_present = "end")]
        time: Option<std::time::Duration>,
        /// Tell them again.
        #[arg(long, conflicts_with = "time")]
        end: bool,
    },
    /// Give a host another name. Nothing on it is changed.
    #[command(after_help = examples::HOST_RENAME)]
    Rename {
        /// Its name.
        #[arg(value_parser = values::zone_name)]
        name: String,
        /// Its new name.
        #[arg(value_parser = values::zone_name)]
        to: String,
        /// Show what would be done, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Give a host without NICs another number, such as the one that its bridges have. Nothing on it is changed.
    #[command(after_help = examples::HOST_RENUMBER)]
    Renumber {
        /// Its name.
        #[arg(value_parser = values::zone_name)]
        name: String,
        /// Its new number.
        #[arg(value_parser = clap::value_parser!(u64).range(1..=i64::MAX as u64))]
        number: u64,
        /// Show what would be done, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Connect to a host anew, and take in everything that it has.
    #[command(after_help = examples::HOST_RESYNC)]
    Resync {
        /// Its name.
        #[arg(value_parser = values::zone_name)]
        name: String,
    },
}

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct ApplyArgs {
    /// File in YAML or JSON, folder of such files (.yaml, .yml, .json), or - for standard input; may be repeated.
    #[arg(short = 'f', long = "file", value_name = "FILE|DIR|-", required = true)]
    pub(in crate::cli) files: Vec<PathBuf>,
    /// Show what would be done, and change nothing.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Forget what is recorded and what no file names, of those kinds of which a file has a list. It asks before.
    #[arg(long)]
    pub(in crate::cli) prune: bool,
    /// Do not ask before something is forgotten: needed where there is no terminal to ask at.
    #[arg(long, short)]
    pub(in crate::cli) yes: bool,
}

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct AddHost {
    /// Its name: 1 to 63 letters, digits, '.', '_' and '-'.
    #[arg(value_parser = values::zone_name)]
    pub(in crate::cli) name: String,
    /// Where its ovstunneld listens: https://HOST:8443.
    #[arg(long, value_name = "URL")]
    pub(in crate::cli) api: String,
    /// Its number: CloudStack's id of the host [default: the id that its bridges have, else the next free one].
    #[arg(long)]
    pub(in crate::cli) number: Option<u64>,
    /// The rack it is in.
    #[arg(long)]
    pub(in crate::cli) rack: Option<String>,
    /// The device, bridge or network whose address its tunnels end at [default: the manager's sdn.ovs.default_label].
    #[arg(long, value_parser = values::label)]
    pub(in crate::cli) label: Option<String>,
    /// What may be done to it.
    #[arg(long, value_enum, default_value_t = ModeWord::Manage)]
    pub(in crate::cli) mode: ModeWord,
    /// Show what would be done, and change nothing.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}

/// What may be done to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ModeWord {
    /// It is kept as it must be, once the manager may act.
    Manage,
    /// It is looked at, and never written to.
    Observe,
    /// It gets no new NIC.
    Drain,
}

impl From<ModeWord> for Mode {
    fn from(word: ModeWord) -> Mode {
        match word {
            ModeWord::Manage => Mode::Manage,
            ModeWord::Observe => Mode::Observe,
            ModeWord::Drain => Mode::Drain,
        }
    }
}

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct HostsArgs {
    /// Only those in this state; several may be named, separated by commas.
    #[arg(long, value_enum, value_name = "STATE", value_delimiter = ',')]
    pub(in crate::cli) state: Vec<HostStateWord>,
    #[command(flatten)]
    pub(in crate::cli) listing: Listing,
}

/// How a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum HostStateWord {
    Ok,
    Degraded,
    Connecting,
    Silent,
}

impl HostStateWord {
    pub(in crate::cli) fn matches_state(self, state: HostState) -> bool {
        let own = match self {
            HostStateWord::Ok => HostState::Ok,
            HostStateWord::Degraded => HostState::Degraded,
            HostStateWord::Connecting => HostState::Connecting,
            HostStateWord::Silent => HostState::Silent,
        };
        own == state
    }
}

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct NetworksArgs {
    /// Only those in this state; several may be named, separated by commas.
    #[arg(long, value_enum, value_name = "STATE", value_delimiter = ',')]
    pub(in crate::cli) state: Vec<NetworkStateWord>,
    /// Only those that this host has something of.
    #[arg(long, value_name = "HOST", value_parser = values::zone_name)]
    pub(in crate::cli) on: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) listing: Listing,
}

/// How a network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum NetworkStateWord {
    Whole,
    Settling,
    Broken,
}

impl NetworkStateWord {
    pub(in crate::cli) fn as_str(self) -> &'static str {
        match self {
            NetworkStateWord::Whole => NetworkState::Whole.as_str(),
            NetworkStateWord::Settling => NetworkState::Settling.as_str(),
            NetworkStateWord::Broken => NetworkState::Broken.as_str(),
        }
    }
}

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct ProofArgs {
    /// Its name, such as key-1001; with --verify it may be left out.
    #[arg(value_parser = values::zone_name, required_unless_present = "verify")]
    pub(in crate::cli) network: Option<String>,
    /// Check a proof that was written with --json: digest and signature, and with --ca who signed it. Asks nobody.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) verify: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct EventsArgs {
    /// Only those that concern this host.
    #[arg(long, value_name = "HOST", value_parser = values::zone_name)]
    pub(in crate::cli) on: Option<String>,
    /// Only those that concern this network.
    #[arg(long, value_parser = values::zone_name)]
    pub(in crate::cli) network: Option<String>,
    /// Only those of this kind, such as network_not_whole.
    #[arg(long, value_parser = values::zone_name)]
    pub(in crate::cli) kind: Option<String>,
    /// Only those from this time on: how long ago, such as 2h, or a time by RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = values::past)]
    pub(in crate::cli) since: Option<SystemTime>,
    /// So many at most.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(in crate::cli) limit: u32,
    #[command(flatten)]
    pub(in crate::cli) listing: Listing,
}

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct DiffArgs {
    /// Compare with then: how long ago, such as 2h, or a time by RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = values::past)]
    pub(in crate::cli) since: SystemTime,
    /// Only what concerns this host.
    #[arg(long, value_name = "HOST", value_parser = values::zone_name)]
    pub(in crate::cli) on: Option<String>,
    /// Only this network.
    #[arg(long, value_parser = values::zone_name)]
    pub(in crate::cli) network: Option<String>,
}
