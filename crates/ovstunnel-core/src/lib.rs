//! What ovstunnel wants of a switch, what is there, and the difference between the two.
//!
//! What it does: validated names, keys and addresses; observed and desired state; typed flows; a request's effect on the
//! desired state; the plan, a pure function of desired and observed. What it must not do: I/O of any kind, clocks,
//! randomness, or a dependency on an asynchronous runtime.

mod adopt;
mod change;
mod cookie;
mod desired;
mod draft;
mod flow;
mod flows;
mod footbridge;
mod memory;
mod observed;
mod outcome;
mod plan;
mod python_plugin;
mod step;
mod value;

pub use change::{Change, CreateTunnel, Footprint, Rejected, SetupBridge, TunnelSpec};
pub use cookie::{Cookie, Purpose};
pub use desired::{DesiredBridge, DesiredTunnel, Ipv6Policy, Mark, Settings, ids};
pub use draft::{Draft, finish_takeover, takeover_begun};
pub use flow::{Action, Flow, FlowParseError, MacMatch, Match};
pub use flows::{FlowChange, FlowsSeen, network_flows};
pub use footbridge::{Footbridge, Learnt};
pub use memory::Memory;
pub use observed::{GreIdentity, ObservedBridge, ObservedInterface, ObservedPort, TunnelHealth, View};
pub use outcome::Outcome;
pub use plan::{plan_bridge, stages, visible};
pub use python_plugin::{Finding, PluginFlow, PluginGroup, PluginTable, survey};
pub use step::{BridgeEdit, BridgeSpec, PortEdit, Step};
pub use value::{BridgeName, GreKey, HostId, Invalid, NetworkUuid, PortName, RemoteIp};
