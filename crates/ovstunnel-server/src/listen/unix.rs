//! The Unix socket, for root.
//!
//! What it does: makes the socket with mode 0600, replaces one that a dead daemon left, and asks the kernel who connects.
//! What it must not do: take over from a daemon that lives, or remove anything that is not a socket.

use std::fs::{DirBuilder, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::answers::Answers;
use super::serve::{Terms, next_connection, refuse_stream, serve_stream};
use super::{Life, ListenError, MAX_SOCKET_CONNECTIONS, Peer};
use crate::lock_file;
use crate::problem::ApiError;

/// How long what is left of a killed daemon may still have its socket open.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// How often is looked whether the socket's file is there.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Between two tries to be the only one.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct Unix {
    listener: UnixListener,
    path: PathBuf,
    /// Inode of the socket, so that at the end only our own is removed.
    inode: u64,
    /// The user that may connect beside root: the one that the daemon runs as.
    user: u32,
    /// Held as long as the socket is served: it, unlike the socket, is gone with a daemon that is killed.
    lock: File,
}

impl Unix {
    pub(super) fn bind(path: &Path) -> Result<Self, ListenError> {
        make_parent(path).map_err(|source| ListenError::Socket { path: path.to_owned(), source })?;
        let lock = once_alone(|| {
            let lock = lock_socket(path)?;
            remove_stale(path)?;
            Ok(lock)
        })?;
        let (listener, inode) = bind_for_root(path)?;
        let user = nix::unistd::geteuid().as_raw();
        Ok(Unix { listener, path: path.to_owned(), inode, user, lock })
    }

    /// Takes the name again where the socket's file is gone: nobody finds it without. Another daemon's is left to it.
    fn look_after(&mut self, told: &mut Option<String>) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|m| m.ino() == self.inode) {
            *told = None;
            return;
        }
        let again = || {
            make_parent(&self.path).map_err(|source| ListenError::Socket { path: self.path.clone(), source })?;
            remove_stale(&self.path)?;
            Ok::<_, ListenError>((lock_file(&self.path)?, bind_for_root(&self.path)?))
        };
        let path = self.path.display();
        match again() {
            Ok((lock, (listener, inode))) => {
                tracing::warn!(%path, "the Unix socket's file was gone: it is there again");
                (self.listener, self.inode) = (listener, inode);
                // The lock's file has gone with it, as a rule.
                if let Some(lock) = lock {
                    self.lock = lock;
                }
            }
            // Once, not at each of the attempts.
            Err(error) if *told != Some(error.to_string()) => {
                tracing::error!(%path, %error, "the Unix socket's file is gone, and cannot be made again; trying on");
                *told = Some(error.to_string());
            }
            Err(_) => {}
        }
    }

    pub(super) async fn run(mut self, app: Router, life: Life) {
        let (room, answers) = (Arc::new(Semaphore::new(MAX_SOCKET_CONNECTIONS)), Answers::new(life.stop.clone()));
        let permit = || Arc::clone(&room).acquire_owned();
        let (mut looks, mut told) = (tokio::time::interval(LOOK_EVERY), None);
        loop {
            let accepted = tokio::select! {
                accepted = next_connection(permit(), &life, |cx| self.listener.poll_accept(cx)) => accepted,
                _ = looks.tick() => {
                    self.look_after(&mut told);
                    continue;
                }
            };
            let Some(((stream, _), permit)) = accepted else { break };
            let (app, its_life, user) = (app.clone(), life.clone(), self.user);
            let terms = Terms { place: None, outgoing: answers.for_address(None) };
            life.tasks.spawn(async move {
                serve_connection(stream, user, app, &its_life, terms).await;
                drop(permit);
            });
        }
        if std::fs::symlink_metadata(&self.path).is_ok_and(|m| m.ino() == self.inode) {
            // If it cannot be removed, the next start replaces it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

async fn serve_connection(stream: UnixStream, user: u32, app: Router, life: &Life, terms: Terms) {
    // The mode of the socket keeps others out; this holds also if someone changes it.
    match stream.peer_cred() {
        Ok(who) if who.uid() == 0 || who.uid() == user => {
            serve_stream(stream, false, Peer::Root { pid: who.pid() }, app, life, terms).await;
        }
        Ok(who) => {
            tracing::warn!(uid = who.uid(), pid = who.pid(), "refused a client of the Unix socket that is not root");
            refuse_stream(stream, &ApiError::forbidden("this socket is for root only")).await;
        }
        Err(e) => tracing::warn!(error = %e, "refused a client of the Unix socket: the kernel does not say who it is"),
    }
}

/// Listens under this name, for root; gives the inode, too.
fn bind_for_root(path: &Path) -> Result<(UnixListener, u64), ListenError> {
    let refused = |source| ListenError::Socket { path: path.to_owned(), source };
    let listener = UnixListener::bind(path).map_err(refused)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(refused)?;
    let inode = std::fs::symlink_metadata(path).map_err(refused)?.ino();
    Ok((listener, inode))
}

/// Makes the folder of the socket, such as `/run/ovstunnel`, but none above it.
fn make_parent(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    match DirBuilder::new().mode(0o755).create(parent) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            Err(io::Error::new(e.kind(), format!("cannot make the folder {}: {e}", parent.display())))
        }
        _ => Ok(()),
    }
}

