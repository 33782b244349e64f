//! The tests of the daemon from outside: its API on a simulated switch, its program, the plugin's requests, and what the source must keep to. One program for all, as each would
//! carry all that it is linked with.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod access;
mod api;
mod bfd;
mod cases;
mod certificates;
mod circles;
mod claims;
mod common;
mod doctor;
mod doctor_process;
mod dry_run;
mod epoch;
mod examples;
mod faults;
mod faults_table;
mod fenced;
mod forgets;
mod hostile;
mod https;
mod kvm;
mod layers;
mod lists;
mod log_trouble;
mod masters;
mod meters;
mod networks;
mod nftables;
mod outcomes;
mod papers;
mod plugin;
mod plugin_together;
mod plugin_vpc;
mod process;
mod reference;
mod reference_source;
mod reload;
#[path = "../../../../tests/cases/runner.rs"]
mod runner;
mod scale;
#[path = "../../../../tests/plugin/serial.rs"]
mod serial;
mod shutdown;
mod sim;
mod simulate;
mod start;
mod starved;
mod strangers;
mod takeover;
mod unread;
mod watch;
mod watch_process;
mod writer;
