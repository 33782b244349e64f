//! A host's Open vSwitch: `ovsdb-server` and `ovs-vswitchd`, started, killed, frozen and started again.
//!
//! Both run in the foreground as children of this process, so that their process ids are known and they are reaped.
//! A start returns when the switch really is back: every row applied, the address of `br-phy` set, the neighbours known.

use std::{
    env, fs,
    os::unix::net::UnixStream,
    path::PathBuf,
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result, anyhow, bail};

use super::{BR_PHY, CARD, Host};
use crate::{
    fabric::{self, PREFIX_LENGTH},
    process::Daemon,
    switch::{Datapath, Switch},
    unixctl::Unixctl,
    wait::{DEADLINE, wait_until},
};

impl Host {
    /// First start: an empty database, `br-phy` in it, then the two daemons.
    pub(super) fn install_switch(&self) -> Result<()> {
        let database = self.rundir().join("conf.db");
        fs::copy(self.lab().empty_database(), &database).with_context(|| format!("{}", database.display()))?;
        self.start_ovsdb()?;
        let mac = fabric::host_mac(self.number());
        // Written before the switch starts, so that it has one configuration to take up, not three.
        let rows = [
            format!("--no-wait init -- set Open_vSwitch . external_ids:system-id={}", self.name()),
            format!("-- add-br {BR_PHY} -- set Bridge {BR_PHY} {}", self.datapath_type()),
            format!("other_config:hwaddr=\"{mac}\" -- add-port {BR_PHY} {CARD}"),
        ];
        self.vsctl(rows.join(" ").split(' '))?;
        self.start_vswitchd()
    }

    /// Starts `ovsdb-server` and waits until it serves the database and, if `ovs-vswitchd` runs, until that is connected
    /// again (it retries after 1 s, then at longer and longer intervals up to 8 s).
    ///
    /// # Errors
    /// When it runs already, or is not back within 30 s.
    pub fn start_ovsdb(&self) -> Result<()> {
        let (database, socket) = (self.rundir().join("conf.db"), self.rundir().join("db.sock"));
        let mut command = self.command("ovsdb-server");
        command.arg(database).arg(format!("--remote=punix:{}", socket.display()));
        self.start(&self.inner.ovsdb, "ovsdb-server", command)?;
        wait_while_running(&self.inner.ovsdb, &socket.display().to_string(), || {
            UnixStream::connect(&socket).map(drop).map_err(Into::into)
        })?;
        if lock(&self.inner.vswitchd).is_some() { self.wait_for_vswitchd() } else { Ok(()) }
    }

    /// Kills `ovsdb-server` (SIGKILL). The userspace datapath then forwards nothing until the database is back, because it
    /// forwards in the thread that waits for the database's lock; the kernel's datapath, on real hosts, would go on.
    pub fn kill_ovsdb(&self) {
        lock(&self.inner.ovsdb).take();
    }

    /// Starts `ovs-vswitchd` and waits until it is back: everything in the database applied, the tunnel address on
    /// `br-phy` (it goes with the device when `ovs-vswitchd` ends), and the way to the other hosts known.
    ///
    /// # Errors
    /// When it runs already, or is not back within 30 s.
    pub fn start_vswitchd(&self) -> Result<()> {
        self.start_vswitchd_of(self.switch())
    }

    /// The same with another version of Open vSwitch than the host's, as after an upgrade. Its tools stay the host's.
    ///
    /// # Errors
    /// As [`Host::start_vswitchd`].
    pub fn start_vswitchd_of(&self, switch: &Switch) -> Result<()> {
        let mut command = self.command("ovs-vswitchd");
        // The host's own stand first in the path of its commands.
        command.env("PATH", switch.path().or_else(|| env::var("PATH").ok()).unwrap_or_default());
        command.arg(format!("unix:{}", self.rundir().join("db.sock").display()));
        self.start(&self.inner.vswitchd, "ovs-vswitchd", command)?;
        self.wait_for_vswitchd()?;
        let ip = self.ip();
        self.netns()
            .ip(&[format!("address replace {ip}/{PREFIX_LENGTH} dev {BR_PHY}"), format!("link set {BR_PHY} up")])?;
        self.learn_neighbours()?;
        if self.uses_ipv6() { self.set_ipv6_address() } else { Ok(()) }
    }

    /// The address of IPv6 on `br-phy`, in a namespace in which IPv6 is off elsewhere.
    pub(super) fn set_ipv6_address(&self) -> Result<()> {
        let conf = |key: &str| format!("net/ipv6/conf/{BR_PHY}/{key}");
        self.netns().sysctl(&[
            (conf("addr_gen_mode"), "1"),
            (conf("accept_ra"), "0"),
            (conf("accept_dad"), "0"),
            (conf("disable_ipv6"), "0"),
        ])?;
        let ip = self.ip6();
        self.netns().ip(&[format!("address replace {ip}/64 dev {BR_PHY} nodad")])?;
        self.learn_addresses(&fabric::host_ip6(254).to_string(), |number| fabric::host_ip6(number).to_string())
    }

    /// Kills `ovs-vswitchd` (SIGKILL): its flows, what it has learnt, and the device and address of `br-phy` are gone.
    pub fn kill_vswitchd(&self) {
        lock(&self.inner.vswitchd).take();
    }

    /// Stops `ovs-vswitchd` as an upgrade would (SIGTERM).
    ///
    /// # Errors
    /// When it does not run, or does not end.
    pub fn stop_vswitchd(&self) -> Result<()> {
        let Some(mut vswitchd) = lock(&self.inner.vswitchd).take() else {
            bail!("{self:?} has no running ovs-vswitchd")
        };
        vswitchd.stop(DEADLINE).map(drop)
    }

