//! The fabric: the physical network that all hosts of a lab are plugged into, a Linux bridge in a namespace of its own.
//!
//! It also is the place of the management server: the bridge's own device has an address, so a client that runs in the
//! fabric's namespace reaches every host over the wire. The plan of addresses is fixed: host N is `192.0.2.N` with the
//! MAC address `02:00:c0:00:02:N`, the fabric is `192.0.2.254`. Labs do not see each other, so all use the same plan.

use std::{
    ffi::OsStr,
    net::{Ipv4Addr, Ipv6Addr},
    process::Command,
};

use anyhow::Result;
use macaddr::MacAddr6;

use crate::{
    netns::Namespace,
    process::{command, run},
    wait::DEADLINE,
};

/// The fabric's bridge device.
const BRIDGE: &str = "fabric";

/// Network prefix length of all addresses on the fabric.
pub(crate) const PREFIX_LENGTH: u8 = 24;

/// The highest host number.
pub(crate) const MAX_HOSTS: u8 = 250;

/// The tunnel address of host number `number`.
pub(crate) const fn host_ip(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, number)
}

/// The tunnel address of host number `number` where tunnels go by IPv6.
pub(crate) const fn host_ip6(number: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, number as u16)
}

/// The MAC address of the `br-phy` device of host number `number`.
pub(crate) const fn host_mac(number: u8) -> MacAddr6 {
    MacAddr6::new(2, 0, 192, 0, 2, number)
}

/// The physical network between the hosts.
#[derive(Debug)]
pub struct Fabric {
    namespace: Namespace,
}

impl Fabric {
    pub(crate) fn create(lab: &str) -> Result<Self> {
        let namespace = Namespace::create(format!("{lab}-fabric"), false)?;
        let ip = host_ip(254);
        // Without snooping the bridge sends nothing by itself and floods all multicast, as a dumb switch does.
        namespace.ip(&[
            format!("link add {BRIDGE} type bridge mcast_snooping 0 stp_state 0 forward_delay 0"),
            format!("address add {ip}/{PREFIX_LENGTH} dev {BRIDGE}"),
            format!("link set {BRIDGE} up"),
        ])?;
        // The userspace switch reads whole frames from a packet socket: a checksum left to the device would stay wrong.
        let mut ethtool = namespace.command("ethtool");
        ethtool.args(["-K", BRIDGE, "tx", "off"]);
        run(ethtool, DEADLINE)?;
        Ok(Self { namespace })
    }

    /// The fabric's own address, that of the management server.
    pub fn ip(&self) -> Ipv4Addr {
        host_ip(254)
    }

    /// Its namespace.
    pub fn netns(&self) -> &Namespace {
        &self.namespace
    }

    /// A command that will run in the place of the management server.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.namespace.command(program)
    }

    /// Runs `inside` in the place of the management server, in a new thread, and returns its result.
    ///
    /// # Errors
    /// The error that `inside` returns.
    pub fn enter<T: Send>(&self, inside: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        self.namespace.enter(inside)
    }

    /// Gives host number `number` its cable: a veth from the fabric's bridge, there called `port`, to `device` in the host's
    /// namespace, and waits until frames pass.
    pub(crate) fn connect(&self, number: u8, port: &str, host: &Namespace, device: &str) -> Result<()> {
        self.namespace.ip(&[
            format!("link add {port} type veth peer name {device} netns {}", host.name()),
            format!("link set {port} master {BRIDGE} up"),
        ])?;
        // The fabric knows where each host is, even one that has not sent yet: else it floods that one's frames to all, and
        // the switches' receive buffers overflow.
        let mac = host_mac(number).to_string();
        run(
            command("bridge", ["-n", self.namespace.name(), "fdb", "replace", &mac, "dev", port, "master", "static"]),
            DEADLINE,
        )?;
        host.ip(&[format!("link set {device} up")])?;
        self.namespace.wait_for_carrier(port)?;
        host.wait_for_carrier(device)
    }

    /// Pulls a host's cable, or puts it back.
    pub(crate) fn set_link(&self, port: &str, up: bool) -> Result<()> {
        self.namespace.ip(&[format!("link set {port} {}", if up { "up" } else { "down" })])?;
        if up { self.namespace.wait_for_carrier(port) } else { Ok(()) }
    }
}
