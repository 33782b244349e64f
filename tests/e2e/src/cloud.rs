//! Several hosts with daemons, and networks over them. Must not look into a switch but by what is asked of it.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use ovstunnel_api::{BridgeAnswer, Id, Ipv6Policy, PutBridge, PutTunnel};
use ovstunnel_client::Client;
use ovstunnel_lab::{Lab, Vm, VmSpec};
use ovstunnel_pki::{Authority, Leaf, Role};
use time::OffsetDateTime;

use crate::{Manager, Node, NodeConfig, underlay_flows};

/// A virtual network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Name of its bridge, the same on each host.
    pub bridge: String,
    /// Its GRE key.
    pub key: i64,
    /// What it does with IPv6.
    pub ipv6: Ipv6Policy,
}

impl Network {
    /// Network number `n`: bridge `xapi<n>`, key `1000+n`.
    pub fn numbered(n: u16, ipv6: Ipv6Policy) -> Self {
        Network { bridge: format!("xapi{n}"), key: key_of(n), ipv6 }
    }
}

/// The GRE key of network number `n`.
pub fn key_of(n: u16) -> i64 {
    1000 + i64::from(n)
}

/// Hosts with daemons, called from the management server's place.
#[derive(Debug)]
pub struct Cloud {
    // Dropped in this order: what calls, what is called, what they stand on.
    manager: Manager,
    nodes: Vec<Arc<Node>>,
    pki: PathBuf,
    config: NodeConfig,
    lab: Lab,
}

impl Cloud {
    /// A lab with `hosts` hosts, a daemon ready on each.
    ///
    /// # Errors
    /// When the lab cannot be made or a daemon does not become ready.
    pub fn new(tag: &str, hosts: usize) -> Result<Self> {
        Self::with_config(tag, hosts, NodeConfig::default())
    }

    /// The same with another configuration of the daemons.
    ///
    /// # Errors
    /// As [`Cloud::new`].
    pub fn with_config(tag: &str, hosts: usize, config: NodeConfig) -> Result<Self> {
        let lab = Lab::new(tag)?;
        let pki = lab.dir().join("pki");
        let now = OffsetDateTime::now_utc();
        Authority::create(&pki, "ovstunnel lab", 90, now)?;
        let name = "manager".parse().map_err(|e| anyhow!("{e}"))?;
        Authority::open(&pki)?.issue_certificate(&Leaf { name, role: Role::Client, days: 90 }, now)?;
        let manager = Manager::new(&lab)?;
        let mut cloud = Cloud { manager, nodes: Vec::new(), pki, config, lab };
        cloud.add_nodes(hosts)?;
        Ok(cloud)
    }

    /// Adds hosts, a daemon ready on each.
    ///
    /// # Errors
    /// As [`Cloud::new`].
    pub fn add_nodes(&mut self, count: usize) -> Result<()> {
        for host in self.lab.add_hosts(count)? {
            if self.config.over_ipv6 {
                host.use_ipv6()?;
            }
            let node = Node::new(host, &self.pki, &self.config)?;
            node.start()?;
            self.nodes.push(Arc::new(node));
        }
        let all = 1..=self.nodes.len();
        all.rev().take(count).try_for_each(|number| self.wait_until_ready(number))
    }

    /// The lab.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// The management server's place.
    pub fn manager(&self) -> &Manager {
        &self.manager
    }

    /// Folder of the CA and of all certificates; the management server's is `manager`.
    pub fn pki(&self) -> &std::path::Path {
        &self.pki
    }

    /// All hosts.
    pub fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    /// Host number `number`, from 1.
    ///
    /// # Errors
    /// When there is none.
    pub fn node(&self, number: usize) -> Result<&Arc<Node>> {
        self.nodes.get(number.wrapping_sub(1)).with_context(|| format!("there is no host {number}"))
    }

    /// Waits until the daemon of a host answers that it is ready.
    ///
    /// # Errors
    /// When it does not within 20 s.
    pub fn wait_until_ready(&self, number: usize) -> Result<()> {
        self.node(number)?.wait_until_ready(|client| {
            let answer = self.manager.run(async move { client.readyz().await });
            answer.map(|ready| ready.ready).map_err(|error| format!("{:#}", anyhow!(error)))
        })
    }