    /// The same, and starts it again.
    ///
    /// # Errors
    /// When it does not run, does not end, or is not back within 30 s.
    pub fn restart_vswitchd(&self) -> Result<()> {
        self.stop_vswitchd()?;
        self.start_vswitchd()
    }

    /// Freezes `ovs-vswitchd` (SIGSTOP): it forwards nothing and answers nothing until [`Host::resume_vswitchd`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause_vswitchd(&self) -> Result<()> {
        with(&self.inner.vswitchd, "ovs-vswitchd", Daemon::pause)
    }

    /// Lets a frozen `ovs-vswitchd` go on (SIGCONT).
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume_vswitchd(&self) -> Result<()> {
        with(&self.inner.vswitchd, "ovs-vswitchd", Daemon::resume)
    }

    /// Freezes `ovsdb-server` (SIGSTOP): its sockets stay open and nobody answers, until [`Host::resume_ovsdb`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause_ovsdb(&self) -> Result<()> {
        with(&self.inner.ovsdb, "ovsdb-server", Daemon::pause)
    }

    /// Lets a frozen `ovsdb-server` go on (SIGCONT).
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume_ovsdb(&self) -> Result<()> {
        with(&self.inner.ovsdb, "ovsdb-server", Daemon::resume)
    }

    /// The process id of `ovs-vswitchd`, `None` while there is none.
    pub fn vswitchd_pid(&self) -> Option<u32> {
        lock(&self.inner.vswitchd).as_ref().map(Daemon::pid)
    }

    /// The process id of `ovsdb-server`, `None` while there is none.
    pub fn ovsdb_pid(&self) -> Option<u32> {
        lock(&self.inner.ovsdb).as_ref().map(Daemon::pid)
    }

    fn start(&self, slot: &Mutex<Option<Daemon>>, name: &str, mut command: Command) -> Result<()> {
        let mut slot = lock(slot);
        if let Some(running) = slot.as_ref() {
            bail!("{running:?} runs already");
        }
        let log = self.rundir().join(format!("{name}.log"));
        command.args(["--pidfile", "-vconsole:off"]).arg(format!("--log-file={}", log.display()));
        *slot = Some(self.spawn(name, command)?);
        Ok(())
    }

    /// Waits until the switch has applied everything that is in the database. `ovs-vsctl` waits for that only when it
    /// changes something, so a number in `Open_vSwitch.external_ids` is changed.
    fn wait_for_vswitchd(&self) -> Result<()> {
        let change = format!("external_ids:ovstunnel-lab={}", self.lab().next_generation());
        wait_while_running(&self.inner.vswitchd, &format!("ovs-vswitchd on {}", self.name()), || {
            self.vsctl(["set", "Open_vSwitch", ".", &change]).map(drop)
        })
    }

    /// Waits until the switch has seen the address of `br-phy`, and tells it the MAC addresses of all hosts.
    ///
    /// The userspace datapath drops the frame for which it has to ask a tunnel's remote MAC address first. A count of frames
    /// must not depend on that, so the plan of addresses is told to it for an hour. The kernel's datapath, which real hosts
    /// use, goes by the kernel's own routes and neighbours, and keeps the frame.
    fn learn_neighbours(&self) -> Result<()> {
        self.learn_addresses(&fabric::host_ip(254).to_string(), |number| fabric::host_ip(number).to_string())
    }

    fn learn_addresses(&self, gateway: &str, address: impl Fn(u8) -> String) -> Result<()> {
        if self.switch().datapath() == Datapath::Kernel {
            return Ok(());
        }
        let mut control = Unixctl::connect(&self.control_socket()?)?;
        wait_until(format!("the route to the fabric in the switch of {}", self.name()), DEADLINE, || {
            match control.call("ovs/route/lookup", &[gateway.to_owned()])? {
                route if route.contains(BR_PHY) => Ok(()),
                route => Err(anyhow!("{route}")),
            }
        })?;
        match control.call("tnl/neigh/aging", &["3600".to_owned()]) {
            // Older ones have no such command; they forget after 15 minutes.
            Err(error) if error.to_string().contains("not a valid command") => {}
            other => drop(other?),
        }
        for number in (1..=fabric::MAX_HOSTS).filter(|number| *number != self.number()) {
            let mac = fabric::host_mac(number);
            control.call("tnl/neigh/set", &[BR_PHY.to_owned(), address(number), mac.to_string()])?;
        }
        Ok(())
    }

    fn control_socket(&self) -> Result<PathBuf> {
        let pid = self.vswitchd_pid().ok_or_else(|| anyhow!("{self:?} has no running ovs-vswitchd"))?;
        Ok(self.rundir().join(format!("ovs-vswitchd.{pid}.ctl")))
    }
}

/// Does something to a daemon that runs.
fn with(slot: &Mutex<Option<Daemon>>, name: &str, act: impl FnOnce(&mut Daemon) -> Result<()>) -> Result<()> {
    match lock(slot).as_mut() {
        Some(daemon) => act(daemon),
        None => bail!("no {name} runs"),
    }
}

fn lock(slot: &Mutex<Option<Daemon>>) -> MutexGuard<'_, Option<Daemon>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until `look` succeeds, but not for a daemon that has ended.
fn wait_while_running(slot: &Mutex<Option<Daemon>>, what: &str, look: impl Fn() -> Result<()>) -> Result<()> {
    wait_until(what, DEADLINE, || {
        let state = lock(slot).as_mut().map_or(Ok(()), Daemon::expect_running);
        if state.is_err() { Ok(state) } else { look().map(Ok) }
    })?
}
