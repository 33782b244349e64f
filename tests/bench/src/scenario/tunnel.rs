//! One tunnel, from the request to the number that is read back, with none and with many tunnels on the host.

use anyhow::Result;

use crate::ground::{Ground, Race};
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
    let mut ground = Ground::with_ovsdbapp("tunnel")?;
    ground.turn(Who::Daemon)?;
    ground.set_up(Who::Daemon, &Network::new(DAEMONS, 9001, 0))?;
    ground.turn(Who::Command)?;
    ground.set_up(Who::Command, &Network::new(OTHERS, 9002, 0))?;
    let (mut found, mut there, mut curves) = (Found::default(), 0, Vec::new());
    for &count in &scale.host_tunnels {
        ground.turn(Who::Daemon)?;
        while there < count {
            let some = scale.tunnels_per_network.min(count - there);
            ground.set_up(Who::Daemon, &network(there / scale.tunnels_per_network, some))?;
            there += some;
        }
        crate::progress(&format!("one tunnel with {count} on the host"));
        let race = race(&mut ground, scale, count)?;
        found.lines.extend(lines(&race, count));
        curves.push((count, race));
    }
    found.curves = Who::ALL.iter().map(|who| curve(*who, &curves)).collect();
    Ok(found)
}

/// Each makes the same tunnel in turn, and it is removed again.
fn race(ground: &mut Ground, scale: &Scale, there: usize) -> Result<Race> {
    let mut race = Race::default();
    // The longer each takes, the fewer rounds.
    let rounds = if there > 2000 { scale.rounds.div_ceil(2) } else { scale.rounds };
    for round in 0..rounds {
        for who in Who::ALL {
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
    let there = crate::page::grouped(there);
    let line = |what: &str, figure: fn(&Samples) -> f64| {
        let line = race.line("tunnel", &format!("one tunnel, {there} on the host: {what}"), figure);
        line.at_most_times(Who::Command, 1.3, "the bare command").faster_than(Who::Plugin, 8.0)
    };
    [line("median", Samples::median), line("p99", Samples::p99)]
}

fn curve(who: Who, races: &[(usize, Race)]) -> Curve {
    // Counts of tunnels are small.
    #[allow(clippy::cast_precision_loss)]
    let points = races.iter().map(|(there, race)| (*there as f64, race.get(who).median())).collect();
    Curve { plot: Plot::OneTunnel, name: who.label().to_owned(), points }
}
