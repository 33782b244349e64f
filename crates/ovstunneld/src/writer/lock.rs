//! The locks that keep two ovstunneld from writing to one switch at the same time, whatever their configuration files.
//!
//! What it does: `flock` on files whose place follows from the switch, which the kernel lets go of at a process's death,
//! however it dies; one that was killed while a command of its was running, lets go when that command ends. What it must not
//! do: block the runtime, wait for ever, write into `/run/openvswitch`, or keep the daemon from its work where there is no
//! place for a file: all write the same, so a lock that is missing costs a command refused, not a wrong switch.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ovstunnel_server::lock_file;
use tokio::time::Instant;

use crate::config::Config;

/// Folder of the locks of switches whose own folder is below [`RUN`]: the service may write nothing there but this.
const LOCKS: &str = "/run/ovstunnel";

/// Where the system's switch has its folder.
const RUN: &str = "/run";

/// How the name of a lock in a switch's own folder begins.
const BESIDE_SWITCH: &str = "ovstunnel.";

/// How long what is left of a killed daemon may still have its lock.
const LAST_MOMENT: Duration = Duration::from_secs(1);

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
    /// In the order in which all take them. The last one is the switch's; before it comes the one beside the socket, by which
    /// an older version keeps us out, and we it, while it is being replaced.
    files: Vec<PathBuf>,
    patience: Duration,
}

/// The right to write, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Turn {
    files: Vec<Arc<File>>,
}

impl Drop for Turn {
    /// Commands that still run have the file open too, so it is not enough to close it.
    fn drop(&mut self) {
        for file in &self.files {
            if let Err(error) = file.unlock() {
                tracing::warn!(%error, "the lock cannot be let go of");
            }
        }
    }
}

impl Turn {
    /// The file that the switch's lock is on, for commands to keep open: they may outlive us.
    pub fn lock_file(&self) -> Option<Arc<File>> {
        self.files.last().cloned()
    }

    /// Begins another epoch, by which a daemon sees that what it remembers of flows may not be true any more.
    pub fn advance_epoch(&self) {
        for file in &self.files {
            if let Err(error) = (&**file).write_all(b".") {
                tracing::warn!(%error, "the daemon cannot be told that somebody else has written");
            }
        }
    }

    /// How many have signed so far.
    pub fn epoch(&self) -> u64 {
        self.files.iter().filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
    }
}

impl WriterLock {
    /// The lock of the switch that this configuration is for; it is waited for no longer than `patience`.
    pub fn for_config(config: &Config, patience: Duration) -> Self {
        let older = with_ending(&config.api.socket, ".writer.lock");
        WriterLock { files: vec![older, of_switch(&config.ovs.rundir, "writer")], patience }
    }

    /// No lock: for a switch that nobody else writes to, and under a turn that was taken for longer.
    pub fn no_lock() -> Self {
        WriterLock { files: Vec::new(), patience: Duration::ZERO }
    }

    /// Waits for the turn.
    ///
    /// # Errors
    /// When somebody else has it for too long.
    pub async fn take_turn(&self) -> Result<Turn, Busy> {
        let give_up = Instant::now() + self.patience;
        let mut turn = Turn { files: Vec::new() };
        for path in &self.files {
            turn.files.extend(self.take_one(path, give_up).await?.map(Arc::new));
        }
        Ok(turn)
    }

    async fn take_one(&self, path: &Path, give_up: Instant) -> Result<Option<File>, Busy> {
        let mut pause = FIRST_PAUSE;
        loop {
            match open_lock(path).map_err(TryLockError::Error).and_then(|file| file.try_lock().map(|()| file)) {
                Ok(file) => return Ok(Some(file)),
                Err(TryLockError::WouldBlock) if Instant::now() >= give_up => {
                    return Err(Busy { patience: self.patience, file: path.to_owned() });
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
                    return Ok(None);
                }
            }
        }
    }
}

/// Another daemon has the switch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "ovstunneld is already running for the switch of [ovs] rundir = \"{}\", whatever its socket (lock {})",
    rundir.display(),
    file.display()
)]
pub struct Taken {
    rundir: PathBuf,
    file: PathBuf,
}

/// The place of the one daemon of a switch, for its life.
#[derive(Debug)]
#[must_use]
pub struct Seat {
    _file: Option<File>,
}

