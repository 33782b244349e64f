//! A network of the specification's size: set up by one request, one of its tunnels removed, its bridge removed.
//!
//! The plugin's commands would take many minutes for it: what they cost is measured on the same bridge at several sizes, and
//! what lies between is interpolated. The table says so.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::contender::{command, plugin};
use crate::ground::{Ground, Race, config, native_config};
use crate::page::grouped;
use crate::report::{Found, Goal, Line, Unit, Who};
use crate::rows::{self, Network, Tunnel};
use crate::scale::Scale;
use crate::stats::Samples;

/// Sizes at which the plugin's commands are measured, as parts of the whole.
const SIZES: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// Tunnels made by the plugin's commands at each of them.
const AT_EACH: usize = 2;

/// Those who set the whole network up, in turn.
const IN_FULL: [Who; 4] = [Who::Daemon, Who::Command, Who::Database, Who::Ovsdbapp];

/// What is timed.
#[derive(Default)]
struct Times {
    set_up: Race,
    remove: Race,
    remove_bridge: Race,
}

pub fn run(scale: &Scale) -> Result<Found> {
    let (mut ground, mut times) = in_full(Ground::with_ovsdbapp("network", config())?, scale)?;
    crate::progress("the same by the plugin's commands, at several sizes");
    ground.turn(Who::Plugin)?;
    let by_plugin = by_plugin(&mut ground, &network(Who::Plugin, scale), &mut times)?;
    Ok(Found { lines: lines(&times, by_plugin, scale), curves: vec![] })
}

/// The same by a daemon that writes without programs; by the plugin's commands it is not measured again.
pub fn natively(scale: &Scale) -> Result<Vec<Line>> {
    let (_ground, Times { set_up, remove, remove_bridge }) =
        in_full(Ground::with_ovsdbapp("nnetwork", native_config())?, scale)?;
    let count = grouped(scale.network);
    let line = |race: &Race, what: String, limit| {
        race.median("native", &format!("natively: {what}")).at_most_times(Who::Database, limit, "the bare transaction")
    };
    Ok(vec![
        line(&set_up, format!("a network with {count} tunnels by one PUT"), 1.1),
        line(&remove, format!("remove one of {count} tunnels"), 1.3),
        line(&remove_bridge, format!("remove the bridge with {count} tunnels"), 1.3),
    ])
}

/// Whoever can do the whole of it, in turn.
fn in_full(mut ground: Ground, scale: &Scale) -> Result<(Ground, Times)> {
    let mut times = Times::default();
    for round in 1..=scale.network_rounds {
        crate::progress(&format!("a network of {} tunnels, round {round}", grouped(scale.network)));
        for who in IN_FULL {
            ground.turn(who)?;
            if who == Who::Daemon {
                ground.catch_up()?;
            }
            let network = network(who, scale);
            times.set_up.push(who, ground.set_up(who, &network)?);
            for tunnel in spread(&network.tunnels, scale.removals) {
                times.remove.push(who, ground.remove(who, &network.bridge, tunnel)?);
            }
            times.remove_bridge.push(who, ground.remove_bridge(who, &network.bridge)?);
        }
    }
    Ok((ground, times))
}

fn network(who: Who, scale: &Scale) -> Network {
    Network::new(if who == Who::Daemon { "xapi5001" } else { "others5001" }, 5001, scale.network)
}

/// Some of the tunnels, from all parts of the network.
fn spread(tunnels: &[Tunnel], count: usize) -> impl Iterator<Item = &Tunnel> {
    tunnels.iter().step_by(tunnels.len().div_ceil(count.max(1)).max(1))
}

/// How long the plugin's commands take for the whole network, by the trapezoids between the sizes at which they are measured.
fn by_plugin(ground: &mut Ground, network: &Network, times: &mut Times) -> Result<f64> {
    let (host, bridge) = (ground.host()?, network.bridge.as_str());
    let bare = plugin::set_up_bridge(&host, network)?;
    let (mut made, mut costs) = (0, Vec::new());
    let mut last = &network.tunnels[..0];
    for size in SIZES {
        // A share of a small count.
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let from = (size * network.tunnels.len().saturating_sub(AT_EACH) as f64) as usize;
        let (filled, rest) = network.tunnels.split_at(from.max(made));
        command::add_all_if_any(&host, bridge, &filled[made..])?;
        last = &rest[..AT_EACH.min(rest.len())];
        let took = last.iter().map(|tunnel| ground.add(Who::Plugin, bridge, tunnel)).sum::<Result<Duration>>()?;
        made = filled.len() + last.len();
        costs.push((filled.len(), took.as_secs_f64() / last.len().max(1) as f64));
    }
    for tunnel in last {
        times.remove.push(Who::Plugin, ground.remove(Who::Plugin, bridge, tunnel)?);
    }
    times.remove_bridge.push(Who::Plugin, ground.remove_bridge(Who::Plugin, bridge)?);
    Ok(bare.as_secs_f64() + area(&costs, network.tunnels.len()))
}

