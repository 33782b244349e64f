//! Takes labs down, whichever way their owner ends.
//!
//! Each lab has a *reaper*: a small shell process (`teardown.sh`) that is started before the lab's first namespace and does
//! nothing but wait for the end of its standard input, whose other end only this process holds. The kernel closes that end
//! even if this process is killed by SIGKILL, so there is one way down for all cases: an ordinary end, a panic, a signal, a
//! kill. (`PR_SET_PDEATHSIG` would not do: it is bound to the thread that started the child, and test threads end early.)
//! The reaper has a process group of its own and ignores the terminal's signals.
//!
//! Only what carries the lab's name is touched.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio, exit},
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, Weak},
    thread,
};

use anyhow::{Context, Result, bail};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::{
    names,
    wait::{DEADLINE, wait_until},
};

const SCRIPT: &str = include_str!("teardown.sh");

/// The reapers of this process's labs, for [`cleanup_on_signal`].
static LIVE: Mutex<Vec<Weak<Reaper>>> = Mutex::new(Vec::new());

/// Shared by whoever makes something; closed for good once a signal has come. See [`pass`].
static GATE: RwLock<()> = RwLock::new(());

/// Held while something is made that outlives this process. It does not return once labs are being taken down by a
/// signal: the thread that asks would only make something anew that nobody takes away.
pub(crate) fn pass() -> RwLockReadGuard<'static, ()> {
    GATE.read().unwrap_or_else(PoisonError::into_inner)
}

/// Takes one lab down as soon as it is told to, or when this process is gone.
#[derive(Debug)]
pub(crate) struct Reaper {
    lab: String,
    /// `None` once the lab is down.
    child: Mutex<Option<Child>>,
}

impl Reaper {
    /// Starts the reaper of the lab called `lab`, whose files are all in `dir`.
    pub(crate) fn start(lab: &str, dir: &Path) -> Result<Arc<Self>> {
        let child = script(lab, dir).stdin(Stdio::piped()).spawn().context("cannot start the lab's reaper (sh)")?;
        let reaper = Arc::new(Self { lab: lab.to_owned(), child: Mutex::new(Some(child)) });
        let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
        live.retain(|reaper| reaper.strong_count() > 0);
        live.push(Arc::downgrade(&reaper));
        Ok(reaper)
    }

    /// Takes the lab down and waits until that is done. The second time there is nothing to do.
    pub(crate) fn finish(&self) -> Result<()> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut child) = child.take() else { return Ok(()) };
        drop(child.stdin.take());
        let status = wait_until(format!("the end of lab {}", self.lab), DEADLINE, || {
            child.try_wait()?.ok_or_else(|| anyhow::anyhow!("its reaper, process {}, is still at it", child.id()))
        })?;
        if !status.success() {
            bail!("lab {} is not fully removed: {status}", self.lab);
        }
        Ok(())
    }
}

fn script(lab: &str, dir: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, "ovlab-reaper", lab]).arg(dir).stdout(Stdio::null()).process_group(0);
    command
}

/// From now on SIGINT, SIGTERM and SIGHUP take down all labs of this process and then end it with exit status 130.
///
/// For programs; tests do not need it, because a lab also goes down when its process dies of a signal. What this adds is
/// that the process ends only after its labs are gone. Calling it again changes nothing.
///
/// # Errors
/// When the signal handlers cannot be installed.
pub fn cleanup_on_signal() -> Result<()> {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    if INSTALLED.set(()).is_err() {
        return Ok(());
    }
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot install signal handlers")?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            let _closed = GATE.write().unwrap_or_else(PoisonError::into_inner);
            for problem in take_down_all() {
                eprintln!("{problem:#}");
            }
            exit(130);
        }
    });
    Ok(())
}

fn take_down_all() -> Vec<anyhow::Error> {
    let live = std::mem::take(&mut *LIVE.lock().unwrap_or_else(PoisonError::into_inner));
    live.iter().filter_map(Weak::upgrade).filter_map(|reaper| reaper.finish().err()).collect()
}

/// Removes what is left of labs whose process is dead, and returns their names.
///
/// That can only be something if the reaper was killed as well. Labs of living processes are not touched, nor anything
/// without a lab's name. It looks for processes by their number and start time: do not call it where namespaces are
/// shared with another container, whose processes cannot be seen.
///
/// # Errors
/// When something cannot be removed; the others are removed all the same.
pub fn remove_leftovers() -> Result<Vec<String>> {
    let mut dead = BTreeSet::new();
    for folder in [PathBuf::from("/run/netns"), parent_directory()] {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        dead.extend(entries.flatten().filter_map(|entry| names::dead_lab_of(&entry.file_name().to_string_lossy())));
    }
    let mut problems = Vec::new();
    for lab in &dead {
        let status = script(lab, &parent_directory().join(lab)).stdin(Stdio::null()).status();
        match status.with_context(|| format!("cannot remove lab {lab}"))? {
            status if status.success() => {}
            status => problems.push(format!("{lab}: {status}")),
        }
    }
    if !problems.is_empty() {
        bail!("not fully removed: {}", problems.join(", "));
    }
    Ok(dead.into_iter().collect())
}

/// Where labs have their directories. Always `/tmp`: the path of a Unix socket must stay below 108 bytes.
pub(crate) fn parent_directory() -> PathBuf {
    PathBuf::from("/tmp")
}
