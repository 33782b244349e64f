//! What CloudStack's Python plugin leaves on a switch: how its bridges, tunnels and flows are told from those of others.
//!
//! What it does: recognises, from rows and from printed flows, and says why a bridge cannot be taken over. What it must not
//! do: guess; what is not exactly as the plugin makes it is somebody else's and stays (docs/adr/0012-take-over.md).

mod bridge;
mod flow;

pub(crate) use bridge::is_plugins_tunnel;
pub use bridge::{Finding, has_vpc_pipeline, survey_bridges, waits_for_takeover, was_released};
pub use flow::{PluginFlow, PluginGroup, PluginTable};
