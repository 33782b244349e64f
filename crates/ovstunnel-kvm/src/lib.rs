//! What the program of CloudStack's KVM agent is made of: its command line, the daemon's answer to it, and how that ends for the agent.
//!
//! What it must not do: know the options of a function, read standard input, or ask in any other way than on the Unix socket.

mod ask;
mod call;
mod settings;

pub use ask::{Ended, call_daemon};
pub use call::{Call, Unreadable};
pub use settings::Settings;
