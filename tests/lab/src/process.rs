//! Runs commands to their end with a deadline, and owns daemons.
//!
//! Every process of the lab is started here. Nothing here knows what the processes are for, and nothing here is a shell:
//! commands are argument vectors. A process that was started is reaped, whatever happens.

use std::{
    fmt, fs,
    fs::File,
    io,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    teardown,
    wait::{DEADLINE, unhurried, wait_until},
};

/// Runs `command` to its end and returns its standard output as text, without the white space at its end.
///
/// # Errors
/// When it cannot be started, does not end within `deadline` (then it is killed), or ends with anything but 0: the
/// command, its status and its standard error.
pub fn run(command: Command, deadline: Duration) -> Result<String> {
    let shown = shown(&command);
    let output = output(command, deadline)?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("`{shown}` failed with {}: {}", output.status, stderr.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// Runs `command` to its end and returns all that it said, whatever its exit status.
///
/// # Errors
/// When it cannot be started or does not end within `deadline`; then it is killed.
pub fn output(mut command: Command, deadline: Duration) -> Result<Output> {
    let shown = shown(&command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = start_process(&mut command).with_context(|| format!("cannot start `{shown}`"))?;
    let (pid, deadline) = (pid_of(&child), unhurried(deadline));
    let (ended, end) = mpsc::channel();
    thread::spawn(move || ended.send(child.wait_with_output()));
    match end.recv_timeout(deadline) {
        Ok(output) => output.with_context(|| format!("cannot read from `{shown}`")),
        Err(_) => {
            // The thread reaps it. It may have ended in this instant: then there is nothing to kill, and that is fine.
            let _ = kill(pid, Signal::SIGKILL);
            Err(anyhow!("`{shown}` did not end within {deadline:?} and was killed"))
        }
    }
}

/// Starts a process, unless labs are being taken down by a signal: then it does not return.
pub(crate) fn start_process(command: &mut Command) -> io::Result<Child> {
    let _pass = teardown::pass();
    command.spawn()
}

/// Builds a command from a program and its arguments.
pub(crate) fn command<A: AsRef<std::ffi::OsStr>>(program: &str, arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// The command as a person would type it, without its environment.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn pid_of(child: &Child) -> Pid {
    // A process id fits an i32 on Linux: the kernel's limit is 2^22.
    Pid::from_raw(child.id().cast_signed())
}

/// A running process that the lab owns. It is killed and reaped when this value is dropped.
///
/// Its standard output and error go to one file in the lab's directory. It has a process group of its own, so that Ctrl-C
/// in a terminal reaches the lab's owner only, which then ends everything in order.
pub struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `command` with its output appended to `log`.
    ///
    /// # Errors
    /// When the log cannot be opened or the command cannot be started.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let shown = shown(&command);
        let out = File::options().create(true).append(true).open(log).with_context(|| format!("{}", log.display()))?;
        let err = out.try_clone().with_context(|| format!("{}", log.display()))?;
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        let child = start_process(&mut command).with_context(|| format!("cannot start `{shown}`"))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file that has all that it wrote to standard output and error.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// All that it wrote to standard output and error; empty if that cannot be read.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its exit status if it has ended, `None` while it runs.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn status(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("status of {}", self.name))
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if let Some(status) = self.status()? {
            bail!("{} has ended already: {status}", self.name);
        }
        kill(pid_of(&self.child), signal).with_context(|| format!("{signal} to {}", self.name))
    }

    /// Freezes it (SIGSTOP) and waits until it does nothing any more.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn pause(&mut self) -> Result<()> {
        self.signal(Signal::SIGSTOP)?;
        let stat = format!("/proc/{}/stat", self.pid());
        wait_until(format!("{self:?} to be frozen"), DEADLINE, || -> Result<()> {
            let stat = fs::read_to_string(&stat)?;
            // After the command in parentheses: the state, where T is 'stopped'.
            if stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T")) { Ok(()) } else { Err(anyhow!(stat)) }
        })
    }

    /// Lets it go on after [`Daemon::pause`] (SIGCONT).
    ///
    /// # Errors
    /// When it has ended already.
    pub fn resume(&mut self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it still runs after `deadline`.
    pub fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let name = self.name.clone();
        wait_until(format!("the end of {name}"), deadline, || self.status()?.ok_or_else(|| anyhow!("still running")))
    }

    /// Ends it as a service manager would: SIGTERM, then the wait for its end.
    ///
    /// # Errors
    /// When it has ended already, or still runs after `deadline`.
    pub fn stop(&mut self, deadline: Duration) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.wait(deadline)
    }

    /// Kills it (SIGKILL) and reaps it. Killing what has ended is a success.
    pub fn kill(&mut self) {
        // Both can only fail for a process that has been reaped, and then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// An error that says how it ended and what it wrote last, when it is not running any more.
    ///
    /// # Errors
    /// When it has ended.
    pub fn expect_running(&mut self) -> Result<()> {
        let Some(status) = self.status()? else { return Ok(()) };
        let log = self.log();
        let last: Vec<&str> = log.lines().rev().take(5).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        let how = status.signal().map_or(status.to_string(), |signal| format!("signal {signal}"));
        bail!("{} has ended with {how}; its last words: {}", self.name, last.join(" | "))
    }
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn a_failed_command_says_why() {
        let error = run(command("ls", ["/nowhere-at-all"]), SOON).unwrap_err().to_string();
        assert!(error.contains("ls /nowhere-at-all") && error.contains("No such file"), "{error}");
    }

    #[test]
    fn a_command_that_hangs_is_killed() {
        let error = run(command("sleep", ["60"]), Duration::from_millis(50)).unwrap_err().to_string();
        assert!(error.contains("did not end within 50ms"), "{error}");
    }

    #[test]
    fn a_lot_of_output_does_not_block() {
        assert_eq!(run(command("seq", ["1", "50000"]), SOON).unwrap().lines().count(), 50_000);
    }
}
