//! The tests of `ovstunnelctl`: the program as it is called, against answers of a daemon or a manager. One program for all, as each would
//! carry all that it is linked with.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod apply;
mod cli;
mod common;
mod doctor;
mod epoch;
mod help;
mod https;
mod joining;
mod log;
mod network;
mod output;
mod pki;
mod reach;
mod revoke;
mod zone;
mod zone_apply;
mod zone_since;
mod zone_views;
