//! What the plugin program of xapi is made of: the request of xapi, the daemon's answer to it, and that as xapi reads it.
//!
//! What it must not do: know a function of the plugin, or ask in any other way than on the Unix socket.

mod ask;
mod request;
mod response;

pub use ask::ask_daemon;
pub use request::{Request, Unreadable};
pub use response::Response;
