//! What `ovs-vswitchd` and `ovs-ofctl` print about a bridge beside our flows, read. Must not ask for it, or judge it.

pub(crate) mod addresses;
pub(crate) mod ends;
pub(crate) mod meter;
pub(crate) mod ports;
pub(crate) mod tables;
pub(crate) mod trace;

pub use addresses::{Address, AddressCounts, moved_between, parse_addresses};
pub use meter::Metered;
pub use ports::PortsTold;
pub use tables::Tables;
pub use trace::{DatapathPorts, matched_flows};
