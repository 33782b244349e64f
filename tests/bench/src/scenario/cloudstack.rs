//! CloudStack's own calls end to end: the programs that take the place of its plugin and of its KVM script, from their start to their answer,
//! beside the commands that those run for the same work. What Python itself takes is not counted.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_e2e::{Agent, Cloud, NodeConfig, Plugin};
use ovstunnel_lab::Host;

use crate::contender::plugin;
use crate::ground::{Race, config, lead_somewhere};
use crate::report::{Line, Who};
use crate::rows::{HOST, Network, Tunnel};
use crate::scale::Scale;

/// The other host, where nobody is.
const TO: u64 = 2;

/// What was measured of the two calls.
#[derive(Default)]
struct Calls {
    setup: Race,
    tunnel: Race,
}

impl Calls {
    fn lines(&self, by: &str) -> Vec<Line> {
        let line = |race: &Race, call: &str| race.median("programs", &format!("{call} {by}, end to end: median"));
        vec![line(&self.setup, "setup_ovs_bridge"), line(&self.tunnel, "create_tunnel")]
    }
}

pub fn lines(scale: &Scale) -> Result<Vec<Line>> {
    crate::progress("CloudStack's calls, end to end");
    let cloud = Cloud::with_config("calls", 1, NodeConfig { ipv6: Ipv6Policy::Allow, ..config() })?;
    lead_somewhere(cloud.node(1)?.host())?;
    let (mut of_plugin, mut of_kvm) = (Calls::default(), Calls::default());
    for _ in 0..scale.plugin_rounds {
        by_plugin(&cloud, &mut of_plugin)?;
        by_agent(&cloud, &mut of_kvm)?;
    }
    Ok([of_plugin.lines("by the plugin"), of_kvm.lines("on KVM, the agent's own commands counted")].concat())
}

/// A network's bridge and one tunnel by the plugin, and the same by the Python plugin's commands.
fn by_plugin(cloud: &Cloud, calls: &mut Calls) -> Result<()> {
    let (node, ours, theirs) = (cloud.node(1)?, Network::new("xapi7101", 7101, 0), Network::new("others7102", 7102, 0));
    let (host, program) = (node.host(), Plugin::beside(&node.socket())?);
    let (key, id, uuid, to) = (ours.key.to_string(), HOST.to_string(), ours.uuid(), TO.to_string());
    let remote = Tunnel { key: ours.key, to: TO }.remote_ip().to_string();
    let setup = [("bridge", &*ours.bridge), ("key", &*key), ("xs_nw_uuid", &*uuid), ("cs_host_id", &*id)];
    let tunnel = [("bridge", &*ours.bridge), ("remote_ip", &*remote), ("key", &*key), ("from", &*id), ("to", &*to)];
    for (race, function, arguments) in
        [(&mut calls.setup, "setup_ovs_bridge", &setup[..]), (&mut calls.tunnel, "create_tunnel", &tunnel)]
    {
        let start = Instant::now();
        let said = program.call(function, arguments)?;
        race.push(Who::Daemon, start.elapsed());
        ensure!(said.starts_with("SUCCESS"), "{function}: {said}");
    }
    calls.setup.push(Who::Plugin, plugin::set_up_bridge(host, &theirs)?);
    calls.tunnel.push(Who::Plugin, plugin::add(host, &theirs.bridge, &Tunnel { key: theirs.key, to: TO })?);
    plugin::remove_bridge(host, &theirs.bridge)?;
    program.call("destroy_ovs_bridge", &[("bridge", &ours.bridge), ("this_host_id", &id)]).map(drop)
}

/// The same by the KVM agent: ours with the program in the script's place, and the script's commands with those of the agent around them.
fn by_agent(cloud: &Cloud, calls: &mut Calls) -> Result<()> {
    let (node, theirs) = (cloud.node(1)?, Network::new("OVSTunnel7104", 7104, 0));
    let (host, agent, key, bridge) = (node.host(), Agent::on(node), "7103", "OVSTunnel7103");
    let start = Instant::now();
    ensure!(agent.set_up(bridge)?, "{bridge} was set up before");
    calls.setup.push(Who::Daemon, start.elapsed());
    let (id, to) = (HOST.to_string(), TO.to_string());
    let remote = Tunnel { key: 7103, to: TO }.remote_ip().to_string();
    let options = [("bridge", bridge), ("remote_ip", &*remote), ("key", key), ("src_host", &*id), ("dst_host", &*to)];
    let start = Instant::now();
    agent.set_up(bridge)?;
    let ran = agent.run("create_tunnel", &options)?;
    calls.tunnel.push(Who::Daemon, start.elapsed());
    ensure!(ran.0 == 0 && ran.1.starts_with("SUCCESS"), "{ran:?}");

    let start = Instant::now();
    agent.find_or_create(&theirs.bridge)?;
    agent.is_set_up(&theirs.bridge, &id)?;
    plugin::set_up_bridge(host, &theirs)?;
    calls.setup.push(Who::Plugin, start.elapsed());
    let start = Instant::now();
    agent.find_or_create(&theirs.bridge)?;
    agent.is_set_up(&theirs.bridge, &id)?;
    plugin::add(host, &theirs.bridge, &Tunnel { key: theirs.key, to: TO })?;
    calls.tunnel.push(Who::Plugin, start.elapsed());
    plugin::remove_bridge(host, &theirs.bridge)?;
    agent.run("destroy_ovs_bridge", &[("bridge", bridge)])?;
    is_gone(host, bridge)
}

fn is_gone(host: &Host, bridge: &str) -> Result<()> {
    let bridges = host.vsctl(["list-br"]).context("the bridges")?;
    ensure!(!bridges.lines().any(|there| there == bridge), "{bridge} is still there");
    Ok(())
}
