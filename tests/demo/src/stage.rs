//! The stage: hosts with daemons, two virtual networks set up over HTTPS or through the plugin, and the VMs on them.
//!
//! It does what a cloud's management server and its hypervisors do, and keeps the time of each request. It must not send
//! a frame of its own or judge anything.

use std::cell::RefCell;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ovstunnel_api::{Bridge, FlowsState, Id, Ipv6Policy, Outcome, PostTunnel, PutBridge, PutTunnel};
use ovstunnel_client::{Client, ClientError};
use ovstunnel_e2e::{Cloud, Network, Plugin, Udev, network_uuid};
use ovstunnel_lab::{Vm, unhurried};

use crate::plug;
use crate::report::{Plug, Request};

/// The bridge that has a host's tunnel address.
const PHYSICAL: &str = ovstunnel_lab::BR_PHY;

/// A virtual network and its VMs.
#[derive(Debug)]
pub struct Tenant {
    pub name: &'static str,
    pub network: Network,
    /// Host after host.
    pub vms: Vec<Vm>,
}

/// The whole stage.
#[derive(Debug)]
pub struct Stage {
    // Dropped in this order: VMs' sniffers before the lab they are in.
    pub tenants: Vec<Tenant>,
    udevs: Vec<Udev>,
    pub cloud: Cloud,
    /// How long each VIF waited for its rule.
    pub plugs: Vec<Plug>,
    requests: RefCell<Vec<Request>>,
    by_plugin: bool,
}

impl Stage {
    /// Hosts and daemons; no network yet.
    pub fn new(hosts: u16) -> Result<Self> {
        let cloud = Cloud::new("demo", hosts.into())?;
        Ok(Stage {
            tenants: vec![],
            udevs: vec![],
            cloud,
            plugs: vec![],
            requests: RefCell::default(),
            by_plugin: false,
        })
    }

    /// The numbers of all hosts.
    pub fn members(&self) -> Vec<usize> {
        (1..=self.cloud.nodes().len()).collect()
    }

    /// The times of all requests so far.
    pub fn take_requests(&self) -> Vec<Request> {
        self.requests.take()
    }

    /// The network `red`: one request for each host, which names all its tunnels. IPv6 is allowed.
    pub fn set_up_red(&mut self) -> Result<()> {
        let network = Network::numbered(1, Ipv6Policy::Allow);
        let addresses = self.tunnel_addresses()?;
        for (index, _) in addresses.iter().enumerate() {
            let others = addresses.iter().enumerate().filter(|(other, _)| *other != index);
            let tunnel = |(other, ip): (usize, &String)| PutTunnel { to: id(other), remote_ip: ip.clone(), from: None };
            let body = PutBridge { tunnels: Some(others.map(tunnel).collect()), ..bridge_body(&network, index) };
            self.put_bridge(index + 1, &network, body)?;
        }
        self.tenants.push(Tenant { name: "red", network, vms: Vec::new() });
        Ok(())
    }

    /// The network `blue`: the bridges first, then a request for each tunnel. IPv6 is dropped.
    pub fn set_up_blue(&mut self) -> Result<()> {
        let network = Network::numbered(2, Ipv6Policy::Drop);
        let addresses = self.tunnel_addresses()?;
        for index in 0..addresses.len() {
            self.put_bridge(index + 1, &network, bridge_body(&network, index))?;
        }
        for from in 0..addresses.len() {
            for (to, remote_ip) in addresses.iter().enumerate().filter(|(to, _)| *to != from) {
                let remote_ip = remote_ip.clone();
                let body = PostTunnel { from: id(from), to: id(to), remote_ip, key: None, network_uuid: None };
                let bridge = network.bridge.clone();
                self.ask(from + 1, "POST /v1/bridges/{bridge}/tunnels", move |client| async move {
                    client.post_tunnel(&bridge, &body).await.map(|answer| (Some(answer.outcome), ()))
                })?;
            }
        }
        self.tenants.push(Tenant { name: "blue", network, vms: Vec::new() });
        Ok(())
    }

    /// A network as CloudStack sets it up: each bridge, then each end of each tunnel, one run of the plugin each.
    pub fn set_up_by_plugin(&mut self, name: &'static str, number: u16) -> Result<()> {
        let network = Network::numbered(number, Ipv6Policy::Drop);
        let (bridge, key, uuid) = (network.bridge.clone(), network.key.to_string(), network_uuid(number));
        let named = format!("OVSTunnel{key}");
        let addresses = self.tunnel_addresses()?;
        for index in 0..addresses.len() {
            let host = id(index).to_string();
            let arguments = [("bridge", &*bridge), ("key", &*named), ("xs_nw_uuid", &*uuid), ("cs_host_id", &*host)];
            self.call_plugin(index + 1, "setup_ovs_bridge", &arguments)?;
        }
        for from in 0..addresses.len() {
            for (to, remote_ip) in addresses.iter().enumerate().filter(|(to, _)| *to != from) {
                let (from_id, to_id) = (id(from).to_string(), id(to).to_string());
                let ends = [("from", &*from_id), ("to", &*to_id), ("remote_ip", &**remote_ip)];
                let arguments = [("bridge", &*bridge), ("key", &*key)].into_iter().chain(ends).collect::<Vec<_>>();
                self.call_plugin(from + 1, "create_tunnel", &arguments)?;
            }
        }
        self.by_plugin = true;
        self.tenants.push(Tenant { name, network, vms: Vec::new() });
        Ok(())
    }

