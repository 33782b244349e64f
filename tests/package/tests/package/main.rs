//! The tests of the packages: what is in them, and that they install, upgrade and go. One program for all, as each would
//! carry all that it is linked with.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod ansible;
mod by_hand;
mod contents;
mod deb;
mod rpm;
mod upgrade;
