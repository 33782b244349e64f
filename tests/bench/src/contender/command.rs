//! The floor: one bare `ovs-vsctl`, and one `ovs-ofctl --bundle` where there are flows, with the rows that the daemon makes.
//!
//! Ports are written in the form that is linear in their number, and rows are removed by their ids, which were looked up
//! beforehand: there is no cheaper command that does the same. It waits for `ovs-vswitchd`, as the daemon's does, and reads
//! nothing back.

use std::time::{Duration, Instant};

use anyhow::Result;
use ovstunnel_lab::Host;

use super::{bundle, bundle_of, run};
use crate::rows::{Network, Tunnel};

/// Makes one tunnel.
pub fn add(host: &Host, bridge: &str, tunnel: &Tunnel) -> Result<Duration> {
    change(host, tunnel_rows(bridge, 1, tunnel))
}

/// Makes several tunnels in one transaction, if there are any.
pub fn add_all_if_any(host: &Host, bridge: &str, tunnels: &[Tunnel]) -> Result<()> {
    if tunnels.is_empty() { Ok(()) } else { add_all(host, bridge, tunnels).map(drop) }
}

/// Makes several tunnels in one transaction.
pub fn add_all(host: &Host, bridge: &str, tunnels: &[Tunnel]) -> Result<Duration> {
    change(host, all_rows(bridge, tunnels))
}

/// Makes a bridge with all its tunnels and its first flows.
pub fn set_up(host: &Host, network: &Network) -> Result<Duration> {
    let bridge = network.bridge.as_str();
    let mut args = strings(["--id=@ib", "create", "Interface"]);
    args.extend([format!("name={bridge}"), "type=internal".into()]);
    args.extend(strings(["--", "--id=@pb", "create", "Port"]));
    args.extend([format!("name={bridge}"), "interfaces=@ib".into(), "protected=true".into()]);
    args.extend(strings(["--", "--id=@b", "create", "Bridge"]));
    args.extend([format!("name={bridge}"), "ports=@pb".into(), "stp_enable=false".into()]);
    args.push("datapath_type=netdev".into());
    args.extend(network.external_ids().iter().map(|(key, value)| pair("external_ids", key, value)));
    args.extend(network.other_config().iter().map(|(key, value)| pair("other_config", key, value)));
    args.extend(strings(["--", "add", "Open_vSwitch", ".", "bridges", "@b"]));
    if !network.tunnels.is_empty() {
        args.push("--".into());
        args.extend(all_rows(bridge, &network.tunnels));
    }
    let start = Instant::now();
    change(host, args)?;
    bundle(host, network)?;
    Ok(start.elapsed())
}

/// Adds one rule as that of a VIF by one bundle; takes it away again outside the time.
pub fn add_rule(host: &Host, bridge: &str) -> Result<Duration> {
    let group = "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00";
    let start = Instant::now();
    bundle_of(host, bridge, &format!("add cookie=0x79,priority=1200,in_port=7777,{group},actions=NORMAL\n"))?;
    let took = start.elapsed();
    bundle_of(host, bridge, "delete cookie=0x79/-1\n")?;
    Ok(took)
}

/// Removes the port whose row this is.
pub fn remove(host: &Host, bridge: &str, uuid: &str) -> Result<Duration> {
    change(host, strings(["--if-exists", "remove", "Bridge", bridge, "ports", uuid]))
}

/// Removes the bridge whose row this is.
pub fn remove_bridge(host: &Host, uuid: &str) -> Result<Duration> {
    change(host, strings(["remove", "Open_vSwitch", ".", "bridges", uuid]))
}

/// Runs `ovs-vsctl` with the options that the daemon gives it.
fn change(host: &Host, args: Vec<String>) -> Result<Duration> {
    let options =
        ["--no-syslog".into(), "--timeout=60".into(), format!("--db=unix:{}/db.sock", host.rundir().display())];
    let args: Vec<String> = options.into_iter().chain(["--".into()]).chain(args).collect();
    let start = Instant::now();
    run(host, "ovs-vsctl", &args)?;
    Ok(start.elapsed())
}

fn all_rows(bridge: &str, tunnels: &[Tunnel]) -> Vec<String> {
    let rows: Vec<Vec<String>> = tunnels.iter().enumerate().map(|(n, tunnel)| tunnel_rows(bridge, n, tunnel)).collect();
    rows.join(&"--".to_owned())
}

fn tunnel_rows(bridge: &str, n: usize, tunnel: &Tunnel) -> Vec<String> {
    let name = format!("name=\"{}\"", tunnel.port());
    let mut args = vec![format!("--id=@i{n}"), "create".into(), "Interface".into(), name.clone(), "type=gre".into()];
    args.extend(tunnel.options().iter().map(|(key, value)| pair("options", key, value)));
    args.extend(["--".into(), format!("--id=@p{n}"), "create".into(), "Port".into(), name]);
    args.extend([format!("interfaces=@i{n}"), "protected=true".into()]);
    args.extend(tunnel.marks().iter().map(|(key, value)| pair("external_ids", key, value)));
    args.extend(strings(["--", "add", "Bridge", bridge, "ports"]));
    args.push(format!("@p{n}"));
    args
}

fn pair(column: &str, key: &str, value: &str) -> String {
    format!("{column}:\"{key}\"=\"{value}\"")
}

fn strings<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}
