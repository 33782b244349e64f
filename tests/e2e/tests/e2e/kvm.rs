//! CloudStack's KVM agent with `ovstunnel-kvm` in place of its Python program, on real switches: the life of a network with ports as libvirt
//! makes them, five calls at once, a restart of a host, and the way back to the Python program and forth again.

use anyhow::{Context, Result, ensure};
use ovstunnel_api::{Ipv6Policy, TakeoverState};
use ovstunnel_e2e::{Agent, Cloud, Network, NodeConfig, Picture, wait_for_exact_rules};
use ovstunnel_lab::Vm;

const HOSTS: [usize; 3] = [1, 2, 3];

fn network(n: u16) -> Network {
    let key = 1000 + i64::from(n);
    Network { bridge: format!("OVSTunnel{key}"), key, ipv6: Ipv6Policy::Allow }
}

fn cloud(tag: &str) -> Result<Cloud> {
    Cloud::with_config(tag, HOSTS.len(), NodeConfig { ipv6: Ipv6Policy::Allow, ..NodeConfig::default() })
}

/// What a server does before a VM starts on a host: a tunnel there and back to each of the others, or else the set-up alone.
fn prepare(cloud: &Cloud, network: &Network, host: usize, others: &[usize]) -> Result<()> {
    let agent = |number: usize| Ok::<_, anyhow::Error>(Agent::on(cloud.node(number)?));
    agent(host)?.set_up(&network.bridge)?;
    for other in others {
        for (from, to) in [(host, *other), (*other, host)] {
            let ran = agent(from)?.create_tunnel(network.key, cloud.node(to)?)?;
            let name = format!("SUCCESS:t{}-{from}-{to}", network.key);
            ensure!(ran == (0, name), "{from} to {to}: {ran:?}");
        }
    }
    Ok(())
}

/// Every kind of frame from every VM comes to each other one exactly once, IPv6 too.
fn expect_frames_once(cloud: &Cloud, network: &Network, hosts: &[usize], when: &str) -> Result<()> {
    hosts.iter().try_for_each(|host| wait_for_exact_rules(cloud.node(*host)?.host(), network).map(drop))?;
    cloud.lab().announce_all()?;
    for delivery in cloud.lab().deliver_all(&cloud.lab().every_flooded_kind())? {
        delivery.expect_once().context(when.to_owned())?;
    }
    Ok(())
}

fn is_there(cloud: &Cloud, host: usize, bridge: &str) -> Result<bool> {
    Ok(cloud.node(host)?.host().vsctl(["list-br"])?.lines().any(|there| there == bridge))
}

/// A mesh of three with a VM on each, by the agents.
fn started(cloud: &Cloud, network: &Network) -> Result<Vec<Vm>> {
    let start = |host: usize| {
        prepare(cloud, network, host, &(1..host).collect::<Vec<_>>())?;
        Agent::on(cloud.node(host)?).plug(&network.bridge, u16::try_from(host)?)
    };
    HOSTS.into_iter().map(start).collect()
}

#[test]
fn a_network_lives_on_three_hosts_by_the_agent_alone() -> Result<()> {
    let (cloud, network) = (cloud("kvmlife")?, network(1));
    let vms = started(&cloud, &network)?;
    expect_frames_once(&cloud, &network, &HOSTS, "all is set up")?;
    // Another VM starts: all of it is asked for again, set-up excepted, and nothing changes.
    let settled = Picture::of(cloud.node(1)?.host())?;
    ensure!(!Agent::on(cloud.node(1)?).set_up(&network.bridge)?, "the agent calls set-up again");
    prepare(&cloud, &network, 1, &[2, 3])?;
    Picture::of(cloud.node(1)?.host())?.expect(&settled)?;

    // The VM of host 1 moves to host 2; the source keeps bridge and tunnels until a later stop there.
    prepare(&cloud, &network, 2, &[1, 3])?;
    let agent = Agent::on(cloud.node(1)?);
    let told = agent.destroy_bridge(&network.bridge)?;
    ensure!(told.0 == 1 && told.1.contains("vnet1"), "a bridge with a VIF on it: {told:?}");
    vms[0].migrate(cloud.node(2)?.host(), &network.bridge, "vnet9")?;
    Agent::on(cloud.node(2)?).mark_as_libvirt("vnet9", 9)?;
    expect_frames_once(&cloud, &network, &[1, 2, 3], "the VM has moved")?;
    for _ in 0..2 {
        let told = agent.destroy_bridge(&network.bridge)?;
        ensure!(told.0 == 0 && !is_there(&cloud, 1, &network.bridge)?, "{told:?}");
    }
    expect_frames_once(&cloud, &network, &[2, 3], "the network has left a host, and its peers' tunnels stay")?;

    // And back, where the peers' tunnels are there already.
    prepare(&cloud, &network, 1, &[2, 3])?;
    vms[0].migrate(cloud.node(1)?.host(), &network.bridge, "vnet10")?;
    expect_frames_once(&cloud, &network, &HOSTS, "the VM is back")?;

    // A host is restarted: what is in the database is there again, what is in memory is not.
    let node = cloud.node(2)?;
    node.kill();
    node.host().kill_vswitchd();
    node.host().kill_ovsdb();
    node.host().start_ovsdb()?;
    node.host().start_vswitchd()?;
    node.start()?;
    cloud.wait_until_ready(2)?;
    ensure!(!Agent::on(node).set_up(&network.bridge)?, "it is set up still");
    expect_frames_once(&cloud, &network, &HOSTS, "a host was restarted")?;
    for vm in &vms {
        vm.destroy()?;
    }
    for host in HOSTS {
        let told = Agent::on(cloud.node(host)?).destroy_bridge(&network.bridge)?;
        ensure!(told.0 == 0 && !is_there(&cloud, host, &network.bridge)?, "{told:?}");
    }
    Ok(())
}

