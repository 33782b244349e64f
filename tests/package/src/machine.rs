//! A host of the lab with a system on it: systemd as process 1, this machine's files under a layer that is thrown away, and the
//! lab's own Open vSwitch in `/run/openvswitch`. Must not leave a process, a mount or a control group behind.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_lab::{Daemon, Host, Signal, wait_until};

/// Boots it.
const SCRIPT: &str = include_str!("machine.sh");

/// For anything that is waited for, on a slow and busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running system. Dropping it ends it.
#[derive(Debug)]
pub struct Machine {
    /// The shell that waits for its end and clears up.
    keeper: Daemon,
    /// Process 1, as it is called outside.
    init: u32,
}

impl Machine {
    /// Boots a system on a host, with `srv` as its `/srv`.
    ///
    /// # Errors
    /// When systemd does not start.
    pub fn boot(host: &Host, srv: &Path) -> Result<Self> {
        let log = host.rundir().join("machine.out");
        let netns = host.netns().name();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh", netns, netns]);
        command.arg(host.rundir()).arg(srv);
        let mut keeper = Daemon::start(&format!("the system of {}", host.name()), command, &log)?;
        let init = wait_until("process 1", PATIENCE, || {
            keeper.expect_running()?;
            systemd_below(keeper.pid()).context("not there")
        })?;
        let machine = Machine { keeper, init };
        machine.wait_for("its system to run", &["systemctl", "is-active", "--quiet", "lab.target"])?;
        Ok(machine)
    }

    /// A command that will run inside, as root.
    pub fn command<A: AsRef<OsStr>>(&self, argv: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new("nsenter");
        command.args([
            "--target",
            &self.init.to_string(),
            "--all",
            "--root",
            "--wd",
            "env",
            "-i",
            "LC_ALL=C.UTF-8",
            "HOME=/root",
        ]);
        command.args(["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive"]);
        command.args(argv);
        command
    }

    /// Runs a program inside to its end; its standard output.
    ///
    /// # Errors
    /// When it ends with anything but 0: with its standard error.
    pub fn run<A: AsRef<OsStr>>(&self, argv: impl IntoIterator<Item = A>) -> Result<String> {
        ovstunnel_lab::run(self.command(argv), PATIENCE)
    }

    /// Runs a program inside to its end; all that it says, and its status.
    ///
    /// # Errors
    /// When it cannot be started or does not end.
    pub fn output<A: AsRef<OsStr>>(&self, argv: impl IntoIterator<Item = A>) -> Result<Output> {
        ovstunnel_lab::output(self.command(argv), PATIENCE)
    }

    /// Whether a program that runs inside ends with 0.
    pub fn succeeds(&self, argv: &[&str]) -> bool {
        self.run(argv).is_ok()
    }

    /// Waits until a program that runs inside ends with 0.
    ///
    /// # Errors
    /// When that takes too long: with what it said last.
    pub fn wait_for(&self, what: &str, argv: &[&str]) -> Result<()> {
        wait_until(what, PATIENCE, || self.run(argv).map(drop))
    }

    /// Waits until `look` is true.
    ///
    /// # Errors
    /// When that takes too long.
    pub fn wait_until(&self, what: &str, look: impl Fn() -> bool) -> Result<()> {
        wait_until(what, PATIENCE, || if look() { Ok(()) } else { Err(anyhow!("not yet")) })
    }

    /// A file inside, as it is called outside.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.init))
    }

    /// Whether there is such a file inside, or a link that leads nowhere.
    pub fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.path(path)).is_ok()
    }

    /// Text of a file inside.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, path: &str) -> Result<String> {
        fs::read_to_string(self.path(path)).with_context(|| path.to_owned())
    }

    /// One property of the daemon's unit.
    ///
    /// # Errors
    /// When systemd does not answer.
    pub fn property(&self, name: &str) -> Result<String> {
        self.run(["systemctl", "show", "--value", "--property", name, "ovstunneld.service"])
    }

    /// Waits until the daemon runs, with another process than `before`; its process id inside.
    ///
    /// # Errors
    /// When it does not: with what systemd says.
    pub fn wait_until_served(&self, before: &str) -> Result<String> {
        let served = || {
            self.run(["systemctl", "is-active", "ovstunneld.service"])?;
            let pid = self.property("MainPID")?;
            let status = self.output(["ovstunnelctl", "status"])?;
            let said = String::from_utf8_lossy(&status.stdout).into_owned();
            ensure!(status.status.success(), "`ovstunnelctl status` finds something wrong:\n{said}");
            if pid == before { Err(anyhow!("it is still process {pid}")) } else { Ok(pid) }
        };
        wait_until("ovstunneld to serve", PATIENCE, served)
            .with_context(|| self.run(["journalctl", "--no-pager", "--lines=30"]).unwrap_or_default())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // With process 1 ends all inside; then the keeper clears up and ends by itself. Killing it first would leave things.
        let _ = Command::new("kill").args(["-9", &self.init.to_string()]).status();
        if let Err(error) = self.keeper.wait(PATIENCE) {
            eprintln!("{error:#}");
            let _ = self.keeper.signal(Signal::SIGTERM);
        }
    }
}

/// The process called `systemd` below `pid`.
fn systemd_below(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().filter_map(|child| child.parse().ok()).find_map(|child: u32| {
        let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
        if name.trim() == "systemd" { Some(child) } else { systemd_below(child) }
    })
}
