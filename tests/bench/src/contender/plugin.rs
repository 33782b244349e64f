//! The commands that CloudStack's Python plugin runs for the same work, one after another, without Python's own cost.
//!
//! A set-up, a tunnel and a removal are listed here command by command, as a `Command` each: what the plugin asks for, looks
//! at and writes, restated from what it does (docs/ovs-facts.md has the count). It looks for both daemons by listing all
//! processes, for its bridge, then at the port, its key, its address and its number, and drops two kinds of broadcast from
//! each tunnel's port. `xe` is left out, and so is the shell around `ps`, so this is less than what the plugin does.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ovstunnel_lab::Host;

use super::run;
use crate::rows::{HOST, Network, Tunnel};

/// What a call of the plugin passes for the network's id.
const NETWORK_ID: &str = "options:cloudstack-network-id=00000000-0000-4000-8000-000000000001";

/// The kinds of frames for which it has flows.
const GROUPS: [&str; 2] = ["dl_dst=ff:ff:ff:ff:ff:ff", "ip,nw_dst=224.0.0.0/24"];

/// Makes one tunnel: 12 processes.
pub fn add(host: &Host, bridge: &str, tunnel: &Tunnel) -> Result<Duration> {
    let (name, key, remote) = (tunnel.port(), tunnel.options()[0].1.clone(), tunnel.remote_ip().to_string());
    let start = Instant::now();
    check_switch(host)?;
    vsctl(host, &["--timeout=30", "wait-until", "bridge", bridge, "--", "get", "bridge", bridge, "name"])?;
    let (key_option, remote_option) = (format!("options:key={key}"), format!("options:remote_ip={remote}"));
    vsctl(
        host,
        &["add-port", bridge, &name, "--", "set", "interface", &name, "type=gre", &key_option, &remote_option],
    )?;
    let interfaces = vsctl(host, &["get", "port", &name, "interfaces"])?;
    let interface = interfaces.trim_matches(['[', ']']);
    vsctl(host, &["get", "interface", interface, "options:key"])?;
    vsctl(host, &["get", "interface", interface, "options:remote_ip"])?;
    vsctl(host, &["set", "interface", &name, NETWORK_ID])?;
    vsctl(host, &["get", "bridge", bridge, "other_config"])?;
    let ofport = vsctl(host, &["get", "interface", interface, "ofport"])?;
    for group in GROUPS {
        add_flow(host, bridge, &format!("priority=1000,in_port={ofport},{group},actions=drop"))?;
    }
    Ok(start.elapsed())
}

/// Makes the bridge of a network, without tunnels.
pub fn set_up_bridge(host: &Host, network: &Network) -> Result<Duration> {
    let bridge = network.bridge.as_str();
    let start = Instant::now();
    check_switch(host)?;
    // What the lab needs besides is in the same command: its datapath.
    vsctl(host, &["--", "--may-exist", "add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev"])?;
    vsctl(host, &["--timeout=30", "wait-until", "bridge", bridge, "--", "get", "bridge", bridge, "name"])?;
    let uuid = format!("external_ids:xs-network-uuid={}", network.uuid());
    vsctl(host, &["set", "bridge", bridge, &uuid])?;
    vsctl(host, &["set", "bridge", bridge, &format!("other_config:gre_key={}", network.key)])?;
    add_flow(host, bridge, "priority=65000,ipv6,actions=drop")?;
    Ok(start.elapsed())
}

/// Removes one tunnel.
pub fn remove(host: &Host, bridge: &str, tunnel: &Tunnel) -> Result<Duration> {
    let name = tunnel.port();
    let start = Instant::now();
    check_switch(host)?;
    let ofport = vsctl(host, &["get", "interface", &name, "ofport"])?;
    vsctl(host, &["del-port", bridge, &name])?;
    run(host, "ovs-ofctl", &["del-flows".into(), bridge.into(), format!("in_port={ofport}")])?;
    Ok(start.elapsed())
}

/// Removes a bridge.
pub fn remove_bridge(host: &Host, bridge: &str) -> Result<Duration> {
    let start = Instant::now();
    check_switch(host)?;
    vsctl(host, &["del-br", bridge])?;
    Ok(start.elapsed())
}

/// Looks for both daemons of the switch among all processes, each by a run of `ps`.
fn check_switch(host: &Host) -> Result<()> {
    for daemon in ["ovsdb-server", "ovs-vswitchd"] {
        let pidfile = host.rundir().join(format!("{daemon}.pid"));
        let pid = std::fs::read_to_string(&pidfile).with_context(|| format!("{}", pidfile.display()))?;
        let processes = run(host, "ps", &["-ae".to_owned()])?;
        let runs = processes.lines().any(|line| line.contains(pid.trim()) && line.contains(daemon));
        anyhow::ensure!(runs, "host {HOST} has no {daemon}");
    }
    Ok(())
}

fn vsctl(host: &Host, args: &[&str]) -> Result<String> {
    let args: Vec<String> = args.iter().map(|word| (*word).to_owned()).collect();
    run(host, "ovs-vsctl", &args)
}

fn add_flow(host: &Host, bridge: &str, flow: &str) -> Result<()> {
    run(host, "ovs-ofctl", &["add-flow".into(), bridge.into(), flow.into()]).map(drop)
}
