//! The property that the project exists for: while hosts and tunnels come and go in any order, every broadcast, multicast
//! and unknown-unicast frame arrives exactly once at every VM of its network, at every step, also between the steps of one
//! change.
//!
//! A model of a few lines says who must hear whom; everything else is real. `OVSTUNNEL_CASES` sets the number of random
//! lives (default 3: one with each kind of tunnels, in turn).

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovstunnel_api::{Id, Ipv6Policy, PostTunnel, TunnelKind};
use ovstunnel_e2e::{Cloud, Network, NodeConfig, expect_tunnels};
use ovstunnel_lab::{Kind, Switch, Vm, VmSpec, wait_until};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tempfile::TempDir;

const HOSTS: usize = 4;

/// One event in the life of a network.
#[derive(Clone, Debug)]
enum Event {
    /// A host outside joins, one inside leaves.
    Toggle(usize),
    /// One end of a tunnel between two members is removed, or made again.
    ToggleTunnel(usize, usize),
}

fn event() -> impl Strategy<Value = Event> {
    let host = || 1..=HOSTS;
    prop_oneof![
        3 => host().prop_map(Event::Toggle),
        1 => (host(), host()).prop_map(|(a, b)| Event::ToggleTunnel(a, b)),
    ]
}

/// Makes the daemons' `ovs-ofctl` wait for as long as a file is there: the moment between a transaction and its flows.
struct Gate {
    closed: PathBuf,
    waiting: PathBuf,
}

impl Gate {
    /// Writes the wrapper into `dir`, and gives the folder to use as `bin_dir`.
    fn build(dir: &std::path::Path) -> Result<(Self, PathBuf)> {
        let bin_dir = dir.join("bin");
        std::fs::create_dir_all(&bin_dir)?;
        let gate = Gate { closed: dir.join("closed"), waiting: dir.join("waiting") };
        let real = Switch::from_environment()?.bin_dir();
        let (closed, waiting) = (gate.closed.display(), gate.waiting.display());
        let script = format!(
            "#!/bin/sh\nif [ -e {closed} ]; then : >{waiting}; while [ -e {closed} ]; do sleep 0.01; done; fi\n\
             exec {}/ovs-ofctl \"$@\"\n",
            real.display()
        );
        std::fs::write(bin_dir.join("ovs-ofctl"), script)?;
        std::fs::set_permissions(bin_dir.join("ovs-ofctl"), PermissionsExt::from_mode(0o755))?;
        std::os::unix::fs::symlink(real.join("ovs-vsctl"), bin_dir.join("ovs-vsctl"))?;
        Ok((gate, bin_dir))
    }

    fn close(&self) -> Result<()> {
        std::fs::write(&self.closed, "").context("the gate")
    }

    fn wait_for_somebody(&self) -> Result<()> {
        let look = || if self.waiting.exists() { Ok(()) } else { Err("nobody waits") };
        wait_until("a bundle to wait at the gate", Duration::from_secs(20), look)
    }

    fn open(&self) -> Result<()> {
        std::fs::remove_file(&self.closed)?;
        let _ = std::fs::remove_file(&self.waiting);
        Ok(())
    }
}

/// The cloud, and what must be true of it.
struct Life {
    cloud: Cloud,
    gate: Gate,
    /// Where the gate is. It goes after the cloud that runs it.
    _dir: TempDir,
    network: Network,
    kind: TunnelKind,
    /// One VM for each host, plugged while the host is a member.
    vms: Vec<Vm>,
    members: BTreeSet<usize>,
    /// Ends of tunnels that are there: on which host, to which.
    ends: BTreeSet<(usize, usize)>,
    /// Hosts whose rules are not all there at this moment: what comes to them by tunnel comes at most once.
    unsettled: BTreeSet<usize>,
    frames: usize,
}

