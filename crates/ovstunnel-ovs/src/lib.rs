//! The one place that runs commands and reads the switch's database.
//!
//! What it does: a live mirror of Open vSwitch's database; steps carried out as one transaction and one bundle of flows for each bridge,
//! by `ovs-vsctl` and `ovs-ofctl` or on connections of its own; a simulated switch with the same behaviour; xapi by `xe`; keys of IPsec by `ip`; rules of nftables by `nft`. What it must
//! not do: decide what the switch should look like (`ovstunnel-plan` does), or write by the mirror's connection.

mod commands;
mod control;
mod digest;
pub mod fuzzing;
mod mirror;
mod native;
mod nft;
mod ofctl;
mod real;
mod rows;
mod runner;
mod seconds;
mod simulated;
mod switch;
mod told;
mod vsctl;
mod xe;
mod xe_change;
mod xfrm;

pub use commands::{Command, PrintedPlan};
pub use digest::FlowDigest;
pub use mirror::{Db, Observer, SwitchView, TunnelAddresses, small_network};
pub use native::{FlowNews, FlowsRead, FlowsTold, Writes};
pub use nft::nftables_rules;
pub use real::{CommandHook, Counted, Counter, Questions, RealSwitch, RunResult, Tools};
pub use rows::{Row, Rows};
pub use runner::{Finished, RunError};
pub use seconds::aligned_ticks;
pub use simulated::{Becomes, Pace, SimulatedSwitch, Work};
pub use switch::{CommitError, Health, StartError, Switch};
pub use told::{
    Address, AddressCounts, DatapathPorts, Metered, PortsTold, Tables, matched_flows, moved_between, parse_addresses,
};
pub use xe::{Xe, XeError};
pub use xe_change::{XeChange, XeObject};
pub use xfrm::security_associations;
