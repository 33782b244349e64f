//! What the benchmark runs on, for whoever compares figures. Must not measure.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use ovstunnel_lab::{Datapath, Switch};

use crate::report::Machine;

const SECOND: Duration = Duration::from_secs(1);

pub fn describe() -> Result<Machine> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").context("/proc/cpuinfo")?;
    let meminfo = fs::read_to_string("/proc/meminfo").context("/proc/meminfo")?;
    let kilobytes: u64 = field(&meminfo, "MemTotal").split(' ').next().unwrap_or_default().parse().unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let version = printed("ovs-vsctl", &["--version"])?;
    Ok(Machine {
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        cpu: field(&cpuinfo, "model name"),
        memory_mb: kilobytes / 1024,
        // The version; what a distributor adds to it says nothing here.
        kernel: kernel.trim().split('-').next().unwrap_or_default().to_owned(),
        open_vswitch: version
            .lines()
            .next()
            .and_then(|line| line.split(' ').next_back())
            .unwrap_or_default()
            .to_owned(),
        datapath: match Switch::from_environment()?.datapath() {
            Datapath::Userspace => "userspace (netdev)",
            Datapath::Kernel => "kernel (system)",
        }
        .to_owned(),
        slow: ovstunnel_lab::unhurried(SECOND) > SECOND,
        build: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
        date: printed("date", &["--utc", "+%Y-%m-%d"])?.trim().to_owned(),
    })
}

fn field(text: &str, name: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_once(':'))
        .map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
}

fn printed(program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program).args(args).output().with_context(|| program.to_owned())?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
