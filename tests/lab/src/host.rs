//! A host: a network namespace with an Open vSwitch of its own, plugged into the fabric.
//!
//! `br-phy` holds the host's network card `eth0`; the tunnel address sits on the `br-phy` device.
//! This file has what a person would do on the host: run commands, ask the switch, start daemons. The switch's own
//! processes are in `switch.rs`. Nothing here knows ovstunnel: a host is as bare as a fresh installation.

mod switch;

use std::{
    ffi::OsStr,
    fmt, fs,
    net::{Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};

use crate::{
    fabric::{self, Fabric},
    lab::Shared,
    netns::Namespace,
    process::{Daemon, command, run},
    switch::Switch,
    vm::{Vm, VmSpec},
    wait::{DEADLINE, unhurried, wait_until},
};

/// The bridge that holds a host's network card and its tunnel address.
pub const BR_PHY: &str = "br-phy";

/// The device of a host that is its end of the cable to the fabric.
const CARD: &str = "eth0";

/// One host of a lab. Clones are the same host.
#[derive(Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    number: u8,
    namespace: Namespace,
    dir: PathBuf,
    fabric: Arc<Fabric>,
    lab: Arc<Shared>,
    ovsdb: Mutex<Option<Daemon>>,
    vswitchd: Mutex<Option<Daemon>>,
    ipv6: AtomicBool,
}

impl Host {
    /// Makes host number `number` and returns when tunnels can work on it.
    pub(crate) fn create(number: u8, fabric: Arc<Fabric>, lab: Arc<Shared>) -> Result<Self> {
        let name = format!("h{number}");
        let create = || -> Result<Self> {
            let dir = lab.dir().join(&name);
            fs::create_dir(&dir).with_context(|| format!("{}", dir.display()))?;
            let namespace = Namespace::create(format!("{}-{name}", lab.name()), false)?;
            // A device answers ARP only for its own address. Otherwise the kernel also answers on `eth0` for the address
            // of `br-phy`, with the wrong MAC address, and the other hosts' tunnels end at a device that does not do GRE.
            namespace.sysctl(&[("net/ipv4/conf/all/arp_ignore".to_owned(), "1")])?;
            fabric.connect(number, &name, &namespace, CARD)?;
            let (ovsdb, vswitchd) = (Mutex::new(None), Mutex::new(None));
            let ipv6 = AtomicBool::new(false);
            let inner = Inner { name: name.clone(), number, namespace, dir, fabric, lab, ovsdb, vswitchd, ipv6 };
            let host = Self { inner: Arc::new(inner) };
            host.install_switch()?;
            Ok(host)
        };
        create().with_context(|| format!("cannot make host h{number}"))
    }

    /// Its name: `h1` for host number 1.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Its number, from 1.
    pub fn number(&self) -> u8 {
        self.inner.number
    }

    /// Its tunnel address, the `remote_ip` of the others' tunnels.
    pub fn ip(&self) -> Ipv4Addr {
        fabric::host_ip(self.number())
    }

    /// Its tunnel address of IPv6, once [`use_ipv6`](Self::use_ipv6) has given it one.
    pub fn ip6(&self) -> Ipv6Addr {
        fabric::host_ip6(self.number())
    }

    /// Gives it a tunnel address of IPv6 beside the other, now and after each start of its switch.
    ///
    /// # Errors
    /// When it cannot be set, or the switch does not see it.
    pub fn use_ipv6(&self) -> Result<()> {
        self.inner.ipv6.store(true, Ordering::Relaxed);
        self.set_ipv6_address()
    }

    /// Whether it has one.
    pub fn uses_ipv6(&self) -> bool {
        self.inner.ipv6.load(Ordering::Relaxed)
    }

    /// Its network namespace.
    pub fn netns(&self) -> &Namespace {
        &self.inner.namespace
    }

    /// Its directory: `OVS_RUNDIR`, and also where the database, the logs and the configuration are. `db.sock` is in it.
    /// A test may put files of its own there; all go with the lab.
    pub fn rundir(&self) -> &Path {
        &self.inner.dir
    }

    pub(crate) fn lab(&self) -> &Arc<Shared> {
        &self.inner.lab
    }