impl Life {
    fn new(kind: TunnelKind) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("ovstunnel-gate-").tempdir()?;
        let (gate, bin_dir) = Gate::build(dir.path())?;
        let cloud = Cloud::with_config(
            "once",
            HOSTS,
            NodeConfig { bin_dir, tunnel: format!("kind = \"{kind}\"\n"), ..NodeConfig::default() },
        )?;
        let network = Network::numbered(1, Ipv6Policy::Allow);
        let mut vms = Vec::new();
        for number in 1..=HOSTS {
            let spec = VmSpec::numbered(u16::try_from(number)?).network(&network.bridge);
            vms.push(cloud.node(number)?.host().create_vm("vif1.0", spec)?);
        }
        let empty = BTreeSet::new;
        let ends = BTreeSet::new();
        Ok(Life { cloud, gate, _dir: dir, network, kind, vms, members: empty(), ends, unsettled: empty(), frames: 0 })
    }

    fn vm(&self, host: usize) -> &Vm {
        &self.vms[host - 1]
    }

    /// Sends every kind of flooded frame from every plugged VM, and compares with the model.
    fn check(&mut self, when: &str) -> Result<()> {
        let probes = self.members.iter().flat_map(|host| {
            let vm = self.vm(*host);
            Kind::FLOODED.map(|kind| (*host, ovstunnel_lab::Probe::new(vm, kind)))
        });
        let (senders, probes): (Vec<usize>, Vec<_>) = probes.unzip();
        self.frames += probes.len();
        for (sender, delivery) in senders.iter().zip(self.cloud.lab().deliver_all(&probes)?) {
            for receiver in (1..=HOSTS).filter(|host| host != sender) {
                let copies = delivery.copies_at(self.vm(receiver));
                let meshed = self.ends.contains(&(*sender, receiver)) && self.ends.contains(&(receiver, *sender));
                let sure = !self.unsettled.contains(&receiver) && !self.unsettled.contains(sender);
                let good = if sure { copies == u32::from(meshed) } else { copies <= 1 };
                ensure!(good, "{when}: {delivery}: {copies} copies on host {receiver}; meshed: {meshed}, sure: {sure}");
            }
            ensure!(delivery.lost_by_sniffers == 0, "{when}: the counts are not exact");
        }
        Ok(())
    }

    fn live(&mut self, event: &Event) -> Result<()> {
        match *event {
            Event::Toggle(host) if self.members.contains(&host) => self.leave(host),
            Event::Toggle(host) => self.join(host),
            Event::ToggleTunnel(a, b) if a != b && self.members.contains(&a) && self.members.contains(&b) => {
                self.toggle_tunnel(a, b)
            }
            Event::ToggleTunnel(..) => Ok(()),
        }
    }

    /// The hypervisor makes the bridge and plugs the VM, the others get their ends, then the host itself is set up.
    fn join(&mut self, host: usize) -> Result<()> {
        let bridge = self.network.bridge.clone();
        let switch = self.cloud.node(host)?.host().clone();
        switch.add_bridge(&bridge)?;
        self.vm(host).plug(&bridge)?;
        self.unsettled.insert(host);
        self.members.insert(host);
        for other in self.others(host) {
            self.update(other)?;
            self.check(&format!("host {other} has a tunnel to host {host}, which has none yet"))?;
        }
        self.gate.close()?;
        let members: Vec<usize> = self.members.iter().copied().collect();
        let (body, client) = (self.cloud.membership(&self.network, host, &members)?, self.cloud.node(host)?.client());
        let request = self.cloud.manager().spawn(async move { client.put_bridge(&bridge, &body).await });
        self.gate.wait_for_somebody()?;
        let between = self.check(&format!("host {host} has its tunnels and not its flows"));
        self.gate.open()?;
        self.cloud.manager().run(request)??;
        between?;
        self.ends.extend(self.others(host).into_iter().map(|other| (host, other)));
        self.cloud.wait_for_rules(&self.network, host)?;
        self.unsettled.remove(&host);
        expect_tunnels(&switch, &self.network.bridge, self.kind, self.members.len() - 1)?;
        self.check(&format!("host {host} has joined"))
    }

    fn leave(&mut self, host: usize) -> Result<()> {
        let bridge = self.network.bridge.clone();
        self.vm(host).unplug()?;
        self.members.remove(&host);
        self.unsettled.insert(host);
        self.check(&format!("the VM of host {host} is unplugged"))?;
        for other in self.members.clone() {
            self.update(other)?;
            self.check(&format!("host {other} has no tunnel to host {host} any more"))?;
        }
        self.cloud.call(host, move |client| async move { client.delete_bridge(&bridge).await })??;
        self.ends.retain(|(here, there)| *here != host && *there != host);
        // It was the hypervisor's bridge, so it has stayed; the hypervisor removes it.
        self.cloud.node(host)?.host().vsctl(["del-br", &self.network.bridge])?;
        self.unsettled.remove(&host);
        self.check(&format!("host {host} has left"))
    }

    fn others(&self, host: usize) -> Vec<usize> {
        self.members.iter().copied().filter(|member| *member != host).collect()
    }

    /// Gives a host its complete set of tunnels.
    fn update(&mut self, host: usize) -> Result<()> {
        let members: Vec<usize> = self.members.iter().copied().collect();
        self.cloud.join(&self.network, host, &members)?;
        self.ends.retain(|(here, _)| *here != host);
        self.ends.extend(self.others(host).into_iter().map(|other| (host, other)));
        Ok(())
    }

    fn toggle_tunnel(&mut self, here: usize, there: usize) -> Result<()> {
        let bridge = self.network.bridge.clone();
        if self.ends.remove(&(here, there)) {
            let port = format!("t{}-{here}-{there}", self.network.key);
            self.cloud.call(here, move |client| async move { client.delete_tunnel(&bridge, &port).await })??;
        } else {
            let body = PostTunnel {
                from: Id::Number(self.cloud.node(here)?.id()),
                to: Id::Number(self.cloud.node(there)?.id()),
                remote_ip: self.cloud.node(there)?.host().ip().to_string(),
                key: None,
                network_uuid: None,
            };
            self.cloud.call(here, move |client| async move { client.post_tunnel(&bridge, &body).await })??;
            self.ends.insert((here, there));
        }
        self.check(&format!("the end of the tunnel {here}-{there} was toggled"))
    }

    fn end(mut self) -> Result<usize> {
        for host in self.members.clone() {
            self.leave(host)?;
        }
        self.cloud.lab().expect_no_duplicates()?;
        Ok(self.frames)
    }
}

#[test]
fn every_frame_arrives_exactly_once_at_every_step_of_any_life() {
    let cases = std::env::var("OVSTUNNEL_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    // A failing life is printed whole; to shrink it would take hours of real time.
    let config = Config { cases, max_shrink_iters: 0, failure_persistence: None, ..Config::default() };
    let lives = std::cell::Cell::new(0);
    let result = TestRunner::new(config).run(&prop::collection::vec(event(), 8..14), |events| {
        let life = || -> Result<usize> {
            let kind = TunnelKind::ALL[lives.replace(lives.get() + 1) % TunnelKind::ALL.len()];
            let mut life = Life::new(kind).with_context(|| format!("{kind}"))?;
            // All join first, so that every life has the full mesh in it.
            (1..=HOSTS).try_for_each(|host| life.live(&Event::Toggle(host)))?;
            events.iter().try_for_each(|event| life.live(event))?;
            life.end()
        };
        let frames = life().map_err(|error| TestCaseError::fail(format!("{error:#}")))?;
        println!("life {}: {} events, {frames} frames", lives.get(), events.len());
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
