//! The tests of what is planned for a switch, as a pure function; none runs a command. One program for all, as each would
//! carry all that it is linked with.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod agent;
mod answers;
mod bridge_mtu;
mod flow_changes;
mod flow_reference;
mod ipsec;
mod kind_changes;
mod kinds;
mod model;
mod pipeline;
mod planning;
mod properties;
mod takeover;
mod twice;
mod vpc_pipeline;
mod vpc_planning;
mod vpc_world;
