//! The database as the configuration names it. Must not know a table.

use ovstunnel_store::{OpenOptions, StateWords, Store, StoreError};

use crate::config::{Config, States};

/// How it is opened.
pub(crate) fn options(config: &Config) -> OpenOptions {
    let states = match config.database.states {
        States::Specification => StateWords::Specification,
        States::CloudStack => StateWords::CloudStack,
    };
    OpenOptions { states, ..OpenOptions::default() }
}

/// Opens the database of the zone; makes it where there is none.
///
/// # Errors
/// Says what is wrong with it and what to do.
pub async fn open(config: &Config) -> Result<Store, StoreError> {
    Store::open(&config.database.url, &config.zone, options(config)).await
}
