//! The command line of `zone network`, `zone nic`, `zone physical-network` and `zone keys`.

use clap::{Args, Subcommand, ValueEnum};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_manager_api::{Isolation, KeyState, MoveWord};

use super::examples;
use crate::cli::bridge_args::{Kind, Listing};
use crate::cli::values;

#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(in crate::cli) struct NetworkArgs {
    /// Show the network of this name, such as key-1001.
    #[arg(value_parser = values::zone_name, required = true)]
    pub(in crate::cli) network: Option<String>,
    #[command(subcommand)]
    pub(in crate::cli) command: Option<NetworkCommand>,
}

#[derive(Clone, Debug, Subcommand)]
pub(in crate::cli) enum NetworkCommand {
    /// Record a network, or change what is recorded of it. Nothing on any host is changed. Repeating it is safe.
    #[command(after_help = examples::NETWORK_ADD)]
    Add(AddNetwork),
    /// Set of which kind a network's tunnels are to be. The manager changes them host by host, while they carry frames.
    #[command(after_help = examples::NETWORK_SET)]
    Set(SetNetwork),
    /// Forget a network that has no NICs. Nothing on any host is changed.
    #[command(after_help = examples::NETWORK_REMOVE)]
    Remove(Removal),
}

/// Something that is to be forgotten.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Removal {
    /// Its name.
    #[arg(value_parser = values::zone_name)]
    pub(in crate::cli) name: String,
    /// It need not be there.
    #[arg(long)]
    pub(in crate::cli) if_exists: bool,
    /// Show what would be done, and change nothing.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct SetNetwork {
    /// Its name, or key-KEY.
    #[arg(value_parser = values::zone_name)]
    pub(in crate::cli) name: String,
    /// The kind of its tunnels on all hosts.
    #[arg(long, value_enum)]
    pub(in crate::cli) kind: Kind,
    /// Show what would be done, and change nothing.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct AddNetwork {
    /// Its name: 1 to 63 letters, digits, '.', '_' and '-'.
    #[arg(value_parser = values::zone_name)]
    pub(in crate::cli) name: String,
    /// The physical network that its key comes from.
    #[arg(long, value_name = "NAME", value_parser = values::zone_name)]
    pub(in crate::cli) physical_network: String,
    /// Its number: CloudStack's id of the network [default: the next free one].
    #[arg(long)]
    pub(in crate::cli) number: Option<u64>,
    /// Its GRE key, which must be free [default: the one that it has, else none yet].
    #[arg(long)]
    pub(in crate::cli) key: Option<u32>,
    /// Bridges with that key which hosts have already are this network's.
    #[arg(long, requires = "key")]
    pub(in crate::cli) adopt: bool,
    /// What it does with IPv6 [default: what each host does].
    #[arg(long, value_enum)]
    pub(in crate::cli) ipv6: Option<PolicyWord>,
    /// MTU of its guests, bytes [default: what all its hosts can carry].
    #[arg(long)]
    pub(in crate::cli) mtu: Option<u32>,
    /// Show what would be done, and change nothing.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}

/// What a network does with IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum PolicyWord {
    Drop,
    Allow,
}

impl From<PolicyWord> for Ipv6Policy {
    fn from(word: PolicyWord) -> Ipv6Policy {
        match word {
            PolicyWord::Drop => Ipv6Policy::Drop,
            PolicyWord::Allow => Ipv6Policy::Allow,
        }
    }
}

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct NicsArgs {
    /// Name of the network.
    #[arg(value_parser = values::zone_name)]
    pub(in crate::cli) network: String,
    #[command(flatten)]
    pub(in crate::cli) listing: Listing,
}

#[derive(Clone, Debug, Subcommand)]
pub(in crate::cli) enum NicCommand {
    /// Say that a NIC is, or is going to be, on a host. While the manager's controller is off, it says what it would do.
    #[command(after_help = examples::NIC_PREPARE)]
    Prepare(PrepareNic),
    /// Say that a NIC is gone.
    #[command(after_help = examples::NIC_RELEASE)]
    Release(ReleaseNic),
    /// Say that a migration has ended well: the NIC is where it was moving to.
    #[command(after_help = examples::NIC_MIGRATED)]
    Migrated(OneNic),
    /// Say that a migration was given up: the NIC is where it was.
    #[command(after_help = examples::NIC_ROLLBACK)]
    Rollback(OneNic),
}

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct OneNic {
    /// Name of the network.
    #[arg(value_parser = values::zone_name)]
    pub(in crate::cli) network: String,
    /// Id of the NIC.
    #[arg(value_parser = values::zone_name)]
    pub(in crate::cli) nic: String,
    /// Show what would be done, and change nothing.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct PrepareNic {
    #[command(flatten)]
    pub(in crate::cli) which: OneNic,
    /// The host that it is, or is going to be, on.
    #[arg(long, value_name = "HOST", value_parser = values::zone_name)]
    pub(in crate::cli) on: String,
    /// The VM, in the cloud's words.
    #[arg(long, value_parser = values::label)]
    pub(in crate::cli) vm: Option<String>,
    /// Its MAC.
    #[arg(long)]
    pub(in crate::cli) mac: Option<String>,
    /// Its address.
    #[arg(long)]
    pub(in crate::cli) ip: Option<String>,
    /// The bridge for the network on this host [default: the one that is there, else one that the manager names].
    #[arg(long, value_parser = values::bridge)]
    pub(in crate::cli) bridge: Option<String>,
    /// How it gets there from another host.
    #[arg(long = "move", value_enum, value_name = "HOW")]
    pub(in crate::cli) how: Option<HowWord>,
    /// For how long to wait for tunnels that are still to come, such as 5s.
    #[arg(long)]
    pub(in crate::cli) wait: Option<String>,
}

