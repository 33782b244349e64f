//! A host as CloudStack's Python plugin leaves it: bridges, tunnels and flows, made in its order by Open vSwitch's own tools.
//! Must not use the daemon.

use anyhow::{Context, Result};
use ovstunnel_lab::{Host, Vm, VmSpec};

use crate::{Cloud, Network};

/// The two destinations for which the plugin has flows.
const GROUPS: [&str; 2] = ["dl_dst=ff:ff:ff:ff:ff:ff", "ip,nw_dst=224.0.0.0/24"];

/// A port number that no port has: the plugin leaves those of VIFs that have gone in its flows.
pub const DEAD_PORT: u16 = 99;

/// Puts `network` on host `number` as the plugin does: a bridge with STP, and tunnels to the other hosts of `members`.
///
/// # Errors
/// When the switch refuses.
pub fn plugin_sets_up(cloud: &Cloud, network: &Network, number: usize, members: &[usize], stp: bool) -> Result<()> {
    let (host, bridge, key) = (cloud.node(number)?.host(), network.bridge.as_str(), network.key);
    let uuid = format!("external_ids:xs-network-uuid=00000000-0000-4000-8000-{key:012}");
    host.vsctl(["add-br", bridge, "--", "set", "Bridge", bridge, &host.datapath_type(), &uuid])?;
    host.vsctl(["set", "Bridge", bridge, &format!("stp_enable={stp}")])?;
    host.vsctl(["set", "Bridge", bridge, &format!("other_config:gre_key={key}")])?;
    flow(host, bridge, "priority=65000,ipv6,actions=drop")?;
    for other in members.iter().filter(|other| **other != number) {
        let name = format!("t{key}-{number}-{other}");
        let remote = format!("options:remote_ip={}", cloud.node(*other)?.host().ip());
        let options = ["type=gre", &format!("options:key={key}"), &remote];
        host.vsctl(["add-port", bridge, &name, "--", "set", "Interface", &name].into_iter().chain(options))?;
        let port = host.wait_for_ofport(&name)?;
        for group in GROUPS {
            flow(host, bridge, &format!("priority=1000,in_port={port},{group},actions=drop"))?;
        }
    }
    Ok(())
}

/// Plugs VM number `vm` into `network` on host `number`, with the flows that the plugin adds for it.
///
/// # Errors
/// When it cannot be made, or the switch refuses.
pub fn plugin_plugs(cloud: &Cloud, network: &Network, number: usize, vm: u16) -> Result<Vm> {
    let (host, bridge) = (cloud.node(number)?.host(), network.bridge.as_str());
    let name = format!("vif{vm}.0");
    let vm = host.plug_vm(bridge, &name, VmSpec::numbered(vm).network(bridge))?;
    let port = host.wait_for_ofport(&name)?;
    for group in GROUPS {
        flow(host, bridge, &format!("priority=1200,in_port={port},{group},actions=normal"))?;
    }
    plugin_lists_vifs(host, bridge)?;
    Ok(vm)
}

/// Writes the lists of the VIFs anew, with one that has gone among them.
fn plugin_lists_vifs(host: &Host, bridge: &str) -> Result<()> {
    let mut outputs = vec![format!("output:{DEAD_PORT}")];
    for port in host.vsctl(["list-ports", bridge])?.lines().filter(|port| port.starts_with("vif")) {
        outputs.push(format!("output:{}", host.wait_for_ofport(port)?));
    }
    for group in GROUPS {
        flow(host, bridge, &format!("priority=1100,{group},actions={}", outputs.join(",")))?;
    }
    Ok(())
}

/// Adds a flow as the plugin does: in OpenFlow 1.0, without a cookie.
///
/// # Errors
/// When the switch refuses.
pub fn flow(host: &Host, bridge: &str, flow: &str) -> Result<()> {
    host.run("ovs-ofctl", ["add-flow", bridge, flow]).map(drop).with_context(|| flow.to_owned())
}

/// The flows of a bridge that are not ours, as they are printed, without what only counts.
///
/// # Errors
/// When the switch does not answer.
pub fn flows_of_others(host: &Host, bridge: &str) -> Result<Vec<String>> {
    let dump = host.ofctl(["dump-flows", "--no-stats", bridge])?;
    let lines = dump.lines().map(str::trim).filter(|line| line.contains("actions="));
    let mut lines: Vec<String> = lines.filter(|line| !line.contains("cookie=0x6f767374")).map(str::to_owned).collect();
    lines.sort();
    Ok(lines)
}
