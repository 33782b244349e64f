//! VMs plugged as on a real host: the kernel makes a device, udev tells of it, the hypervisor's script puts it on its bridge
//! and deletes its flows, and `ovstunnel-vif` has the daemon look. Keeps the time from plug to rule. Must not judge it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow};
use ovstunnel_e2e::{Helper, Network, Node, RuleWatch, Udev};
use ovstunnel_lab::{MacAddr6, Vm, VmSpec};

use crate::report::Plug;
use crate::stage::{Tenant, milliseconds};

/// VMs of one host, and how each was plugged.
type Done = (Vec<Vec<Vm>>, Vec<Plug>);

/// A running udevd for each host. Plugs `count` VMs of each network into each host, on all hosts at the same time. All
/// networks use the same IP addresses, as tenants do.
pub fn plug_all(nodes: &[Arc<Node>], tenants: &mut [Tenant], count: u16) -> Result<(Vec<Udev>, Vec<Plug>)> {
    let udevs = nodes.iter().map(|node| Udev::start(node, &Helper::on(node)?)).collect::<Result<Vec<_>>>()?;
    let networks: Vec<(&str, Network)> = tenants.iter().map(|tenant| (tenant.name, tenant.network.clone())).collect();
    let done: Vec<Done> = thread::scope(|scope| {
        let networks = &networks;
        let both = nodes.iter().zip(&udevs);
        let plugging: Vec<_> =
            both.map(|(node, udev)| scope.spawn(move || plug_on(node, udev, networks, count))).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Result<Done>>| {
            thread.join().map_err(|_| anyhow!("a thread that plugs VMs panicked"))?
        };
        plugging.into_iter().map(join).collect::<Result<_>>()
    })?;
    let mut plugs = Vec::new();
    for (vms, times) in done {
        tenants.iter_mut().zip(vms).for_each(|(tenant, vms)| tenant.vms.extend(vms));
        plugs.extend(times);
    }
    Ok((udevs, plugs))
}

/// Plugs the VMs of one host, and waits until udev has handled all of them.
fn plug_on(node: &Node, udev: &Udev, networks: &[(&str, Network)], count: u16) -> Result<Done> {
    let (mut watches, mut vms): (Vec<RuleWatch>, Vec<Vec<Vm>>) = (Vec::new(), Vec::new());
    for (_, network) in networks {
        watches.push(RuleWatch::start(node.host(), &network.bridge)?);
    }
    for (number, (name, network)) in (1..).zip(networks) {
        vms.push((1..=count).map(|n| create(node, udev, network, name, number, n, count)).collect::<Result<_>>()?);
    }
    udev.settle()?;
    let mut rules: BTreeMap<String, SystemTime> = BTreeMap::new();
    for ((watch, (_, network)), vms) in watches.iter().zip(networks).zip(&vms) {
        ovstunnel_e2e::wait_for_exact_rules(node.host(), network)?;
        // The last one of a VIF is the one that stayed: xapi deletes what was there before.
        let came: BTreeMap<u16, SystemTime> = watch.so_far().into_iter().map(|came| (came.ofport, came.at)).collect();
        for vif in vms.iter().map(Vm::vif) {
            let ofport = node.host().wait_for_ofport(&vif)?;
            rules.extend(came.get(&ofport).map(|at| (vif, *at)));
        }
    }
    let plugs = udev.plugged().into_iter().map(|plugged| {
        let rule = rules.get(&plugged.device).with_context(|| format!("no rule of {} was seen", plugged.device))?;
        // It may be there before the hypervisor's command has ended.
        let time = rule.duration_since(plugged.at).unwrap_or_default();
        Ok(Plug { host: node.host().name().to_owned(), vif: plugged.device, plug_to_rule_ms: milliseconds(time) })
    });
    Ok((vms, plugs.collect::<Result<_>>()?))
}

/// Makes one VM. What follows is udev's.
fn create(node: &Node, udev: &Udev, network: &Network, name: &str, number: u8, n: u16, count: u16) -> Result<Vm> {
    let (host, initial) = (node.host(), &name[..1]);
    let (vm, address) = ((u16::from(host.number()) - 1) * count + n, [10, 1, host.number(), low_byte(n)]);
    let mac = MacAddr6::new(0x02, 0x76, number, 0, host.number(), low_byte(n));
    let spec = VmSpec::new(&format!("{initial}{vm}"), address.into()).network(&network.bridge).mac(mac);
    let vif = format!("vif{number}{n:02}.0");
    udev.expect(&vif, &network.bridge)?;
    host.create_vm(&vif, spec)
}

/// VMs on one host are 10 at most.
fn low_byte(n: u16) -> u8 {
    n.to_le_bytes()[0]
}
