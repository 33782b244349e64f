//! `[ovs] writes = "native"`: what others change of the flows is told by flow monitors and put right, whatever becomes of the monitors.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_e2e::{Network, NodeConfig, Place};
use ovstunnel_lab::{Host, Signal, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);
const OURS: &str = "cookie=0x6f76737400000000/0xffffffff00000000";

fn native(tag: &str) -> Result<Place> {
    Place::new(tag, NodeConfig { writes: Some("native"), ..NodeConfig::default() })
}

/// Whether this Open vSwitch has flow monitors of OpenFlow 1.4; 2.15 has not.
fn has_monitors(host: &Host) -> Result<bool> {
    Ok(!host.appctl(["version"])?.contains(" 2.15"))
}

/// Waits until so many bridges are monitored, and what is known of their flows is from since then.
fn wait_for_monitors(place: &Place, bridges: f64) -> Result<()> {
    wait_until("flow monitors", PATIENCE, || {
        let monitored = place.metric("ovstunnel_flow_monitors")?;
        let ready = place.metric("ovstunnel_bridge_flows{state=\"in_sync\"}")?;
        ensure!(monitored == bridges && ready == bridges, "{monitored} monitored, {ready} in sync");
        Ok(())
    })
}

fn flows(host: &Host, bridge: &str) -> Result<Vec<String>> {
    let printed = host.ofctl(["--no-stats", "dump-flows", bridge, OURS])?;
    let mut flows: Vec<String> =
        printed.lines().filter(|line| line.contains("actions=")).map(|line| line.trim().to_owned()).collect();
    flows.sort();
    Ok(flows)
}

#[test]
fn what_others_change_of_the_flows_is_told_and_put_right() -> Result<()> {
    let place = native("monitors")?;
    let host = place.host()?;
    if !has_monitors(host)? {
        wait_until("the log to say that there are none", PATIENCE, || {
            ensure!(place.node()?.log().contains("no flow monitor; flows of these bridges are asked for"), "not yet");
            Ok(())
        })?;
        ensure!(place.metric("ovstunnel_flow_monitors")? == 0.0, "there are none");
        host.ofctl(["del-flows", "xapi1", OURS])?;
        return place.wait_until_healed();
    }
    let networks: Vec<Network> = (2..=20).map(|n| Network::numbered(n, Ipv6Policy::Drop)).collect();
    for network in &networks {
        place.cloud.join(network, 1, &[1])?;
    }
    wait_for_monitors(&place, 20.0)?;
    let good = flows(host, "xapi1")?;
    let baseline = "priority=1000,tun_id=1001,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00";
    let one: [&[&str]; 5] = [
        &["--strict", "del-flows", "xapi1", baseline],
        &["del-flows", "xapi1", OURS],
        &["mod-flows", "xapi1", "tun_id=1001,actions=drop"],
        &["add-flow", "xapi1", &format!("cookie=0x77,{baseline},actions=drop")],
        &["-O", "OpenFlow10", "--strict", "mod-flows", "xapi1", &format!("cookie=0x77,{baseline},actions=drop")],
    ];
    for harm in one {
        let started = Instant::now();
        host.ofctl(harm)?;
        wait_until("the flows of one bridge to be back", PATIENCE, || {
            let now = flows(host, "xapi1")?;
            ensure!(now == good, "{harm:?}: {now:#?}, not {good:#?}");
            Ok(())
        })?;
        println!("{harm:?}: back after {:?}", started.elapsed());
    }
    let all =
        |networks: &[Network]| networks.iter().map(|network| flows(host, &network.bridge)).collect::<Result<Vec<_>>>();
    let good = all(&networks)?;
    networks.iter().try_for_each(|network| host.ofctl(["del-flows", &network.bridge]).map(drop))?;
    wait_until("the flows of all bridges to be back", PATIENCE, || {
        ensure!(all(&networks)? == good, "not yet");
        Ok(())
    })?;
    host.restart_vswitchd()?;
    wait_until("the flows of all bridges to be back after a restart", PATIENCE, || {
        ensure!(all(&networks)? == good, "not yet");
        Ok(())
    })?;
    wait_for_monitors(&place, 20.0)?;
    host.ofctl(["del-flows", "xapi7", OURS])?;
    wait_until("the flows to be back by a new monitor", PATIENCE, || {
        ensure!(all(&networks)? == good, "not yet");
        Ok(())
    })?;
    host.ofctl(["add-flow", "xapi1", "priority=0,actions=NORMAL"])?;
    place.expect_frames_once()
}

