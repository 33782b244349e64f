//! Bad days of the switch itself: `ovs-vswitchd` down or ending half-way, the database down and back, a tunnel that it
//! refuses. Each answer must be true of what is found in the switch afterwards.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_api::{Code, FlowsState, Ipv6Policy, Outcome, TunnelState};
use ovstunnel_client::Client;
use ovstunnel_e2e::{Cloud, Network, NodeConfig, Snapshot, database_file, problem, tunnel_to, tunnels_to};
use ovstunnel_lab::wait_until;

const SOON: Duration = Duration::from_secs(20);

/// Every request that changes something, one by one: each must fail with `code`.
fn every_change_fails(cloud: &Cloud, code: Code) -> Result<()> {
    let answers = cloud.call_on_host(1, |client: Client| async move {
        vec![
            ("a new bridge", client.put_bridge("xapi2", &tunnels_to(1002, &[2])).await.map(drop)),
            ("more tunnels", client.put_bridge("xapi1", &tunnels_to(1001, &[2, 3])).await.map(drop)),
            ("the same again", client.put_bridge("xapi1", &tunnels_to(1001, &[2])).await.map(drop)),
            ("a tunnel", client.post_tunnel("xapi1", &tunnel_to(3)).await.map(drop)),
            ("no tunnel", client.delete_tunnel("xapi1", "t1001-1-2").await.map(drop)),
            ("no bridge", client.delete_bridge("xapi1").await.map(drop)),
            ("a plan", client.dry_run().delete_bridge("xapi1").await.map(drop)),
            ("a repair", client.reconcile().await.map(drop)),
        ]
    })?;
    for (what, answer) in answers {
        let problem = problem(answer, code).context(what)?;
        ensure!(problem.detail.contains("nothing was changed"), "{what}: {problem:?}");
    }
    let ready = cloud.call_on_host(1, |client| async move { client.readyz().await })??;
    ensure!(!ready.ready && ready.reason.is_some(), "{ready:?}");
    Ok(())
}

fn wait_until_not_ready(cloud: &Cloud) -> Result<()> {
    wait_until("the daemon to notice", SOON, || {
        match cloud.call_on_host(1, |client| async move { client.readyz().await })?? {
            ready if ready.ready => Err(anyhow!("it says that it is ready")),
            _ => Ok(()),
        }
    })
}

#[test]
fn with_vswitchd_down_nothing_is_done_by_halves() -> Result<()> {
    let cloud = Cloud::new("vswdown", 1)?;
    let host = cloud.node(1)?.host().clone();
    let network = Network::numbered(1, Ipv6Policy::Drop);
    cloud.call_on_host(1, |client| async move { client.put_bridge("xapi1", &tunnels_to(1001, &[2])).await })??;
    cloud.plug(&network, 1, 1)?;
    let before = Snapshot::of(&host)?;

    host.kill_vswitchd();
    wait_until_not_ready(&cloud)?;
    let file = database_file(&host)?;
    every_change_fails(&cloud, Code::SwitchUnavailable)?;
    ensure!(database_file(&host)? == file, "something was written to the database");
    let seen = cloud.call_on_host(1, |client| async move { client.bridge("xapi1").await })??;
    ensure!(seen.flows.state == FlowsState::Unknown, "its flows are gone: {:?}", seen.flows);

    host.start_vswitchd()?;
    cloud.wait_until_ready(1)?;
    cloud.wait_for_rules(&network, 1)?;
    before.expect_same(&Snapshot::of(&host)?)?;
    let again =
        cloud.call_on_host(1, |client| async move { client.put_bridge("xapi1", &tunnels_to(1001, &[2])).await })??;
    assert_eq!((again.outcome, again.bridge.flows.state), (Outcome::Unchanged, FlowsState::InSync));
    Ok(())
}