/// Tries for a moment before it believes that a daemon lives: a process that a killed daemon had just forked has the lock
/// and the socket open until it runs its program.
fn once_alone<T>(mut attempt: impl FnMut() -> Result<T, ListenError>) -> Result<T, ListenError> {
    let last_try = Instant::now() + LAST_MOMENT;
    loop {
        match attempt() {
            Err(ListenError::AlreadyRunning { .. }) if Instant::now() < last_try => std::thread::sleep(PAUSE),
            result => return result,
        }
    }
}

/// The lock anew, where its file is gone; none where it is held, by this daemon as a rule.
fn lock_file(path: &Path) -> Result<Option<File>, ListenError> {
    match lock_socket(path) {
        Ok(lock) => Ok(Some(lock)),
        Err(ListenError::AlreadyRunning { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes the lock beside the socket, which shows that a daemon lives. Two that start at once cannot both get it.
fn lock_socket(path: &Path) -> Result<File, ListenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let refused = |source| ListenError::Socket { path: path.to_owned(), source };
    let file = lock_file::open_lock_file(name.as_ref(), true).map_err(refused)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ListenError::AlreadyRunning { path: path.to_owned() }),
        Err(TryLockError::Error(e)) => Err(refused(e)),
    }
}

/// Removes the socket of a daemon that is no more. One that answers is someone else's.
fn remove_stale(path: &Path) -> Result<(), ListenError> {
    let refused = |source| ListenError::Socket { path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(refused(e)),
        Ok(m) if !m.file_type().is_socket() => Err(ListenError::NotASocket { path: path.to_owned() }),
        Ok(_) => match BlockingStream::connect(path) {
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path).map_err(refused),
            Err(e) => Err(refused(e)),
            Ok(_) => Err(ListenError::AlreadyRunning { path: path.to_owned() }),
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn the_socket_is_made_in_a_new_folder_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/o.sock");
        let unix = Unix::bind(&path).unwrap();
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o755));
        drop(unix);
        let far = dir.path().join("a/b/o.sock");
        assert!(Unix::bind(&far).unwrap_err().to_string().contains("a/b"), "only one folder is made");
    }

    #[tokio::test]
    async fn a_dead_daemons_socket_is_replaced_and_a_live_ones_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("o.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "as after kill -9");
        let live = Unix::bind(&path).unwrap();
        let error = Unix::bind(&path).unwrap_err();
        assert!(error.to_string().contains("already running"), "{error}");
        BlockingStream::connect(&path).unwrap();
        drop(live);
        Unix::bind(&path).unwrap();
    }

    /// A process that was forked and does not run its program yet has a copy of all that the daemon had open.
    #[tokio::test]
    async fn what_a_killed_daemon_had_forked_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("o.sock");
        let Unix { listener, lock, .. } = Unix::bind(&path).unwrap();
        drop(lock);
        let next = std::thread::spawn({
            let (path, runtime) = (path.clone(), tokio::runtime::Handle::current());
            move || {
                let _runtime = runtime.enter();
                Unix::bind(&path).map(drop)
            }
        });
        listener.accept().await.unwrap();
        drop(listener);
        next.join().unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_removed_socket_file_is_bound_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/o.sock");
        let (unix, life) = (Unix::bind(&path).unwrap(), Life::default());
        let running = tokio::spawn(unix.run(Router::new(), life.clone()));
        let comes = async || {
            let begun = Instant::now();
            while UnixStream::connect(&path).await.is_err() {
                assert!(begun.elapsed() < Duration::from_secs(5), "it is not there again");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        comes().await;
        std::fs::remove_file(&path).unwrap();
        comes().await;
        assert_eq!(mode(&path), 0o600);
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        comes().await;
        // What somebody else puts there stays.
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "text").unwrap();
        tokio::time::sleep(LOOK_EVERY * 2).await;
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "text");
        std::fs::remove_file(&path).unwrap();
        comes().await;
        life.stop.cancel();
        running.await.unwrap();
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn another_programs_socket_and_a_plain_file_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (theirs, plain) = (dir.path().join("theirs"), dir.path().join("plain"));
        let _listener = std::os::unix::net::UnixListener::bind(&theirs).unwrap();
        assert!(matches!(Unix::bind(&theirs), Err(ListenError::AlreadyRunning { .. })));
        std::fs::write(&plain, "text").unwrap();
        assert!(matches!(Unix::bind(&plain), Err(ListenError::NotASocket { .. })));
        assert_eq!(std::fs::read_to_string(&plain).unwrap(), "text");
    }

    /// The mode is opened up here, since it alone would keep the stranger out.
    #[tokio::test]
    async fn who_is_neither_root_nor_the_daemons_user_gets_a_403() {
        assert!(nix::unistd::geteuid().is_root(), "needs root");
        for (uid, status) in [(0, "404"), (65534, "403")] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
            let path = dir.path().join("o.sock");
            let unix = Unix::bind(&path).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
            let life = Life::default();
            let running = tokio::spawn(unix.run(Router::new(), life.clone()));
            let curl = tokio::process::Command::new("curl")
                .args(["--silent", "--max-time", "10", "--write-out", " %{http_code}", "http://x/", "--unix-socket"])
                .arg(&path)
                .uid(uid)
                .output();
            let answer = String::from_utf8(curl.await.unwrap().stdout).unwrap();
            assert!(answer.ends_with(&format!(" {status}")), "{uid}: {answer}");
            assert_eq!(uid == 65534, answer.contains(r#""code":"forbidden""#), "{answer}");
            life.stop.cancel();
            running.await.unwrap();
            assert!(!path.exists());
        }
    }
}
