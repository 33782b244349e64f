//! Runs one program and waits for it.
//!
//! What it does: absolute path, argument vector, clean environment, a deadline, all three pipes served, the child and
//! whatever it started ended and reaped. What it must not do: use a shell, interpret output, try again, or let a program
//! have a file of ours that is not meant for it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

/// Longest output that is kept of each pipe, in bytes; a dump of 100,000 flows has 20 MB.
const OUTPUT_MAX: u64 = 64 << 20;

/// How long the kernel may take to end what was killed.
const REAPED_WITHIN: Duration = Duration::from_secs(2);

/// A program that ended by itself.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
}

/// A program that could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not be started; nothing happened.
    #[error("cannot run {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was ended at its deadline, because what it waits for is gone, or by a signal from elsewhere; it is not known what
    /// it did. It is not there any more.
    #[error("{} {how} after {took:?}", program.display())]
    CutShort {
        /// The program.
        program: PathBuf,
        /// How it ended.
        how: String,
        /// How long it had run.
        took: Duration,
    },
}

/// What bounds a program.
#[derive(Debug)]
pub(crate) struct Bounds<'a, F> {
    /// The longest that it may run.
    pub deadline: Duration,
    /// It is ended as soon as this is ready, with the reason.
    pub in_vain: F,
    /// It has this open for as long as it runs, also where we are killed meanwhile.
    pub kept: Option<&'a File>,
}

impl Bounds<'_, std::future::Pending<String>> {
    /// Nothing but a deadline.
    pub fn with_deadline(deadline: Duration) -> Self {
        Bounds { deadline, in_vain: std::future::pending(), kept: None }
    }
}

/// Runs `program` with `args`, gives it `stdin`, and waits until it ends or has reached its bounds. Then it is killed, and
/// reaped before this returns: nothing that it sends can come after what is asked next.
pub(crate) async fn run_program<S: AsRef<OsStr>>(
    program: &Path,
    args: &[S],
    env: &[(&str, &OsStr)],
    stdin: &str,
    bounds: Bounds<'_, impl Future<Output = String>>,
) -> Result<Finished, RunError> {
    let start = Instant::now();
    let mut command = Command::new(program);
    command.args(args).env_clear().env("LC_ALL", "C").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.envs(env.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own: a Ctrl-C meant for us does not hit it, and at the deadline all of it can be ended.
    command.process_group(0).kill_on_drop(true);
    let Bounds { deadline, in_vain, kept } = bounds;
    let spawned = spawn_child(&mut command, kept);
    let mut child = spawned.map_err(|source| RunError::Start { program: program.to_owned(), source })?;

    let group = GroupGuard(child.id());
    let outcome = tokio::select! {
        // A command that has ended did so, however late that is seen.
        biased;
        ended = serve_child(&mut child, stdin) => ended.map_err(|error| format!("could not be waited for ({error})")),
        () = tokio::time::sleep(deadline) => Err("did not end and was killed".to_owned()),
        reason = in_vain => Err(format!("waited in vain and was killed ({reason})")),
    };
    let took = start.elapsed();
    let cut_short = |how: String| RunError::CutShort { program: program.to_owned(), how, took };
    let (status, stdout, stderr) = match outcome {
        Ok(ended) => ended,
        Err(how) => {
            drop(group);
            if tokio::time::timeout(REAPED_WITHIN, child.wait()).await.is_err() {
                tracing::error!(program = %program.display(), "was killed, and is still there");
            }
            return Err(cut_short(how));
        }
    };
    group.disarm_guard();
    match status.signal() {
        Some(signal) => Err(cut_short(format!("was ended by signal {signal}"))),
        None => Ok(Finished { status, stdout, stderr, took }),
    }
}

/// Starts it, and lets it have `kept`. One at a time, so that no other program gets that file, too.
fn spawn_child(command: &mut Command, kept: Option<&File>) -> io::Result<Child> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(file) = kept else { return command.spawn() };
    fcntl(file, FcntlArg::F_SETFD(FdFlag::empty()))?;
    let child = command.spawn();
    fcntl(file, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    child
}

/// Writes its input, reads both outputs and reaps it, all at once, so that no full pipe can block it.
async fn serve_child(child: &mut Child, input: &str) -> io::Result<(ExitStatus, String, String)> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A program that ends without reading its input says why on stderr; that is the better error.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
    };
    let ((), stdout, stderr, status) = tokio::join!(write, read_pipe(stdout), read_pipe(stderr), child.wait());
    Ok((status?, stdout?, stderr?))
}

