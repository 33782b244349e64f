//! `kill -9` of the daemon at random instants, while callers and a hypervisor change what they can: after each start
//! everything is as the answers said, nothing is left over, and no frame comes twice at any moment.
//!
//! `OVSTUNNEL_KILLS` sets how often (default 15), `OVSTUNNEL_SEED` the throws of the dice.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ovstunnel_e2e::{Dice, Load, NodeConfig, Place, no_frame_twice, number};

#[test]
fn kill_9_at_any_instant_loses_nothing_and_leaves_nothing() -> Result<()> {
    let (kills, seed) = (number("OVSTUNNEL_KILLS", 15), number("OVSTUNNEL_SEED", 1));
    let place = Place::new("kill9", NodeConfig::default())?;
    let (cloud, node) = (&place.cloud, place.node()?);
    let streams = place.streams()?;
    let mut load = Load::new(cloud, 1, &place.network, &[2, 3], seed)?;
    let (mut dice, mut starts) = (Dice::new(!seed), Vec::new());
    for n in 0..kills {
        let running = load.start(cloud);
        // Anything from 'has just begun' to 'has been busy for a while'.
        dice.pause(Duration::from_millis(250));
        node.kill();
        load = running.stop(cloud)?;
        let started = Instant::now();
        node.start()?;
        cloud.wait_until_ready(1)?;
        starts.push(started.elapsed());
        // Ready means that there is nothing left to wait for.
        load.check(cloud, Duration::ZERO).with_context(|| format!("kill {n} of seed {seed}"))?;
    }
    place.expect_frames_once()?;
    starts.sort();
    let slowest = starts.last().copied().unwrap_or_default();
    println!(
        "{kills} kills, {} requests answered; ready and checked after {:?} (median), {slowest:?} (slowest); {}",
        load.answered(),
        starts.get(starts.len() / 2).copied().unwrap_or_default(),
        no_frame_twice(streams)?
    );
    cloud.lab().expect_no_duplicates()
}
