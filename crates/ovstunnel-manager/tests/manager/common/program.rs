//! The manager as a program of its own, with a configuration and a log in the test's folder.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ovstunnel_client::Manager;

use super::{TIMEOUT, configuration, until};

/// A manager that runs until this goes.
pub struct Program {
    pub manager: Manager,
    folder: PathBuf,
    child: Child,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes the configuration that all these commands read: that of [`configuration`] and this.
pub fn configure(folder: &Path, more: &str) {
    let (at, text) = (folder.display(), configuration(folder));
    let files = format!("[database]\nurl = \"sqlite://{at}/db/manager.db\"\n[log]\nfile = \"{at}/log\"\n");
    std::fs::write(folder.join("manager.toml"), text + &files + more).unwrap();
}

/// The command with these arguments.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ovstunnel-manager"));
    command.args(arguments).arg("--config").arg(folder.join("manager.toml"));
    command
}

/// What it says with these arguments.
pub fn output(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

impl Program {
    /// Starts it in a folder in which [`configure`] was called.
    pub async fn start(folder: &Path) -> Program {
        let mut child = command(folder, &[]);
        let child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let manager = Manager::unix(folder.join("m.sock"), TIMEOUT);
        until("the manager to serve", async || manager.readyz().await.ok()).await;
        Program { manager, folder: folder.to_owned(), child }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits until its log says this.
    pub async fn until_log(&self, words: &str) {
        let log = self.folder.join("log");
        until(words, async || std::fs::read_to_string(&log).ok().filter(|text| text.contains(words))).await;
    }
}
