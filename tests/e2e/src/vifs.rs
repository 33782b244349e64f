//! VIFs in number, without VMs behind them, and what else the tests of VIFs need of a host. Must not judge rules.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use ovstunnel_lab::{Host, wait_until};
use serde_json::Value;

use crate::Node;

/// How many things are done on a host at the same time: as udev does, and few enough for a small machine.
const AT_ONCE: usize = 8;

/// Makes devices, the ends of cables that lead nowhere, as fast as the kernel does.
///
/// # Errors
/// When one cannot be made.
pub fn make_devices(host: &Host, names: &[String]) -> Result<()> {
    let line = |name: &String| format!("link add {name} type veth peer name x{name}\nlink set {name} up\n");
    batch(host, names.iter().map(line).collect())
}

/// Removes devices; their ports, if any, stay in the switch's database.
///
/// # Errors
/// When one is not there.
pub fn remove_devices(host: &Host, names: &[String]) -> Result<()> {
    batch(host, names.iter().map(|name| format!("link del {name}\n")).collect())
}

fn batch(host: &Host, lines: String) -> Result<()> {
    let file = tempfile::NamedTempFile::new_in(host.rundir())?;
    fs::write(file.path(), lines)?;
    host.run("ip", ["-batch".as_ref(), file.path().as_os_str()]).map(drop)
}

/// Plugs devices into bridges, each by a command of its own, several at a time.
///
/// # Errors
/// When the switch refuses.
pub fn plug_all(host: &Host, places: &[(String, String)]) -> Result<()> {
    each(places, |(vif, bridge)| host.vsctl(["add-port", bridge, vif]).map(drop))
}

/// Takes devices out of their bridges in the same way.
///
/// # Errors
/// When the switch refuses.
pub fn unplug_all(host: &Host, places: &[(String, String)]) -> Result<()> {
    each(places, |(vif, bridge)| host.vsctl(["del-port", bridge, vif]).map(drop))
}

fn each<T: Sync>(things: &[T], act: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    let chunk = things.len().div_ceil(AT_ONCE).max(1);
    thread::scope(|scope| {
        let workers: Vec<_> =
            things.chunks(chunk).map(|chunk| scope.spawn(|| chunk.iter().try_for_each(&act))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow!("a worker panicked"))?)
    })
}

/// Asks a host's daemon over its Unix socket; status and body.
///
/// # Errors
/// When it does not answer.
pub fn ask(node: &Node, method: &str, path: &str) -> Result<(u16, Value)> {
    let socket = node.socket().display().to_string();
    let url = format!("http://localhost{path}");
    let arguments = ["-sS", "--path-as-is", "-X", method, "--unix-socket", &socket, "-w", "\n%{http_code}", &url];
    let answer = node.host().run("curl", arguments)?;
    let (body, status) = answer.rsplit_once('\n').context("an answer")?;
    Ok((status.parse()?, serde_json::from_str(body).with_context(|| body.to_owned())?))
}

/// Waits until nothing of ours runs on a host but its daemon, not even unreaped.
///
/// # Errors
/// What is still there after half a minute.
pub fn expect_no_strays(node: &Node) -> Result<()> {
    wait_until(format!("the end of all helpers on {}", node.host().name()), Duration::from_secs(30), || {
        match strays(node)? {
            left if left.is_empty() => Ok(()),
            left => Err(anyhow!("{}", left.join("; "))),
        }
    })
}

/// A zombie has no namespace any more: those of the whole machine count. Other tests' ones are gone in a moment.
fn strays(node: &Node) -> Result<Vec<String>> {
    let ours = |comm: &str| ["ovstunnel-vif", "ovstunneld"].contains(&comm);
    let mut left = Vec::new();
    let mut pids = Command::new("ip");
    pids.args(["netns", "pids", node.host().netns().name()]);
    for pid in ovstunnel_lab::run(pids, ovstunnel_lab::DEADLINE)?.lines() {
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if ours(comm.trim()) && pid.parse().ok() != node.pid() {
            left.push(format!("{} {pid} runs", comm.trim()));
        }
    }
    for entry in fs::read_dir("/proc")?.flatten() {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let Some((head, rest)) = stat.rsplit_once(')') else { continue };
        if rest.starts_with(" Z") && head.split_once('(').is_some_and(|(_, comm)| ours(comm)) {
            left.push(format!("{head}) is a zombie"));
        }
    }
    Ok(left)
}
