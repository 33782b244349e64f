//! What stands in the database, as values of Rust.
//!
//! What it does: one type for each table, and the rules for what goes into it. What it must not do: SQL; decide anything.

mod check;
mod event;
mod host;
mod network;
mod nic;
mod tunnel;

pub(crate) use check::{SETTING, check_path_name, next_free};
pub use event::{EventFilter, EventPage, EventRow, NewEvent, PAGE_MAX};
pub use host::{HostMode, HostRow, NewHost, Zone};
pub use network::{NetworkRow, NewNetwork, NewPhysicalNetwork, PhysicalNetworkRow};
pub use nic::{KeyRow, KeyState, LeaseRow, NicRow};
pub use tunnel::{HostTunnels, InterfaceRow, NewInterface, RowState, RowsWritten, StateWords, TunnelRow};
