//! The tests of the manager from outside: its API and rules against hosts that are played, its pages, its program. One program for all, as each would
//! carry all that it is linked with.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod acting;
mod api;
mod backup;
mod browser;
mod clock;
mod cloudstack;
#[path = "../../../ovstunnel-store/tests/store/cloudstack_dump/mod.rs"]
mod cloudstack_dump;
mod common;
mod day;
mod doctor;
mod enrol;
mod export;
mod export_mariadb;
mod exporting;
mod faults;
mod import;
mod kinds;
mod membership;
mod mistakes;
mod monitoring;
mod networks;
mod nic_hook;
mod nic_hook_proxmox;
mod ordinary;
mod page;
mod pages;
mod rebuild;
mod refusals;
mod renewal;
mod rows;
mod sending_on;
mod signing;
mod sim;
mod support;
mod watch;
mod webhooks;
