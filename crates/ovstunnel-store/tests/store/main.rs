//! The tests of the manager's store: one contract on each kind of database. One program for all, as each would
//! carry all that it is linked with.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod cloudstack;
mod cloudstack_dump;
mod contract;
#[cfg(all(feature = "mysql", feature = "postgres"))]
mod encrypted;
mod property;
#[cfg(all(feature = "mysql", feature = "postgres"))]
mod servers;
mod sqlite;
mod trouble;
mod twin;
