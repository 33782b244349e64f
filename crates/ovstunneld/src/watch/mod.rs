//! What those are told who watch: each change of a managed bridge and of the host's health, in order and once.
//!
//! What it does: `hub` keeps the last changes, which each reader takes at its own pace; `controllers` knows which of them act. What it must not do: cost anything while nobody watches, or hold more for one who does not read
//! than for one who does.

mod controllers;
mod hub;
mod log;
mod reader;
mod shared;

pub use hub::{Hub, Joined, TooMany};
