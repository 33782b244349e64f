//! The tests of the client, against answers that are played. One program for all, as each would
//! carry all that it is linked with.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod client;
mod epoch;
mod networks;
mod watch;
