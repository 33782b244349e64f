//! OVN: its two databases and `ovn-northd` on one host, and `ovn-controller` on each.
//!
//! What it does: starts them in the lab, declares logical switches and ports, and tells who of them runs. It must not touch a bridge of the
//! daemon's: OVN has one of its own, `br-int`, for all networks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use ovstunnel_lab::{Daemon, Host, wait_until};

/// The bridge that `ovn-controller` makes.
pub const BRIDGE: &str = "br-int";

/// How long a loaded machine may take for any of this.
const PATIENCE: Duration = Duration::from_secs(60);

/// Its processes. Dropping them ends them.
pub struct Ovn {
    /// Where its programs and schemas are.
    folder: PathBuf,
    first: Host,
    /// What runs on the first host, with the databases and `ovn-northd`.
    on_first: Vec<Daemon>,
    on_others: Vec<Daemon>,
}

impl Ovn {
    /// Starts all, and waits until each host has its tunnels to the others.
    pub fn start(hosts: &[Host]) -> Result<Self> {
        let first = hosts.first().context("a host")?.clone();
        let mut ovn = Ovn {
            folder: super::installed("OVSTUNNEL_BENCH_OVN", "bench-ovn"),
            first,
            on_first: vec![],
            on_others: vec![],
        };
        for name in ["nb", "sb"] {
            ovn.start_database(name)?;
        }
        ovn.start_northd()?;
        for host in hosts {
            ovn.start_controller(host)?;
        }
        for host in hosts {
            let tunnels = || {
                let found = host.vsctl(["--bare", "--columns=name", "find", "Interface", "type=geneve"])?;
                anyhow::ensure!(found.lines().count() + 1 == hosts.len(), "tunnels: {found}");
                Ok(())
            };
            wait_until(format!("OVN's tunnels of {}", host.name()), PATIENCE, tunnels)?;
        }
        Ok(ovn)
    }

    fn path(&self, name: &str) -> String {
        self.first.rundir().join(name).display().to_string()
    }

    fn remote(&self, name: &str) -> String {
        format!("unix:{}", self.path(&format!("ovn-{name}.sock")))
    }

    fn program(&self, name: &str) -> PathBuf {
        self.folder.join("usr/bin").join(name)
    }

    fn start_database(&mut self, name: &str) -> Result<()> {
        let (file, schema) = (self.path(&format!("ovn-{name}.db")), format!("usr/share/ovn/ovn-{name}.ovsschema"));
        let schema = self.folder.join(schema).display().to_string();
        self.first
            .run("ovsdb-tool", ["create", &file, &schema])
            .context("scripts/bench takes OVN out of its packages")?;
        let mut command = self.first.command("ovsdb-server");
        command.arg(&file).arg(format!("--remote=p{}", self.remote(name)));
        command.arg(format!("--unixctl={}", self.path(&format!("ovn-{name}.ctl"))));
        self.on_first.push(self.first.spawn(&format!("ovn-{name}"), command)?);
        let socket = self.path(&format!("ovn-{name}.sock"));
        let there = || {
            anyhow::ensure!(Path::new(&socket).exists(), "{socket} is not there");
            Ok(())
        };
        wait_until(format!("the database {name}"), PATIENCE, there)?;
        self.ctl(name, &["init"])
    }

    fn start_northd(&mut self) -> Result<()> {
        let mut command = self.first.command(self.program("ovn-northd"));
        command.arg(format!("--ovnnb-db={}", self.remote("nb"))).arg(format!("--ovnsb-db={}", self.remote("sb")));
        command.arg(format!("--unixctl={}", self.path("northd.ctl")));
        self.on_first.push(self.first.spawn("ovn-northd", command)?);
        Ok(())
    }

    fn start_controller(&mut self, host: &Host) -> Result<()> {
        let settings = [
            format!("external_ids:system-id={}", host.name()),
            format!("external_ids:ovn-remote={}", self.remote("sb")),
            "external_ids:ovn-encap-type=geneve".to_owned(),
            format!("external_ids:ovn-encap-ip={}", host.ip()),
            "external_ids:ovn-bridge-datapath-type=netdev".to_owned(),
        ];
        host.vsctl(["set", "Open_vSwitch", "."].map(str::to_owned).into_iter().chain(settings))?;
        let mut command = host.command(self.program("ovn-controller"));
        command.env("OVN_RUNDIR", host.rundir()).arg(format!("unix:{}", host.rundir().join("db.sock").display()));
        let daemon = host.spawn("ovn-controller", command)?;
        if host.name() == self.first.name() {
            self.on_first.push(daemon)
        } else {
            self.on_others.push(daemon)
        }
        Ok(())
    }

    /// `ovn-nbctl` or `ovn-sbctl` with these arguments.
    fn ctl(&self, database: &str, arguments: &[&str]) -> Result<()> {
        let mut command = self.first.command(self.program(&format!("ovn-{database}ctl")));
        command.arg(format!("--db={}", self.remote(database))).args(arguments);
        ovstunnel_lab::run(command, PATIENCE).map(drop)
    }

    /// Declares a logical switch with these ports, and waits until `ovn-northd` has taken it up.
    pub fn add_switch(&self, switch: &str, ports: &[String]) -> Result<()> {
        let ports = ports.iter().flat_map(|port| ["--", "lsp-add", switch, port]);
        self.ctl("nb", &["--wait=sb", "ls-add", switch].into_iter().chain(ports).collect::<Vec<_>>())
    }

    /// Freezes all of it, or lets it go on.
    pub fn pause(&mut self, paused: bool) -> Result<()> {
        let mut all = self.on_first.iter_mut().chain(&mut self.on_others);
        all.try_for_each(|daemon| if paused { daemon.pause() } else { daemon.resume() })
    }

    /// Returns when every host has taken up all that was declared.
    pub fn sync(&self) -> Result<()> {
        self.ctl("nb", &["--wait=hv", "sync"])
    }

    /// The process ids of what runs on the first host.
    pub fn on_first(&self) -> impl Iterator<Item = u32> {
        self.on_first.iter().map(Daemon::pid)
    }
}
