//! What is known of the health of the host's networks: gathers what the model in core judges, and tells it on the wire.
//!
//! What it does: asks the kernel's tables and the mirror for what is below the tunnels, at most as often as it is asked and never
//! for more than a hundredth of the time; holds what the switch testifies. What it must not do: judge (core does), or change
//! anything.

mod kept;
mod survey;
mod unexpected;
mod wire;

pub use kept::Kept;
pub use survey::{Survey, Surveyor};
pub(crate) use unexpected::{Unexpected, unexpected_now};
pub(crate) use wire::health_to_wire;
