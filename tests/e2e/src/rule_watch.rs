//! Tells at once of each flow of a VIF's that comes to a bridge, by OpenFlow's own monitor. Must not judge how soon.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use ovstunnel_lab::{Host, wait_until};

/// A rule that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleCame {
    /// When.
    pub at: SystemTime,
    /// OpenFlow number of the VIF's port.
    pub ofport: u16,
}

/// A running monitor. Dropping it ends it.
#[derive(Debug)]
pub struct RuleWatch {
    child: Child,
    lines: Receiver<(SystemTime, String)>,
}

impl RuleWatch {
    /// Begins to watch a bridge; returns when the watch is on.
    ///
    /// # Errors
    /// When it does not begin.
    pub fn start(host: &Host, bridge: &str) -> Result<Self> {
        let mut command = host.command("ovs-ofctl");
        command.args(["--no-names", "monitor", bridge, "watch:!modify"]);
        // It prints what it watches on standard error, each line at once.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let stderr = child.stderr.take().context("standard error")?;
        let (tell, lines) = channel();
        thread::spawn(move || read(stderr, |line| tell.send((SystemTime::now(), line))));
        let watch = RuleWatch { child, lines };
        // A flow that nobody minds shows that the watch is on.
        wait_until("the watch of flows", Duration::from_secs(20), || {
            host.ofctl(["del-flows", bridge, "cookie=0x77/-1"])?;
            host.ofctl(["add-flow", bridge, "cookie=0x77,priority=1,in_port=7777,actions=drop"])?;
            let (_, line) = watch.lines.recv_timeout(Duration::from_millis(50))?;
            ensure!(line.contains("cookie=0x77"), "{line}");
            host.ofctl(["del-flows", bridge, "cookie=0x77/-1"]).map(drop)
        })?;
        Ok(watch)
    }

    /// The next rule of a VIF.
    ///
    /// # Errors
    /// When none comes within 20 s.
    pub fn next(&self) -> Result<RuleCame> {
        loop {
            let (at, line) = self.lines.recv_timeout(Duration::from_secs(20)).context("no rule came")?;
            if let Some(ofport) = rule(&line) {
                return Ok(RuleCame { at, ofport });
            }
        }
    }

    /// All rules of VIFs that have come and were not taken yet.
    pub fn so_far(&self) -> Vec<RuleCame> {
        let came = |(at, line): (SystemTime, String)| Some(RuleCame { at, ofport: rule(&line)? });
        self.lines.try_iter().filter_map(came).collect()
    }
}

/// The port's number in a rule of ours for a VIF that was added.
fn rule(line: &str) -> Option<u16> {
    let ours = line.contains("ADDED") && line.contains("cookie=0x6f767374");
    let ofport = line.split("in_port=").nth(1)?.split([',', ' ']).next()?.parse().ok()?;
    ours.then_some(ofport)
}

impl Drop for RuleWatch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read<E>(stderr: ChildStderr, tell: impl Fn(String) -> Result<(), E>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if tell(line).is_err() {
            return;
        }
    }
}
