//! The lock that keeps the daemon and `ovstunneld --once` from writing at the same time.
//!
//! What it does: `flock` on files beside the daemon's socket, which the kernel lets go of at a process's death, however it
//! dies; one that was killed while a command of its was running, lets go when that command ends. What it must not do: block the runtime, wait for ever, or keep the daemon from its work where there is no place
//! for a file: both sides write the same, so a lock that is missing costs a command refused, not a wrong switch.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// The first pause between two tries; the following ones grow.
const FIRST_PAUSE: Duration = Duration::from_millis(1);

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Somebody else held the lock for as long as there was patience.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another ovstunneld has been writing for {patience:?} (lock {})", file.display())]
pub struct Busy {
    patience: Duration,
    file: PathBuf,
}

/// Whose turn it is to write.
#[derive(Clone, Debug)]
pub struct WriterLock {
    file: Option<PathBuf>,
    patience: Duration,
}

/// The right to write, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Turn {
    file: Option<Arc<File>>,
}

impl Drop for Turn {
    /// Commands that still run have the file open too, so it is not enough to close it.
    fn drop(&mut self) {
        if let Some(Err(error)) = self.file.as_ref().map(|file| file.unlock()) {
            tracing::warn!(%error, "the lock cannot be let go of");
        }
    }
}

impl Turn {
    /// The file that the lock is on, for commands to keep open: they may outlive us.
    pub fn file(&self) -> Option<Arc<File>> {
        self.file.clone()
    }

    /// Leaves a sign for the daemon: what it remembers of flows may not be true any more.
    pub fn sign(&self) {
        if let Some(file) = &self.file
            && let Err(error) = (&**file).write_all(b".")
        {
            tracing::warn!(%error, "the daemon cannot be told that somebody else has written");
        }
    }

    /// How many have signed so far.
    pub fn signs(&self) -> u64 {
        self.file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |metadata| metadata.len())
    }
}

impl WriterLock {
    /// The lock of the daemon whose socket this is; it is waited for no longer than `patience`.
    pub fn beside(socket: &Path, patience: Duration) -> Self {
        WriterLock { file: Some(with_ending(socket, ".writer.lock")), patience }
    }

    /// No lock: for a switch that nobody else writes to, and under a turn that was taken for longer.
    pub fn none() -> Self {
        WriterLock { file: None, patience: Duration::ZERO }
    }

    /// Waits for the turn.
    ///
    /// # Errors
    /// When somebody else has it for too long.
    pub async fn take(&self) -> Result<Turn, Busy> {
        let Some(path) = &self.file else { return Ok(Turn { file: None }) };
        let (give_up, mut pause) = (Instant::now() + self.patience, FIRST_PAUSE);
        loop {
            match open(path).map_err(TryLockError::Error).and_then(|file| file.try_lock().map(|()| file)) {
                Ok(file) => return Ok(Turn { file: Some(file.into()) }),
                Err(TryLockError::WouldBlock) if Instant::now() >= give_up => {
                    return Err(Busy { patience: self.patience, file: path.clone() });
                }
                Err(TryLockError::WouldBlock) => {
                    if pause == FIRST_PAUSE {
                        tracing::debug!("another ovstunneld writes, or a command of one that was killed; waiting");
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(TryLockError::Error(error)) => {
                    tracing::warn!(%error, path = %path.display(), "writing without the lock");
                    return Ok(Turn { file: None });
                }
            }
        }
    }
}

/// The place of the one `ovstunneld --once` that waits for its turn. Dropped just before it begins to look, so that
/// whoever finds it taken knows that a look is still to come.
#[derive(Debug)]
#[must_use]
pub struct Place {
    _file: Option<File>,
}

impl Place {
    /// Takes the place; nothing where another waits there already.
    pub fn take(socket: &Path) -> Option<Self> {
        match open(&with_ending(socket, ".once.lock")).map(|file| (file.try_lock(), file)) {
            Ok((Ok(()), file)) => Some(Place { _file: Some(file) }),
            Ok((Err(TryLockError::WouldBlock), _)) => None,
            Ok((Err(TryLockError::Error(_)), _)) | Err(_) => Some(Place { _file: None }),
        }
    }
}

fn with_ending(socket: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(socket);
    name.push(ending);
    name.into()
}

/// Opens the file anew each time: whoever deletes it parts only those who hold it at that moment.
fn open(path: &Path) -> io::Result<File> {
    let open = || File::options().append(true).create(true).open(path);
    match (open(), path.parent()) {
        (Err(error), Some(folder)) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().mode(0o755).recursive(false).create(folder)?;
            open()
        }
        (result, _) => result,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn one_writes_and_the_other_waits_but_not_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("run/o.sock");
        let (patient, hasty) = (WriterLock::beside(&socket, LONG), WriterLock::beside(&socket, Duration::ZERO));
        let turn = patient.take().await.unwrap();
        let busy = hasty.take().await.unwrap_err().to_string();
        assert!(busy.contains("o.sock.writer.lock"), "{busy}");
        let waiting = tokio::spawn(async move { patient.take().await });
        tokio::task::yield_now().await;
        drop(turn);
        drop(waiting.await.unwrap().unwrap());
        drop(hasty.take().await.unwrap());
    }

    #[tokio::test]
    async fn who_wrote_in_between_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let lock = WriterLock::beside(&dir.path().join("o.sock"), LONG);
        assert_eq!(lock.take().await.unwrap().signs(), 0);
        lock.take().await.unwrap().sign();
        lock.take().await.unwrap().sign();
        assert_eq!(lock.take().await.unwrap().signs(), 2);
    }

    #[tokio::test]
    async fn without_a_place_for_the_file_the_work_goes_on() {
        let lock = WriterLock::beside(Path::new("/proc/nowhere/o.sock"), LONG);
        let (_first, _second) = (lock.take().await.unwrap(), lock.take().await.unwrap());
        let _place = Place::take(Path::new("/proc/nowhere/o.sock")).unwrap();
    }

    #[test]
    fn one_waits_for_all() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("o.sock");
        let place = Place::take(&socket).unwrap();
        assert!(Place::take(&socket).is_none());
        drop(place);
        assert!(Place::take(&socket).is_some());
    }
}
