//! `[tunnel] forget_after` on real switches: a host that has left is forgotten by those that still hear each other, and is there again when it
//! is asked for; one with which BFD never was up stays and is told.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovstunnel_api::{Finding, Id, Ipv6Policy, Level, Outcome, PostTunnel, PutBfd};
use ovstunnel_e2e::{Cloud, Network};
use ovstunnel_lab::{Kind, Probe, Vm, wait_until};

const PATIENCE: Duration = Duration::from_secs(120);

const HOSTS: [usize; 3] = [1, 2, 3];

/// Three hosts that forget after a few seconds, with two networks and a VM of each on each.
struct Forgetful {
    cloud: Cloud,
    networks: [Network; 2],
    /// Each VM, with its network and its host.
    vms: Vec<(Vm, i64, usize)>,
}

impl Forgetful {
    fn new(tag: &str) -> Result<Self> {
        let cloud = Cloud::new(tag, HOSTS.len())?;
        for node in cloud.nodes() {
            let text = std::fs::read_to_string(node.config_file())?;
            std::fs::write(node.config_file(), format!("{text}\n[tunnel]\nforget_after = \"10s\"\n"))?;
            node.stop()?;
            node.start()?;
        }
        HOSTS.into_iter().try_for_each(|number| cloud.wait_until_ready(number))?;
        let (networks, mut vms) = ([1, 2].map(|n| Network::numbered(n, Ipv6Policy::Allow)), Vec::new());
        for network in &networks {
            cloud.mesh(network, &HOSTS)?;
            for host in HOSTS {
                let number = u16::try_from(vms.len())? + 1;
                vms.push((cloud.plug(network, host, number)?, network.key, host));
            }
        }
        Ok(Forgetful { cloud, networks, vms })
    }

    /// Frames of the VMs on these hosts reach each other one of their network there exactly once.
    fn expect_frames_once(&self, hosts: &[usize]) -> Result<()> {
        let on_hosts = || self.vms.iter().filter(|(_, _, host)| hosts.contains(host));
        for (vm, network, _) in on_hosts() {
            let others = on_hosts().filter(|(other, of, _)| of == network && other.name() != vm.name());
            let others: Vec<&Vm> = others.map(|(other, ..)| other).collect();
            let probes = Kind::FLOODED.map(|kind| Probe::new(vm, kind));
            self.cloud.lab().deliver_all(&probes)?.iter().try_for_each(|delivery| delivery.expect_once_at(&others))?;
        }
        Ok(())
    }
}

/// Has BFD run between each two hosts in the first network, as a manager would.
fn run_bfd(cloud: &Cloud, network: &Network) -> Result<()> {
    for host in HOSTS {
        let others = HOSTS.into_iter().filter(|other| *other != host);
        let ports = others.map(|other| format!("t{}-{host}-{other}", network.key)).collect();
        let (body, bridge) = (PutBfd { ports, interval: None }, network.bridge.clone());
        cloud.call(host, move |client| async move { client.put_bfd(&bridge, &body).await })??;
    }
    Ok(())
}

fn wait_for_bfd(cloud: &Cloud, network: &Network) -> Result<()> {
    wait_until("BFD between all", PATIENCE, || {
        for host in HOSTS {
            let bridge = network.bridge.clone();
            let bridge = cloud.call_on_host(host, move |client| async move { client.bridge(&bridge).await })??;
            let up = bridge.tunnels.iter().filter(|tunnel| tunnel.bfd.as_ref().is_some_and(|bfd| bfd.forwarding));
            ensure!(up.count() == 2, "host {host}: {:?}", bridge.tunnels);
        }
        Ok(())
    })
}

/// The hosts to which a host has tunnels of a network.
fn peers(cloud: &Cloud, host: usize, network: &Network) -> Result<Vec<String>> {
    let bridge = network.bridge.clone();
    let bridge = cloud.call_on_host(host, move |client| async move { client.bridge(&bridge).await })??;
    Ok(bridge.tunnels.into_iter().map(|tunnel| tunnel.to).collect())
}

