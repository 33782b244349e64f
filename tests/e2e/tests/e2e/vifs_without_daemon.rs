//! VIFs that come and go while no daemon runs, or one that hangs; helpers that are killed at any instant, and many at once.
//! In all cases the end state is the same, and nothing of ours is left running.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_e2e::{
    Cloud, Helper, Network, Node, Snapshot, database_file, exact_rules, expect_no_strays, make_devices, our_flows,
    plug_all, program, unplug_all, wait_for_exact_rules,
};
use ovstunnel_lab::Signal;

const VIFS: usize = 50;
const BRIDGES: usize = 5;

/// Five networks on one host, and fifty devices for them.
struct Place {
    cloud: Cloud,
    networks: Vec<Network>,
    vifs: Vec<(String, String)>,
}

impl Place {
    fn new(tag: &str) -> Result<Self> {
        let cloud = Cloud::new(tag, 1)?;
        let networks: Vec<Network> =
            (1..=u16::try_from(BRIDGES)?).map(|n| Network::numbered(n, Ipv6Policy::Drop)).collect();
        for network in &networks {
            cloud.join(network, 1, &[1])?;
        }
        let vifs: Vec<(String, String)> =
            (0..VIFS).map(|n| (format!("vif{n}.0"), networks[n % BRIDGES].bridge.clone())).collect();
        make_devices(cloud.node(1)?.host(), &vifs.iter().map(|(vif, _)| vif.clone()).collect::<Vec<_>>())?;
        Ok(Place { cloud, networks, vifs })
    }

    fn node(&self) -> Result<&Node> {
        self.cloud.node(1).map(AsRef::as_ref)
    }

    /// Waits until all bridges have the rules of `each` VIFs.
    fn wait_for(&self, each: usize) -> Result<()> {
        self.networks.iter().try_for_each(|network| {
            let there = wait_for_exact_rules(self.node()?.host(), network)?;
            ensure!(there.len() == each, "{} has {there:?}", network.bridge);
            Ok(())
        })
    }

    /// Runs a helper for each VIF, all at the same time.
    fn helpers(&self, action: &str) -> Result<()> {
        let helper = Helper::on(self.node()?)?;
        let run = |vif: &String| helper.run(&[action, vif]).map(drop);
        thread::scope(|scope| {
            let all: Vec<_> = self.vifs.iter().map(|(vif, _)| scope.spawn(|| run(vif))).collect();
            all.into_iter().try_for_each(|one| one.join().ok().context("a helper's thread panicked")?)
        })
    }

    /// Starts the daemon, which must find nothing to do.
    fn start_and_find_nothing(&self) -> Result<()> {
        let node = self.node()?;
        let (rows, switch) = (database_file(node.host())?, Snapshot::of(node.host())?);
        let before = node.log().len();
        node.start()?;
        self.cloud.wait_until_ready(1)?;
        ensure!(database_file(node.host())? == rows, "the daemon has written to the database");
        switch.expect_same(&Snapshot::of(node.host())?)?;
        let log = node.log().split_off(before);
        ensure!(log.contains("nothing differs"), "{log}");
        Ok(())
    }
}

#[test]
fn fifty_helpers_without_a_daemon_bring_the_same_end_state() -> Result<()> {
    let place = Place::new("nodaemon")?;
    let node = place.node()?;
    node.stop()?;
    for round in 0..2 {
        plug_all(node.host(), &place.vifs)?;
        place.helpers("add")?;
        place.wait_for(VIFS / BRIDGES)?;
        if round == 0 {
            unplug_all(node.host(), &place.vifs)?;
            place.helpers("remove")?;
            place.wait_for(0)?;
        }
    }
    expect_no_strays(node)?;
    let log = node.log();
    let looks = log.matches("reconcile run done").count();
    let stood_back = log.matches("another --once waits").count();
    println!("150 helpers without a daemon: {looks} looked, {stood_back} left it to another that waited");
    ensure!(looks + stood_back == 3 * VIFS && looks < VIFS, "{looks} looks, {stood_back} stood back");
    place.start_and_find_nothing()?;
    // With the daemon, and all at once.
    unplug_all(node.host(), &place.vifs)?;
    place.helpers("remove")?;
    place.wait_for(0)?;
    expect_no_strays(node)
}

