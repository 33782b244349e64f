//! The database as the configuration names it. Must not know a table.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ovstunnel_store::{OpenOptions, StateWords, Store, StoreError};

use crate::config::{Config, States};
use crate::enrolment::ALL_TOKENS;
use crate::reconciler::WAS_ON;

/// How long to wait before a server is asked again that does not answer.
const AGAIN: Duration = Duration::from_secs(3);

/// What a copy must not have: that nothing is asked for, and tokens of hosts, which may be used up or removed by the time it is put back.
const FORGOTTEN: [&str; 2] = [WAS_ON, ALL_TOKENS];

/// How it is opened.
pub(crate) fn open_options(config: &Config) -> OpenOptions {
    let states = match config.database.states {
        States::Specification => StateWords::Specification,
        States::CloudStack => StateWords::CloudStack,
    };
    OpenOptions { states, tls: config.database.tls_files(), ..OpenOptions::default() }
}

/// Copies the database of the zone to a file. A manager that is started with the copy asks before it removes anything.
///
/// # Errors
/// Says why there is no copy.
pub async fn backup_zone(config: &Config, to: &Path) -> Result<(), StoreError> {
    ovstunnel_store::backup(config.database.url.as_str(), to, &FORGOTTEN).await
}

/// Puts a copy in place of the database of the zone, however it was made; gives where the one before is now.
///
/// # Errors
/// Says why it is not in place.
pub async fn restore_zone(config: &Config, from: &Path) -> Result<Option<PathBuf>, StoreError> {
    ovstunnel_store::restore(config.database.url.as_str(), from, &config.zone, &FORGOTTEN).await
}

/// Opens the database of the zone; makes it where there is none.
///
/// # Errors
/// Says what is wrong with it and what to do.
pub async fn open_store(config: &Config) -> Result<Store, StoreError> {
    Store::open(config.database.url.as_str(), &config.zone, open_options(config)).await
}

/// The same of a manager that starts: where its database is a server that does not answer, it is asked until it does.
///
/// # Errors
/// As [`open_store`], but for a server that does not answer.
pub async fn open_patiently(config: &Config) -> Result<Store, StoreError> {
    loop {
        match open_store(config).await {
            Err(StoreError::Unavailable { reason }) if config.database.url.is_shared() => {
                tracing::warn!(reason, url = %config.database.url, "the database cannot be used yet; trying again every {AGAIN:?}");
                tokio::time::sleep(AGAIN).await;
            }
            opened => return opened,
        }
    }
}