#[test]
fn five_calls_at_once_end_as_each_alone() -> Result<()> {
    let cloud = cloud("kvmfive")?;
    let agent = Agent::on(cloud.node(1)?);
    let one = |n: u16| -> Result<()> {
        let network = network(n);
        for _ in 0..2 {
            agent.set_up(&network.bridge)?;
            for other in [2, 3] {
                let told = agent.create_tunnel(network.key, cloud.node(other)?)?;
                ensure!(told == (0, format!("SUCCESS:t{}-1-{other}", network.key)), "{told:?}");
            }
        }
        let told = agent.destroy_bridge(&network.bridge)?;
        ensure!(told.0 == 0, "{told:?}");
        agent.set_up(&network.bridge).map(drop)
    };
    std::thread::scope(|scope| {
        let five: Vec<_> = (1..=5).map(|n| scope.spawn(move || one(n))).collect();
        five.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread died"))?)
    })?;
    for n in 1..=5 {
        let (host, bridge) = (cloud.node(1)?.host(), network(n).bridge);
        ensure!(host.vsctl(["list-ports", &bridge])?.trim().is_empty(), "tunnels of a bridge that was destroyed");
        ensure!(agent.is_set_up(&bridge, "1")?, "{bridge}");
    }
    // A tunnel from a host to itself, by its id, is none.
    let (bridge, remote) = (network(1).bridge, cloud.node(2)?.host().ip().to_string());
    let to_itself =
        [("bridge", &*bridge), ("remote_ip", &*remote), ("key", "1001"), ("src_host", "1"), ("dst_host", "1")];
    let told = agent.run("create_tunnel", &to_itself)?;
    ensure!(told.0 == 1 && told.1.starts_with("FAILURE:INVALID_ARGUMENT "), "{told:?}");
    ensure!(cloud.node(1)?.host().vsctl(["list-ports", &bridge])?.trim().is_empty(), "it was made all the same");
    Ok(())
}

/// The Python program comes back, and has a network reach one host more; then it goes again.
#[test]
fn the_way_back_to_the_python_program_and_forth_again() -> Result<()> {
    let (cloud, network) = (cloud("kvmback")?, network(1));
    let (bridge, key) = (network.bridge.as_str(), network.key);
    prepare(&cloud, &network, 1, &[])?;
    prepare(&cloud, &network, 2, &[1])?;
    let mut vms = Vec::new();
    for host in [1, 2] {
        vms.push(Agent::on(cloud.node(host)?).plug(bridge, u16::try_from(host)?)?);
    }
    expect_frames_once(&cloud, &network, &[1, 2], "two hosts are set up")?;
    HOSTS.into_iter().try_for_each(|host| cloud.node(host)?.stop())?;
    vms[0].ping(vms[1].ip(), 3)?.expect_no_loss()?;
    // As the guide has it: spanning tree before the program makes tunnels of its own on bridges of ours.
    for host in [1, 2] {
        ensure!(Agent::on(cloud.node(host)?).is_set_up(bridge, &host.to_string())?, "the agent would set it up again");
        cloud.node(host)?.host().vsctl(["set", "bridge", bridge, "stp_enable=true"])?;
    }
    Agent::on(cloud.node(3)?).python_sets_up(bridge)?;
    for (from, to) in [(3, 1), (3, 2), (1, 3), (2, 3)] {
        Agent::on(cloud.node(from)?).python_creates_tunnel(key, cloud.node(to)?)?;
    }
    // Forth again.
    HOSTS.into_iter().try_for_each(|host| cloud.node(host)?.start())?;
    HOSTS.into_iter().try_for_each(|host| cloud.wait_until_ready(host))?;
    let told = Agent::on(cloud.node(3)?).create_tunnel(key, cloud.node(1)?);
    let told = format!("{:#}", told.err().context("the Python program's tunnels are there")?);
    ensure!(told.contains("ovstunnelctl takeover"), "{told}");
    for host in HOSTS {
        let answer = cloud.call(host, |client| async move { client.takeover(&[]).await })??;
        let of = answer.bridges.iter().find(|taken| taken.bridge == bridge).context("nothing was found")?;
        ensure!(of.state == TakeoverState::TakenOver, "host {host}: {of:#?}");
    }
    // The first of these is called for again, for its list of hosts is the Python program's.
    ensure!(Agent::on(cloud.node(3)?).set_up(bridge)?, "the agent takes it for set up");
    prepare(&cloud, &network, 3, &[1, 2])?;
    vms.push(Agent::on(cloud.node(3)?).plug(bridge, 3)?);
    expect_frames_once(&cloud, &network, &HOSTS, "all three are ours")?;
    for port in cloud.node(1)?.host().vsctl(["list-ports", bridge])?.lines().filter(|port| port.starts_with('t')) {
        let protected = cloud.node(1)?.host().vsctl(["get", "Port", port, "protected"])?;
        ensure!(protected.trim() == "true", "{port}");
    }
    // Also a bridge that was taken over goes as a whole.
    vms[2].destroy()?;
    let told = Agent::on(cloud.node(3)?).destroy_bridge(bridge)?;
    ensure!(told.0 == 0 && !is_there(&cloud, 3, bridge)?, "{told:?}");
    Ok(())
}
