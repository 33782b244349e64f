//! The library under Neutron's agent, in a Python process of its own that keeps its connection (`ovsdbapp.py`).
//! A network's flows are not in the database; those take one `ovs-ofctl --bundle`, as for the others.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ovstunnel_lab::Host;
use serde_json::{Map, Value, json};

use super::bundle;
use crate::rows::{Network, Tunnel};

const SCRIPT: &str = include_str!("ovsdbapp.py");

/// Names a Python that has ovsdbapp; scripts/bench sets it.
pub const PYTHON: &str = "OVSTUNNEL_BENCH_PYTHON";

/// The process. Dropping it ends it.
pub struct Ovsdbapp {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    syncs: u32,
}

/// Where the Python is: in the environment, else where scripts/bench puts it.
pub fn python() -> PathBuf {
    let folder = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target")), PathBuf::from);
    std::env::var_os(PYTHON).map_or_else(|| folder.join("bench-venv/bin/python"), PathBuf::from)
}

impl Ovsdbapp {
    pub fn start(host: &Host) -> Result<Self> {
        let mut command = Command::new(python());
        command.args(["-c", SCRIPT]).arg(host.rundir().join("db.sock"));
        // By this the lab knows it for one of its own, and ends it whatever happens to us.
        command.env("OVS_RUNDIR", host.rundir()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().with_context(|| format!("{}", python().display()))?;
        let commands = child.stdin.take().context("standard input")?;
        let answers = BufReader::new(child.stdout.take().context("standard output")?);
        let mut started = Ovsdbapp { child, commands, answers, syncs: 0 };
        started.sync()?;
        Ok(started)
    }

    /// Freezes it, or lets it go on: what it reads of others' work must not cost them time.
    pub fn pause(&self, paused: bool) -> Result<()> {
        let signal = if paused { Signal::SIGSTOP } else { Signal::SIGCONT };
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).context("ovsdbapp")
    }

    /// Returns when it has read all that has happened.
    pub fn sync(&mut self) -> Result<()> {
        self.syncs += 1;
        let mark = self.syncs.to_string();
        self.carry_out(json!({"do": "sync", "mark": mark})).map(drop)
    }

    pub fn add(&mut self, bridge: &str, tunnels: &[Tunnel]) -> Result<Duration> {
        self.carry_out(json!({"do": "add", "bridge": bridge, "tunnels": listed(tunnels)}))
    }

    pub fn set_up(&mut self, host: &Host, network: &Network) -> Result<Duration> {
        let command = json!({
            "do": "set_up", "bridge": network.bridge, "tunnels": listed(&network.tunnels),
            "external_ids": map(&network.external_ids()), "other_config": map(&network.other_config()),
        });
        let start = Instant::now();
        self.carry_out(command)?;
        bundle(host, network)?;
        Ok(start.elapsed())
    }

    pub fn remove(&mut self, bridge: &str, tunnel: &Tunnel) -> Result<Duration> {
        self.carry_out(json!({"do": "remove", "bridge": bridge, "port": tunnel.port()}))
    }

    pub fn remove_bridge(&mut self, bridge: &str) -> Result<Duration> {
        self.carry_out(json!({"do": "remove_bridge", "bridge": bridge}))
    }

    fn carry_out(&mut self, command: Value) -> Result<Duration> {
        let line = format!("{command}\n");
        let start = Instant::now();
        self.commands.write_all(line.as_bytes()).context("ovsdbapp does not listen")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).context("ovsdbapp does not answer")?;
        let took = start.elapsed();
        let answer: Value = serde_json::from_str(&answer).with_context(|| {
            format!("{} has no ovsdbapp, or it has ended: scripts/bench installs it", python().display())
        })?;
        ensure!(answer["ok"] == true, "ovsdbapp: {}", answer["error"]);
        Ok(took)
    }
}

impl Drop for Ovsdbapp {
    fn drop(&mut self) {
        // It has no state that matters.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listed(tunnels: &[Tunnel]) -> Vec<Value> {
    let one = |tunnel: &Tunnel| json!({"port": tunnel.port(), "options": map(&tunnel.options()), "marks": map(&tunnel.marks())});
    tunnels.iter().map(one).collect()
}

fn map<K: AsRef<str>>(pairs: &[(K, String)]) -> Map<String, Value> {
    pairs.iter().map(|(key, value)| (key.as_ref().to_owned(), Value::from(value.as_str()))).collect()
}