    /// A command that will run in the host's namespace with its Open vSwitch folders in the environment.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.netns().command(program);
        self.set_environment(&mut command);
        command
    }

    /// Runs a program in the host's namespace to its end, 30 s at most, and returns its standard output.
    ///
    /// # Errors
    /// When it cannot be started, takes longer, or ends with anything but 0: with its standard error.
    pub fn run<A: AsRef<OsStr>>(&self, program: &str, arguments: impl IntoIterator<Item = A>) -> Result<String> {
        let mut command = self.command(program);
        command.args(arguments);
        run(command, DEADLINE).with_context(|| format!("on {}", self.name()))
    }

    /// Frames for which a packet socket had no room, since it was opened: the switch in user space reads devices by such, and one that a busy
    /// machine lets wait loses frames before any flow sees them.
    ///
    /// # Errors
    /// When `ss` fails, or does not print what it does today.
    pub fn frames_unheard(&self) -> Result<u64> {
        let told = self.run("ss", ["--packet", "--memory", "--no-header", "--numeric"])?;
        let drops = |line: &str| line.trim_end().strip_suffix(')')?.rsplit_once(",d")?.1.parse::<u64>().ok();
        told.lines().map(|line| drops(line).ok_or_else(|| anyhow!("no count of drops in {line:?}"))).sum()
    }

    /// Its Open vSwitch.
    pub fn switch(&self) -> &Switch {
        self.lab().switch()
    }

    /// The setting of a bridge that has it forward where this host's switch does: `datapath_type=netdev` or `=system`.
    pub fn datapath_type(&self) -> String {
        format!("datapath_type={}", self.switch().datapath().name())
    }

    /// Makes a bridge as a person would.
    ///
    /// # Errors
    /// As for [`Host::vsctl`].
    pub fn add_bridge(&self, name: &str) -> Result<()> {
        self.vsctl(["add-br", name, "--", "set", "Bridge", name, &self.datapath_type()]).map(drop)
    }

    /// `ovs-vsctl` with these arguments; its standard output. Gives up after 10 s when the switch does not answer.
    ///
    /// # Errors
    /// When it ends with anything but 0: with its standard error. Mind that 0 does not mean that a tunnel works.
    pub fn vsctl<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<String> {
        self.ovs("ovs-vsctl", Some(format!("--timeout={}", unhurried(Duration::from_secs(10)).as_secs())), arguments)
    }

    /// `ovs-ofctl` (OpenFlow 1.4) with these arguments; its standard output.
    ///
    /// # Errors
    /// When it ends with anything but 0: with its standard error.
    pub fn ofctl<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<String> {
        self.ovs("ovs-ofctl", Some("--protocols=OpenFlow14".to_owned()), arguments)
    }

    /// `ovs-appctl` with these arguments; its standard output.
    ///
    /// # Errors
    /// When it ends with anything but 0: with its standard error.
    pub fn appctl<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<String> {
        self.ovs("ovs-appctl", None, arguments)
    }

    /// These talk to Unix sockets only, so they need not enter the namespace.
    fn ovs<A: AsRef<OsStr>>(
        &self,
        program: &str,
        option: Option<String>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<String> {
        let mut command = command(program, option.as_deref());
        command.args(arguments);
        self.set_environment(&mut command);
        run(command, DEADLINE).with_context(|| format!("on {}", self.name()))
    }

    fn set_environment(&self, command: &mut Command) {
        for key in ["OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR"] {
            command.env(key, self.rundir());
        }
        if let Some(path) = self.switch().path() {
            command.env("PATH", path);
        }
    }

    /// Starts a daemon on the host; build `command` with [`Host::command`]. Its output goes to `<rundir>/<name>.out`. The
    /// returned value owns it: dropping that kills it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self, name: &str, command: Command) -> Result<Daemon> {
        let log = self.rundir().join(format!("{name}.out"));
        Daemon::start(&format!("{name} on {}", self.name()), command, &log)
    }

    /// Runs `inside` in the host's namespace, in a new thread, and returns its result: for sockets of the test's own.
    ///
    /// # Errors
    /// The error that `inside` returns.
    pub fn enter<T: Send>(&self, inside: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        self.netns().enter(inside)
    }

    /// Waits until the interface has an OpenFlow port number, and returns that.
    ///
    /// # Errors
    /// After 10 s, or at once when the switch refused the interface: with the switch's own words.
    pub fn wait_for_ofport(&self, interface: &str) -> Result<u16> {
        let look = || self.vsctl(["--if-exists", "get", "Interface", interface, "ofport", "error"]);
        let seen = wait_until(
            format!("the ofport of {interface} on {}", self.name()),
            Duration::from_secs(10),
            || match look()? {
                seen if seen.is_empty() || seen.starts_with("[]") => Err(anyhow!("ofport and error are {seen:?}")),
                seen => Ok(seen),
            },
        )?;
        let number = seen.lines().next().and_then(|line| line.parse().ok());
        match number {
            Some(ofport) => Ok(ofport),
            None => bail!("{interface} on {} was refused; ofport and error are {seen:?}", self.name()),
        }
    }

    /// Pulls the host's network cable: no tunnel and no management traffic from or to it until [`Host::rejoin`].
    ///
    /// # Errors
    /// When the fabric is gone.
    pub fn isolate(&self) -> Result<()> {
        self.inner.fabric.set_link(self.name(), false)
    }

    /// Puts the cable back, and waits until frames pass.
    ///
    /// # Errors
    /// When the fabric is gone.
    pub fn rejoin(&self) -> Result<()> {
        self.inner.fabric.set_link(self.name(), true)?;
        self.netns().wait_for_carrier(CARD)
    }

    /// Makes a VM and plugs it into `bridge`; the VIF is the device called `vif` on this host.
    ///
    /// # Errors
    /// As for [`Host::create_vm`] and [`Vm::plug`].
    pub fn plug_vm(&self, bridge: &str, vif: &str, spec: VmSpec) -> Result<Vm> {
        let vm = self.create_vm(vif, spec)?;
        vm.plug(bridge)?;
        Ok(vm)
    }

    /// Makes a VM whose VIF is on this host, in no bridge yet.
    ///
    /// # Errors
    /// When the lab has a VM of that name, or the host a device called `vif`.
    pub fn create_vm(&self, vif: &str, spec: VmSpec) -> Result<Vm> {
        Vm::create(self, vif, spec)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.ip())
    }
}
