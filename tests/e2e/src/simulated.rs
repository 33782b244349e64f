//! `ovstunneld --simulate`: a daemon without a switch, for what needs none. Must not need root, or a lab.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ovstunnel_lab::wait_until;

use crate::{Plugin, Pool, program};

/// A daemon with its files in a folder of its own. Killed when dropped.
#[derive(Debug)]
pub struct Simulated {
    child: Child,
    dir: tempfile::TempDir,
}

impl Simulated {
    /// A daemon that is ready; with a pool, host number `number` of it, each run of whose `xe` may take `timeout`.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start(pool: Option<(&Pool, usize, &str)>) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("ovstunnel-sim-").tempdir()?;
        let (d, config) = (dir.path().display(), dir.path().join("o.toml"));
        let xapi = pool.map(|(pool, number, timeout)| Pool::section(pool.path(), number, timeout)).unwrap_or_default();
        let log = "level = \"debug\"";
        let text =
            format!("[api]\nlisten = \"off\"\nsocket = \"{d}/o.sock\"\n[log]\nfile = \"{d}/log\"\n{log}\n{xapi}");
        std::fs::write(&config, text)?;
        let mut command = Command::new(program("ovstunneld")?);
        command.arg("--simulate").arg("--config").arg(&config).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(std::fs::File::create(dir.path().join("stderr"))?);
        let child = command.spawn().context("ovstunneld")?;
        let simulated = Simulated { child, dir };
        let plugin = simulated.plugin()?;
        wait_until("ovstunneld --simulate to answer", Duration::from_secs(20), || {
            let value = plugin.call("destroy_ovs_bridge", &[("bridge", "none0")])?;
            if value == "SUCCESS:none0" { Ok(()) } else { Err(anyhow!("{value}\n{}", simulated.log())) }
        })?;
        Ok(simulated)
    }

    /// Its plugin.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn plugin(&self) -> Result<Plugin> {
        Plugin::beside(&self.socket())
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("o.sock")
    }

    /// What it has logged, warnings on standard error among it.
    pub fn log(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        read("log") + &read("stderr")
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.child.id().try_into()?), signal).context("a signal")
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
