//! SQLite's file: who may have it, and how it is opened.
//!
//! What it does: folder and file for their owner alone, a lock that names its holder, the way to open it that loses nothing. What
//! it must not do: open a file that another manager has.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::failure::store_error;
use crate::{Result, StoreError};

/// Connections: one writes, the others read.
pub(crate) const CONNECTIONS: u32 = 4;
/// How long one waits for a connection, or for a program that looks at the file.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// What the journal may keep of the disk after a big change, in bytes.
const JOURNAL: &str = "67108864";

/// The lock on a file, until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Held {
    _file: File,
}

/// What an error of the file system means.
pub(crate) fn file_error(path: &Path, error: &io::Error) -> StoreError {
    let reason = format!("{}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => StoreError::ReadOnly { reason },
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full { reason },
        _ => StoreError::Unavailable { reason },
    }
}

/// Takes the lock beside a file. It is the kernel's: it cannot outlive its process, and what stands in it is only for people.
fn lock_beside(path: &Path) -> Result<Held> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let beside = PathBuf::from(beside);
    let failed = |error: io::Error| file_error(&beside, &error);
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&beside);
    let mut file = options.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let read = file.take(200).read_to_string(&mut holder);
            let holder = holder.trim();
            let by = if read.is_ok() && !holder.is_empty() { holder } else { "another manager" };
            return Err(StoreError::Locked { by: by.to_owned() });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let since = OffsetDateTime::now_utc().replace_nanosecond(0).ok().and_then(|now| now.format(&Rfc3339).ok());
    let holder = format!("process {}, since {}\n", std::process::id(), since.unwrap_or_default());
    file.set_len(0).and_then(|()| file.write_all(holder.as_bytes())).map_err(failed)?;
    Ok(Held { _file: file })
}

/// Takes the lock on a file that need not be there yet; its folder is made.
pub(crate) fn take_lock(path: &Path) -> Result<Held> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| file_error(folder, &error))?;
    lock_beside(path)
}

/// Opens a file, or makes it.
pub(crate) async fn open_file(path: &Path) -> Result<(SqlitePool, Held)> {
    let held = take_lock(path)?;
    let made = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    made.map_err(|error| file_error(path, &error))?;
    // In WAL mode NORMAL may lose what was answered shortly before a power cut; a number or a key that was given out must not be
    // given out again, so FULL.
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(PATIENCE)
        .foreign_keys(true)
        .pragma("journal_size_limit", JOURNAL)
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(2 * PATIENCE);
    // SQLite ends a transaction itself when the disk is full, which sqlx does not see: such a connection would refuse all that
    // follows. The ping comes after a rollback that is under way.
    let pool = pool.after_release(|connection, _| {
        Box::pin(async move {
            connection.ping().await?;
            Ok(!connection.is_in_transaction())
        })
    });
    // Connections stay: each is a thread and a few prepared statements.
    let pool = pool.idle_timeout(None).max_lifetime(None).connect_with(options).await.map_err(store_error)?;
    match check_file(&pool).await {
        Ok(()) => Ok((pool, held)),
        Err(error) => {
            pool.close().await;
            Err(error)
        }
    }
}

/// Opens a file of somebody else, which is not made if it is not there.
pub(crate) async fn open_foreign(path: &Path, writes: bool) -> Result<SqlitePool> {
    let options = SqliteConnectOptions::new().filename(path).read_only(!writes).busy_timeout(PATIENCE);
    let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(2 * PATIENCE);
    pool.connect_with(options.disable_statement_logging()).await.map_err(store_error)
}

/// Looks whether the file is whole, before it is relied upon.
async fn check_file(pool: &SqlitePool) -> Result<()> {
    match first_damage(pool).await.map_err(store_error)? {
        None => Ok(()),
        Some(reason) => Err(StoreError::Corrupt { reason }),
    }
}

/// The first thing that is wrong with a file, as SQLite finds it without comparing indexes with their tables.
pub(crate) async fn first_damage(pool: &SqlitePool) -> std::result::Result<Option<String>, sqlx::Error> {
    let said: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(pool).await?;
    Ok((said != "ok").then_some(said))
}
