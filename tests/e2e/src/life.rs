//! A whole life of a network on three hosts, by a management server's calls of the plugin alone.
//!
//! What it does: the calls in the server's order, frames counted in between; where it is watched, what each call leaves on its host. What it must not
//! do: know whether there is a manager.

use std::cell::RefCell;
use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_lab::Vm;

use crate::{Cloud, Network, Picture, Plugin, Pool, network_uuid, our_flows};

/// How many hosts it has.
pub const HOSTS: usize = 3;

/// A management server: what it has in its database, and how it calls.
struct Server<'a> {
    cloud: &'a Cloud,
    pool: &'a Pool,
    network: Network,
    plugins: Vec<Plugin>,
    /// The ends of tunnels with the port names that it was answered: on which host, to which.
    ports: BTreeMap<(usize, usize), String>,
    /// What each call has left on its host; none where nobody wants to know.
    steps: Option<RefCell<Vec<Step>>>,
}

/// What a call has left: its name, and its host's switch.
pub type Step = (String, Picture);

/// Ids as a server that has run for years counts them: the names of the tunnels' ports do not fit.
fn id(host: usize) -> String {
    format!("{}", 12_340 + host)
}

impl<'a> Server<'a> {
    fn new(cloud: &'a Cloud, pool: &'a Pool, is_watched: bool) -> Result<Self> {
        let plugins = cloud.nodes().iter().map(|node| Plugin::on(node)).collect::<Result<_>>()?;
        // The server does not say what to do with IPv6: it is dropped, as the daemon's configuration has it.
        let network = Network::numbered(1, Ipv6Policy::Drop);
        let steps = is_watched.then(RefCell::default);
        Ok(Server { cloud, pool, network, plugins, ports: BTreeMap::new(), steps })
    }

    /// Writes down what a call has left.
    fn called(&self, function: &str, host: usize) -> Result<()> {
        if let Some(steps) = &self.steps {
            let switch = self.cloud.node(host)?.host();
            // What keeps VMs from the ends of tunnels comes and goes a moment after a tunnel.
            let bridge = &self.network.bridge;
            let is_there = switch.vsctl(["list-br"])?.lines().any(|there| there == bridge);
            if is_there && !our_flows(switch, bridge)?.is_empty() {
                self.settle(&[host])?;
            }
            let picture = Picture::of(switch)?;
            steps.borrow_mut().push((format!("{function} on host {host}"), picture));
        }
        Ok(())
    }

    /// Waits until what VIFs call for is there, where each step is written down.
    fn settle(&self, hosts: &[usize]) -> Result<()> {
        match self.steps {
            Some(_) => hosts.iter().try_for_each(|host| self.cloud.wait_for_rules(&self.network, *host)),
            None => Ok(()),
        }
    }

    fn plugin(&self, host: usize) -> &Plugin {
        &self.plugins[host - 1]
    }

    /// Sets the network up on a host, unless xapi says that it is.
    fn set_up(&self, host: usize) -> Result<()> {
        if self.pool.hosts(1)?.contains(&id(host)) {
            return Ok(());
        }
        let (key, network, id) = (format!("OVSTunnel{}", self.network.key), network_uuid(1), id(host));
        let arguments = [("bridge", "xapi1"), ("key", &*key), ("xs_nw_uuid", &*network), ("cs_host_id", &*id)];
        self.plugin(host).expect("setup_ovs_bridge", &arguments, "SUCCESS:xapi1")?;
        ensure!(self.pool.hosts(1)?.contains(&id), "xapi does not say so");
        self.called("setup_ovs_bridge", host)
    }

    /// Before a VM starts on a host: the network, and tunnels to and from each of `others`.
    fn prepare(&mut self, host: usize, others: &[usize]) -> Result<()> {
        self.set_up(host)?;
        for other in others {
            self.create_tunnel(host, *other)?;
            self.create_tunnel(*other, host)?;
        }
        Ok(())
    }

    fn create_tunnel(&mut self, from: usize, to: usize) -> Result<()> {
        let (remote_ip, key) = (self.cloud.node(to)?.host().ip().to_string(), self.network.key.to_string());
        let (from_id, to_id) = (id(from), id(to));
        let arguments = [
            ("bridge", "xapi1"),
            ("remote_ip", &*remote_ip),
            ("key", &*key),
            ("from", &*from_id),
            ("to", &*to_id),
            ("cloudstack-network-id", "2d0f5a1c-77aa-4a0b-8a11-3e5f60718293"),
        ];
        let value = self.plugin(from).call("create_tunnel", &arguments)?;
        let parts: Vec<&str> = value.split(':').collect();
        let ["SUCCESS", port] = parts.as_slice() else { anyhow::bail!("{value}") };
        let known = self.ports.insert((from, to), (*port).to_owned());
        ensure!(known.is_none_or(|known| known == *port), "another name than before: {value}");
        self.called("create_tunnel", from)
    }

    fn destroy_tunnel(&mut self, from: usize, to: usize) -> Result<()> {
        let port = self.ports.get(&(from, to)).context("a tunnel that was never created")?;
        self.plugin(from).expect("destroy_tunnel", &[("bridge", "xapi1"), ("in_port", port)], "SUCCESS")?;
        self.called("destroy_tunnel", from)
    }

