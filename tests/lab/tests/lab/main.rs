//! The tests of the lab itself: hosts are made, joined and ended. One program for all, as each would
//! carry all that it is linked with.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod counting;
mod life;
mod plain;
