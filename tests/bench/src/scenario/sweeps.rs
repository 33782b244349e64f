//! What probes cost: the manager's CPU time while it has all tunnels of a zone probed and BFD run, over hollow hosts that carry each frame; and
//! a real host's part of it. Must not judge what a probe finds.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ovstunnel_api::{PostProbe, ProbeAction};
use ovstunnel_hollow::{Hollow, Manager, Plan, Size, look};

use crate::contender::daemon;
use crate::ground::{Ground, config};
use crate::page::{MANAGER, grouped};
use crate::process::cpu_seconds;
use crate::report::{Found, Goal, Line, Unit};
use crate::rows::Network;
use crate::scale::Scale;

/// The same zone each time.
const SEED: u64 = 1;

/// Tunnels of a host of the reference zone, and bridges that they are on: the average.
const TUNNELS: usize = 178;
const BRIDGES: usize = 10;

/// How often each tunnel is probed, in seconds (docs/adr/0044).
const CYCLE: f64 = 60.0;

pub fn run(scale: &Scale) -> Result<Found> {
    let mut lines = of_the_manager(scale)?;
    lines.extend(of_a_host(scale)?);
    Ok(Found { lines, curves: vec![] })
}

/// A manager that may have hosts probed, until BFD runs everywhere and all tunnels were probed once; then for some time more.
fn of_the_manager(scale: &Scale) -> Result<Vec<Line>> {
    let Size { hosts, tunnels, .. } = scale.zone;
    crate::progress(&format!("{} hollow hosts that carry probes", grouped(hosts)));
    let hollow = Hollow::acting(Plan::new(scale.zone, SEED)?)?;
    let mut manager = Manager::new(&hollow)?;
    manager.register(&hollow)?;
    manager.wait_until_whole(&hollow)?;
    let bridges: usize =
        (0..scale.zone.networks).map(|network| hollow.plan().members(network).len()).filter(|n| *n > 1).sum();
    crate::progress("BFD on one tunnel of each two hosts, and a first sweep of all tunnels");
    let start = Instant::now();
    look("all tunnels to be probed", || {
        let (count, _) = hollow.longest_unsent();
        ensure!(count >= bridges, "{count} of {bridges} bridges");
        Ok(())
    })?;
    let first = start.elapsed().as_secs_f64();
    settle_bfd(&hollow)?;
    crate::progress(&format!("sweeps, for {} s", scale.sweep_seconds));
    hollow.forget_sent();
    let pid = manager.pid()?;
    let (before, probes, start) = (cpu_seconds(pid)?, hollow.counts().probes, Instant::now());
    thread::sleep(Duration::from_secs(scale.sweep_seconds));
    let took = start.elapsed().as_secs_f64();
    let percent = 100.0 * (cpu_seconds(pid)? - before) / took;
    // Requests are counted in thousands.
    #[allow(clippy::cast_precision_loss)]
    let requests = (hollow.counts().probes - probes) as f64 / took;
    // A few seconds can be too short for the first of them.
    look("a tunnel to be probed again", || {
        ensure!(hollow.longest_unsent().0 > 0, "none was");
        Ok(())
    })?;
    let (count, longest) = hollow.longest_unsent();
    ensure!(scale.sweep_seconds < 120 || count >= bridges, "only {count} of {bridges} bridges were probed");
    ensure!(hollow.counts().writes == 0, "something else was written: {:?}", hollow.counts());
    let longest = longest.as_secs_f64();
    let whole = format!("sweeps of all {} tunnels of {} hosts, BFD, counters: CPU", grouped(tunnels), grouped(hosts));
    Ok(vec![
        Line::new(MANAGER, whole, Unit::Percent, percent, 1),
        Line::new(MANAGER, "the same: requests to hosts a second", Unit::Number, requests, 1),
        Line::new(MANAGER, "the same: all tunnels probed for the first time after", Unit::Seconds, first, 1),
        Line::new(MANAGER, "the same: longest time in which a tunnel was not probed", Unit::Seconds, longest, count)
            .goal(Goal::at_most(longest, 120.0, "s", "of all tunnels")),
    ])
}

/// Waits until no host is told of BFD any more.
fn settle_bfd(hollow: &Hollow) -> Result<()> {
    let mut before = (hollow.counts().bfd, Instant::now());
    look("BFD to run", || {
        let now = hollow.counts().bfd;
        if now != before.0 {
            before = (now, Instant::now());
        }
        ensure!(now > 0 && before.1.elapsed() > Duration::from_secs(5), "{now} requests");
        Ok(())
    })
}

/// A host's part: its daemon and what it starts, and its `ovs-vswitchd`, for one probe of all its tunnels each minute.
fn of_a_host(scale: &Scale) -> Result<Vec<Line>> {
    let ground = Ground::with_config("sweeps", config())?;
    let bridges: Vec<Network> = (0..BRIDGES)
        .map(|n| {
            let tunnels = TUNNELS / BRIDGES + usize::from(n < TUNNELS % BRIDGES);
            let key = 1001 + u32::try_from(n).unwrap_or_default();
            Network::new(&format!("xapi{n}"), key, tunnels)
        })
        .collect();
    bridges.iter().try_for_each(|network| daemon::set_up(&ground.cloud, network).map(drop))?;
    ground.cloud.wait_until_ready(1)?;
    crate::progress(&format!("probes of {TUNNELS} tunnels on {BRIDGES} bridges of a real host"));
    let node = ground.cloud.node(1)?;
    let (pid, client) = (node.pid().context("the daemon")?, node.local_client()?);
    let switch = node.host().vswitchd_pid().context("ovs-vswitchd")?;
    let rounds = scale.rounds.div_ceil(5);
    let used = || Ok::<_, anyhow::Error>((cpu_seconds(pid)?, cpu_seconds(switch)?));
    let before = used()?;
    for round in 0..rounds {
        for (n, network) in bridges.iter().enumerate() {
            for action in [ProbeAction::Arm, ProbeAction::Send, ProbeAction::Read] {
                let nonce = format!("02:{:02x}:{:02x}:00:00:01", n, round % 256);
                let size = (action == ProbeAction::Send).then_some(1472);
                let body = PostProbe { action, nonce, seconds: None, size, count: None, tunnels: None };
                let (client, bridge) = (client.clone(), network.bridge.clone());
                let answer = ground.cloud.manager().run(async move { client.probe(&bridge, &body).await })?;
                ensure!(answer.tunnels.len() == network.tunnels.len(), "{action:?} of {}: {answer:?}", network.bridge);
            }
        }
    }
    let after = used()?;
    // A count of rounds is small.
    #[allow(clippy::cast_precision_loss)]
    let share = |seconds: f64| 100.0 * seconds / rounds as f64 / CYCLE;
    let (own, switch) = (share(after.0 - before.0), share(after.1 - before.1));
    let what = format!("a host's part of sweeps, {TUNNELS} tunnels on {BRIDGES} bridges each minute: CPU");
    Ok(vec![
        Line::new(MANAGER, what, Unit::Percent, own + switch, rounds).goal(Goal::at_most(
            own + switch,
            1.0,
            "%",
            "of a core",
        )),
        Line::new(MANAGER, "the same: that of ovs-vswitchd", Unit::Percent, switch, rounds),
    ])
}