#[test]
fn vswitchd_gone_mid_request_leaves_what_is_answered() -> Result<()> {
    let config = NodeConfig { timeout: "2s".into(), ..NodeConfig::default() };
    let cloud = Cloud::with_config("vswdies", 1, config)?;
    let (node, host) = (cloud.node(1)?, cloud.node(1)?.host().clone());
    host.pause_vswitchd()?;
    let client = node.local_client()?;
    let request = cloud.manager().spawn(async move { client.put_bridge("xapi1", &tunnels_to(1001, &[2, 3])).await });
    wait_until("the row", SOON, || host.vsctl(["--no-wait", "br-exists", "xapi1"]))?;
    host.kill_vswitchd();
    let answer = cloud.manager().run(request)?;
    let unknown = problem(answer, Code::OutcomeUnknown)?;
    let bridge = unknown.bridge.context("the bridge as it is now")?;
    ensure!(bridge.tunnels.iter().all(|tunnel| tunnel.state == TunnelState::Pending), "{bridge:?}");
    ensure!(bridge.tunnels.len() == 2, "{bridge:?}");

    host.start_vswitchd()?;
    cloud.wait_until_ready(1)?;
    cloud.wait_for_rules(&Network::numbered(1, Ipv6Policy::Drop), 1)?;
    let again = cloud
        .call_on_host(1, |client| async move { client.put_bridge("xapi1", &tunnels_to(1001, &[2, 3])).await })??;
    assert_eq!((again.outcome, again.bridge.flows.state), (Outcome::Unchanged, FlowsState::InSync));
    ensure!(again.bridge.tunnels.iter().all(|tunnel| tunnel.state == TunnelState::Up), "{again:?}");
    Ok(())
}

#[test]
fn the_database_comes_back_without_a_daemon_restart() -> Result<()> {
    let cloud = Cloud::new("dbdown", 1)?;
    let (node, host) = (cloud.node(1)?, cloud.node(1)?.host().clone());
    cloud.call_on_host(1, |client| async move { client.put_bridge("xapi1", &tunnels_to(1001, &[2])).await })??;
    let (before, pid) = (Snapshot::of(&host)?, node.pid());

    host.kill_ovsdb();
    wait_until_not_ready(&cloud)?;
    every_change_fails(&cloud, Code::SwitchUnavailable)?;
    for answer in [
        cloud.call_on_host(1, |client| async move { client.bridge("xapi1").await.map(drop) })?,
        cloud.call_on_host(1, |client| async move { client.bridges().await.map(drop) })?,
    ] {
        problem(answer, Code::SwitchUnavailable).context("what is not known must not be told")?;
    }

    host.start_ovsdb()?;
    cloud.wait_until_ready(1)?;
    before.expect_same(&Snapshot::of(&host)?)?;
    let added = cloud.call_on_host(1, |client| async move { client.post_tunnel("xapi1", &tunnel_to(3)).await })??;
    assert_eq!((added.outcome, added.tunnel.state), (Outcome::Created, TunnelState::Up));
    assert_eq!(node.pid(), pid, "the daemon has lived on");
    Ok(())
}

#[test]
fn a_database_gone_mid_request_leaves_it_unknown() -> Result<()> {
    let config = NodeConfig { timeout: "2s".into(), ..NodeConfig::default() };
    let cloud = Cloud::with_config("dbdies", 1, config)?;
    let (node, host) = (cloud.node(1)?, cloud.node(1)?.host().clone());
    host.pause_vswitchd()?;
    let client = node.local_client()?;
    let request = cloud.manager().spawn(async move { client.put_bridge("xapi1", &tunnels_to(1001, &[2])).await });
    wait_until("the row", SOON, || host.vsctl(["--no-wait", "br-exists", "xapi1"]))?;
    // `ovs-vsctl` has written and waits for vswitchd: that it loses the database says nothing about what it wrote.
    host.kill_ovsdb();
    let answer = cloud.manager().run(request)?;
    problem(answer, Code::OutcomeUnknown)?;

    host.resume_vswitchd()?;
    host.start_ovsdb()?;
    cloud.wait_until_ready(1)?;
    let again =
        cloud.call_on_host(1, |client| async move { client.put_bridge("xapi1", &tunnels_to(1001, &[2])).await })??;
    ensure!(matches!(again.outcome, Outcome::Unchanged | Outcome::Updated), "{again:?}");
    assert_eq!(again.bridge.flows.state, FlowsState::InSync);
    Ok(())
}

