//! What the switch itself tells of a bridge, beside its database and our flows: the other half of what forwarding depends on.
//!
//! What it does: holds it as values, read from the control socket and from OpenFlow by `ovstunnel-ovs`. What it must not do:
//! judge it; `health` does.

use std::collections::BTreeMap;

/// What was told of one bridge. A part that was not asked for yet, or that this Open vSwitch cannot tell, is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witness {
    /// Flows with a priority above 65,535, as printed: Open vSwitch's own. One that forwards means that the bridge has lost its
    /// controller and is in fail-open.
    pub hidden: Vec<String>,
    /// Flows of others in the first table, as `bridge/dump-flows` prints them without statistics: it has no cookies. Open
    /// vSwitch's own that forwards is not among them.
    pub foreign: Vec<String>,
    /// How each port is configured over OpenFlow, by its number; the bridge's own has `LOCAL`'s, 65,534.
    pub ports: BTreeMap<u32, PortConfig>,
    /// What is done with IP fragments, where it is not `normal`.
    pub fragments: Option<String>,
    /// The table of learnt addresses.
    pub addresses: Option<AddressTable>,
    /// Addresses that somebody has set by hand (`fdb/add`): by OpenFlow port, as printed.
    pub fixed_addresses: Vec<(String, String)>,
    /// Two ports between which an address moves, where addresses move more often than is healthy: a loop.
    pub moving: Option<(String, String)>,
    /// Where the table of addresses is full: the port with most of them, and how many.
    pub filled_by: Option<(String, u64)>,
    /// Frames that were followed through the tables and went elsewhere than they must, twice in a row.
    pub traces: Vec<Trace>,
}

/// A port's configuration over OpenFlow 1.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortConfig {
    /// `no-flood`: NORMAL does not flood to it.
    pub no_flood: bool,
    /// `down`: its device was set down.
    pub down: bool,
    /// `no-receive`: what comes in by it is dropped.
    pub no_receive: bool,
    /// `no-forward`: nothing goes out by it.
    pub no_forward: bool,
}

/// A bridge's table of learnt addresses, by its own counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressTable {
    /// Addresses in it.
    pub entries: u64,
    /// Addresses that it can hold.
    pub max: u64,
    /// Moves of an address from one port to another in a second: the lower one of the last two samples.
    pub moves_per_second: u64,
}

/// One frame that was followed through a bridge's tables by `ofproto/trace`, which sends nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The frame in words, such as `broadcast from vif1.0`.
    pub frame: String,
    /// Ports by which it must leave, and does not.
    pub missing: Vec<String>,
    /// Ports by which it leaves, and must not.
    pub surplus: Vec<String>,
    /// What the switch says about it: the lines that decide, a few.
    pub evidence: String,
}
