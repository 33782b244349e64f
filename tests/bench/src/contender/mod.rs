//! Those who do the same work on the same switch, each in a file of its own.
//!
//! Each function does one piece of work and returns how long that took, from the first byte of the request or the start of
//! the first command to the answer or the end of the last command, when `ovs-vswitchd` has taken the rows up. They must not
//! check what they have done: that is for [`crate::rows`], and costs nobody's time.

pub mod command;
pub mod daemon;
pub mod direct;
pub mod openstack;
pub mod ovn;
pub mod ovsdbapp;
pub mod plugin;
pub mod python;
pub mod xo;

use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovstunnel_lab::Host;

use crate::rows::Network;

/// How long one command may take.
const DEADLINE: Duration = Duration::from_secs(120);

/// Where `scripts/bench` puts what others need: in the environment, else the folder below `target`.
fn installed(variable: &str, folder: &str) -> PathBuf {
    let target = || {
        let named = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        named.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target")))
    };
    std::env::var_os(variable).map_or_else(|| target().join(folder), PathBuf::from)
}

/// Runs a program of Open vSwitch or of the system, and returns what it prints. These talk to Unix sockets only, so they
/// need not enter the host's namespace, which costs a process.
fn run(host: &Host, program: &str, args: &[String]) -> Result<String> {
    let mut command = std::process::Command::new(program);
    command.args(args).env("OVS_RUNDIR", host.rundir());
    ovstunnel_lab::run(command, DEADLINE)
}

/// Writes a network's first flows by one bundle.
fn bundle(host: &Host, network: &Network) -> Result<()> {
    bundle_of(host, &network.bridge, &network.bundle())
}

/// Changes flows of a bridge by one bundle with these lines.
fn bundle_of(host: &Host, bridge: &str, lines: &str) -> Result<()> {
    let mut command = std::process::Command::new("ovs-ofctl");
    let target = format!("unix:{}/{}.mgmt", host.rundir().display(), bridge);
    command.args(["--no-names", "--protocols=OpenFlow14", "--bundle", "add-flows", &target, "-"]);
    command.env("OVS_RUNDIR", host.rundir()).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("ovs-ofctl")?;
    child.stdin.take().context("standard input")?.write_all(lines.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "ovs-ofctl: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
