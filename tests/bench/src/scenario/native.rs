//! A daemon that writes without programs (`[ovs] writes = "native"`), beside the same others, and what it makes of lost flows.
//!
//! Lines begin with 'natively'. Must not ask the daemon whether flows are back: the switch is asked, on connections that are kept.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ovstunnel_e2e::{Cloud, Node};
use ovstunnel_lab::{Host, Signal};

use super::bridges::{OURS, PATIENCE, ROUNDS, check, each, management, networks, set_up};
use super::healing::{AT_ONCE, SAMPLE, idle, rounds};
use super::{network, restart, tunnel, vif};
use crate::control::Control;
use crate::ground::{lead_somewhere, native_config};
use crate::page::grouped;
use crate::report::{Found, Goal, Line, Unit};
use crate::rows::Network;
use crate::scale::Scale;
use crate::stats::Samples;

/// Between two questions whether flows are back; an answer takes a round of the switch's main loop.
const PAUSE: Duration = Duration::from_millis(1);

pub fn run(scale: &Scale) -> Result<Found> {
    let lines =
        [tunnel::natively(scale)?, network::natively(scale)?, vif::natively(scale)?, many_bridges(scale)?].concat();
    Ok(Found { lines, curves: vec![] })
}

fn many_bridges(scale: &Scale) -> Result<Vec<Line>> {
    let cloud = Cloud::with_config("nbridges", 1, native_config())?;
    let (node, networks) = (Arc::clone(cloud.node(1)?), networks(scale));
    lead_somewhere(node.host())?;
    crate::progress(&format!(
        "natively: {} bridges with {} tunnels each",
        grouped(scale.bridges),
        scale.bridge_tunnels
    ));
    set_up(&cloud, &networks)?;
    check(node.host(), &networks)?;
    let idle = idle(&node, scale)?;
    let idle = Line { scenario: "native".to_owned(), what: format!("natively: {}", idle.what), ..idle };
    Ok(vec![idle, one(node.host(), &networks, scale)?, all(&node, &networks, scale)?, restarts(&cloud, &node, scale)?])
}

/// Open vSwitch's own flow stays: nobody writes that again.
fn delete_ours(host: &Host, network: &Network) -> Result<()> {
    host.ofctl(["del-flows", &management(host, &network.bridge), OURS]).map(drop)
}

fn wait_until_whole(control: &mut Control) -> Result<()> {
    let start = Instant::now();
    while !control.is_whole()? {
        ensure!(start.elapsed() < PATIENCE, "flows are not back");
        thread::sleep(PAUSE);
    }
    Ok(())
}

fn line(what: String, times: &Samples, limit: f64) -> Line {
    let line = Line::new("native", what, Unit::Seconds, times.median(), times.len()).spread(times);
    line.goal(Goal::at_most(times.max(), limit, "s", "at the longest"))
}

fn one(host: &Host, networks: &[Network], scale: &Scale) -> Result<Line> {
    let mut times = Samples::default();
    for (round, network) in (1..=rounds(scale)).zip(networks.iter().cycle().skip(networks.len() / 2)) {
        crate::progress(&format!("natively: the flows of one bridge are deleted, round {round}"));
        let mut control = Control::connect(host, std::iter::once(network.bridge.as_str()))?;
        delete_ours(host, network)?;
        let start = Instant::now();
        wait_until_whole(&mut control)?;
        times.push(start.elapsed().as_secs_f64());
    }
    let what =
        format!("natively: all flows of one of {} bridges deleted: until they are back", grouped(networks.len()));
    Ok(line(what, &times, 0.05))
}

/// The daemon is held while they are deleted: so all are gone at once when it goes on.
fn all(node: &Node, networks: &[Network], scale: &Scale) -> Result<Line> {
    let (host, mut times) = (node.host(), Samples::default());
    let sample = || networks.iter().step_by(networks.len().div_ceil(SAMPLE).max(1)).chain(networks.last());
    for round in 1..=rounds(scale) {
        crate::progress(&format!("natively: the flows of all bridges are deleted, round {round}"));
        let mut control = Control::connect(host, sample().map(|network| network.bridge.as_str()))?;
        node.signal(Signal::SIGSTOP)?;
        each(networks, AT_ONCE, |network| delete_ours(host, network))?;
        let start = Instant::now();
        node.signal(Signal::SIGCONT)?;
        wait_until_whole(&mut control)?;
        times.push(start.elapsed().as_secs_f64());
        check(host, networks)?;
    }
    let what = format!("natively: all flows of {} bridges deleted: until all are back", grouped(networks.len()));
    Ok(line(what, &times, 0.15))
}

fn restarts(cloud: &Cloud, node: &Node, scale: &Scale) -> Result<Line> {
    let (mut times, networks) = (Samples::default(), networks(scale));
    for round in 1..=ROUNDS.min(scale.rounds) {
        crate::progress(&format!("natively: a restart of the switch, round {round}"));
        times.push(restart::restart(cloud, node)?.as_secs_f64());
        check(node.host(), &networks)?;
    }
    let what = format!("natively: flows of {} bridges back after a restart of ovs-vswitchd", grouped(networks.len()));
    Ok(line(what, &times, 0.3))
}
