//! A real `systemd-udevd` on a host of the lab, with the real rule and the real helper, and a stand-in for xapi's scripts.
//!
//! What it does: starts it in the host's network namespace, whose devices' events it gets, with a `/run` and with folders of
//! rules of its own. What it must not do: touch the machine's udev, or wait for anything but udev's own word.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use ovstunnel_lab::{Daemon, Host, wait_until};

use crate::{Helper, Node};

/// Where the helper is on an installed host, as the rule says.
const INSTALLED: &str = "/usr/lib/ovstunnel/ovstunnel-vif";

/// The rule that is installed on hosts.
const RULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../udev/zz-ovstunnel.rules");

/// Only our rules are to be there: those of the machine would give devices other names and MAC addresses.
const START: &str = r#"
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/udev/rules.d
cp "$1"/*.rules /run/udev/rules.d/
for folder in /usr/lib/udev/rules.d /etc/udev/rules.d; do
    [ ! -d $folder ] || mount -t tmpfs tmpfs $folder
done
exec /lib/systemd/systemd-udevd
"#;

/// What xapi's `vif-real` and `setup-vif-rules` do for each VIF: put it on its bridge, then delete every flow that names
/// it. A file `hold` makes it wait until somebody has a flow to be deleted: the worst order of things.
const XAPI: &str = r#"#!/bin/sh
dir=${0%/*}
export OVS_RUNDIR=${dir%/*/*}
action=$1 device=$2
read -r bridge 2>/dev/null <"$dir/bridges/$device" || exit 0
flow() { ovs-ofctl dump-flows "$bridge" "in_port=$ofport" | grep -q "in_port=$ofport"; }
case $action in
add)
    ovs-vsctl --timeout=30 -- --if-exists del-port "$device" -- add-port "$bridge" "$device" || exit 1
    echo "$device $(date +%s%N)" >>"$dir/plugged"
    ofport=$(ovs-vsctl --timeout=30 get Interface "$device" ofport) || exit 1
    tries=0
    while [ -e "$dir/hold" ] && ! flow && [ $tries -lt 1000 ]; do tries=$((tries + 1)); sleep 0.01; done
    ovs-ofctl del-flows "$bridge" "in_port=$ofport"
    echo "$device" >>"$dir/deleted"
    ;;
remove) ovs-vsctl --timeout=30 -- --if-exists del-port "$bridge" "$device" ;;
esac
"#;

/// A device that xapi has put on its bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugged {
    /// The device.
    pub device: String,
    /// When xapi's command had ended.
    pub at: SystemTime,
}

/// A running udevd. Dropping it kills it.
#[derive(Debug)]
pub struct Udev {
    daemon: Daemon,
    host: Host,
    dir: PathBuf,
}

impl Udev {
    /// Starts it, and returns when it takes events.
    ///
    /// # Errors
    /// When it does not start, or does not understand a rule.
    pub fn start(node: &Node, helper: &Helper) -> Result<Self> {
        let host = node.host().clone();
        let dir = node.dir().join("udev");
        fs::create_dir_all(dir.join("bridges"))?;
        install(&dir, helper)?;
        let mut command = host.command("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", START, "sh"]).arg(&dir);
        let daemon = host.spawn("systemd-udevd", command)?;
        let mut udev = Udev { daemon, host, dir };
        wait_until("systemd-udevd to take events", Duration::from_secs(20), || {
            udev.daemon.expect_running()?;
            udev.inside(["udevadm", "control", "--ping", "--timeout=5"]).map(drop)
        })?;
        let log = udev.daemon.log();
        ensure!(!log.contains(".rules:"), "udevd does not understand a rule: {log}");
        Ok(udev)
    }

    /// Says on which bridge xapi will put a device that is to come.
    ///
    /// # Errors
    /// When that cannot be written down.
    pub fn expect(&self, device: &str, bridge: &str) -> Result<()> {
        fs::write(self.dir.join("bridges").join(device), format!("{bridge}\n")).context("a VIF's bridge")
    }

    /// Has xapi delete a VIF's flows only when there are some.
    ///
    /// # Errors
    /// When that cannot be written down.
    pub fn hold(&self) -> Result<()> {
        fs::write(self.dir.join("hold"), "").context("hold")
    }

    /// The devices whose flows xapi has deleted.
    pub fn deleted(&self) -> Vec<String> {
        let text = fs::read_to_string(self.dir.join("deleted")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The devices that xapi has put on their bridges.
    pub fn plugged(&self) -> Vec<Plugged> {
        let text = fs::read_to_string(self.dir.join("plugged")).unwrap_or_default();
        let plugged = |line: &str| {
            let (device, at) = line.split_once(' ')?;
            let at = SystemTime::UNIX_EPOCH + Duration::from_nanos(at.parse().ok()?);
            Some(Plugged { device: device.to_owned(), at })
        };
        text.lines().filter_map(plugged).collect()
    }

    /// Waits until every event so far is handled: all programs of all rules have ended.
    ///
    /// # Errors
    /// When that takes longer than 2 minutes.
    pub fn settle(&self) -> Result<()> {
        let mut command = self.command(["udevadm", "settle", "--timeout=120"]);
        command.env("LC_ALL", "C");
        ovstunnel_lab::run(command, Duration::from_secs(130)).map(drop)
    }

    fn inside<const N: usize>(&self, argv: [&str; N]) -> Result<String> {
        ovstunnel_lab::run(self.command(argv), Duration::from_secs(10))
    }

    /// A command that sees udevd's own `/run`.
    fn command<const N: usize>(&self, argv: [&str; N]) -> std::process::Command {
        let mut command = self.host.command("nsenter");
        command.args(["--target", &self.daemon.pid().to_string(), "--mount"]).args(argv);
        command
    }
}

/// The real rule, with the helper where the compiler put it, and xapi's beside it under the name that xapi gives it.
fn install(dir: &Path, helper: &Helper) -> Result<()> {
    let rule = fs::read_to_string(RULE).context(RULE)?;
    ensure!(rule.matches(INSTALLED).count() == 2, "the rule does not name {INSTALLED} twice");
    fs::write(dir.join("zz-ovstunnel.rules"), rule.replace(INSTALLED, &helper.argv().join(" ")))?;
    let xapi = dir.join("xapi");
    fs::write(&xapi, XAPI)?;
    fs::set_permissions(&xapi, fs::Permissions::from_mode(0o755))?;
    let match_all = "SUBSYSTEM==\"net\", KERNEL==\"vif*|tap*\", ACTION==\"add|remove\"";
    let rule = format!("{match_all}, RUN+=\"{} $env{{ACTION}} %k\"\n", xapi.display());
    fs::write(dir.join("xen-backend.rules"), rule)?;
    Ok(())
}
