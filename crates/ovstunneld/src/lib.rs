//! The daemon of ovstunnel: takes requests over HTTPS and a Unix socket, and has Open vSwitch follow them.
//!
//! What it does: its configuration, routes, writer and doctor, start and end; `ovstunnel-server` has what it shares with other
//! services. What it must not do: run a command (`ovstunnel-ovs` does) or decide what the switch is to look like
//! (`ovstunnel-plan` does).

pub mod cli;
pub mod config;
pub mod daemon;
pub mod doctor;
pub mod fuzzing;
pub mod health;
mod host_facts;
pub mod interfaces;
pub mod lock;
pub mod metrics;
mod news;
pub mod once;
pub mod plugin;
pub mod reload;
pub mod routes;
pub mod service;
pub mod support;
mod timing;
mod underlay;
pub mod watch;
pub mod witness;
pub mod writer;
pub mod xapi;
