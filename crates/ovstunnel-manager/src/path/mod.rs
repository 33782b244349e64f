//! Why A does not reach B: each step of the way there and back, with what was seen and what to do.
//!
//! What it does: takes what the proofs found of both hosts, asks both daemons where a frame comes out, and says which step is the first
//! that fails. What it must not do: send a frame, or change anything.

mod asked;
mod guests;
mod packets;
mod step;
mod steps;

use std::time::{Duration, Instant};

use ovstunnel_manager_api::{Path, PathStep, StepResult};
use ovstunnel_types::HostNumber;
use time::OffsetDateTime;

use crate::hosts::Hosts;
use crate::sweep::Sweeper;
use crate::zone::{End, Meeting, Side, Zone, format_time};
use asked::{Asked, Frame};
pub use packets::PacketKind;

/// How long both hosts together may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Addresses that no VM has, for frames whose sender or receiver is not known: a frame to the second one goes to all.
const SOURCE: &str = "02:00:00:00:00:01";
const DESTINATION: &str = "02:00:00:00:00:02";

/// Looks at the way between two ends in these networks. Between two tiers of a VPC a packet of this kind is followed.
pub async fn examine_path(
    zone: &Zone,
    hosts: &Hosts,
    (networks, packet): (Meeting, PacketKind),
    from: &End,
    to: &End,
) -> Path {
    let (started, asked) = (Instant::now(), format_time(OffsetDateTime::now_utc()));
    let near = zone.path_side(networks, from.host, to.host);
    let far = zone.path_side(networks.reversed(), to.host, from.host);
    let (here, there) = tokio::join!(
        Asked::ask_host(hosts, &near, end_mac(from), PATIENCE),
        Asked::ask_host(hosts, &far, end_mac(to), PATIENCE)
    );
    let is_one_host = from.host == to.host;
    let mut steps = steps::of_side(&near, (networks.from, zone));
    steps.extend(guests::vif_step(&near, &here, from.nic.as_ref()));
    if !is_one_host {
        steps.extend(between_hosts(zone, networks, (from.host, &near), (to.host, &far)));
    }
    steps.extend(guests::vif_step(&far, &there, to.nic.as_ref()));
    let way = steps::Way { near: (&near, &here), far: (&far, &there), is_one_host, zone };
    let limits = async { tokio::join!(guests::limit_step(&near, &here), guests::limit_step(&far, &there)) };
    let (frames, limits) = tokio::join!(follow_frames(way, (networks, packet), from, to), limits);
    steps.extend(limits.0.into_iter().chain(limits.1).chain(frames));
    let (reachable, first_failure) = path_verdict(&steps);
    Path {
        network: zone.network_name(networks.from),
        to_network: networks.is_routed().then(|| zone.network_name(networks.to)),
        from: from.to_wire(),
        to: to.to_wire(),
        reachable,
        first_failure,
        steps,
        asked,
        took: (started.elapsed().as_secs_f64() * 1e4).round() / 1e4,
    }
}

fn end_mac(end: &End) -> Option<String> {
    end.nic.as_ref().and_then(|nic| nic.mac.map(|mac| mac.to_string()))
}

/// What lies between two hosts: tunnels both ways, the other host, and what was seen of packets.
fn between_hosts(
    zone: &Zone,
    networks: Meeting,
    (from, near): (HostNumber, &Side),
    (to, far): (HostNumber, &Side),
) -> Vec<PathStep> {
    let mut steps = steps::tunnel_steps(near, far, (networks.to, zone));
    steps.extend(steps::of_side(far, (networks.to, zone)));
    steps.extend(steps::tunnel_steps(far, near, (networks.from, zone)));
    steps.extend(steps::counter_steps((from, near), (to, far), (networks.to, zone)));
    steps.extend(steps::counter_steps((to, far), (from, near), (networks.from, zone)));
    steps.extend(steps::bfd_steps([(from, near), (to, far)], (networks.from, zone)));
    let guests = [networks.from, networks.to].into_iter().filter_map(|key| zone.guest_mtu(key)).max();
    steps.push(steps::mtu_step(near, far, guests));
    steps.push(steps::ipv6_step(near, far));
    steps
}

/// Frames through both switches, there and back.
async fn follow_frames(
    way: steps::Way<'_>,
    (networks, kind): (Meeting, PacketKind),
    from: &End,
    to: &End,
) -> Vec<PathStep> {
    let address = |end: &End, else_one: &str| end_mac(end).unwrap_or_else(|| else_one.to_owned());
    let (ahead, back) = if networks.is_routed() {
        let (gateways, others) = (&way.near.1.gateways, &way.far.1.gateways);
        let (Some(packets), Some(gate), Some(other_gate), true) = (
            packets::routed_packets(kind, from, to),
            gateways.get(&networks.from),
            others.get(&networks.to),
            way.near.0.knows_packets && way.far.0.knows_packets,
        ) else {
            let is_near = !way.near.0.knows_packets || !gateways.contains_key(&networks.from);
            let (side, meeting, known) = match is_near {
                true => (way.near.0, networks, gateways),
                false => (way.far.0, networks.reversed(), others),
            };
            return vec![packets::unrouted_step(side, meeting, known)];
        };
        let (one, other) = (address(from, SOURCE), address(to, DESTINATION));
        let frame = |source: &String, gate: &String, packet, behind| Frame {
            source: source.clone(),
            destination: gate.clone(),
            packet: Some(packet),
            behind: Some(behind),
        };
        let ahead = frame(&one, gate, packets.0, (other_gate.clone(), other.clone()));
        (ahead, frame(&other, other_gate, packets.1, (gate.clone(), one.clone())))
    } else {
        let frame = |source: &End, destination: &End| Frame {
            source: address(source, SOURCE),
            destination: address(destination, DESTINATION),
            packet: None,
            behind: None,
        };
        (frame(from, to), frame(to, from))
    };
    let frames = tokio::join!(way.frame_steps(&ahead), way.reversed().frame_steps(&back));
    frames.0.into_iter().chain(frames.1).collect()
}

/// Adds what becomes of real frames, there and back.
pub async fn probe_path(path: Path, sweeper: &Sweeper, networks: Meeting, (from, to): (&End, &End)) -> Path {
    let started = Instant::now();
    let mut sent = sweeper.probe_between(networks.to, from.host, to.host).await;
    if networks.is_routed() {
        // What goes back has the key of the other tier.
        sent.retain(|((sender, _), _)| *sender == from.host);
        let back = sweeper.probe_between(networks.from, to.host, from.host).await;
        sent.extend(back.into_iter().filter(|((sender, _), _)| *sender == to.host));
    }
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
