//! The command line of `bridge …` and `tunnel …`, and of lists in general.

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCandidates;
use ovstunnel_api::{HealthState, Id, Ipv6Policy, KindStep, PutNeighbour, PutTunnel, TunnelKind, TunnelState};

use super::Failure;
use super::report::Format;
use super::{complete, examples, values};

/// How a list is written.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Listing {
    /// Form of the list [default: table]. Whatever it is, a row is one line and a value is never cut.
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
    /// The names alone, one a line: the same as --output name.
    #[arg(short, long, conflicts_with = "output")]
    quiet: bool,
    /// Rows alone: no header, and nothing that explains them.
    #[arg(long)]
    no_headers: bool,
    /// Read again whenever something changes, until it is interrupted.
    #[arg(short, long)]
    watch: bool,
}

/// The same, without what says it twice.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) format: Format,
    pub(super) headers: bool,
    pub(super) watch: bool,
}

impl Listing {
    /// What was asked for, together with the general `--json`.
    ///
    /// # Errors
    /// When `--json` and another form are both there.
    pub(super) fn resolve_view(self, json: bool) -> Result<View, Failure> {
        let format = match (self.output, self.quiet, json) {
            (None | Some(Format::Json), false, true) => Format::Json,
            (_, _, true) => return Err(Failure::Usage("--json and another form of output: leave one out".to_owned())),
            (_, true, false) => Format::Name,
            (output, false, false) => output.unwrap_or_default(),
        };
        Ok(View { format, headers: !self.no_headers, watch: self.watch })
    }
}

/// By what bridges are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum BridgeOrder {
    /// By name.
    #[default]
    Name,
    /// By GRE key; a VPC's, which has several, last.
    Key,
    /// Those with most tunnels first.
    Tunnels,
    /// Those with most VIFs first.
    Vifs,
    /// The worst first.
    Health,
}

/// By what tunnels are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum TunnelOrder {
    /// By name of the port.
    Port,
    /// By the host at the other end, numbers as numbers.
    To,
    /// By the address of the other end.
    RemoteIp,
    /// By GRE key.
    Key,
    /// Those in error first, then those that are pending.
    State,
}

/// A bridge's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum BridgeState {
    Ok,
    Degraded,
    Failed,
}

impl BridgeState {
    pub(super) fn matches_state(self, state: HealthState) -> bool {
        let own = match self {
            BridgeState::Ok => HealthState::Ok,
            BridgeState::Degraded => HealthState::Degraded,
            BridgeState::Failed => HealthState::Failed,
        };
        own == state
    }
}

/// A tunnel's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum TunnelStateWord {
    Up,
    Error,
    Pending,
}

impl TunnelStateWord {
    pub(super) fn matches_state(self, state: TunnelState) -> bool {
        let own = match self {
            TunnelStateWord::Up => TunnelState::Up,
            TunnelStateWord::Error => TunnelState::Error,
            TunnelStateWord::Pending => TunnelState::Pending,
        };
        own == state
    }
}

#[derive(Args, Clone, Debug)]
pub(super) struct BridgeList {
    /// Only those whose health is so; several may be named, separated by commas.
    #[arg(long, value_enum, value_name = "STATE", value_delimiter = ',')]
    pub(super) state: Vec<BridgeState>,
    /// What they are sorted by.
    #[arg(long, value_enum, value_name = "COLUMN", default_value_t)]
    pub(super) sort: BridgeOrder,
    #[command(flatten)]
    pub(super) listing: Listing,
}