/// What the doctor of a host says of who is silent.
fn told(cloud: &Cloud, host: usize) -> Result<Vec<Finding>> {
    let answer = cloud.call_on_host(host, |client| async move { client.doctor(false).await })??;
    Ok(answer.findings.into_iter().filter(|finding| finding.check == "silent_peer").collect())
}

fn wait_until_told(cloud: &Cloud, host: usize, silent: usize, words: &str) -> Result<()> {
    wait_until(format!("host {host} to tell of {silent}"), PATIENCE, || {
        let found = told(cloud, host)?;
        let as_wanted = |finding: &Finding| finding.level == Level::Warn && finding.reason.contains(words);
        ensure!(found.len() == silent && found.iter().all(as_wanted), "{found:?}");
        Ok(())
    })
}

#[test]
fn a_departed_host_is_reported_and_if_bfd_was_up_forgotten() -> Result<()> {
    let forgetful = Forgetful::new("forgets")?;
    let Forgetful { cloud, networks, .. } = &forgetful;

    // BFD has never been up: it is told, and nothing is removed.
    let ping = forgetful.vms[0].0.start_ping(forgetful.vms[1].0.ip(), Duration::from_millis(500))?;
    cloud.node(3)?.host().isolate()?;
    (1..=2).try_for_each(|host| wait_until_told(cloud, host, 1, "BFD with it has not been seen up, so they stay"))?;
    for (host, others) in [(1, ["2", "3"]), (2, ["1", "3"])] {
        for network in networks {
            ensure!(peers(cloud, host, network)? == others);
        }
    }
    ping.stop()?;
    cloud.node(3)?.host().rejoin()?;
    cloud.wait_until_ready(3)?;

    run_bfd(cloud, &networks[0])?;
    wait_for_bfd(cloud, &networks[0])?;
    forgetful.expect_frames_once(&HOSTS)?;

    cloud.node(3)?.host().isolate()?;
    for (host, other) in [(1, "2"), (2, "1")] {
        wait_until(format!("host {host} to forget host 3"), PATIENCE, || {
            for network in networks {
                let peers = peers(cloud, host, network)?;
                ensure!(peers == [other], "{}: {peers:?}", network.bridge);
            }
            Ok(())
        })?;
        let log = cloud.node(host)?.log();
        let line = log.lines().find(|line| line.contains("removing the tunnels to it")).context("it is not logged")?;
        ensure!(line.contains(&format!("t1001-{host}-3")) && line.contains(&format!("t1002-{host}-3")), "{line}");
    }
    // The host that is cut off hears nobody, and so forgets nobody.
    wait_until_told(cloud, 3, 2, "of 2 hosts with which BFD has been up 0 answer")?;
    ensure!(peers(cloud, 3, &networks[0])? == ["1", "2"] && peers(cloud, 3, &networks[1])? == ["1", "2"]);
    forgetful.expect_frames_once(&[1, 2])?;

    cloud.node(3)?.host().rejoin()?;
    cloud.wait_until_ready(3)?;
    for host in [1, 2] {
        let body = PostTunnel {
            from: Id::Number(cloud.node(host)?.id()),
            to: Id::Number(3),
            remote_ip: cloud.node(3)?.host().ip().to_string(),
            key: None,
            network_uuid: None,
        };
        let bridge = networks[0].bridge.clone();
        let made = cloud.call(host, move |client| async move { client.post_tunnel(&bridge, &body).await })??;
        ensure!(made.outcome == Outcome::Created, "{made:?}");
        ensure!(cloud.join(&networks[1], host, &HOSTS)?.outcome == Outcome::Updated);
    }
    cloud.lab().announce_all()?;
    forgetful.expect_frames_once(&HOSTS)
}
