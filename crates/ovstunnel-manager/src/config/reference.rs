//! The reference page of `manager.toml`, made from the types.
//!
//! `UPDATE_DOCS=1 cargo test -p ovstunnel-manager --lib reference` writes the page; without it the test fails where the page differs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ovstunnel_test_support::config_page::ConfigPage;
use ovstunnel_test_support::expect_file;

use super::Config;

/// The files with the types of all sections.
const TYPES: [&str; 10] = [
    include_str!("mod.rs"),
    include_str!("cloudstack.rs"),
    include_str!("database.rs"),
    include_str!("replica.rs"),
    include_str!("enrolment.rs"),
    include_str!("networks.rs"),
    include_str!("probes.rs"),
    include_str!("web.rs"),
    include_str!("webhooks.rs"),
    include_str!("../../../ovstunnel-server/src/config/mod.rs"),
];

const COMMAND: &str = "cargo test -p ovstunnel-manager --lib reference";

const HEAD: &str = "\
# Configuration reference of the manager

<!-- Made from the types in crates/ovstunnel-manager/src/config and crates/ovstunnel-server/src/config. Change the comments there, then:
     UPDATE_DOCS=1 cargo test -p ovstunnel-manager --lib reference -->

`/etc/ovstunnel/manager.toml`, in [TOML](https://toml.io); `ovstunnel-manager --config FILE` reads another one. A missing file means the
defaults. An unknown key or a bad value is refused with file, line and what was expected, and the manager does not start.
`ovstunnel-manager --check` tells beforehand.

A changed value needs a restart, which no network notices. A SIGHUP has the listener's certificate files and lists of revoked
certificates read again, certificate and key of `[hosts]`, which sign proofs, too, and the log opened anew.
";

#[test]
fn the_reference_page_says_what_the_types_say() {
    let defaults = serde_json::to_value(Config::default()).unwrap();
    let page = ConfigPage { head: HEAD, sources: &TYPES, defaults, restart: None };
    expect_file("docs/operators-guide/manager-configuration.md", &page.render(), COMMAND);
}
