//! The daemon of ovstunnel: takes requests over HTTPS and a Unix socket, and has Open vSwitch follow them.
//!
//! What it does: its configuration, routes, writer and doctor, start and end; `ovstunnel-server` has what it shares with other
//! services. What it must not do: run a command (`ovstunnel-ovs` does) or decide what the switch is to look like
//! (`ovstunnel-plan` does).

mod app;
pub mod cli;
pub mod config;
mod doctor;
mod health;
mod host;
mod metrics;
mod plugin;
mod routes;
mod silence;
mod state;
mod support;
#[doc(hidden)]
pub mod testing;
mod timing;
mod watch;
mod witness;
mod writer;
mod xapi;

pub use app::main;