/// While the daemon does not read, more is told than Open vSwitch keeps for it: it pauses the monitor.
#[test]
fn a_monitor_that_was_paused_is_made_up_for() -> Result<()> {
    let place = native("paused")?;
    let (node, host) = (place.node()?, place.host()?);
    if !has_monitors(host)? {
        return Ok(());
    }
    wait_for_monitors(&place, 1.0)?;
    node.signal(Signal::SIGSTOP)?;
    let many = (0..30_000).map(|n| format!("add cookie=0x77,priority=7,reg1={n},actions=drop\n")).collect::<String>();
    let file = host.rundir().join("many");
    std::fs::write(&file, many)?;
    host.ofctl(["add-flows", "xapi1", &file.display().to_string()])?;
    host.ofctl(["del-flows", "xapi1", OURS])?;
    host.ofctl(["del-flows", "xapi1", "cookie=0x77/-1"])?;
    node.signal(Signal::SIGCONT)?;
    place.wait_until_healed()?;
    wait_for_monitors(&place, 1.0)?;
    // That is told with the next second.
    wait_until("the log to tell of the pause", PATIENCE, || {
        ensure!(node.log().contains("Open vSwitch has paused it"), "it was not paused");
        Ok(())
    })
}

/// Stands between a bridge and whoever connects to it, and can cut all connections.
struct Between(Arc<Mutex<Vec<UnixStream>>>);

impl Between {
    fn new(host: &Host, bridge: &str) -> Result<Self> {
        let (socket, behind) =
            (host.rundir().join(format!("{bridge}.mgmt")), host.rundir().join(format!("{bridge}.behind")));
        std::fs::rename(&socket, &behind).context("the bridge's socket")?;
        let (listener, cut) = (UnixListener::bind(&socket)?, Arc::<Mutex<Vec<UnixStream>>>::default());
        let kept = Arc::clone(&cut);
        std::thread::spawn(move || -> io::Result<()> {
            for ours in listener.incoming() {
                let (ours, theirs) = (ours?, UnixStream::connect(&behind)?);
                kept.lock().unwrap().extend([ours.try_clone()?, theirs.try_clone()?]);
                for (mut from, mut to) in [(ours.try_clone()?, theirs.try_clone()?), (theirs, ours)] {
                    std::thread::spawn(move || {
                        let _ = io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
            Ok(())
        });
        Ok(Between(cut))
    }

    fn cut(&self) {
        for stream in self.0.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

#[test]
fn a_monitor_whose_connection_breaks_is_replaced() -> Result<()> {
    let place = native("cut")?;
    let (node, host) = (place.node()?, place.host()?);
    if !has_monitors(host)? {
        return Ok(());
    }
    node.kill();
    let between = Between::new(host, "xapi1")?;
    node.start()?;
    place.cloud.wait_until_ready(1)?;
    wait_for_monitors(&place, 1.0)?;
    for _ in 0..3 {
        between.cut();
        host.ofctl(["del-flows", "xapi1", OURS])?;
        place.wait_until_healed()?;
        wait_for_monitors(&place, 1.0)?;
    }
    ensure!(node.log().contains("flow monitors have ended"), "it does not say so");
    Ok(())
}

/// Somebody who undoes each repair at once is met at growing distances, up to once a second.
#[test]
fn deleting_our_flows_in_a_loop_does_not_make_the_daemon_spin() -> Result<()> {
    let place = native("fight")?;
    let host = place.host()?;
    if has_monitors(host)? {
        wait_for_monitors(&place, 1.0)?;
    }
    let before = place.metric("ovstunnel_repairs_total")?;
    let (began, mut deleted) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(6) {
        host.ofctl(["del-flows", "xapi1", OURS])?;
        deleted += 1;
    }
    let seconds = began.elapsed().as_secs_f64();
    let repairs = place.metric("ovstunnel_repairs_total")? - before;
    println!("{deleted} times deleted in {seconds:.1} s, {repairs} steps of repair");
    // At 0, 0.1, 0.3, 0.7, 1.5 s and once a second from then on, a step each.
    ensure!(repairs >= 2.0 && repairs <= 6.0 + seconds, "{repairs} repairs of {deleted} deletions in {seconds} s");
    place.wait_until_healed()
}
