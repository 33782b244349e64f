//! A zone's half of ovstunnel, as far as it can be computed: which network has which GRE key, and which hosts
//! belong to it, and which tunnels they must have, what has
//! to be sent to whom so that they do and are of one kind, and whether a network is whole.
//!
//! What it does: pure functions and values, deterministic; whoever calls them gives the time and what was seen. What it must not
//! do: I/O, read a clock, draw a random number, run tasks, know a database, a route or a switch.

pub mod bfd;
mod brakes;
pub mod counters;
mod desired;
pub mod difference;
pub mod faults;
pub mod keys;
pub mod kind_change;
pub mod membership;
mod moment;
pub mod neighbours;
pub mod observed;
mod plan;
pub mod proof;
pub mod spoken;

pub use brakes::{Brakes, COUNTED_TOGETHER, Earlier, Goes, Hold, Holds, Scope};
pub use desired::{AddressTaken, DesiredTunnel, Endpoints, Mesh};
pub use moment::Moment;
pub use plan::{Plan, Request, Sending, plan_requests};

/// A host's number as the id that stands on its bridges and in tunnels to it.
fn host_id(host: ovstunnel_types::HostNumber) -> ovstunnel_types::HostId {
    host.into()
}
