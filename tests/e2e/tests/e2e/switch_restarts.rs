//! `ovs-vswitchd` and `ovsdb-server` are killed and started again, at rest and under a load of requests: everything comes
//! back by itself, and no frame comes twice at any moment.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use ovstunnel_api::{FlowsState, Ipv6Policy};
use ovstunnel_e2e::{Cloud, Dice, Load, Network, NodeConfig, Place, make_devices, no_frame_twice};
use ovstunnel_lab::wait_until;

const BRIDGES: u16 = 100;
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn flows_come_back_after_each_start_of_vswitchd() -> Result<()> {
    let place = Place::new("vswd", NodeConfig::default())?;
    let streams = place.streams()?;
    let (node, host) = (place.node()?, place.host()?);
    let pid = node.pid();
    for _ in 0..2 {
        host.kill_vswitchd();
        host.start_vswitchd()?;
        let started = Instant::now();
        place.wait_until_healed()?;
        println!(
            "vswitchd killed and started: all as it was, frames counted, {:?} after its return",
            started.elapsed()
        );
    }
    host.restart_vswitchd()?;
    place.wait_until_healed()?;
    // Both at once, and while there is no daemon.
    node.kill();
    host.kill_vswitchd();
    host.kill_ovsdb();
    host.start_ovsdb()?;
    host.start_vswitchd()?;
    place.expect_harm()?;
    node.start()?;
    place.cloud.wait_until_ready(1)?;
    place.wait_until_healed()?;
    let pid_after = node.pid();
    ensure!(pid.is_some() && pid != pid_after, "it is a new daemon");
    // The database: the daemon lives on.
    host.kill_ovsdb();
    host.start_ovsdb()?;
    place.wait_until_healed()?;
    ensure!(node.pid() == pid_after, "the daemon has lived on");
    println!("{}", no_frame_twice(streams)?);
    place.cloud.lab().expect_no_duplicates()
}

/// All bridges of host 1 have their flows, as the daemon knows; it knows from its own writes and dumps alone.
fn all_in_sync(cloud: &Cloud) -> Result<()> {
    let client = cloud.node(1)?.local_client()?;
    let seen = cloud.manager().run(async move { client.bridges().await })?;
    let in_sync = seen.bridges.iter().filter(|bridge| bridge.flows.state == FlowsState::InSync).count();
    ensure!(in_sync == usize::from(BRIDGES), "{in_sync} in sync");
    Ok(())
}

fn set_up_at_once(cloud: &Cloud, networks: &[Network]) -> Result<()> {
    let client = cloud.node(1)?.local_client()?;
    let requests = networks.iter().map(|network| {
        let (client, bridge) = (client.clone(), network.bridge.clone());
        let body = cloud.membership(network, 1, &[1])?;
        Ok(cloud.manager().spawn(async move { client.put_bridge(&bridge, &body).await }))
    });
    let requests = requests.collect::<Result<Vec<_>>>()?;
    requests.into_iter().try_for_each(|request| cloud.manager().run(request)?.map(drop).map_err(Into::into))
}

#[test]
fn a_hundred_bridges_have_their_flows_back() -> Result<()> {
    let cloud = Cloud::new("hundred", 1)?;
    let host = cloud.node(1)?.host();
    let networks: Vec<Network> = (1..=BRIDGES).map(|n| Network::numbered(n, Ipv6Policy::Drop)).collect();
    set_up_at_once(&cloud, &networks)?;
    let vifs: Vec<String> = networks.iter().map(|network| format!("vif{}.0", network.key)).collect();
    make_devices(host, &vifs)?;
    let plugs = networks.iter().zip(&vifs).map(|(network, vif)| format!("-- add-port {} {vif}", network.bridge));
    host.vsctl(plugs.collect::<Vec<_>>().join(" ").split(' '))?;
    let flows = |network: &Network| ovstunnel_e2e::our_flows(host, &network.bridge);
    // All is in sync, too, before the daemon has seen the VIFs.
    let has_rule = |network: &Network| {
        let flows = flows(network)?;
        ensure!(flows.iter().any(|flow| flow.contains("in_port=1,")), "{} has {flows:?}", network.bridge);
        Ok(())
    };
    wait_until("the rules of all VIFs", PATIENCE, || {
        all_in_sync(&cloud)?;
        networks.iter().try_for_each(has_rule)
    })?;
    let before = networks.iter().map(flows).collect::<Result<Vec<_>>>()?;

    host.kill_vswitchd();
    wait_until("the daemon to notice", PATIENCE, || match all_in_sync(&cloud) {
        Ok(()) => Err(anyhow!("it says that all is well")),
        Err(_) => Ok(()),
    })?;
    host.start_vswitchd()?;
    let started = Instant::now();
    wait_until("all flows", PATIENCE, || all_in_sync(&cloud))?;
    println!(
        "{BRIDGES} bridges have their flows {:?} after vswitchd has taken up its configuration",
        started.elapsed()
    );
    let after = networks.iter().map(flows).collect::<Result<Vec<_>>>()?;
    assert_eq!(before, after);
    Ok(())
}

#[derive(Clone, Copy)]
enum Part {
    Vswitchd,
    Database,
}

/// Kills a part of host 1's switch at random instants under load and starts it again.
fn under_load(tag: &str, part: Part) -> Result<()> {
    let times = std::env::var("OVSTUNNEL_SWITCH_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let place = Place::new(tag, NodeConfig { timeout: "5s".into(), ..NodeConfig::default() })?;
    let (cloud, host) = (&place.cloud, place.host()?);
    let streams = place.streams()?;
    let mut load = Load::new(cloud, 1, &place.network, &[2, 3], 0x5eed)?;
    let mut dice = Dice::new(0xd1ce);
    for n in 0..times {
        let running = load.start(cloud);
        running.wait_for_answers(5)?;
        dice.pause(Duration::from_millis(100));
        match part {
            Part::Vswitchd => host.kill_vswitchd(),
            Part::Database => host.kill_ovsdb(),
        }
        dice.pause(Duration::from_millis(200));
        match part {
            Part::Vswitchd => host.start_vswitchd()?,
            Part::Database => host.start_ovsdb()?,
        }
        load = running.stop(cloud)?;
        cloud.wait_until_ready(1)?;
        load.check(cloud, PATIENCE).map_err(|error| error.context(format!("round {n}")))?;
    }
    place.expect_frames_once()?;
    println!("{times} times: {} requests answered; {}", load.answered(), no_frame_twice(streams)?);
    cloud.lab().expect_no_duplicates()
}

#[test]
fn vswitchd_killed_under_load_loses_nothing() -> Result<()> {
    under_load("vswload", Part::Vswitchd)
}

#[test]
fn the_database_killed_under_load_loses_nothing() -> Result<()> {
    under_load("dbload", Part::Database)
}
