//! A mesh made by hand with `ovs-vsctl`, without the daemon: what the lab itself is tested with.

// Each test program uses a part of this.

use anyhow::Result;
use ovstunnel_lab::{Host, Lab, Vm, VmSpec};

pub const BRIDGE: &str = "br0";

/// `hosts` hosts in a full mesh of GRE tunnels, with `vms` VMs on each. The tunnel ports are `protected` or not.
pub fn mesh(tag: &str, hosts: usize, vms: u16, protected: bool) -> Result<Lab> {
    let lab = Lab::with_hosts(tag, hosts)?;
    let hosts = lab.hosts();
    for host in &hosts {
        host.add_bridge(BRIDGE)?;
        for vif in 1..=vms {
            host.plug_vm(BRIDGE, &format!("vif{vif}.0"), VmSpec::numbered(u16::from(host.number()) * 256 + vif))?;
        }
    }
    for host in hosts.iter().filter(|_| hosts.len() > 1) {
        connect(host, &hosts, protected)?;
    }
    for host in &hosts {
        for peer in hosts.iter().filter(|peer| peer.number() != host.number()) {
            host.wait_for_ofport(&tunnel(peer))?;
        }
    }
    Ok(lab)
}

/// Makes the tunnels of one host, in one transaction.
fn connect(host: &Host, hosts: &[Host], protected: bool) -> Result<()> {
    let mut words: Vec<String> = vec!["--no-wait".to_owned()];
    for peer in hosts.iter().filter(|peer| peer.number() != host.number()) {
        let (port, remote) = (tunnel(peer), peer.ip());
        let set = format!("set Interface {port} type=gre options:key=7 options:remote_ip={remote}");
        let command = format!("-- add-port {BRIDGE} {port} -- {set} -- set Port {port} protected={protected}");
        words.extend(command.split(' ').map(str::to_owned));
    }
    host.vsctl(words).map(drop)
}

/// The name of the tunnel to a host.
pub fn tunnel(peer: &Host) -> String {
    format!("t-{}", peer.name())
}

/// The VM with this number on a host.
pub fn vm_on(lab: &Lab, host: usize, number: usize) -> Result<Vm> {
    lab.vm(&format!("vm{}", host * 256 + number))
}
