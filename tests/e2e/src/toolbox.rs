//! A folder that stands before `ovs-vsctl` and `ovs-ofctl`, to make them fail in all the ways that programs fail.
//!
//! What it does: each tool is a small script that does what the file `<tool>.mode` beside it says, and else is the real
//! tool. What it must not do: change what the real tool is given.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use ovstunnel_lab::{Switch, wait_until};

/// `$0` finds the folder. What hangs has a child of its own, and both leave their process ids.
const SCRIPT: &str = r#"#!/bin/sh
tool=${0##*/}; dir=${0%/*}; real=REAL
mode=works
[ -r "$dir/$tool.mode" ] && read -r mode < "$dir/$tool.mode"
case "$1" in --version) mode=works ;; esac
case "$mode" in
works) exec "$real/$tool" "$@" ;;
hangs) echo $$ >> "$dir/pids"; sleep 600 & echo $! >> "$dir/pids"; wait ;;
killed) kill -KILL $$ ;;
killed-after) "$real/$tool" "$@"; kill -KILL $$ ;;
lies) cat > /dev/null; exit 0 ;;
fails) echo "$tool: the words of a failure" >&2; exit 1 ;;
unread) case " $* " in *" dump-flows "*) echo "$tool: the words of a failure" >&2; exit 1 ;; esac; exec "$real/$tool" "$@" ;;
waits) echo $$ >> "$dir/pids"; while [ ! -e "$dir/go" ]; do sleep 0.01; done; exec "$real/$tool" "$@" ;;
esac
"#;

/// The folder.
#[derive(Debug)]
pub struct Toolbox {
    dir: tempfile::TempDir,
}

/// How a tool behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As the real one.
    Works,
    /// It does not end, and has a child.
    Hangs,
    /// It is killed by a signal before it has done anything.
    Killed,
    /// It is killed by a signal after it has done everything.
    KilledAfter,
    /// It ends with status 0 and has done nothing.
    Lies,
    /// It says a word and ends with status 1.
    Fails,
    /// It says a word and ends with status 1 where it is to print flows; all else works.
    Unread,
    /// It waits for [`Toolbox::go`], then does what the real one does.
    Waits,
    /// It is not there.
    Missing,
}

impl Toolbox {
    /// Tools that work.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("ovstunnel-tools-").tempdir()?;
        let toolbox = Toolbox { dir };
        let script = SCRIPT.replace("REAL", &Switch::from_environment()?.bin_dir().display().to_string());
        for tool in ["ovs-vsctl", "ovs-ofctl"] {
            let path = toolbox.path().join(tool);
            fs::write(&path, &script)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
        Ok(toolbox)
    }

    /// For `[ovs] bin_dir`.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Makes `tool` behave in this way from now on.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn set(&self, tool: &str, mode: Mode) -> Result<()> {
        let (there, away) = (self.path().join(tool), self.path().join(format!("{tool}.away")));
        let word = match mode {
            Mode::Missing => return fs::rename(&there, &away).context("the tool is gone already"),
            Mode::Works => "works",
            Mode::Hangs => "hangs",
            Mode::Killed => "killed",
            Mode::KilledAfter => "killed-after",
            Mode::Lies => "lies",
            Mode::Fails => "fails",
            Mode::Unread => "unread",
            Mode::Waits => "waits",
        };
        if away.exists() {
            fs::rename(&away, &there)?;
        }
        fs::write(self.path().join(format!("{tool}.mode")), format!("{word}\n"))?;
        Ok(())
    }

    /// Forgets what has hung and waited, for the next one.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn forget(&self) -> Result<()> {
        for file in ["pids", "go"].map(|name| self.path().join(name)).iter().filter(|file| file.exists()) {
            fs::remove_file(file)?;
        }
        Ok(())
    }

    /// Lets a tool that waits go on.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn go(&self) -> Result<()> {
        fs::write(self.path().join("go"), "").context("go")
    }

    /// The processes that hung or waited, and their children.
    pub fn pids(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.path().join("pids")).unwrap_or_default();
        text.lines().filter_map(|line| line.trim().parse().ok()).collect()
    }

    /// Waits until a tool hangs or waits.
    ///
    /// # Errors
    /// When none does within 20 s.
    pub fn wait_until_busy(&self) -> Result<()> {
        wait_until("a tool that waits", Duration::from_secs(20), || match self.pids().is_empty() {
            true => Err(anyhow!("none has started")),
            false => Ok(()),
        })
    }

    /// Waits until none of the processes that hung is there, not even unreaped.
    ///
    /// # Errors
    /// When one still is after 5 s.
    pub fn wait_until_gone(&self) -> Result<()> {
        let there = |pid: &u32| PathBuf::from(format!("/proc/{pid}")).exists();
        wait_until("the end of what hung", Duration::from_secs(5), || {
            match self.pids().into_iter().filter(there).collect::<Vec<_>>() {
                left if left.is_empty() => Ok(()),
                left => Err(anyhow!("{left:?} are still there")),
            }
        })
    }
}