    /// Whether the networks were set up through the plugin.
    pub fn by_plugin(&self) -> bool {
        self.by_plugin
    }

    fn call_plugin(&self, host: usize, function: &str, arguments: &[(&str, &str)]) -> Result<()> {
        let node = self.cloud.node(host)?;
        let plugin = Plugin::on(node)?;
        let start = Instant::now();
        let value = plugin.call(function, arguments)?;
        let time_ms = milliseconds(start.elapsed());
        ensure!(value.starts_with("SUCCESS:"), "{function} on {}: {value}", node.host().name());
        let (request, host) = (format!("plugin {function}"), node.host().name().to_owned());
        self.requests.borrow_mut().push(Request { request, host, outcome: None, time_ms });
        Ok(())
    }

    /// Plugs `count` VMs of each network into each host, by udev.
    pub fn plug_vms(&mut self, count: u16) -> Result<()> {
        let (udevs, plugs) = plug::plug_all(self.cloud.nodes(), &mut self.tenants, count)?;
        self.udevs = udevs;
        self.plugs = plugs;
        for tenant in &self.tenants {
            self.members().into_iter().try_for_each(|host| self.cloud.wait_for_rules(&tenant.network, host))?;
        }
        Ok(())
    }

    /// The version of Open vSwitch.
    pub fn open_vswitch(&self) -> Result<String> {
        // `ovs-vsctl (Open vSwitch) 3.1.0`
        let text = self.cloud.node(1)?.host().vsctl(["--version"])?;
        let version = text.lines().next().and_then(|line| line.split(' ').next_back());
        version.map(str::to_owned).with_context(|| format!("no version in {text:?}"))
    }

    /// What a daemon says of a bridge, once it has looked at its flows, but after some seconds in any case.
    pub fn bridge(&self, host: usize, network: &Network) -> Result<Bridge> {
        let deadline = Instant::now() + unhurried(Duration::from_secs(5));
        loop {
            let name = network.bridge.clone();
            let ask = async move |client: Client| Ok((None, client.bridge(&name).await?));
            let bridge = self.ask(host, "GET /v1/bridges/{bridge}", ask)?;
            if bridge.flows.state == FlowsState::InSync || Instant::now() > deadline {
                return Ok(bridge);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The tunnel address of each host, asked from its daemon as a management server does.
    fn tunnel_addresses(&self) -> Result<Vec<String>> {
        let address = |host| {
            let ask = async |client: Client| Ok((None, client.interface(PHYSICAL).await?));
            let interface = self.ask(host, "GET /v1/interfaces/{label}", ask)?;
            interface.ip.with_context(|| format!("{PHYSICAL} on host {host} has no address"))
        };
        self.members().into_iter().map(address).collect()
    }

    fn put_bridge(&self, host: usize, network: &Network, body: PutBridge) -> Result<()> {
        let bridge = network.bridge.clone();
        let with = if body.tunnels.is_some() { ", with all tunnels" } else { "" };
        self.ask(host, &format!("PUT /v1/bridges/{{bridge}}{with}"), move |client| async move {
            client.put_bridge(&bridge, &body).await.map(|answer| (Some(answer.outcome), ()))
        })
    }

    /// Calls a daemon from the management server's place and keeps the time.
    fn ask<T, F>(&self, host: usize, request: &str, call: impl FnOnce(Client) -> F + Send + 'static) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<(Option<Outcome>, T), ClientError>> + Send + 'static,
    {
        let (time, answer) = self.cloud.call(host, async |client| {
            let start = Instant::now();
            let answer = call(client).await;
            (start.elapsed(), answer)
        })?;
        let node = self.cloud.node(host)?;
        let (outcome, answer) = answer.with_context(|| format!("{request} at {}", node.url()))?;
        let (request, host) = (request.to_owned(), node.host().name().to_owned());
        self.requests.borrow_mut().push(Request { request, host, outcome, time_ms: milliseconds(time) });
        Ok(answer)
    }
}

/// The id under which the management server knows the host with this index.
fn id(index: usize) -> Id {
    Id::Text(format!("{}", index + 1))
}

fn bridge_body(network: &Network, index: usize) -> PutBridge {
    PutBridge {
        key: network.key,
        network_uuid: Some(format!("00000000-0000-4000-8000-{:012}", network.key)),
        host_id: Some(id(index)),
        ipv6: Some(network.ipv6),
        uplink: None,
        neighbours: None,
        kind: None,
        tunnels: None,
    }
}

/// A time as the report has it: milliseconds, to the microsecond.
pub fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