/// What lies below a curve of (tunnels there, seconds for one more), up to `end` tunnels.
fn area(costs: &[(usize, f64)], end: usize) -> f64 {
    // Counts of tunnels are small.
    #[allow(clippy::cast_precision_loss)]
    let between = |a: usize, b: usize, mean: f64| (b - a) as f64 * mean;
    let inner: f64 =
        costs.windows(2).map(|pair| between(pair[0].0, pair[1].0, f64::midpoint(pair[0].1, pair[1].1))).sum();
    inner + costs.last().map_or(0.0, |(from, cost)| between(*from, end, *cost))
}

fn lines(times: &Times, by_plugin: f64, scale: &Scale) -> Vec<Line> {
    let count = grouped(scale.network);
    let (measured, per) = (SIZES.len() * AT_EACH, SIZES.len());
    let note = format!("interpolated from {measured} tunnels at {per} sizes");
    let what = format!("a network with {count} tunnels by one PUT");
    let set_up = times.set_up.median("network", &what).beside(Who::Plugin, by_plugin, 1, Some(&note));
    let removed =
        |race: &Race, what: String| race.median("network", &what).at_most_times(Who::Command, 1.3, "the bare command");
    vec![
        set_up
            .at_most_times(Who::Command, 1.2, "the bare transaction")
            .faster_than(Who::Plugin, 300.0)
            .faster_than(Who::Ovsdbapp, 1.0),
        removed(&times.remove, format!("remove one of {count} tunnels")),
        removed(&times.remove_bridge, format!("remove the bridge with {count} tunnels")),
    ]
}

/// Many requests at the same time, beside one request, and beside one bare command with all the rows.
pub fn concurrent(scale: &Scale) -> Result<Found> {
    let mut ground = Ground::new("concurrent")?;
    let (ours, others) =
        (Network::new("xapi6001", 6001, scale.at_once), Network::new("others6002", 6002, scale.at_once));
    let without = |network: &Network| Network { tunnels: vec![], ..network.clone() };
    ground.turn(Who::Daemon)?;
    ground.set_up(Who::Daemon, &without(&ours))?;
    let (mut all, mut one, mut bare) = (Samples::default(), Samples::default(), Samples::default());
    let rounds = scale.rounds.div_ceil(10);
    for round in 1..=rounds {
        crate::progress(&format!("{} requests at once, round {round} of {rounds}", scale.at_once));
        ground.turn(Who::Daemon)?;
        ground.catch_up()?;
        let first = &ours.tunnels[0];
        one.push(ground.add(Who::Daemon, &ours.bridge, first)?.as_secs_f64());
        ground.remove(Who::Daemon, &ours.bridge, first)?;
        all.push(at_once(&mut ground, &ours)?.as_secs_f64());
        ground.set_up(Who::Daemon, &without(&ours))?;
        ground.turn(Who::Command)?;
        ground.set_up(Who::Command, &without(&others))?;
        bare.push(command::add_all(&ground.host()?, &others.bridge, &others.tunnels)?.as_secs_f64());
        rows::expect(ground.database(), &others.bridge, &others.tunnels, false)?;
        ground.remove_bridge(Who::Command, &others.bridge)?;
    }
    let what = format!("{} tunnels by as many requests at once, until all are answered", scale.at_once);
    let line = Line::new("concurrent", what, Unit::Seconds, all.median(), all.len());
    let line = line.beside(Who::Command, bare.median(), bare.len(), Some("all in one command"));
    let goal = Goal::at_most(all.median() / one.median(), 4.0, "×", "the time of one");
    Ok(Found { lines: vec![line.goal(goal)], curves: vec![] })
}

/// Asks for each tunnel by a request of its own, all at the same time, on connections that are there already.
fn at_once(ground: &mut Ground, network: &Network) -> Result<Duration> {
    let client = ground.cloud.node(1)?.client();
    let (bridge, tunnels) = (network.bridge.clone(), network.tunnels.clone());
    let took = ground.cloud.manager().run(async move {
        let mut asked = tokio::task::JoinSet::new();
        for _ in &tunnels {
            let client = client.clone();
            asked.spawn(async move { client.healthz().await.map(drop) });
        }
        asked.join_all().await.into_iter().collect::<Result<(), _>>()?;
        let (start, mut asked) = (Instant::now(), tokio::task::JoinSet::new());
        for tunnel in tunnels {
            let (client, bridge) = (client.clone(), bridge.clone());
            let body = crate::contender::daemon::body(&tunnel);
            asked.spawn(async move { client.post_tunnel(&bridge, &body).await.map(drop) });
        }
        asked.join_all().await.into_iter().collect::<Result<(), _>>()?;
        anyhow::Ok(start.elapsed())
    })?;
    rows::expect(ground.database(), &network.bridge, &network.tunnels, false)?;
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_is_summed_by_trapezoids() {
        // One second each, then growing to three: 10 + 10 * 2 + the last one at three.
        let costs = [(0, 1.0), (10, 1.0), (20, 3.0)];
        assert!((area(&costs, 21) - 33.0).abs() < 1e-9, "{}", area(&costs, 21));
    }
}
