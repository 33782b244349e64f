//! A copy of SQLite's file, and its way back.
//!
//! What it does: copies the file as of one moment, also while a manager has it; puts a copy in its place, and keeps what was there. What it must
//! not do: touch a file that a manager has; leave a half-written file under a name that a manager would open.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sea_query::{Expr, ExprTrait, Query};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::engine::Pool;
use super::failure::store_error;
use super::{TlsFiles, file, inspect_unopened, schema};
use crate::inspection::KNOWN;
use crate::{Inspection, Result, StoreError};

/// Files that SQLite may have beside its own, by what their names end with.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

const RULE: &str = "must be sqlite:///PATH, with the path from the root: a server's database is copied by its own tools, such as mariadb-dump or pg_dump";

fn path_of(url: &str) -> Result<&Path> {
    let path = url.strip_prefix("sqlite://").filter(|path| path.starts_with('/') && !path.contains(['?', '#']));
    let scheme = url.split_once("://").map_or(url, |(scheme, _)| scheme);
    path.map(Path::new).ok_or_else(|| StoreError::invalid("[database] url", RULE, scheme))
}

fn with_ending(path: &Path, with: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(with);
    name.into()
}

fn on_file(path: &Path) -> impl Fn(io::Error) -> StoreError {
    move |error| file::file_error(path, &error)
}

/// Writes a copy of the file `from` to `to`, which must not be there, without the settings that are to be forgotten.
async fn copy_file(from: &Path, to: &Path, forget: &[&str]) -> Result<()> {
    // Empty, for its owner alone: SQLite fills an empty file.
    let made =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                StoreError::Conflict { field: "the file".to_owned(), value: to.display().to_string() }
            }
            _ => file::file_error(to, &error),
        })?;
    let copied = fill_copy(from, to, forget).await.and_then(|()| made.sync_all().map_err(on_file(to)));
    if copied.is_err() {
        // What is not whole must not be taken for a copy; the reason is told.
        let _ = std::fs::remove_file(to);
    }
    copied
}

async fn fill_copy(from: &Path, to: &Path, forget: &[&str]) -> Result<()> {
    let name = to
        .to_str()
        .ok_or_else(|| StoreError::invalid("the file", "must have a name in UTF-8", &to.to_string_lossy()))?;
    let source = file::open_foreign(from, false).await?;
    let filled = sqlx::query("VACUUM INTO ?").bind(name).execute(&source).await.map_err(store_error);
    source.close().await;
    filled?;
    let target = Pool::Sqlite(file::open_foreign(to, true).await?);
    let forgotten = async {
        let mut tx = target.begin_write().await?;
        for names in forget {
            let mut statement = Query::delete();
            tx.run_delete(statement.from_table(schema::SETTING).and_where(Expr::col("name").like(*names))).await?;
        }
        tx.commit().await
    };
    let forgotten = forgotten.await;
    target.close().await;
    forgotten
}

/// Copies the database at this address to a file that is not there yet; a manager that has it open goes on.
pub(crate) async fn backup_file(url: &str, to: &Path, forget: &[&str]) -> Result<()> {
    let from = path_of(url)?;
    // Also says what is wrong with it, before anything is made.
    check_sound(&inspect_unopened(url, &TlsFiles::default()).await?)?;
    copy_file(from, to, forget).await?;
    sync_folder(to)
}

/// Puts a copy in place of the database at this address; gives where the one before is now, if there was one.
pub(crate) async fn restore_file(url: &str, from: &Path, zone: &str, forget: &[&str]) -> Result<Option<PathBuf>> {
    let path = path_of(url)?;
    let from = std::path::absolute(from).map_err(on_file(from))?;
    let inspection = inspect_unopened(&format!("sqlite://{}", from.display()), &TlsFiles::default()).await?;
    check_sound(&inspection)?;
    match inspection.zone {
        Some(found) if found == zone => {}
        found => return Err(StoreError::OtherZone { found: found.unwrap_or_default(), wanted: zone.to_owned() }),
    }
    let _held = file::take_lock(path)?;
    let new = with_ending(path, ".restoring");
    // Left by one that was killed; nobody else has it while the lock is held.
    for left in [new.clone(), with_ending(&new, BESIDE[0]), with_ending(&new, BESIDE[1])] {
        remove_file(&left)?;
    }
    copy_file(&from, &new, forget).await?;
    let aside = put_aside(path).await?;
    std::fs::rename(&new, path).map_err(on_file(path))?;
    sync_folder(path)?;
    Ok(aside)
}

fn remove_file(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file::file_error(path, &error)),
        _ => Ok(()),
    }
}

fn check_sound(inspection: &Inspection) -> Result<()> {
    if inspection.schema > KNOWN {
        return Err(StoreError::Newer { found: inspection.schema, known: KNOWN });
    }
    inspection.damage.clone().map_or(Ok(()), |reason| Err(StoreError::Corrupt { reason }))
}

/// Keeps the file under another name too, and takes from beside it what SQLite would read into the next one. Until the next one is in its
/// place the file is there under its own name: whoever dies here loses nothing.
async fn put_aside(path: &Path) -> Result<Option<PathBuf>> {
    if !path.exists() {
        return Ok(None);
    }
    // Whoever is the last to close it takes the log in. A file that is damaged cannot be opened, and is kept as it is.
    if let Ok(pool) = file::open_foreign(path, true).await {
        let _ = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&pool).await;
        pool.close().await;
    }
    let now = OffsetDateTime::now_utc().truncate_to_millisecond().format(&Rfc3339).unwrap_or_default();
    let aside = with_ending(path, &format!(".before-{now}"));
    std::fs::hard_link(path, &aside).map_err(on_file(&aside))?;
    for end in BESIDE {
        match std::fs::rename(with_ending(path, end), with_ending(&aside, end)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file::file_error(path, &error)),
            _ => {}
        }
    }
    Ok(Some(aside))
}

fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(on_file(folder))
}