    fn destroy_bridge(&self, host: usize) -> Result<()> {
        let arguments = [("bridge", "xapi1"), ("cs_host_id", &*id(host))];
        self.plugin(host).expect("destroy_ovs_bridge", &arguments, "SUCCESS:xapi1")?;
        self.called("destroy_ovs_bridge", host)
    }

    /// Every kind of frame from every VM comes to each other one exactly once; IPv6 to none.
    fn expect_frames_once(&self, when: &str) -> Result<()> {
        let lab = self.cloud.lab();
        for delivery in lab.deliver_all(&lab.every_flooded_kind())? {
            let good = if delivery.kind.is_ipv6() { delivery.expect_nowhere() } else { delivery.expect_once() };
            good.context(when.to_owned())?;
        }
        Ok(())
    }
}

fn ping_all(vms: &[Vm]) -> Result<()> {
    for (from, to) in vms.iter().flat_map(|from| vms.iter().map(move |to| (from, to))) {
        if from.name() != to.name() {
            from.ping(to.ip(), 2)?.expect_no_loss().with_context(|| format!("{} to {}", from.name(), to.name()))?;
        }
    }
    Ok(())
}

/// One life; in the end the hosts go in this order, and on each the bridge before its tunnels or after them.
///
/// # Errors
/// What is not as it must be.
pub fn life(cloud: &Cloud, pool: &Pool, order: [usize; HOSTS], bridge_first: bool) -> Result<()> {
    lived(Server::new(cloud, pool, false)?, order, bridge_first).map(drop)
}

/// The same, with what each call has left on its host.
///
/// # Errors
/// As [`life`].
pub fn watched_life(cloud: &Cloud, pool: &Pool, order: [usize; HOSTS], bridge_first: bool) -> Result<Vec<Step>> {
    lived(Server::new(cloud, pool, true)?, order, bridge_first)
}

fn lived(mut server: Server<'_>, order: [usize; HOSTS], bridge_first: bool) -> Result<Vec<Step>> {
    let (cloud, pool) = (server.cloud, server.pool);
    // On two hosts xapi has made the bridge, on the third the daemon makes it.
    let by_xapi = [1, 3];
    for host in by_xapi {
        let switch = cloud.node(host)?.host();
        switch.add_bridge("xapi1")?;
    }
    let before = cloud.nodes().iter().map(|node| Picture::of(node.host())).collect::<Result<Vec<_>>>()?;
    for host in 1..=HOSTS {
        server.prepare(host, &(1..host).collect::<Vec<_>>())?;
    }
    let network = server.network.clone();
    let vms = (1..=HOSTS).map(|host| cloud.plug(&network, host, u16::try_from(host)?)).collect::<Result<Vec<_>>>()?;
    ping_all(&vms)?;
    server.expect_frames_once("all is set up")?;
    // Another VM starts on the first host: the server asks for all of it again, and nothing changes.
    let settled = Picture::of(cloud.node(1)?.host())?;
    server.prepare(1, &[2, 3])?;
    Picture::of(cloud.node(1)?.host())?.expect(&settled)?;

    // The first host's VM migrates to the second; the network leaves the first host.
    server.prepare(2, &[1, 3])?;
    vms[0].migrate(cloud.node(2)?.host(), "xapi1", "vif9.0")?;
    server.settle(&[1, 2])?;
    for other in [2, 3] {
        server.destroy_tunnel(1, other)?;
        server.destroy_tunnel(other, 1)?;
    }
    server.destroy_bridge(1)?;
    cloud.wait_for_rules(&network, 2)?;
    Picture::of(cloud.node(1)?.host())?.expect(&before[0])?;
    // Statistics of frames from before the move can lead others astray once, until the VM's next frame.
    cloud.lab().announce_all()?;
    server.expect_frames_once("the VM has moved")?;
    assert_eq!(pool.hosts(1)?, [id(2), id(3)]);

    // And back.
    server.prepare(1, &[2, 3])?;
    vms[0].migrate(cloud.node(1)?.host(), "xapi1", "vif10.0")?;
    cloud.wait_for_rules(&network, 1)?;
    cloud.wait_for_rules(&network, 2)?;
    cloud.lab().announce_all()?;
    server.expect_frames_once("the VM is back")?;

    for vm in &vms {
        vm.destroy()?;
    }
    server.settle(&[1, 2, 3])?;
    for host in order {
        let others: Vec<usize> = (1..=HOSTS).filter(|other| *other != host).collect();
        if bridge_first {
            server.destroy_bridge(host)?;
        }
        for other in others {
            // Those of a host that went before are gone already.
            server.destroy_tunnel(host, other)?;
            server.destroy_tunnel(other, host)?;
        }
        if !bridge_first {
            server.destroy_bridge(host)?;
        }
    }
    for (node, before) in cloud.nodes().iter().zip(&before) {
        Picture::of(node.host())?.expect(before)?;
        ensure!(node.errors().is_empty(), "{:?}", node.errors());
    }
    let left: Vec<String> = pool.other_config(1)?.into_keys().collect();
    assert_eq!(left, ["is-ovs-tun-network", "ovs-host-setup"]);
    for host in by_xapi {
        cloud.node(host)?.host().vsctl(["del-br", "xapi1"])?;
    }
    cloud.lab().expect_no_duplicates()?;
    Ok(server.steps.map(RefCell::into_inner).unwrap_or_default())
}
