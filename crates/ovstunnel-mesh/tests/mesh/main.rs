//! The tests of what a zone's meshes should be, as a pure function; none asks a host. One program for all, as each would
//! carry all that it is linked with.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod desired;
mod histories;
mod keys;
mod kind_change;
mod membership;
mod planning;
mod proof;
mod zone;
