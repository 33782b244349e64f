//! The tests on real switches. They count frames, so they run one at a time: `-- --test-threads=1`. One program for all, as each would
//! carry all that it is linked with.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod apply;
mod arbitrary;
mod bad_input;
mod bad_switch;
mod bad_tls;
mod bad_tools;
mod bfd;
mod cases;
mod cloudstack;
mod concurrency;
mod counters;
mod doctor;
mod doctor_faults;
mod dry_run;
mod epoch;
mod every_switch;
mod exactly_once;
mod faults;
#[path = "../../../../crates/ovstunneld/tests/daemon/faults_table/mod.rs"]
mod faults_table;
mod flow_monitors;
mod foreign;
mod forwards;
mod guide;
mod hangs;
mod heals;
mod health;
mod injection;
mod ipv6_tags;
mod joins;
mod kinds;
mod kvm;
mod left_overs;
mod main_job;
mod native;
mod networks_xapi;
mod one_takeover;
mod outcomes;
mod plug_to_rule;
mod plugin_after_manager;
mod plugin_contract;
mod plugin_life;
mod plugin_program;
mod plugin_together;
mod promises;
mod repeats;
mod replicas;
mod router_guest;
#[path = "../../../cases/runner.rs"]
mod runner;
#[path = "../../../plugin/serial.rs"]
mod serial;
mod soak;
mod storm_control;
mod sweep;
mod switch_restarts;
mod takeover;
mod takeover_stp;
mod udev;
mod vifs;
mod vifs_without_daemon;
mod vpc;
mod vpc_lives;
mod vpc_updates;
mod vpc_xapi;
mod watch;
mod ways_out;
mod witness;
mod zone;
mod zone_acts;
mod zone_acts_kills;
mod zone_faults;
mod zone_kills;
mod zone_why;
