//! CloudStack's KVM agent as it is: its own `ovs-vsctl`, the program for each function, and what it makes of how that ends. Must not know the daemon.

use std::io::Read;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use ovstunnel_lab::{Host, Vm, VmSpec};

use crate::{Node, program};

/// The agent on one host.
#[derive(Clone, Copy, Debug)]
pub struct Agent<'a> {
    node: &'a Node,
}

/// A run of the program: its exit status, and all that it has said.
pub type Ran = (i32, String);

impl<'a> Agent<'a> {
    /// On this host.
    pub fn on(node: &'a Node) -> Self {
        Agent { node }
    }

    fn host(&self) -> &Host {
        self.node.host()
    }

    /// Runs a function: one pipe for all output, which is read after the end, and standard input that stays open.
    ///
    /// # Errors
    /// When it cannot be run, or says anything but one short line.
    pub fn run(&self, function: &str, options: &[(&str, &str)]) -> Result<Ran> {
        let (mut output, both) = std::io::pipe()?;
        let mut command = self.host().command(program("ovstunnel-kvm")?);
        command.env("OVSTUNNEL_CONFIG", self.node.config_file()).arg(function);
        for (name, value) in options {
            command.arg(format!("--{name}")).arg(value);
        }
        command.stdin(Stdio::piped()).stdout(both.try_clone()?).stderr(both);
        let mut child = command.spawn()?;
        drop(command);
        let input = child.stdin.take();
        let status = child.wait()?.code().context("ended by a signal")?;
        let mut text = String::new();
        output.read_to_string(&mut text)?;
        drop(input);
        ensure!(text.lines().count() == 1 && text.len() < 1000, "{function}: {text:?}");
        Ok((status, text.trim_end().to_owned()))
    }

    /// Finds a bridge, or makes it. The lab's kind of datapath is set, as an agent's host has the kernel's.
    ///
    /// # Errors
    /// When the switch refuses.
    pub fn find_or_create(&self, bridge: &str) -> Result<()> {
        let is_there = self.host().vsctl(["list-br"])?.lines().any(|there| there == bridge);
        if is_there {
            return Ok(());
        }
        let none = "other_config:ovs-host-setup='-1'";
        let datapath = self.host().datapath_type();
        self.host()
            .vsctl(["--", "--may-exist", "add-br", bridge, "--", "set", "bridge", bridge, none, &datapath])
            .map(drop)
    }

    /// Whether the agent regards a bridge as set up for this id: what `ovs-vsctl` prints, taken apart at the commas.
    ///
    /// # Errors
    /// When the switch does not answer.
    pub fn is_set_up(&self, bridge: &str, id: &str) -> Result<bool> {
        let hosts = self.host().vsctl(["get", "bridge", bridge, "other_config:ovs-host-setup"])?;
        Ok(hosts.trim().split(',').any(|host| host == id))
    }

    /// Has a network be set up, as before each start of a VM; says whether the program was called for it.
    ///
    /// # Errors
    /// When the program fails.
    pub fn set_up(&self, bridge: &str) -> Result<bool> {
        self.find_or_create(bridge)?;
        let id = self.node.id().to_string();
        if self.is_set_up(bridge, &id)? {
            return Ok(false);
        }
        let ran = self.run("setup_ovs_bridge", &[("key", bridge), ("cs_host_id", &id), ("bridge", bridge)])?;
        ensure!(ran.0 == 0, "{ran:?}");
        Ok(true)
    }

    /// Creates a tunnel from here.
    ///
    /// # Errors
    /// When the program cannot be run. How it ended is the caller's to judge.
    pub fn create_tunnel(&self, key: i64, to: &Node) -> Result<Ran> {
        let bridge = format!("OVSTunnel{key}");
        self.set_up(&bridge)?;
        let (ip, key, from, to) =
            (to.host().ip().to_string(), key.to_string(), self.node.id().to_string(), to.id().to_string());
        let options =
            [("bridge", &*bridge), ("remote_ip", &*ip), ("key", &*key), ("src_host", &*from), ("dst_host", &*to)];
        self.run("create_tunnel", &options)
    }

    /// Has a network's bridge be gone.
    ///
    /// # Errors
    /// When the program cannot be run. How it ended is the caller's to judge.
    pub fn destroy_bridge(&self, bridge: &str) -> Result<Ran> {
        self.find_or_create(bridge)?;
        self.run("destroy_ovs_bridge", &[("bridge", bridge)])
    }

    /// Plugs VM number `number` as libvirt does.
    ///
    /// # Errors
    /// When it cannot be made, or the switch refuses.
    pub fn plug(&self, bridge: &str, number: u16) -> Result<Vm> {
        let device = format!("vnet{number}");
        let vm = self.host().plug_vm(bridge, &device, VmSpec::numbered(number).network(bridge))?;
        self.mark_as_libvirt(&device, number)?;
        Ok(vm)
    }

    /// Writes at a port what libvirt writes beside the address.
    ///
    /// # Errors
    /// When the switch refuses.
    pub fn mark_as_libvirt(&self, device: &str, number: u16) -> Result<()> {
        let id = |what| format!("external_ids:{what}=\"8e2b4a1c-0000-4000-8000-{number:012}\"");
        let marks = [id("vm-id"), id("iface-id"), "external_ids:iface-status=active".to_owned()];
        let command = ["set", "Interface", device].map(str::to_owned);
        self.host().vsctl(command.iter().chain(&marks)).map(drop)
    }

    /// The Python program's set-up of a bridge that the agent has made: what it leaves in the switch.
    ///
    /// # Errors
    /// When the switch refuses.
    pub fn python_sets_up(&self, bridge: &str) -> Result<()> {
        self.find_or_create(bridge)?;
        let id = self.node.id().to_string();
        let key = format!("other_config:gre_key={bridge}");
        let hosts = format!("other_config:ovs-host-setup=\"{id},-1\"");
        let of = "other_config:is-ovs-tun-network=True";
        self.host().vsctl(["set", "bridge", bridge, "stp_enable=true", &key, &hosts, of]).map(drop)
    }

    /// The Python program's tunnel: under Python 3 it adds no flow.
    ///
    /// # Errors
    /// When the switch refuses.
    pub fn python_creates_tunnel(&self, key: i64, to: &Node) -> Result<()> {
        let (bridge, port) = (format!("OVSTunnel{key}"), format!("t{key}-{}-{}", self.node.id(), to.id()));
        let (option, remote) = (format!("options:key={key}"), format!("options:remote_ip={}", to.host().ip()));
        let command = ["add-port", &bridge, &port, "--", "set", "interface", &port, "type=gre", &option, &remote];
        self.host().vsctl(command)?;
        self.host().wait_for_ofport(&port).map(drop)
    }
}
