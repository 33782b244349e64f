//! GRE keys of networks: ranges, who has which, and which may not be given yet.
//!
//! What it does: gives a key to a network, once in a zone, and keeps a released one back until no host can have it any more. What it
//! must not do: ask a host; it is told what was sent to hosts and what was seen there.

mod pool;
mod ranges;
mod register;

pub use pool::{Exhausted, Pool, Usage};
pub use ranges::Ranges;
pub use register::{KeyState, Keys, Refused};