#[test]
fn helpers_killed_at_any_instant_leave_no_trace() -> Result<()> {
    let place = Place::new("killhelp")?;
    let (node, helper) = (place.node()?, Helper::on(place.node()?)?);
    let network = &place.networks[0];
    let ours: Vec<(String, String)> =
        place.vifs.iter().filter(|(_, bridge)| *bridge == network.bridge).cloned().collect();
    plug_all(node.host(), &ours)?;
    wait_for_exact_rules(node.host(), network)?;
    for daemon in [true, false] {
        if !daemon {
            node.stop()?;
        }
        for n in 0..24u64 {
            // As xapi does; then the event, whose helper does not live long.
            let vif = &ours[n as usize % ours.len()].0;
            let ofport = format!("in_port={}", node.host().wait_for_ofport(vif)?);
            node.host().ofctl(["del-flows", &network.bridge, &ofport])?;
            let mut child = helper.start(&["add", vif])?;
            // From 'before it does anything' to 'when it is done', in steps of its life.
            thread::sleep(Duration::from_micros(400 * n));
            let _ = child.kill();
            child.wait()?;
            if !daemon && n % 3 == 0 {
                kill_once(node)?;
            }
        }
        // The next event that gets through puts everything in order, whatever the others came to.
        helper.run(&["add", &ours[0].0])?;
        let there = wait_for_exact_rules(node.host(), network)?;
        assert_eq!(there.len(), ours.len(), "with a daemon: {daemon}");
        expect_no_strays(node)?;
        exact_rules(node.host(), network)?;
    }
    place.start_and_find_nothing()
}

/// Kills every `ovstunneld --once` of the host that runs at this instant.
fn kill_once(node: &Node) -> Result<()> {
    let mut pids = std::process::Command::new("ip");
    pids.args(["netns", "pids", node.host().netns().name()]);
    for pid in ovstunnel_lab::run(pids, ovstunnel_lab::DEADLINE)?.lines() {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if line.contains("--once") {
            let _ = node.host().run("kill", ["-KILL", pid]);
        }
    }
    Ok(())
}

#[test]
fn a_daemon_that_hangs_delays_nobody_and_is_stood_in_for() -> Result<()> {
    let place = Place::new("hang")?;
    let (node, helper) = (place.node()?, Helper::on(place.node()?)?);
    node.signal(Signal::SIGSTOP)?;
    plug_all(node.host(), &place.vifs)?;
    let start = Instant::now();
    ensure!(helper.run(&["add", "vif0.0"])?.contains("did not answer within 2s"));
    let took = start.elapsed();
    ensure!(took < Duration::from_secs(6), "the helper took {took:?}");
    place.wait_for(VIFS / BRIDGES)?;
    let flows: Vec<String> =
        place.networks.iter().map(|n| our_flows(node.host(), &n.bridge)).collect::<Result<Vec<_>>>()?.concat();
    node.signal(Signal::SIGCONT)?;
    // It catches up with its mirror and writes what is there already, or nothing.
    unplug_all(node.host(), &place.vifs[..1])?;
    wait_for_exact_rules(node.host(), &place.networks[0])?;
    plug_all(node.host(), &place.vifs[..1])?;
    place.wait_for(VIFS / BRIDGES)?;
    ensure!(flows.len() == BRIDGES * (7 + VIFS / BRIDGES), "{flows:?}");
    expect_no_strays(node)
}

#[test]
fn looking_once_beside_a_busy_daemon_disturbs_neither() -> Result<()> {
    let place = Place::new("beside")?;
    let node = place.node()?;
    let once = || {
        let mut command = node.host().command(program("ovstunneld")?);
        command.arg("--once").arg("--config").arg(node.config_file());
        ovstunnel_lab::run(command, Duration::from_secs(60)).map(drop)
    };
    thread::scope(|scope| -> Result<()> {
        let looking: Vec<_> = (0..3).map(|_| scope.spawn(|| (0..5).try_for_each(|_| once()))).collect();
        for _ in 0..3 {
            plug_all(node.host(), &place.vifs)?;
            place.helpers("add")?;
            for (n, network) in (0..).zip(&place.networks) {
                let body = ovstunnel_e2e::tunnel_to(n + 2);
                let bridge = network.bridge.clone();
                place.cloud.call(1, move |client| async move { client.post_tunnel(&bridge, &body).await })??;
            }
            unplug_all(node.host(), &place.vifs)?;
        }
        looking.into_iter().try_for_each(|one| one.join().ok().context("--once panicked")?)
    })?;
    plug_all(node.host(), &place.vifs)?;
    place.wait_for(VIFS / BRIDGES)?;
    ensure!(!node.log().contains("repair postponed"), "{}", node.log());
    expect_no_strays(node)
}