async fn read_pipe(pipe: Option<impl AsyncReadExt + Unpin>) -> io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(OUTPUT_MAX).read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Kills the process group unless its leader has ended by itself; also when the caller is dropped half-way.
struct GroupGuard(Option<u32>);

impl GroupGuard {
    fn disarm_guard(mut self) {
        self.0 = None;
    }
}

impl Drop for GroupGuard {
    fn drop(&mut self) {
        if let Some(pid) = self.0.and_then(|pid| i32::try_from(pid).ok()) {
            // Gone already is fine; tokio reaps the leader.
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sh(script: &str, stdin: &str, deadline: Duration) -> Result<Finished, RunError> {
        run_program(Path::new("/bin/sh"), &["-c", script], &[], stdin, Bounds::with_deadline(deadline)).await
    }

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn both_outputs_status_and_input_are_served_without_blocking() {
        let script = "cat >&2; head -c 200000 /dev/zero | tr '\\0' x; exit 3";
        let input = "y".repeat(300_000);
        let finished = sh(script, &input, LONG).await.unwrap();
        assert_eq!(finished.status.code(), Some(3));
        assert_eq!((finished.stdout.len(), finished.stderr.len()), (200_000, 300_000));
    }

    #[tokio::test]
    async fn a_missing_program_says_so_and_did_nothing() {
        let error =
            run_program(Path::new("/nonexistent/x"), &["a"], &[], "", Bounds::with_deadline(LONG)).await.unwrap_err();
        assert!(matches!(error, RunError::Start { .. }));
        assert_eq!(error.to_string(), "cannot run /nonexistent/x");
    }

    #[tokio::test]
    async fn at_the_deadline_the_program_and_its_children_are_ended() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("sleep 1000 & echo $! >{}; wait", file.display());
        let error = sh(&script, "", Duration::from_millis(500)).await.unwrap_err();
        assert!(matches!(error, RunError::CutShort { .. }), "{error}");
        let pid = std::fs::read_to_string(&file).unwrap().trim().to_owned();
        let start = Instant::now();
        let alive = || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
        while alive() {
            assert!(start.elapsed() < LONG, "the child of a killed program still runs");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_waits_in_vain_is_killed_and_reaped_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let args = ["-c".to_owned(), format!("echo $$ >{0}.new; mv {0}.new {0}; sleep 1000", file.display())];
        let in_vain = async {
            while !file.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            "the database is gone".to_owned()
        };
        let bounds = Bounds { deadline: LONG, in_vain, kept: None };
        let error = run_program(Path::new("/bin/sh"), &args, &[], "", bounds).await.unwrap_err();
        assert!(error.to_string().contains("waited in vain and was killed (the database is gone)"), "{error}");
        let pid = std::fs::read_to_string(&file).unwrap();
        assert!(!Path::new("/proc").join(pid.trim()).exists(), "it is reaped");
    }

    #[tokio::test]
    async fn ended_by_a_signal_is_not_an_answer() {
        let error = sh("kill -ALRM $$", "", LONG).await.unwrap_err();
        assert!(error.to_string().contains("was ended by signal 14"), "{error}");
    }

    #[tokio::test]
    async fn a_file_that_is_kept_is_open_in_that_program_and_in_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("the-lock")).unwrap();
        let args = ["-c", "ls -l /proc/$$/fd | grep -c the-lock; true"];
        let with =
            |kept| run_program(Path::new("/bin/sh"), &args, &[], "", Bounds { kept, ..Bounds::with_deadline(LONG) });
        let both = tokio::join!(with(Some(&file)), with(None));
        assert_eq!((both.0.unwrap().stdout.trim(), both.1.unwrap().stdout.trim()), ("1", "0"));
    }

    #[tokio::test]
    async fn the_environment_is_clean() {
        let finished = sh("env", "", LONG).await.unwrap();
        let names: Vec<&str> = finished.stdout.lines().filter_map(|line| line.split('=').next()).collect();
        let foreign = names.iter().filter(|name| !["LC_ALL", "PATH", "PWD", "SHLVL", "_"].contains(*name));
        assert_eq!(foreign.count(), 0, "{names:?}");
    }
}
