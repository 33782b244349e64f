//! What those are told who watch: each change of a managed bridge and of the host's health, in order and once.
//!
//! What it does: `hub` lets readers in and knows whether anybody watches, `ovstunnel_server::watch` has what they read; `controllers` knows which of them act. What it must not do: cost anything while nobody watches, or hold more for one who does not read
//! than for one who does.

mod controllers;
mod hub;

pub use hub::{Hub, Joined};
