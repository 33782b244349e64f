//! A zone's half of ovstunnel, as far as it can be computed: which network has which GRE key, and which hosts
//! belong to it, and which tunnels they must have.
//!
//! What it does: pure functions and values, deterministic; whoever calls them gives the time and what was seen. What it must not
//! do: I/O, read a clock, draw a random number, run tasks, know a database, a route or a switch.

mod desired;
pub mod keys;
pub mod membership;
mod moment;

pub use desired::{AddressTaken, DesiredTunnel, Endpoints, Mesh};
pub use moment::Moment;
