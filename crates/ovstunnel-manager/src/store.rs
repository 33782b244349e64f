//! The database as the configuration names it. Must not know a table.

use ovstunnel_store::{OpenOptions, Store, StoreError};

use crate::config::Config;

/// Opens the database of the zone; makes it where there is none.
///
/// # Errors
/// Says what is wrong with it and what to do.
pub async fn open(config: &Config) -> Result<Store, StoreError> {
    Store::open(&config.database.url, &config.zone, OpenOptions::default()).await
}
