//! Tunnels of each kind, in turn on one host: one of them, a whole network by one request, and traffic. Must not compare with another program: that is
//! what the parts for GRE do.

use anyhow::Result;
use ovstunnel_api::TunnelKind;

use crate::contender::daemon;
use crate::ground::Ground;
use crate::page::grouped;
use crate::report::{Found, Goal, Line, Unit};
use crate::rows::{Network, Tunnel};
use crate::scale::Scale;
use crate::stats::Samples;

use super::traffic;

const PART: &str = "kinds";

/// How many times as long as over GRE something may take over the others.
const LIMIT: f64 = 1.1;

const KINDS: [(TunnelKind, &str); 3] =
    [(TunnelKind::Gre, "GRE"), (TunnelKind::Vxlan, "VXLAN"), (TunnelKind::Geneve, "Geneve")];

pub fn run(scale: &Scale) -> Result<Found> {
    let ground = Ground::new(PART)?;
    crate::progress("one tunnel of each kind");
    let single = single(&ground, scale)?;
    crate::progress("a network of each kind");
    let whole = whole(&ground, scale)?;
    drop(ground);
    let mut lines = kind_lines("one tunnel", &single);
    lines.extend(kind_lines(&format!("a network with {} tunnels by one PUT", grouped(scale.network)), &whole));
    for (kind, label) in &KINDS[1..] {
        lines.push(traffic::line_of_kind(scale, *kind, label)?);
    }
    Ok(Found { lines, curves: vec![] })
}

/// The bridge of the kind at this place of the list.
fn network(at: usize, tunnels: usize) -> Network {
    let number = 7301 + u32::try_from(at).unwrap_or_default();
    Network::new(&format!("xapi{number}"), number, tunnels)
}

/// One tunnel on a bridge without any, which goes again.
fn single(ground: &Ground, scale: &Scale) -> Result<[Samples; 3]> {
    let mut took: [Samples; 3] = Default::default();
    for (at, (kind, _)) in KINDS.iter().enumerate() {
        daemon::set_up_of_kind(&ground.cloud, &network(at, 0), *kind)?;
    }
    for round in 0..scale.rounds {
        for (at, samples) in took.iter_mut().enumerate() {
            let Network { bridge, key, .. } = network(at, 0);
            let tunnel = Tunnel { key, to: 2 + round as u64 };
            samples.push(daemon::add(&ground.cloud, &bridge, &tunnel)?.as_secs_f64());
            daemon::remove(&ground.cloud, &bridge, &tunnel)?;
        }
    }
    (0..KINDS.len()).try_for_each(|at| daemon::remove_bridge(&ground.cloud, &network(at, 0).bridge).map(drop))?;
    Ok(took)
}

/// A bridge with all its tunnels, which goes again.
fn whole(ground: &Ground, scale: &Scale) -> Result<[Samples; 3]> {
    let mut took: [Samples; 3] = Default::default();
    for _ in 0..scale.network_rounds {
        for (at, (kind, _)) in KINDS.iter().enumerate() {
            let network = network(at, scale.network);
            took[at].push(daemon::set_up_of_kind(&ground.cloud, &network, *kind)?.as_secs_f64());
            daemon::remove_bridge(&ground.cloud, &network.bridge)?;
        }
    }
    Ok(took)
}

/// A line for each kind; those that are not GRE by how many times GRE's time they take.
fn kind_lines(what: &str, took: &[Samples; 3]) -> Vec<Line> {
    let of_gre = took[0].median();
    let line = |(samples, (kind, label)): (&Samples, &(TunnelKind, &str))| {
        let line = Line::new(PART, format!("{what}, {label}"), Unit::Seconds, samples.median(), samples.len());
        let line = line.spread(samples);
        match kind {
            TunnelKind::Gre => line,
            _ => line.goal(Goal::at_most(samples.median() / of_gre, LIMIT, "×", "the time over GRE")),
        }
    };
    took.iter().zip(&KINDS).map(line).collect()
}
