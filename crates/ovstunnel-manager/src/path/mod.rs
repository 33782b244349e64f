//! Why A does not reach B: each step of the way there and back, with what was seen and what to do.
//!
//! What it does: takes what the proofs found of both hosts, asks both daemons where a frame comes out, and says which step is the first
//! that fails. What it must not do: send a frame, or change anything.

mod asked;
mod steps;

use std::time::{Duration, Instant};

use ovstunnel_manager_api::{Path, PathStep, StepResult};
use ovstunnel_types::GreKey;
use time::OffsetDateTime;

use crate::hosts::Hosts;
use crate::sweep::Sweeper;
use crate::zone::{End, Zone, format_time};
use asked::{Asked, Frame};

/// How long both hosts together may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Addresses that no VM has, for frames whose sender or receiver is not known: a frame to the second one goes to all.
const SOURCE: &str = "02:00:00:00:00:01";
const DESTINATION: &str = "02:00:00:00:00:02";

/// Looks at the way between two ends in the network with this key.
pub async fn examine_path(zone: &Zone, hosts: &Hosts, key: GreKey, from: &End, to: &End) -> Path {
    let (started, asked) = (Instant::now(), format_time(OffsetDateTime::now_utc()));
    let (near, far) = (zone.path_side(key, from.host, to.host), zone.path_side(key, to.host, from.host));
    let is_one_host = from.host == to.host;
    let mac = |end: &End| end.nic.as_ref().and_then(|nic| nic.mac.map(|mac| mac.to_string()));
    let (here, there) = tokio::join!(
        Asked::ask_host(hosts, &near, mac(from), PATIENCE),
        Asked::ask_host(hosts, &far, mac(to), PATIENCE)
    );
    let mut steps = steps::of_side(&near, (key, zone));
    steps.extend(steps::vif_step(&near, &here, from.nic.as_ref()));
    if !is_one_host {
        steps.extend(steps::tunnel_steps(&near, &far, (key, zone)));
        steps.extend(steps::of_side(&far, (key, zone)));
        steps.extend(steps::tunnel_steps(&far, &near, (key, zone)));
        steps.extend(steps::counter_steps([(from.host, &near), (to.host, &far)], (key, zone)));
        steps.extend(steps::bfd_steps([(from.host, &near), (to.host, &far)], (key, zone)));
        steps.push(steps::mtu_step(&near, &far, zone.guest_mtu(key)));
        steps.push(steps::ipv6_step(&near, &far));
    }
    steps.extend(steps::vif_step(&far, &there, to.nic.as_ref()));
    let frame = |source: &End, destination: &End| Frame {
        source: mac(source).unwrap_or_else(|| SOURCE.to_owned()),
        destination: mac(destination).unwrap_or_else(|| DESTINATION.to_owned()),
    };
    let (ahead, back) = (frame(from, to), frame(to, from));
    let way = steps::Way { near: (&near, &here), far: (&far, &there), is_one_host };
    let frames = tokio::join!(way.frame_steps(&ahead), way.reversed().frame_steps(&back));
    steps.extend(frames.0.into_iter().chain(frames.1));
    let (reachable, first_failure) = path_verdict(&steps);
    Path {
        network: zone.network_name(key),
        from: from.to_wire(),
        to: to.to_wire(),
        reachable,
        first_failure,
        steps,
        asked,
        took: (started.elapsed().as_secs_f64() * 1e4).round() / 1e4,
    }
}

/// Adds what becomes of real frames, there and back.
pub async fn probe_path(path: Path, sweeper: &Sweeper, key: GreKey, (from, to): (&End, &End)) -> Path {
    let started = Instant::now();
    let sent = sweeper.probe_between(key, from.host, to.host).await;
    let mut steps = path.steps;
    steps.extend(sent.into_iter().map(|((sender, _), came)| {
        let end = if sender == from.host { from } else { to };
        steps::sent_step(&end.name, came)
    }));
    let (reachable, first_failure) = path_verdict(&steps);
    let took = ((path.took + started.elapsed().as_secs_f64()) * 1e4).round() / 1e4;
    Path { reachable, first_failure, steps, took, ..path }
}

/// Whether frames pass, and the first step that fails.
fn path_verdict(steps: &[PathStep]) -> (Option<bool>, Option<u32>) {
    let first = steps.iter().position(|step| step.result == StepResult::Fail);
    let is_known = steps.iter().all(|step| step.result == StepResult::Ok);
    let reachable = if first.is_some() { Some(false) } else { is_known.then_some(true) };
    (reachable, first.and_then(|first| u32::try_from(first).ok()))
}