    /// The body that sets up `network` on host `number`, meshed with the hosts `members`.
    ///
    /// # Errors
    /// When a host does not exist.
    pub fn membership(&self, network: &Network, number: usize, members: &[usize]) -> Result<PutBridge> {
        let others = members.iter().filter(|member| **member != number);
        let tunnel = |member: &usize| {
            let node = self.node(*member)?;
            let host = node.host();
            let remote_ip = if host.uses_ipv6() { host.ip6().to_string() } else { host.ip().to_string() };
            Ok(PutTunnel { to: Id::Number(node.id()), remote_ip, from: None })
        };
        Ok(PutBridge {
            key: network.key,
            network_uuid: Some(format!("00000000-0000-4000-8000-{:012}", network.key)),
            host_id: Some(Id::Number(self.node(number)?.id())),
            ipv6: Some(network.ipv6),
            uplink: None,
            neighbours: None,
            kind: None,
            tunnels: Some(others.map(tunnel).collect::<Result<_>>()?),
        })
    }

    /// Sets up `network` on one host, meshed with the hosts `members`, as a management server does.
    ///
    /// # Errors
    /// When the daemon answers with an error.
    pub fn join(&self, network: &Network, number: usize, members: &[usize]) -> Result<BridgeAnswer> {
        let (body, bridge) = (self.membership(network, number, members)?, network.bridge.clone());
        let answer = self.call(number, move |client| async move { client.put_bridge(&bridge, &body).await })?;
        answer.with_context(|| format!("{} on host {number}", network.bridge))
    }

    /// Sets up `network` on all of `members`, host after host.
    ///
    /// # Errors
    /// When a daemon answers with an error.
    pub fn mesh(&self, network: &Network, members: &[usize]) -> Result<Vec<BridgeAnswer>> {
        members.iter().map(|number| self.join(network, *number, members)).collect()
    }

    /// Calls the daemon of a host from the management server's place.
    ///
    /// # Errors
    /// When there is no such host. What the call returns is returned as it is.
    pub fn call<T, F>(&self, number: usize, call: impl FnOnce(Client) -> F + Send + 'static) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let client = self.node(number)?.client();
        Ok(self.manager.run(async move { call(client).await }))
    }

    /// Calls the daemon of a host on its Unix socket: the way from elsewhere may be what is broken.
    ///
    /// # Errors
    /// When there is no such host. What the call returns is returned as it is.
    pub fn call_on_host<T, F>(&self, number: usize, call: impl FnOnce(Client) -> F + Send + 'static) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let client = self.node(number)?.local_client()?;
        Ok(self.manager.run(async move { call(client).await }))
    }

    /// Plugs VM number `vm` into `network` on host `number`, as a hypervisor does, and waits until its rule is there.
    ///
    /// # Errors
    /// When it cannot be made, or the daemon does not see it.
    pub fn plug(&self, network: &Network, number: usize, vm: u16) -> Result<Vm> {
        let vif = format!("vif{vm}.0");
        let spec = VmSpec::numbered(vm).network(&network.bridge);
        let vm = self.node(number)?.host().plug_vm(&network.bridge, &vif, spec)?;
        self.wait_for_rules(network, number)?;
        Ok(vm)
    }

    /// Waits until the flows of `network` on a host are those that must be there.
    ///
    /// # Errors
    /// When they are not within 20 s.
    pub fn wait_for_rules(&self, network: &Network, number: usize) -> Result<()> {
        let host = self.node(number)?.host().clone();
        let look = || {
            let vifs =
                host.vsctl(["list-ports", &network.bridge])?.lines().filter(|port| port.starts_with("vif")).count();
            let drop_ipv6 = usize::from(network.ipv6 == Ipv6Policy::Drop);
            let expected = 3 + 3 * drop_ipv6 + usize::from(vifs > 0) + vifs + underlay_flows(&host)?;
            let flows = host.ofctl(["dump-flows", &network.bridge, "cookie=0x6f76737400000000/0xffffffff00000000"])?;
            let there = flows.lines().filter(|line| line.contains("cookie=")).count();
            if there == expected {
                Ok(())
            } else {
                Err(anyhow!("{there} flows of ours instead of {expected}:\n{flows}"))
            }
        };
        let what = format!("the flows of {} on host {number}", network.bridge);
        ovstunnel_lab::wait_until(what, std::time::Duration::from_secs(20), look)
    }
}
