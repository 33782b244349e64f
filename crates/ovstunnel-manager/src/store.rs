//! The database as the configuration names it. Must not know a table.

use std::path::{Path, PathBuf};

use ovstunnel_store::{OpenOptions, StateWords, Store, StoreError};

use crate::config::{Config, States};
use crate::reconciler::WAS_ON;

/// How it is opened.
pub(crate) fn options(config: &Config) -> OpenOptions {
    let states = match config.database.states {
        States::Specification => StateWords::Specification,
        States::CloudStack => StateWords::CloudStack,
    };
    OpenOptions { states, ..OpenOptions::default() }
}

/// Copies the database of the zone to a file. A manager that is started with the copy asks before it removes anything.
///
/// # Errors
/// Says why there is no copy.
pub async fn backup(config: &Config, to: &Path) -> Result<(), StoreError> {
    ovstunnel_store::backup(&config.database.url, to, &[WAS_ON]).await
}

/// Puts a copy in place of the database of the zone, however it was made; gives where the one before is now.
///
/// # Errors
/// Says why it is not in place.
pub async fn restore(config: &Config, from: &Path) -> Result<Option<PathBuf>, StoreError> {
    ovstunnel_store::restore(&config.database.url, from, &config.zone, &[WAS_ON]).await
}

/// Opens the database of the zone; makes it where there is none.
///
/// # Errors
/// Says what is wrong with it and what to do.
pub async fn open(config: &Config) -> Result<Store, StoreError> {
    Store::open(&config.database.url, &config.zone, options(config)).await
}
