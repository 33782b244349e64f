//! OpenFlow 1.4 on the bridges' management sockets, as far as ovstunnel needs it.
//!
//! What it does: bundles of flow changes, meters, our own flows read back, and flow monitors. What it must not do: speak of flows that ovstunnel does
//! not have: an action or a field that [`Flow`](ovstunnel_plan::Flow) does not know is neither written nor taken for one of ours.

mod bridges;
mod connection;
mod decode;
mod encode;
mod errors;
mod extension;
mod kept;
mod monitor;
mod wire;

pub(crate) use bridges::Bridges;
pub use bridges::FlowsRead;
use encode::{delete_meter, encode_changes, set_meter};
pub use kept::{FlowNews, FlowsTold};
