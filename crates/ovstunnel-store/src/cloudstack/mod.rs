//! CloudStack's own database.
//!
//! What it does: opens it, and reads what it says of tunnels, keys, networks, hosts and VMs, all as of one moment ([`Tables`]); writes rows of
//! tunnels and endpoints ([`Change`]) where it was opened for that. What it must not do: write otherwise, which the session is told to
//! refuse as well; judge what it reads.

mod read;
mod rows;
mod write;

use crate::StoreError;
use crate::sql::{Pool, open_reader, open_writer};

pub use write::{Address, Change, NAMES as LOCK_NAMES};

pub use rows::{
    Endpoint, Host, Member, Network, PhysicalNetwork, Setting, TABLES, Tables, TakenKey, Tunnel, Zone as CloudZone,
};

/// CloudStack's database.
#[derive(Debug)]
pub struct CloudStack {
    pool: Pool,
}

/// Why it cannot be read or written. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloudStackError {
    /// The address is none. It is not shown, as there may be a password in it.
    #[error("{RULE}; the value is not shown, as there may be a password in it")]
    Address,
    /// No connection, or no right to read.
    #[error("CloudStack's database cannot be opened: {reason}")]
    Unreachable {
        /// What the engine or the system said.
        reason: String,
    },
    /// A table could not be read.
    #[error("table {table} of CloudStack's database cannot be read: {reason}")]
    Unreadable {
        /// The table.
        table: &'static str,
        /// What the engine said.
        reason: String,
    },
    /// Somebody has one of the locks.
    #[error(
        "CloudStack's lock {name} is held by {by}; nothing was changed: try again, and if whoever holds it runs no more, DELETE FROM op_lock \
         WHERE `key` = '{name}'"
    )]
    Held {
        /// The lock.
        name: &'static str,
        /// Who, as the row says.
        by: String,
    },
    /// Rows could not be written.
    #[error("{what} in CloudStack's database cannot be written: {reason}; nothing was changed")]
    Unwritable {
        /// Which row.
        what: String,
        /// What the engine said.
        reason: String,
    },
    /// The locks could not be given back.
    #[error(
        "CloudStack's locks cannot be given back: {reason}; its servers wait for them until: DELETE FROM op_lock WHERE mac = 'ovstunnel'"
    )]
    LocksStay {
        /// What the engine said.
        reason: String,
    },
}

/// What an address must be.
pub const RULE: &str = "must be mysql://USER:PASSWORD@HOST/DATABASE, such as mysql://reader:secret@192.0.2.9/cloud";

impl CloudStack {
    /// Opens the database at this address: `mysql://USER:PASSWORD@HOST/DATABASE` with the crate's feature `mysql`, or `sqlite:///PATH` for a
    /// copy of the tables. Whatever is sent through it, the session refuses to write.
    ///
    /// # Errors
    /// It is no address, or nobody answers there.
    pub async fn open(url: &str) -> Result<CloudStack, CloudStackError> {
        match open_reader(url).await {
            Some(Ok(pool)) => Ok(CloudStack { pool }),
            Some(Err(error)) => Err(CloudStackError::Unreachable { reason: error_reason(error) }),
            None => Err(CloudStackError::Address),
        }
    }

    /// The same, for a session that writes rows of tunnels and endpoints.
    ///
    /// # Errors
    /// It is no address, or nobody answers there.
    pub async fn open_to_write(url: &str) -> Result<CloudStack, CloudStackError> {
        match open_writer(url).await {
            Some(Ok(pool)) => Ok(CloudStack { pool }),
            Some(Err(error)) => Err(CloudStackError::Unreachable { reason: error_reason(error) }),
            None => Err(CloudStackError::Address),
        }
    }

    /// Reads all of it, as of one moment.
    ///
    /// # Errors
    /// A table cannot be read. One that is not there is no error: [`Tables::missing`] names it.
    pub async fn read_tables(&self) -> Result<Tables, CloudStackError> {
        read::read_tables(&self.pool).await
    }

    /// Closes the connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// What went wrong, without what the manager's own database would be advised to do about it.
fn error_reason(error: StoreError) -> String {
    match error {
        StoreError::Unavailable { reason }
        | StoreError::ReadOnly { reason }
        | StoreError::Full { reason }
        | StoreError::Corrupt { reason } => reason,
        other => other.to_string(),
    }
}
