//! The daemon of ovstunnel: takes requests over HTTPS and a Unix socket, and has Open vSwitch follow them.
//!
//! What it does: configuration, log, listeners, the path of a request to its handler, start and end. What it must not
//! do: run a command (`ovstunnel-ovs` does) or decide what the switch is to look like (`ovstunnel-core` does).

pub mod access;
pub mod audit;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod doctor;
pub mod edge;
pub mod extract;
pub mod fuzzing;
pub mod health;
mod host_facts;
pub mod interfaces;
pub mod listen;
pub mod lock;
pub mod logging;
pub mod metrics;
pub mod notify;
pub mod once;
pub mod plugin;
pub mod problem;
pub mod reload;
pub mod routes;
pub mod seldom;
pub mod service;
pub mod support;
pub mod tls;
mod underlay;
pub mod witness;
pub mod writer;
pub mod xapi;
