//! Network namespaces: made, entered and configured here and nowhere else.
//!
//! A thread that enters a namespace never comes back: it ends there, so no thread of the caller's is ever in a wrong
//! namespace. Sockets that it opened stay in the namespace and can be handed out.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context, Result, anyhow, bail};
use nix::{
    ifaddrs::getifaddrs,
    net::if_::InterfaceFlags,
    sched::{CloneFlags, setns},
};

use crate::{
    process::{command, run, start_process},
    wait::{DEADLINE, wait_until},
};

/// A network namespace of a lab, known to `ip netns` by its name.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes the namespace, with `lo` up and IPv6 off unless `ipv6` says otherwise. With IPv6 off its kernel sends nothing
    /// by itself: no router solicitation, no duplicate address detection, no multicast listener report.
    ///
    /// # Errors
    /// When `ip netns add` fails, for example because the caller is not root.
    pub(crate) fn create(name: String, ipv6: bool) -> Result<Self> {
        run(command("ip", ["netns", "add", &name]), DEADLINE)?;
        let namespace = Self { name };
        let conf = "net/ipv6/conf";
        let mut settings =
            vec![(format!("{conf}/all/disable_ipv6"), "1"), (format!("{conf}/default/disable_ipv6"), "1")];
        if ipv6 {
            settings = ["all", "default"]
                .iter()
                .flat_map(|scope| {
                    // No link-local address (mode 1), no router's advice, no probing whether an address is taken.
                    [("addr_gen_mode", "1"), ("accept_ra", "0"), ("autoconf", "0"), ("accept_dad", "0")]
                        .map(|(key, value)| (format!("{conf}/{scope}/{key}"), value))
                })
                .collect();
        }
        namespace.sysctl(&settings)?;
        namespace.ip(&["link set lo up".to_owned()])?;
        Ok(namespace)
    }

    /// Its name, as `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run inside, with the process id that `spawn` returns: `ip netns exec` replaces itself.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = command("ip", ["netns", "exec", &self.name]);
        command.arg(program);
        command
    }

    /// Runs `inside` in a new thread within the namespace, waits for it and returns its result.
    ///
    /// Sockets opened there stay in the namespace for ever. Threads and processes started there start in the namespace.
    ///
    /// # Errors
    /// When the namespace is gone, or the error that `inside` returns.
    pub fn enter<T: Send>(&self, inside: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let path = PathBuf::from("/run/netns").join(&self.name);
        let file = File::open(&path).with_context(|| format!("namespace {}", path.display()))?;
        let work = || -> Result<T> {
            setns(&file, CloneFlags::CLONE_NEWNET).with_context(|| format!("cannot enter namespace {}", self.name))?;
            inside()
        };
        let joined = thread::scope(|scope| scope.spawn(work).join());
        // A panic inside is a panic of the caller: a failed assertion must not become a mere error.
        joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Writes kernel settings of this namespace: paths below `/proc/sys`, values.
    pub(crate) fn sysctl(&self, settings: &[(String, &str)]) -> Result<()> {
        self.enter(|| {
            for (key, value) in settings {
                fs::write(format!("/proc/sys/{key}"), value).with_context(|| format!("{key}={value}"))?;
            }
            Ok(())
        })
    }

    /// Runs several `ip` commands in the namespace with one process; the first that fails ends it.
    pub(crate) fn ip(&self, lines: &[String]) -> Result<()> {
        let mut ip = command("ip", ["-n", &self.name, "-batch", "-"]);
        ip.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = start_process(&mut ip).context("cannot start `ip`")?;
        let mut stdin = child.stdin.take().ok_or_else(|| anyhow!("`ip` has no standard input"))?;
        // It may end at a bad line and leave the rest unread; its own words below say more than a broken pipe.
        let _ = stdin.write_all(lines.join("\n").as_bytes());
        drop(stdin);
        let output = child.wait_with_output().context("`ip -batch`")?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            bail!("`ip -n {} -batch`: {}; the commands were: {}", self.name, stderr.trim(), lines.join("; "));
        }
        Ok(())
    }

    /// Waits until `device` really carries frames. A veth that is up drops what is sent, and a bridge ignores its port,
    /// until the kernel has noticed in the background that the other end is up too.
    ///
    /// A device that is not up any more is set up again: Open vSwitch reads a device's flags and writes them back with its own
    /// added, so that one who plugs it and one who sets it up at the same moment can undo each other's work.
    pub(crate) fn wait_for_carrier(&self, device: &str) -> Result<()> {
        self.enter(|| {
            wait_until(format!("the carrier of {device} in {}", self.name), DEADLINE, || -> Result<()> {
                let mut interfaces = getifaddrs().context("list of interfaces")?;
                let found = interfaces.find(|interface| interface.interface_name == device);
                match found.map(|interface| interface.flags) {
                    Some(flags) if flags.contains(InterfaceFlags::IFF_RUNNING) => Ok(()),
                    Some(flags) if !flags.contains(InterfaceFlags::IFF_UP) => {
                        self.ip(&[format!("link set {device} up")])?;
                        Err(anyhow!("it was not up"))
                    }
                    flags => Err(anyhow!("its flags are {flags:?}")),
                }
            })
        })
    }

    /// Removes the namespace with all devices in it. The caller has ended the processes inside.
    pub(crate) fn delete(&self) -> Result<()> {
        run(command("ip", ["netns", "del", &self.name]), DEADLINE).map(drop)
    }
}
