//! What goes wrong with SQLite's file: damage, a disk that is full or read-only. Each has its own error, and nothing is lost.

use std::fs::OpenOptions as FileOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::contract::{event_of, host};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use ovstunnel_store::{OpenOptions, Store, StoreError};
use tempfile::TempDir;

async fn open(folder: &Path) -> Result<Store, StoreError> {
    Store::open(&format!("sqlite://{}/manager.db", folder.display()), "dc1", OpenOptions::default()).await
}

/// A database that is closed, with enough in it to have some pages.
async fn filled(folder: &Path) -> PathBuf {
    let store = open(folder).await.unwrap();
    let events: Vec<_> = (0..2000).map(|n| event_of(n, "kind")).collect();
    store.append_events(&events).await.unwrap();
    store.close().await;
    folder.join("manager.db")
}

fn overwrite(path: &Path, from: u64, len: usize) {
    let mut file = FileOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(from)).unwrap();
    file.write_all(&vec![0x5a; len]).unwrap();
}

#[tokio::test]
async fn a_damaged_file_is_told_at_the_start() {
    for (from, what) in [(0, "the header"), (100 * 4096, "pages in the middle")] {
        let folder = TempDir::new().unwrap();
        let path = filled(folder.path()).await;
        assert!(path.metadata().unwrap().len() > 120 * 4096);
        overwrite(&path, from, 20 * 4096);
        let before = std::fs::read(&path).unwrap();
        let error = open(folder.path()).await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{what}: {error:?}");
        assert!(error.to_string().contains("restore a backup or use 'ovstunnel-manager rebuild'"), "{error}");
        assert!(std::fs::read(&path).unwrap() == before, "{what}: the file was written to");
    }
}

#[tokio::test]
async fn a_value_that_nobody_writes_is_damage_and_is_named() {
    use sqlx::Connection;
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await.unwrap();
    store.put_host(&host("h1")).await.unwrap();
    let path = format!("sqlite://{}/manager.db", folder.path().display());
    let mut file = sqlx::SqliteConnection::connect(&path).await.unwrap();
    sqlx::query("UPDATE ovstunnel_host SET mode = 'sleep'").execute(&mut file).await.unwrap();
    let error = store.hosts().await.unwrap_err().to_string();
    assert!(error.contains("column mode holds \"sleep\""), "{error}");
}

/// Runs a test on a thread that has its own small disk at this folder. Mounting needs root.
fn on_small_disk(test: impl AsyncFnOnce(&Path) + Send + 'static) {
    let thread = std::thread::spawn(move || {
        let folder = TempDir::new().unwrap();
        unshare(CloneFlags::CLONE_NEWNS).expect("needs root: a mount namespace of its own");
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        mount(Some("tmpfs"), folder.path(), Some("tmpfs"), MsFlags::empty(), Some("size=2m,mode=0700")).unwrap();
        // All threads of the runtime and of SQLite are started from here, and so see the disk.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test(folder.path()));
        drop(runtime);
        let _ = nix::mount::umount2(folder.path(), nix::mount::MntFlags::MNT_DETACH);
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    on_small_disk(async |folder| {
        let store = open(folder).await.unwrap();
        let kept = store.put_host(&host("h1")).await.unwrap();
        let many: Vec<_> = (0..500).map(|n| event_of(n, &"x".repeat(60))).collect();
        let mut added = 0;
        let error = loop {
            match store.append_events(&many).await {
                Ok(_) => added += 500,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
        assert!(error.to_string().contains("make space where it lies, nothing has been lost"), "{error}");
        for _ in 0..8 {
            let error = store.append_events(&many).await.unwrap_err();
            assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
        }
        assert_eq!(store.hosts().await.unwrap(), [kept]);
        let newest = store.events(&Default::default(), None, 1).await.unwrap().events;
        assert_eq!(newest.first().map_or(0, |row| row.id), added);
        // With space it goes on, in the same process.
        let none = None::<&str>;
        mount(none, folder, none, MsFlags::MS_REMOUNT, Some("size=32m")).unwrap();
        assert_eq!(store.append_events(&many[..1]).await, Ok(vec![added + 1]));
    });
}

#[test]
fn a_disk_that_becomes_read_only_is_told() {
    on_small_disk(async |folder| {
        filled_small(folder).await;
        let none = None::<&str>;
        mount(none, folder, none, MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, none).unwrap();
        let error = open(folder).await.unwrap_err();
        assert!(matches!(&error, StoreError::ReadOnly { reason } if reason.contains("manager.db.lock")), "{error:?}");
        assert!(error.to_string().contains("make its file, its folder or its server writable"), "{error}");
    });
}

async fn filled_small(folder: &Path) {
    let store = open(folder).await.unwrap();
    store.put_host(&host("h1")).await.unwrap();
    store.close().await;
}