/// How a NIC gets to another host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum HowWord {
    /// Both hosts have it until `migrated` or `rollback`.
    Migrate,
    /// The new host alone has it: high availability has started the VM anew.
    Replace,
}

impl From<HowWord> for MoveWord {
    fn from(word: HowWord) -> MoveWord {
        match word {
            HowWord::Migrate => MoveWord::Migrate,
            HowWord::Replace => MoveWord::Replace,
        }
    }
}

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct ReleaseNic {
    #[command(flatten)]
    pub(in crate::cli) which: OneNic,
    /// Only this host lets go of it; while it migrates it stays with the other one.
    #[arg(long, value_name = "HOST", value_parser = values::zone_name)]
    pub(in crate::cli) on: Option<String>,
    /// It need not be there.
    #[arg(long)]
    pub(in crate::cli) if_exists: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub(in crate::cli) enum PhysicalCommand {
    /// List the physical networks, and how full their ranges are.
    #[command(after_help = examples::PHYSICAL_LIST)]
    List(Listing),
    /// Record a physical network, or change what is recorded of it. Repeating it is safe.
    #[command(after_help = examples::PHYSICAL_ADD)]
    Add(AddPhysical),
    /// Forget a physical network that has no networks.
    #[command(after_help = examples::PHYSICAL_REMOVE)]
    Remove(Removal),
}

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct AddPhysical {
    /// Its name: 1 to 63 letters, digits, '.', '_' and '-'.
    #[arg(value_parser = values::zone_name)]
    pub(in crate::cli) name: String,
    /// The keys of its networks: ranges and single numbers, such as 1001-65535,70000.
    #[arg(long, value_name = "RANGES")]
    pub(in crate::cli) vnet: String,
    /// How its networks are told apart.
    #[arg(long, value_enum, default_value_t = IsolationWord::Gre)]
    pub(in crate::cli) isolation: IsolationWord,
    /// The device, bridge or network of a host whose address its tunnels end at.
    #[arg(long, value_parser = values::label)]
    pub(in crate::cli) label: Option<String>,
    /// The same on XenServer and XCP-ng.
    #[arg(long, value_parser = values::label)]
    pub(in crate::cli) label_xen: Option<String>,
    /// The same on all other hosts.
    #[arg(long, value_parser = values::label)]
    pub(in crate::cli) label_kvm: Option<String>,
    /// Show what would be done, and change nothing.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}

/// How networks are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum IsolationWord {
    /// By tunnels with GRE keys.
    Gre,
    /// By VLANs: keys from 1 to 4096.
    Vlan,
}

impl From<IsolationWord> for Isolation {
    fn from(word: IsolationWord) -> Isolation {
        match word {
            IsolationWord::Gre => Isolation::Gre,
            IsolationWord::Vlan => Isolation::Vlan,
        }
    }
}

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct KeysArgs {
    /// Only those in this state; several may be named, separated by commas.
    #[arg(long, value_enum, value_name = "STATE", value_delimiter = ',')]
    pub(in crate::cli) state: Vec<KeyStateWord>,
    #[command(flatten)]
    pub(in crate::cli) listing: Listing,
}

/// Why a key cannot be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum KeyStateWord {
    /// A network has it.
    Allocated,
    /// It was released, and hosts may have it still.
    Quarantined,
    /// Hosts have it, and no network does.
    Withdrawn,
}

impl KeyStateWord {
    pub(in crate::cli) fn as_str(self) -> &'static str {
        match self {
            KeyStateWord::Allocated => KeyState::Allocated.as_str(),
            KeyStateWord::Quarantined => KeyState::Quarantined.as_str(),
            KeyStateWord::Withdrawn => KeyState::Withdrawn.as_str(),
        }
    }
}
