//! The reference page of the configuration, made from the types; whether a SIGHUP is enough comes from the list that the reload follows.
//!
//! `UPDATE_DOCS=1 cargo test -p ovstunneld --lib reference` writes the page; without it the test fails where the page differs.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use ovstunnel_test_support::config_page::ConfigPage;
use ovstunnel_test_support::expect_file;

use super::{Config, NEEDS_RESTART};

/// The files with the types of all sections.
const TYPES: [&str; 2] = [include_str!("mod.rs"), include_str!("../../../ovstunnel-server/src/config/mod.rs")];

const COMMAND: &str = "cargo test -p ovstunneld --lib reference";

const HEAD: &str = "\
# Configuration reference

<!-- Made from the types in crates/ovstunneld/src/config and crates/ovstunnel-server/src/config. Change the comments there, then:
     UPDATE_DOCS=1 cargo test -p ovstunneld --lib reference -->

`/etc/ovstunnel/ovstunneld.toml`, in [TOML](https://toml.io); `ovstunneld --config FILE` reads another one. A missing file means the
defaults. An unknown key or a bad value is refused with file, line and what was expected: the daemon does not start, and one that runs
keeps all that it had ([reload.md](reload.md)). `ovstunneld --check` tells beforehand.

'SIGHUP' says whether a changed value is taken up by `systemctl reload ovstunneld` (a SIGHUP); the others need a restart.
";

#[test]
fn the_reference_page_says_what_the_types_say() {
    let defaults = serde_json::to_value(Config::default()).unwrap();
    let page = ConfigPage { head: HEAD, sources: &TYPES, defaults, restart: Some(&NEEDS_RESTART) };
    expect_file("docs/operators-guide/configuration.md", &page.render(), COMMAND);
}

#[test]
fn each_key_that_needs_a_restart_is_one() {
    let keys = Config::default().config_values();
    for key in NEEDS_RESTART {
        assert!(keys.contains_key(key), "{key}");
    }
}
