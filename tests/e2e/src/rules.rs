//! The rules that must be on a bridge, told from the switch alone: what a test compares with. Must not ask the daemon.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovstunnel_api::{Ipv6Policy, TunnelKind};
use ovstunnel_lab::{BR_PHY, Host, wait_until};

use crate::Network;

/// How long the end state may take: many tests share a small machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Our flows on a bridge as OpenFlow tells them, without counters.
///
/// # Errors
/// When the switch does not answer.
pub fn our_flows(host: &Host, bridge: &str) -> Result<Vec<String>> {
    let dump = host.ofctl(["dump-flows", "--no-stats", bridge, "cookie=0x6f76737400000000/0xffffffff00000000"])?;
    let mut flows: Vec<String> =
        dump.lines().filter(|line| line.contains("cookie=")).map(|line| line.trim().to_owned()).collect();
    // Open vSwitch tells them in no order.
    flows.sort();
    Ok(flows)
}

/// The kinds of the tunnels on a bridge, in order.
///
/// # Errors
/// When the switch does not answer.
pub fn tunnel_kinds(host: &Host, bridge: &str) -> Result<Vec<String>> {
    let ports = host.vsctl(["list-ports", bridge])?;
    let kind = |port: &str| -> Result<String> {
        Ok(host.vsctl(["get", "Interface", port, "type"])?.trim().trim_matches('"').to_owned())
    };
    let mut kinds = ports.lines().filter(|port| !port.starts_with("vif")).map(kind).collect::<Result<Vec<_>>>()?;
    kinds.sort();
    Ok(kinds)
}

/// Checks that a bridge has so many tunnels, all of this kind.
///
/// # Errors
/// When it has others.
pub fn expect_tunnels(host: &Host, bridge: &str, kind: TunnelKind, count: usize) -> Result<()> {
    let there = tunnel_kinds(host, bridge)?;
    ensure!(there == vec![kind.to_string(); count], "{}: {bridge} has {there:?}, not {count} of {kind}", host.name());
    Ok(())
}

/// Waits until a network's bridge has exactly the rules of the VIFs that are on it: one for each, the one that opens it to
/// tunnels, and the bridge's own. Returns the VIFs' names.
///
/// # Errors
/// When it has others after a minute.
pub fn wait_for_exact_rules(host: &Host, network: &Network) -> Result<BTreeSet<String>> {
    let what = format!("the rules of {} on {}", network.bridge, host.name());
    wait_until(what, DEADLINE, || exact_rules(host, network))
}

/// Checks the same now.
///
/// # Errors
/// What is there instead.
pub fn exact_rules(host: &Host, network: &Network) -> Result<BTreeSet<String>> {
    let bridge = &network.bridge;
    let (mut vifs, mut ofports) = (BTreeSet::new(), BTreeSet::new());
    for vif in ports(host, bridge)? {
        // A device that is gone, or that the switch has not looked at, has no number, and no rule.
        let ofport = host.vsctl(["get", "Interface", &vif, "ofport"])?;
        if ofport.parse::<u32>().is_ok() {
            ofports.insert(ofport);
            vifs.insert(vif);
        }
    }
    let flows = our_flows(host, bridge)?;
    let named: Vec<String> = flows.iter().filter_map(|flow| in_port(flow)).collect();
    let there: BTreeSet<String> = named.iter().cloned().collect();
    ensure!(there == ofports, "rules for the ports {there:?} instead of {ofports:?} ({vifs:?}):\n{}", flows.join("\n"));
    let own = 3 + 3 * usize::from(network.ipv6 == Ipv6Policy::Drop) + usize::from(!vifs.is_empty());
    let own = own + underlay_flows(host)?;
    ensure!(flows.len() == own + vifs.len() && named.len() == vifs.len(), "{vifs:?}:\n{}", flows.join("\n"));
    Ok(vifs)
}

/// How many flows keep VMs from the ends of tunnels, on each managed bridge: three as soon as a tunnel leads to another host by
/// `br-phy`, which is all that a host of the lab has; over IPv6 those for its IPv4 address and for link-local ones, too: for GRE, and for
/// UDP where there are such tunnels, all of them to one port.
///
/// # Errors
/// When the switch does not answer.
pub fn underlay_flows(host: &Host) -> Result<usize> {
    let remotes = host.vsctl(["--bare", "--columns=options", "find", "Interface", "options:remote_ip!=\"\""])?;
    let by_phy = |remote: &str| host.run("ip", ["route", "get", remote]).is_ok_and(|way| way.contains("dev br-phy"));
    let remotes = remotes.split_whitespace().filter_map(|option| option.strip_prefix("remote_ip="));
    let remotes: Vec<&str> = remotes.filter(|remote| by_phy(remote)).collect();
    if !remotes.iter().any(|remote| remote.contains(':')) {
        return Ok(if remotes.is_empty() { 0 } else { 3 });
    }
    let types = host.vsctl(["--bare", "--columns=type", "find", "Interface", "options:remote_ip!=\"\""])?;
    let udp = types.split_whitespace().any(|kind| kind != "gre");
    Ok(3 + 2 * (1 + usize::from(udp)))
}

/// Waits until a managed bridge has these: they come as soon as the daemon has heard of the tunnel's way.
///
/// # Errors
/// When it has others after a minute.
pub fn wait_for_underlay_flows(host: &Host, bridge: &str) -> Result<()> {
    wait_until(format!("the flows of {bridge} that keep VMs from the ends of tunnels"), DEADLINE, || {
        let (flows, expected) = (our_flows(host, bridge)?, underlay_flows(host)?);
        let there = flows.iter().filter(|flow| flow.contains("priority=9000")).count();
        ensure!(there == expected, "{there} of {expected}:\n{}", flows.join("\n"));
        anyhow::Ok(())
    })
}

fn ports(host: &Host, bridge: &str) -> Result<BTreeSet<String>> {
    let is_vif = |port: &&str| ["vif", "tap", "vnet"].iter().any(|prefix| port.starts_with(prefix));
    Ok(host.vsctl(["list-ports", bridge])?.lines().filter(is_vif).map(str::to_owned).collect())
}

fn in_port(flow: &str) -> Option<String> {
    let rest = flow.split("in_port=").nth(1)?;
    Some(rest.split([',', ' ']).next()?.trim_matches('"').to_owned())
}

/// How many packets a flow of the bridge below has counted, of these matches; the largest number where there are several such flows.
///
/// # Errors
/// When there is none, or the switch does not answer.
pub fn packets_below(host: &Host, what: &str) -> Result<u64> {
    let flows = host.ofctl(["dump-flows", BR_PHY, what])?;
    let counts = flows.split("n_packets=").skip(1).filter_map(|rest| rest.split(',').next()?.parse::<u64>().ok());
    counts.max().with_context(|| format!("no flow for {what}: {flows}"))
}