#[derive(Args, Clone, Debug)]
pub(super) struct TunnelList {
    /// Only those of this bridge.
    #[arg(value_parser = values::bridge, add = ArgValueCandidates::new(complete::bridge_candidates))]
    pub(super) bridge: Option<String>,
    /// Only those that are so; several may be named, separated by commas.
    #[arg(long, value_enum, value_name = "STATE", value_delimiter = ',')]
    pub(super) state: Vec<TunnelStateWord>,
    /// What they are sorted by [default: bridge and port].
    #[arg(long, value_enum, value_name = "COLUMN")]
    pub(super) sort: Option<TunnelOrder>,
    #[command(flatten)]
    pub(super) listing: Listing,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum BridgeCommand {
    /// List the managed bridges.
    #[command(after_help = examples::BRIDGE_LIST)]
    List(BridgeList),
    /// Show one managed bridge with its tunnels and VIFs.
    #[command(after_help = examples::BRIDGE_SHOW)]
    Show {
        /// Name of the bridge.
        #[arg(value_parser = values::bridge, add = ArgValueCandidates::new(complete::bridge_candidates))]
        name: String,
    },
    /// Set a bridge up for a virtual network; make it, or adopt it where it is there. Repeating it is safe.
    #[command(after_help = examples::BRIDGE_SETUP)]
    Setup(Setup),
    /// Change the kind of a bridge's tunnels while they carry frames, one step at a time. Each step is to be taken on all hosts of the
    /// network before the next is taken on any: then no frame is lost, and none comes twice.
    #[command(after_help = examples::BRIDGE_KIND)]
    Kind(ChangeOfKind),
    /// Have BFD run on exactly these tunnels of a bridge, to see whether they carry packets both ways. The other ends need it too: as
    /// long as only one end sends, its session stays down. A manager decides by itself for the networks that it keeps.
    #[command(after_help = examples::BRIDGE_BFD)]
    Bfd(BfdOfBridge),
    /// Destroy a bridge. One that was adopted stays; its tunnels, and our marks and flows, go. It asks before one that was
    /// adopted, or has more than one tunnel.
    #[command(after_help = examples::BRIDGE_DESTROY)]
    Destroy(EndOfBridge),
}

/// What ends a bridge, or what is ours of it.
#[derive(Args, Clone, Debug)]
pub(super) struct EndOfBridge {
    /// Name of the bridge.
    #[arg(value_name = "BRIDGE", value_parser = values::bridge, add = ArgValueCandidates::new(complete::bridge_candidates))]
    pub(super) name: String,
    /// Show what would be done, and change nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not ask before it: needed where there is no terminal to ask at.
    #[arg(long, short)]
    pub(super) yes: bool,
    /// Succeed also where it is not there.
    #[arg(long)]
    pub(super) if_exists: bool,
}

#[derive(Args, Clone, Debug)]
pub(super) struct ChangeOfKind {
    /// Name of the bridge.
    #[arg(value_name = "BRIDGE", value_parser = values::bridge, add = ArgValueCandidates::new(complete::bridge_candidates))]
    pub(super) name: String,
    /// The kind that it is to have in the end.
    #[arg(long, value_enum)]
    pub(super) to: Kind,
    /// Where the change is to be. A step that is taken already changes nothing.
    #[arg(long, value_enum)]
    pub(super) step: Step,
    /// Finish although nothing has come from some host by the new kind, or abort although something has: frames may be lost.
    #[arg(long)]
    pub(super) force: bool,
    /// Show what would be done, and change nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Args, Clone, Debug)]
pub(super) struct BfdOfBridge {
    /// Name of the bridge.
    #[arg(value_name = "BRIDGE", value_parser = values::bridge, add = ArgValueCandidates::new(complete::bridge_candidates))]
    pub(super) name: String,
    /// The port of a tunnel on which it is to run, as `tunnel list` shows it. Repeat it for each: on all others it ends.
    #[arg(long = "port", value_name = "PORT", required_unless_present = "none", value_parser = values::port, add = ArgValueCandidates::new(complete::port_candidates))]
    pub(super) ports: Vec<String>,
    /// It is to run on no tunnel of the bridge.
    #[arg(long, conflicts_with_all = ["ports", "interval"])]
    pub(super) none: bool,
    /// How often each end sends, in milliseconds, 100 to 60000; 1000 when not given.
    #[arg(long, value_name = "MS", allow_negative_numbers = true, value_parser = values::whole)]
    pub(super) interval: Option<i64>,
    /// Show what would be done, and change nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// A step of a change of kind.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Step {
    /// Receive by both kinds, and send by the old one. Behind `switch`: go back to that.
    Prepare,
    /// Receive by both kinds, and send by the new one.
    Switch,
    /// Remove the tunnels of the old kind, once each host has been heard by the new one.
    Finish,
    /// Remove those of the new kind again, while nobody sends by it.
    Abort,
}

impl From<Step> for KindStep {
    fn from(word: Step) -> Self {
        match word {
            Step::Prepare => KindStep::Prepare,
            Step::Switch => KindStep::Switch,
            Step::Finish => KindStep::Finish,
            Step::Abort => KindStep::Abort,
        }
    }
}

#[derive(Args, Clone, Debug)]
pub(super) struct Setup {
    /// Name of the bridge.
    #[arg(value_parser = values::bridge, add = ArgValueCandidates::new(complete::bridge_candidates))]
    pub(super) name: String,
    /// GRE key of the network, 1 to 2147483647.
    #[arg(long, allow_negative_numbers = true, value_parser = values::whole)]
    pub(super) key: i64,
    /// UUID of the network.
    #[arg(long, value_name = "UUID")]
    pub(super) network_uuid: Option<String>,
    /// Id of this host in the management server.
    #[arg(long, value_name = "ID", value_parser = values::id)]
    pub(super) host_id: Option<Id>,
    /// What to do with the network's IPv6; when not given, what the bridge or the daemon's configuration says.
    #[arg(long, value_enum)]
    pub(super) ipv6: Option<Ipv6>,
    /// The port that may lead out of the network beside the tunnels, a NIC for example: on one host's bridge only, else it is
    /// a loop. When not given, what the bridge has stays.
    #[arg(long, value_name = "PORT")]
    pub(super) uplink: Option<String>,
    /// No port leads out of the network any more.
    #[arg(long, conflicts_with = "uplink")]
    pub(super) no_uplink: bool,
    /// The kind of its tunnels; when not given, what the bridge or the daemon's configuration says. All hosts of a network must have
    /// the same. While the bridge has tunnels, it keeps theirs.
    #[arg(long, value_enum)]
    pub(super) kind: Option<Kind>,
    /// A tunnel to host TO at address IP, for example 2=192.0.2.12. Repeat it for each: they are the complete set, others
    /// are removed. Without any, the tunnels stay as they are.
    #[arg(long = "tunnel", value_name = "TO=IP", value_parser = values::tunnel)]
    pub(super) tunnels: Vec<PutTunnel>,
    /// The complete set of tunnels is empty: remove all.
    #[arg(long, conflicts_with = "tunnels")]
    pub(super) no_tunnels: bool,
    /// An address for which the switch answers requests of this host's VMs (ARP, or neighbour discovery), and the Ethernet address of the VM's
    /// card, for example 10.1.1.7=02:00:4c:1d:00:07 or fd00::7=02:00:4c:1d:00:07. Repeat it for each: they are the complete set, and what was withdrawn of them is answered for again.
    /// Without any, they stay as they are. Only with `[network] answer_neighbours`.
    #[arg(long = "neighbour", value_name = "IP=MAC", value_parser = values::neighbour)]
    pub(super) neighbours: Vec<PutNeighbour>,
    /// The switch answers for no address.
    #[arg(long, conflicts_with = "neighbours")]
    pub(super) no_neighbours: bool,
    /// Show what would be done, and change nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not ask before more than one tunnel is removed: needed where there is no terminal to ask at.
    #[arg(long, short)]
    pub(super) yes: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Ipv6 {
    /// Drop all IPv6.
    Drop,
    /// Forward it like anything else.
    Allow,
}

impl From<Ipv6> for Ipv6Policy {
    fn from(word: Ipv6) -> Self {
        match word {
            Ipv6::Drop => Ipv6Policy::Drop,
            Ipv6::Allow => Ipv6Policy::Allow,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum Kind {
    /// GRE, IP protocol 47.
    Gre,
    /// VXLAN, UDP port 4789 unless the daemon's configuration says another.
    Vxlan,
    /// Geneve, UDP port 6081 unless the daemon's configuration says another.
    Geneve,
}

impl From<Kind> for TunnelKind {
    fn from(word: Kind) -> Self {
        match word {
            Kind::Gre => TunnelKind::Gre,
            Kind::Vxlan => TunnelKind::Vxlan,
            Kind::Geneve => TunnelKind::Geneve,
        }
    }
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum TunnelCommand {
    /// List tunnels.
    #[command(after_help = examples::TUNNEL_LIST)]
    List(TunnelList),
    /// Create a tunnel; the bridge's other tunnels stay. Repeating it is safe.
    #[command(after_help = examples::TUNNEL_CREATE)]
    Create(Create),
    /// Destroy a tunnel.
    #[command(after_help = examples::TUNNEL_DESTROY)]
    Destroy {
        /// Name of the bridge.
        #[arg(value_parser = values::bridge, add = ArgValueCandidates::new(complete::bridge_candidates))]
        bridge: String,
        /// Name of the tunnel's port, as `tunnel list` shows it.
        #[arg(value_parser = values::port, add = ArgValueCandidates::new(complete::port_candidates))]
        port: String,
        /// Show what would be done, and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// Succeed also where it is not there.
        #[arg(long)]
        if_exists: bool,
    },
}

#[derive(Args, Clone, Debug)]
pub(super) struct Create {
    /// Name of the bridge.
    #[arg(value_parser = values::bridge, add = ArgValueCandidates::new(complete::bridge_candidates))]
    pub(super) bridge: String,
    /// Id of this host.
    #[arg(long, value_name = "ID", value_parser = values::id)]
    pub(super) from: Id,
    /// Id of the host at the other end.
    #[arg(long, value_name = "ID", value_parser = values::id)]
    pub(super) to: Id,
    /// Address of the other end, IPv4 or IPv6.
    #[arg(long, value_name = "IP")]
    pub(super) remote_ip: String,
    /// GRE key; the bridge's own when not given.
    #[arg(long, allow_negative_numbers = true, value_parser = values::whole)]
    pub(super) key: Option<i64>,
    /// Show what would be done, and change nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
}
