//! One tunnel, from the request to the number that is read back, with none and with many tunnels on the host.

use anyhow::Result;

use crate::ground::{Ground, Race, config, native_config};
use crate::page::grouped;
use crate::report::{Curve, Found, Line, Plot, Who};
use crate::rows::{Network, Tunnel};
use crate::scale::Scale;
use crate::stats::Samples;

/// The bridges on which tunnels are made: the daemon's, and one that is not the daemon's for all others.
const DAEMONS: &str = "xapi9001";
const OTHERS: &str = "others9002";

/// The daemon's networks that are there from the beginning.
fn network(number: usize, tunnels: usize) -> Network {
    let number = u32::try_from(number).unwrap_or_default();
    Network::new(&format!("xapi{number}"), 1001 + number, tunnels)
}

pub fn run(scale: &Scale) -> Result<Found> {
    let races = races(Ground::with_ovsdbapp("tunnel", config())?, scale, &Who::SAME_ROWS)?;
    let lines = races.iter().flat_map(|(there, race)| lines(race, *there)).collect();
    Ok(Found { lines, curves: Who::SAME_ROWS.iter().map(|who| curve(*who, &races)).collect() })
}

/// The same by a daemon that writes without programs.
pub fn natively(scale: &Scale) -> Result<Vec<Line>> {
    let ground = Ground::with_ovsdbapp("ntunnel", native_config())?;
    let races = races(ground, scale, &[Who::Daemon, Who::Command, Who::Database, Who::Ovsdbapp])?;
    Ok(races.iter().flat_map(|(there, race)| native_lines(race, *there)).collect())
}

/// With each number of tunnels on the host, what each takes.
fn races(mut ground: Ground, scale: &Scale, contenders: &[Who]) -> Result<Vec<(usize, Race)>> {
    ground.turn(Who::Daemon)?;
    ground.set_up(Who::Daemon, &Network::new(DAEMONS, 9001, 0))?;
    ground.turn(Who::Command)?;
    ground.set_up(Who::Command, &Network::new(OTHERS, 9002, 0))?;
    let (mut there, mut races) = (0, Vec::new());
    for &count in &scale.host_tunnels {
        ground.turn(Who::Daemon)?;
        while there < count {
            let some = scale.tunnels_per_network.min(count - there);
            ground.set_up(Who::Daemon, &network(there / scale.tunnels_per_network, some))?;
            there += some;
        }
        crate::progress(&format!("one tunnel with {count} on the host"));
        races.push((count, race(&mut ground, scale, count, contenders)?));
    }
    Ok(races)
}

/// Each makes the same tunnel in turn, and it is removed again.
fn race(ground: &mut Ground, scale: &Scale, there: usize, contenders: &[Who]) -> Result<Race> {
    let mut race = Race::default();
    // The longer each takes, the fewer rounds.
    let rounds = if there > 2000 { scale.rounds.div_ceil(2) } else { scale.rounds };
    for round in 0..rounds {
        for &who in contenders {
            // Spread over the rounds.
            let every = rounds.div_ceil(scale.plugin_rounds.max(1));
            if who == Who::Plugin && round % every != 0 {
                continue;
            }
            ground.turn(who)?;
            let (bridge, key) = if who == Who::Daemon { (DAEMONS, 9001) } else { (OTHERS, 9002) };
            let tunnel = Tunnel { key, to: 2 + round as u64 };
            race.push(who, ground.add(who, bridge, &tunnel)?);
            let by = if who == Who::Daemon { who } else { Who::Command };
            ground.remove(by, bridge, &tunnel)?;
        }
    }
    Ok(race)
}

fn lines(race: &Race, there: usize) -> [Line; 2] {
    let what = |what: &str| format!("one tunnel, {} on the host: {what}", grouped(there));
    let judged = |line: Line| line.at_most_times(Who::Command, 1.1, "the bare command").faster_than(Who::Plugin, 8.0);
    [judged(race.median("tunnel", &what("median"))), judged(race.line("tunnel", &what("p99"), Samples::p99))]
}

fn native_lines(race: &Race, there: usize) -> [Line; 2] {
    let what = |what: &str| format!("natively: one tunnel, {} on the host: {what}", grouped(there));
    let judged =
        |line: Line| line.at_most_times(Who::Database, 1.5, "the bare transaction").faster_than(Who::Ovsdbapp, 1.0);
    [judged(race.median("native", &what("median"))), judged(race.line("native", &what("p99"), Samples::p99))]
}

fn curve(who: Who, races: &[(usize, Race)]) -> Curve {
    // Counts of tunnels are small.
    #[allow(clippy::cast_precision_loss)]
    let points = races.iter().map(|(there, race)| (*there as f64, race.get(who).median())).collect();
    Curve { plot: Plot::OneTunnel, name: who.label().to_owned(), points }
}