#[test]
fn a_refused_tunnel_goes_and_the_good_ones_stay() -> Result<()> {
    let cloud = Cloud::new("refused", 1)?;
    let host = cloud.node(1)?.host().clone();
    // The same tunnel for Open vSwitch as ours to host 3, though its key is written differently.
    host.add_bridge("other")?;
    let foreign =
        "add-port other theirs -- set Interface theirs type=gre options:remote_ip=192.0.2.3 options:key=0x3e9";
    host.vsctl(foreign.split_whitespace())?;
    host.wait_for_ofport("theirs")?;
    let theirs = host.vsctl(["list", "Port", "theirs"])?;

    let answer = cloud
        .call_on_host(1, |client| async move { client.put_bridge("xapi1", &tunnels_to(1001, &[2, 3, 4])).await })?;
    let refused = problem(answer, Code::SwitchRefused)?;
    let bad: Vec<_> = refused.refused.iter().map(|bad| (bad.port.as_str(), bad.to.as_str())).collect();
    assert_eq!(bad, [("t1001-1-3", "3")]);
    let words = &refused.refused[0].error;
    ensure!(words.contains("File exists") && refused.detail.contains(words.as_str()), "{refused:?}");
    let there: Vec<_> = refused.bridge.iter().flat_map(|b| &b.tunnels).map(|t| (t.port.as_str(), t.state)).collect();
    assert_eq!(there, [("t1001-1-2", TunnelState::Up), ("t1001-1-4", TunnelState::Up)]);
    let ports = host.vsctl(["list-ports", "xapi1"])?;
    assert_eq!(ports.lines().collect::<Vec<_>>(), ["t1001-1-2", "t1001-1-4"]);

    // By itself, beside good ones of the same instant, and again.
    let answer = cloud.call_on_host(1, |client| async move { client.post_tunnel("xapi1", &tunnel_to(3)).await })?;
    problem(answer, Code::SwitchRefused)?;
    assert_eq!(host.vsctl(["list-ports", "xapi1"])?, ports);
    assert_eq!(host.vsctl(["list", "Port", "theirs"])?, theirs, "theirs is untouched");

    host.vsctl(["del-br", "other"])?;
    let good = cloud.call_on_host(1, |client| async move { client.post_tunnel("xapi1", &tunnel_to(3)).await })??;
    assert_eq!((good.outcome, good.tunnel.state), (Outcome::Created, TunnelState::Up));
    Ok(())
}

#[test]
fn a_bridge_named_like_a_device_leaves_nothing() -> Result<()> {
    let cloud = Cloud::new("devname", 1)?;
    let host = cloud.node(1)?.host().clone();
    host.run("ip", ["link", "add", "taken", "type", "bridge"])?;
    let before = Snapshot::of(&host)?;
    let answer =
        cloud.call_on_host(1, |client| async move { client.put_bridge("taken", &tunnels_to(1001, &[2])).await })?;
    let refused = problem(answer, Code::SwitchRefused)?;
    ensure!(refused.detail.contains("could not open network device taken"), "{refused:?}");
    before.expect_same(&Snapshot::of(&host)?)?;
    host.run("ip", ["link", "del", "taken"])?;
    let made =
        cloud.call_on_host(1, |client| async move { client.put_bridge("taken", &tunnels_to(1001, &[2])).await })??;
    assert_eq!(made.outcome, Outcome::Created);
    Ok(())
}
