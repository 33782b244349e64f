//! A VM: a network namespace with `eth0`, whose other end is the VIF on a host.
//!
//! It sends nothing by itself: no IPv6 unless asked for, no discovery, no answer to the lab's frames. So what is counted is
//! what a test sent. A VM does what a guest does, and what a hypervisor does to it: plugged, unplugged, moved, destroyed.

mod spec;

use std::{
    ffi::OsStr,
    fmt,
    net::{Ipv4Addr, Ipv6Addr, UdpSocket},
    process::Command,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use macaddr::MacAddr6;

pub use spec::VmSpec;

use crate::{
    frame::{self, DISCARD, Kind, Sender},
    host::Host,
    netns::Namespace,
    packet::PacketSocket,
    ping::{PingReport, Pinger},
    process::run,
    sniffer::{Heard, Sniffer},
    wait::DEADLINE,
};

/// The VM's network card.
const CARD: &str = "eth0";

/// One VM of a lab. Clones are the same VM; it goes with [`Vm::destroy`] or with the lab, not with the last clone.
#[derive(Clone)]
pub struct Vm {
    inner: Arc<Inner>,
}

struct Inner {
    name: Arc<str>,
    spec: VmSpec,
    namespace: Namespace,
    place: Mutex<Place>,
    sender: PacketSocket,
    sniffer: Sniffer,
    /// Takes what is sent to the discard port and never reads it: without it the kernel would answer with an ICMP error.
    _discard: UdpSocket,
}

/// Where a VM's VIF is.
#[derive(Clone)]
struct Place {
    host: Host,
    vif: String,
    bridge: Option<String>,
}

impl Vm {
    pub(crate) fn create(host: &Host, vif: &str, spec: VmSpec) -> Result<Self> {
        let lab = host.lab();
        if lab.has_vm(&spec.name) {
            bail!("the lab has a VM {} already", spec.name);
        }
        let create = || -> Result<Self> {
            let namespace = Namespace::create(format!("{}-vm-{}", lab.name(), spec.name), spec.ipv6.is_some())?;
            namespace.ip(&spec.card(CARD, vif, host.netns().name()))?;
            host.netns().ip(&[format!("link set {vif} up")])?;
            host.netns().wait_for_carrier(vif)?;
            namespace.wait_for_carrier(CARD)?;
            // The userspace switch reads whole frames from a packet socket: a checksum left to the device stays wrong.
            let mut ethtool = namespace.command("ethtool");
            ethtool.args(["-K", CARD, "tx", "off"]);
            run(ethtool, DEADLINE)?;
            let inner = Inner {
                name: spec.name.as_str().into(),
                place: Mutex::new(Place { host: host.clone(), vif: vif.to_owned(), bridge: None }),
                sender: PacketSocket::sender(&namespace, CARD)?,
                sniffer: Sniffer::start(&namespace, CARD, lab.mark())?,
                _discard: namespace.enter(|| Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, DISCARD))?))?,
                namespace,
                spec: spec.clone(),
            };
            Ok(Self { inner: Arc::new(inner) })
        };
        let vm = create().with_context(|| format!("cannot make VM {} on {}", spec.name, host.name()))?;
        lab.add_vm(&vm);
        Ok(vm)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.inner.name)
    }

    /// The virtual network it is in.
    pub fn network(&self) -> &str {
        &self.inner.spec.network
    }

    /// Its IPv4 address.
    pub fn ip(&self) -> Ipv4Addr {
        self.inner.spec.ip
    }

    /// Its MAC address.
    pub fn mac(&self) -> MacAddr6 {
        self.inner.spec.mac
    }

    /// Its IPv6 address, if it has one.
    pub fn ipv6(&self) -> Option<Ipv6Addr> {
        self.inner.spec.ipv6
    }

    /// The host it is on.
    pub fn host(&self) -> Host {
        self.place().host.clone()
    }

    /// The name of its VIF on that host.
    pub fn vif(&self) -> String {
        self.place().vif.clone()
    }

    /// Its network namespace.
    pub fn netns(&self) -> &Namespace {
        &self.inner.namespace
    }

    /// A unicast frame to this VM, for [`crate::Probe`].
    pub fn as_target(&self) -> Kind {
        Kind::KnownUnicast { mac: self.mac(), ip: self.ip() }
    }

    /// Plugs its VIF into a bridge, as a hypervisor does, and waits until the switch has taken it.
    ///
    /// # Errors
    /// When it is plugged already, or the switch refuses.
    pub fn plug(&self, bridge: &str) -> Result<()> {
        let mut place = self.place();
        if let Some(bridge) = &place.bridge {
            bail!("{self} is plugged into {bridge} already");
        }
        let (vif, mac) = (place.vif.clone(), format!("external_ids:attached-mac=\"{}\"", self.mac()));
        place.host.vsctl(["add-port", bridge, &vif, "--", "set", "Interface", &vif, &mac])?;
        place.bridge = Some(bridge.to_owned());
        Ok(())
    }

    /// Takes its VIF out of its bridge, as a hypervisor does.
    ///
    /// # Errors
    /// When it is not plugged, or the switch does not answer.
    pub fn unplug(&self) -> Result<()> {
        let mut place = self.place();
        let Some(bridge) = place.bridge.clone() else { bail!("{self} is not plugged into a bridge") };
        place.host.vsctl(["--if-exists", "del-port", &bridge, &place.vif])?;
        place.bridge = None;
        Ok(())
    }

    /// Live migration: unplugs it here, plugs it into a bridge of another host under a new VIF name, and has it announce
    /// itself there. The guest keeps its addresses, its sockets and its sniffer.
    ///
    /// # Errors
    /// When the other host has a device of that name, or a switch refuses.
    pub fn migrate(&self, to: &Host, bridge: &str, vif: &str) -> Result<()> {
        if self.place().bridge.is_some() {
            self.unplug()?;
        }
        {
            let mut place = self.place();
            let (old, target) = (&place.vif, to.netns().name());
            place.host.netns().ip(&[format!("link set dev {old} netns {target} name {vif}")])?;
            to.netns().ip(&[format!("link set {vif} up")])?;
            to.netns().wait_for_carrier(vif)?;
            self.netns().wait_for_carrier(CARD)?;
            *place = Place { host: to.clone(), vif: vif.to_owned(), bridge: None };
        }
        self.plug(bridge)?;
        self.announce()
    }

    /// Sends one gratuitous ARP request: from then on all switches of its network know where it is.
    ///
    /// # Errors
    /// When the frame cannot be sent.
    pub fn announce(&self) -> Result<()> {
        self.send(&frame::announcement(self.sender()))
    }

    /// Unplugs and removes it.
    ///
    /// # Errors
    /// When the switch does not answer.
    pub fn destroy(&self) -> Result<()> {
        if self.place().bridge.is_some() {
            self.unplug()?;
        }
        self.crash()
    }

    /// Removes it with its VIF, and leaves the port in the switch's database: a hypervisor that died on the way.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn crash(&self) -> Result<()> {
        self.place().host.lab().remove_vm(self.name());
        self.stop_listening();
        // Explicitly: with a socket still open inside, the namespace would keep the device for a moment.
        self.netns().ip(&[format!("link del {CARD}")])?;
        self.netns().delete()
    }

    /// Sends `count` echo requests to `target`, 10 ms apart, and waits for the answers, 1 s at most.
    ///
    /// # Errors
    /// When the pings cannot be sent at all. Lost ones are no error: see the report.
    pub fn ping(&self, target: Ipv4Addr, count: u64) -> Result<PingReport> {
        Pinger::start(self.netns(), target, Duration::from_millis(10), Some(count))?.finish()
    }

    /// Pings `target` at this interval until the returned value is told to stop.
    ///
    /// # Errors
    /// When the pings cannot be sent at all.
    pub fn start_ping(&self, target: Ipv4Addr, interval: Duration) -> Result<Pinger> {
        Pinger::start(self.netns(), target, interval, None)
    }

    /// A command that will run inside the VM.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.netns().command(program)
    }

    /// Runs `inside` within the VM, in a new thread, and returns its result: for sockets of the test's own.
    ///
    /// # Errors
    /// The error that `inside` returns.
    pub fn enter<T: Send>(&self, inside: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        self.netns().enter(inside)
    }

    /// What it has heard of the lab's frames in its life.
    pub fn heard(&self) -> Heard {
        self.inner.sniffer.heard()
    }

    /// Sends a frame of the test's own making, from its first byte on.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        self.inner.sender.send(frame).with_context(|| format!("{self}"))
    }

    pub(crate) fn sender(&self) -> Sender {
        Sender { mac: self.mac(), ip: self.ip() }
    }

    pub(crate) fn sniffer(&self) -> &Sniffer {
        &self.inner.sniffer
    }

    pub(crate) fn stop_listening(&self) {
        self.inner.sniffer.stop();
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.inner.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Vm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VM {} ({})", self.name(), self.ip())
    }
}

impl fmt::Debug for Vm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