impl Seat {
    /// Takes it. A process that a killed daemon had just forked has its files open until it runs its program, so it is tried
    /// for a moment.
    ///
    /// # Errors
    /// When another daemon has it.
    pub fn take_seat(rundir: &Path) -> Result<Self, Taken> {
        let file = of_switch(rundir, "daemon");
        let last_try = std::time::Instant::now() + LAST_MOMENT;
        loop {
            match open_lock(&file).map(|file| (file.try_lock(), file)) {
                Ok((Ok(()), file)) => return Ok(Seat { _file: Some(file) }),
                Ok((Err(TryLockError::WouldBlock), _)) if std::time::Instant::now() >= last_try => {
                    return Err(Taken { rundir: rundir.to_owned(), file });
                }
                Ok((Err(TryLockError::WouldBlock), _)) => std::thread::sleep(LONGEST_PAUSE),
                Ok((Err(TryLockError::Error(error)), _)) | Err(error) => {
                    tracing::warn!(%error, path = %file.display(), "whether another daemon runs for this switch cannot be told");
                    return Ok(Seat { _file: None });
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
    pub fn take_place(socket: &Path) -> Option<Self> {
        match open_lock(&with_ending(socket, ".once.lock")).map(|file| (file.try_lock(), file)) {
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

/// Where the lock of a switch is: the same for all who name its folder, in whatever way. Below [`RUN`] it is not the switch's
/// folder itself, which is Open vSwitch's and which the service may not write to; elsewhere it is.
fn of_switch(rundir: &Path, ending: &str) -> PathBuf {
    let rundir = std::fs::canonicalize(rundir).unwrap_or_else(|_| match rundir.strip_prefix("/var/run") {
        Ok(rest) => Path::new(RUN).join(rest),
        Err(_) => rundir.to_owned(),
    });
    match rundir.strip_prefix(RUN) {
        Ok(rest) => Path::new(LOCKS).join(format!("{}.{ending}.lock", rest.to_string_lossy().replace('/', "-"))),
        Err(_) => rundir.join(format!("{BESIDE_SWITCH}{ending}.lock")),
    }
}

/// A folder that is for Open vSwitch to make.
fn is_in_folder_of_switch(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(BESIDE_SWITCH))
}

/// Opens a lock file, in a folder that is made where it is not there, unless it is Open vSwitch's to make.
fn open_lock(path: &Path) -> io::Result<File> {
    lock_file::open_lock_file(path, !is_in_folder_of_switch(path))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    /// The lock of a switch in a folder, of a daemon with a socket there.
    fn lock(dir: &Path, socket: &str, patience: Duration) -> WriterLock {
        let _ = std::fs::create_dir(dir.join("ovs"));
        let mut config = Config::default();
        config.api.socket = dir.join(socket);
        config.ovs.rundir = dir.join("ovs");
        WriterLock::for_config(&config, patience)
    }

    #[test]
    fn the_lock_follows_the_switch_outside_its_folder() {
        for rundir in ["/run/openvswitch", "/var/run/openvswitch", "/run/./openvswitch/"] {
            assert_eq!(of_switch(rundir.as_ref(), "writer"), Path::new("/run/ovstunnel/openvswitch.writer.lock"));
        }
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert_eq!(of_switch(&link, "daemon"), of_switch(&real, "daemon"));
    }

    #[test]
    fn a_switch_has_one_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let seat = Seat::take_seat(dir.path()).unwrap();
        let error = Seat::take_seat(dir.path()).unwrap_err().to_string();
        assert!(error.contains("already running for the switch of [ovs] rundir"), "{error}");
        drop(seat);
        let _seat = Seat::take_seat(dir.path()).unwrap();
    }

    #[test]
    fn a_lock_is_roots_alone_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (new, old, link) = (dir.path().join("new"), dir.path().join("old"), dir.path().join("link"));
        std::fs::write(&old, "..").unwrap();
        std::os::unix::fs::symlink(&old, &link).unwrap();
        for path in [&new, &old] {
            assert_eq!(open_lock(path).unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(open_lock(&link).unwrap_err().raw_os_error(), Some(nix::errno::Errno::ELOOP as i32));
    }

    #[tokio::test]
    async fn one_writes_and_the_other_waits_but_not_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let (patient, hasty) = (lock(dir.path(), "run/o.sock", LONG), lock(dir.path(), "run/o.sock", Duration::ZERO));
        let turn = patient.take_turn().await.unwrap();
        let busy = hasty.take_turn().await.unwrap_err().to_string();
        assert!(busy.contains("o.sock.writer.lock"), "{busy}");
        let other = lock(dir.path(), "other.sock", Duration::ZERO).take_turn().await.unwrap_err().to_string();
        assert!(other.contains("ovs/ovstunnel.writer.lock"), "the switch is the same: {other}");
        let waiting = tokio::spawn(async move { patient.take_turn().await });
        tokio::task::yield_now().await;
        drop(turn);
        drop(waiting.await.unwrap().unwrap());
        drop(hasty.take_turn().await.unwrap());
    }

    #[tokio::test]
    async fn who_wrote_in_between_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (lock(dir.path(), "o.sock", LONG), lock(dir.path(), "other.sock", LONG));
        let mut before = one.take_turn().await.unwrap().epoch();
        for who in [&one, &other] {
            who.take_turn().await.unwrap().advance_epoch();
            let now = one.take_turn().await.unwrap().epoch();
            assert!(now > before, "{now}");
            before = now;
        }
    }

    #[tokio::test]
    async fn without_a_place_for_the_file_the_work_goes_on() {
        let lock = lock(Path::new("/proc/nowhere"), "o.sock", LONG);
        let _seat = Seat::take_seat(Path::new("/proc/nowhere")).unwrap();
        let (_first, _second) = (lock.take_turn().await.unwrap(), lock.take_turn().await.unwrap());
        let _place = Place::take_place(Path::new("/proc/nowhere/o.sock")).unwrap();
    }

    #[test]
    fn one_waits_for_all() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("o.sock");
        let place = Place::take_place(&socket).unwrap();
        assert!(Place::take_place(&socket).is_none());
        drop(place);
        assert!(Place::take_place(&socket).is_some());
    }
}
