//! A Python process that writes to the switch's database: it keeps its connection and its copy of the database.
//!
//! It reads one JSON command a line and answers each with one JSON line. What the commands mean is for the scripts and for
//! those who send them; this must not know it, but for `sync`, which every script has.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ovstunnel_lab::Host;
use serde_json::{Value, json};

/// What a process needs: its script, and a Python that has the libraries of it.
pub struct Script {
    pub text: &'static str,
    /// Its arguments before the database's socket.
    pub arguments: &'static [&'static str],
    /// The variable that names its environment; `scripts/bench` sets it.
    pub variable: &'static str,
    /// The environment below `target` where `scripts/bench` puts that Python.
    pub venv: &'static str,
    /// The variables that it is started with beside the lab's own.
    pub environment: &'static [(&'static str, &'static str)],
}

impl Script {
    /// Where the Python is: in the environment, else where `scripts/bench` puts it.
    fn python(&self) -> PathBuf {
        super::installed(self.variable, self.venv).join("bin/python")
    }
}

/// The process. Dropping it ends it.
pub struct Python {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    program: PathBuf,
    syncs: u32,
}

impl Python {
    pub fn start(host: &Host, script: &Script) -> Result<Self> {
        let program = script.python();
        let mut command = Command::new(&program);
        command.args(["-c", script.text]).args(script.arguments).arg(host.rundir().join("db.sock"));
        command.envs(script.environment.iter().copied());
        // By this the lab knows it for one of its own, and ends it whatever happens to us.
        command.env("OVS_RUNDIR", host.rundir()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().with_context(|| format!("{}", program.display()))?;
        let commands = child.stdin.take().context("standard input")?;
        let answers = BufReader::new(child.stdout.take().context("standard output")?);
        let mut started = Python { child, commands, answers, program, syncs: 0 };
        started.sync()?;
        Ok(started)
    }

    /// Freezes it, or lets it go on: what it reads of others' work must not cost them time.
    pub fn pause(&self, paused: bool) -> Result<()> {
        let signal = if paused { Signal::SIGSTOP } else { Signal::SIGCONT };
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).context("a Python process")
    }

    /// Returns when it has read all that has happened.
    pub fn sync(&mut self) -> Result<()> {
        self.syncs += 1;
        let mark = self.syncs.to_string();
        self.carry_out(&json!({"do": "sync", "mark": mark})).map(drop)
    }

    /// Sends a command; how long it took to its answer.
    pub fn carry_out(&mut self, command: &Value) -> Result<Duration> {
        let line = format!("{command}\n");
        let start = Instant::now();
        self.commands.write_all(line.as_bytes()).with_context(|| self.missing())?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).with_context(|| self.missing())?;
        let took = start.elapsed();
        let answer: Value = serde_json::from_str(&answer).with_context(|| self.missing())?;
        ensure!(answer["ok"] == true, "{command}: {}", answer["error"]);
        Ok(took)
    }

    fn missing(&self) -> String {
        format!("{} lacks a library, or it has ended: scripts/bench installs what it needs", self.program.display())
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It has no state that matters.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
