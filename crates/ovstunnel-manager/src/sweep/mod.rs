//! Sweeps: whether the tunnels of networks carry frames, found out by sending some.
//!
//! What it does: has the daemons of a network's hosts arm, send and read probes, tells those tunnels by which nothing arrives from those by
//! which only small frames do, and keeps on doing so with all networks in turn. What it must not do: probe a host that is not to be changed,
//! or find a fault in a tunnel that was changed meanwhile or of which an end did not answer.

mod background;
mod round;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use ovstunnel_manager_api::{LeftOut, Sweep, SweptTunnel};
use ovstunnel_mesh::proof::Finding;
use ovstunnel_types::{GreKey, HostNumber};
use ring::rand::{SecureRandom, SystemRandom};

use crate::hosts::{By, HostClient, Writers};
use crate::leader::Leader;
use crate::zone::{Sweepable, Zone, lost_finding};
use round::{Arrived, Frames, Way};

/// Bytes of an Ethernet header.
const HEADER: u32 = 14;

/// Bytes of the smallest frame, and of the largest one that daemons send.
const SMALL: u32 = 60;
const LARGE: u32 = 9_216;

/// MTU of guests where neither the network nor a host says one.
const USUAL_MTU: u32 = 1_400;

/// Hosts that send at the same time: each receiver gets a frame of each, and loses some of too many.
const SENDERS: usize = 100;

/// Frames for a tunnel in rounds that look again at one that has failed.
const AGAIN: u32 = 3;

/// Tunnels that an answer lists.
const LISTED: usize = 200;

/// What sweeps networks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sweeper(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    zone: Zone,
    writers: Writers,
    leader: Leader,
    random: SystemRandom,
}

/// What is wrong with a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bad {
    /// No frame arrives.
    Lost,
    /// Frames of full size do not; so many bytes at most, where that was looked for.
    Cut(Option<u32>),
}

/// What came of a sweep.
#[derive(Debug, Default)]
struct Outcome {
    size: u32,
    probed: Vec<Way>,
    bad: BTreeMap<Way, Bad>,
    unknown: usize,
}

impl Sweeper {
    /// For this zone.
    pub fn new(zone: Zone, writers: Writers, leader: Leader) -> Sweeper {
        Sweeper(Arc::new(Shared { zone, writers, leader, random: SystemRandom::new() }))
    }

    /// Sweeps the network with this key; nothing where there is none. With `mtu` it is found out to the byte what passes where not all does.
    pub async fn sweep_network(&self, key: GreKey, mtu: bool) -> Option<Sweep> {
        let started = Instant::now();
        let network = self.0.zone.sweepable_network(key)?;
        let ways: Vec<Way> = network.tunnel_ways().collect();
        let outcome = self.probe_ways(key, &network, ways, mtu).await;
        let findings = sweep_findings(&network, &outcome);
        let is_whole = outcome.unknown == 0 && network.left_out.is_empty();
        self.0.zone.record_sweep(key, outcome.probed.iter().copied(), findings.clone(), is_whole);
        Some(sweep_to_wire(&self.0.zone.network_name(key), &network, &outcome, &findings, started))
    }

    /// Sends frames from one host to another one and back; what does not arrive, by direction, each with the words for it. Nothing of a
    /// direction of which it is not known.
    pub async fn probe_between(
        &self,
        key: GreKey,
        one: HostNumber,
        other: HostNumber,
    ) -> Vec<(Way, Option<Result<String, Finding>>)> {
        let ways = vec![(one, other), (other, one)];
        let network = self.0.zone.sweepable_network(key).unwrap_or_default();
        let there: BTreeSet<Way> = network.tunnel_ways().collect();
        let asked: Vec<Way> = ways.iter().copied().filter(|way| there.contains(way)).collect();
        let outcome = self.probe_ways(key, &network, asked, true).await;
        let findings = sweep_findings(&network, &outcome);
        self.0.zone.record_sweep(key, outcome.probed.iter().copied(), findings.clone(), false);
        let of = |way: Way| {
            let found = findings.iter().find(|finding| (finding.host, finding.to) == (way.0, Some(way.1)));
            let passed = || format!("a frame of {} bytes has arrived at {}", outcome.size, network.host_name(way.1));
            let known = outcome.probed.contains(&way).then(|| found.cloned().map_or_else(|| Ok(passed()), Err));
            (way, known)
        };
        ways.into_iter().map(of).collect()
    }

    async fn probe_ways(&self, key: GreKey, network: &Sweepable, ways: Vec<Way>, mtu: bool) -> Outcome {
        let size = full_size(network);
        let of_size = |ways: &[Way], size: u32| -> Frames { ways.iter().map(|way| (*way, size)).collect() };
        let mut arrived = Arrived::new();
        for some in sender_chunks(&ways) {
            arrived.extend(self.run_round(network, &of_size(&some, size), 1).await);
        }
        let failed = |arrived: &Arrived| -> Vec<Way> {
            arrived.iter().filter(|(_, is_there)| !**is_there).map(|(way, _)| *way).collect()
        };
        let mut outcome = Outcome { size, unknown: ways.len() - arrived.len(), ..Outcome::default() };
        let first = failed(&arrived);
        outcome.probed = arrived.into_keys().collect();
        if first.is_empty() {
            return outcome;
        }
        // One frame that is lost says nothing: what is told has failed again, with several.
        let again = self.probe_chunked(network, &of_size(&first, size), AGAIN).await;
        let again_failed = failed(&again);
        let small = self.probe_chunked(network, &of_size(&again_failed, SMALL), AGAIN).await;
        let still_there: BTreeSet<Way> =
            self.0.zone.sweepable_network(key).iter().flat_map(|now| same_ways(network, now)).collect();
        for way in &first {
            let verdict = match (again.get(way), small.get(way)) {
                _ if !still_there.contains(way) => None,
                (Some(true), _) => continue,
                (Some(false), Some(true)) => Some(Bad::Cut(None)),
                (Some(false), Some(false)) => Some(Bad::Lost),
                _ => None,
            };
            match verdict {
                Some(bad) => drop(outcome.bad.insert(*way, bad)),
                None => {
                    outcome.unknown += 1;
                    outcome.probed.retain(|probed| probed != way);
                }
            }
        }
        let is_asked = mtu || outcome.bad.len() <= SENDERS;
        let cut = outcome.bad.iter().filter(|(_, bad)| is_asked && matches!(bad, Bad::Cut(_))).map(|(way, _)| *way);
        for (way, bytes) in self.largest_frames(network, cut.collect(), size).await {
            outcome.bad.insert(way, Bad::Cut(Some(bytes)));
        }
        outcome
    }

    /// Of each of these tunnels, by which small frames arrive and those of this size do not, bytes of the largest that does.
    async fn largest_frames(&self, network: &Sweepable, ways: Vec<Way>, size: u32) -> BTreeMap<Way, u32> {
        // What arrives, and what does not.
        let mut known: BTreeMap<Way, (u32, u32)> = ways.into_iter().map(|way| (way, (SMALL, size))).collect();
        loop {
            let open = known.iter().filter(|(_, (good, bad))| bad - good > 1);
            let frames: Frames = open.map(|(way, (good, bad))| (*way, good + (bad - good) / 2)).collect();
            if frames.is_empty() {
                break;
            }
            let arrived = self.probe_chunked(network, &frames, 1).await;
            for (way, middle) in frames {
                match (arrived.get(&way), known.get_mut(&way)) {
                    (Some(true), Some((good, _))) => *good = middle,
                    (Some(false), Some((_, bad))) => *bad = middle,
                    // Then it is not known to the byte.
                    _ => drop(known.remove(&way)),
                }
            }
        }
        known.into_iter().map(|(way, (good, _))| (way, good)).collect()
    }

    async fn probe_chunked(&self, network: &Sweepable, frames: &Frames, count: u32) -> Arrived {
        let mut arrived = Arrived::new();
        let ways: Vec<Way> = frames.keys().copied().collect();
        for some in sender_chunks(&ways) {
            let some = some.iter().filter_map(|way| Some((*way, *frames.get(way)?))).collect();
            arrived.extend(self.run_round(network, &some, count).await);
        }
        arrived
    }

    /// By whom a host is asked; nothing where the manager does not lead, or the host has not taken its epoch.
    fn host_client(&self, host: HostNumber) -> Option<(Arc<dyn HostClient>, By)> {
        let epoch = self.0.leader.epoch().ok()?;
        Some((self.0.writers.client_of(host)?, By { epoch, request_id: "sweep".to_owned() }))
    }

    /// An address for a probe's frames: 46 bits of it are drawn by lot.
    fn new_nonce(&self) -> Result<String, ring::error::Unspecified> {
        let mut bytes = [0; 6];
        self.0.random.fill(&mut bytes)?;
        bytes[0] = bytes[0] & 0b1111_1100 | 0b10;
        Ok(bytes.map(|byte| format!("{byte:02x}")).join(":"))
    }
}

/// The tunnels that have the same ports at both times.
fn same_ways(before: &Sweepable, now: &Sweepable) -> Vec<Way> {
    let port = |at: &Sweepable, from: HostNumber, to: HostNumber| Some(at.hosts.get(&from)?.tunnels.get(&to)?.clone());
    let is_same = |(from, to): &Way| {
        port(before, *from, *to) == port(now, *from, *to) && port(before, *to, *from) == port(now, *to, *from)
    };
    now.tunnel_ways().filter(is_same).collect()
}

/// Bytes of the largest frame that must pass all tunnels of a network.
fn full_size(network: &Sweepable) -> u32 {
    let of_hosts = network.hosts.values().filter_map(|host| host.max_guest_mtu).min();
    let mtu = network.guest_mtu.or(of_hosts).unwrap_or(USUAL_MTU);
    (mtu + HEADER).clamp(SMALL + 1, LARGE)
}

/// Tunnels that are probed in the same round: those of so many senders.
fn sender_chunks(ways: &[Way]) -> Vec<Vec<Way>> {
    let mut of: BTreeMap<HostNumber, Vec<Way>> = BTreeMap::new();
    ways.iter().for_each(|way| of.entry(way.0).or_default().push(*way));
    of.into_values().collect::<Vec<_>>().chunks(SENDERS).map(<[_]>::concat).collect()
}

fn sweep_findings(network: &Sweepable, outcome: &Outcome) -> Vec<Finding> {
    let of = |((from, to), bad): (&Way, &Bad)| {
        let port = network.hosts.get(from).and_then(|host| host.tunnels.get(to)).cloned().unwrap_or_default();
        let (to_name, size) = (network.host_name(*to), outcome.size);
        let evidence = match bad {
            Bad::Lost => {
                format!("no frame that was sent into {port} arrives at {to_name}, of {size} bytes or of {SMALL}")
            }
            Bad::Cut(None) => {
                format!("frames of {SMALL} bytes that are sent into {port} arrive at {to_name}, those of {size} do not")
            }
            Bad::Cut(Some(bytes)) => {
                let mtu = bytes.saturating_sub(HEADER);
                format!(
                    "frames of up to {bytes} bytes that are sent into {port} arrive at {to_name}, those of {size} do not: guests' MTU \
                     can be {mtu} there, and is {}",
                    size - HEADER
                )
            }
        };
        lost_finding(*from, *to, matches!(bad, Bad::Cut(_)), evidence)
    };
    outcome.bad.iter().map(of).collect()
}

fn sweep_to_wire(name: &str, network: &Sweepable, outcome: &Outcome, findings: &[Finding], started: Instant) -> Sweep {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let of = |finding: &Finding| {
        let to = finding.to?;
        let guest_mtu = match outcome.bad.get(&(finding.host, to))? {
            Bad::Cut(bytes) => bytes.map(|bytes| bytes.saturating_sub(HEADER)),
            Bad::Lost => None,
        };
        let (from, to) = (network.host_name(finding.host), network.host_name(to));
        Some(SweptTunnel {
            from,
            to,
            what: finding.what.as_str().to_owned(),
            guest_mtu,
            evidence: finding.evidence.clone(),
        })
    };
    let left_out = network.left_out.iter();
    Sweep {
        network: name.to_owned(),
        size: outcome.size,
        probed: count(outcome.probed.len()),
        passed: count(outcome.probed.len() - outcome.bad.len()),
        unknown: count(outcome.unknown),
        failed: findings.iter().take(LISTED).filter_map(of).collect(),
        failures: count(outcome.bad.len()),
        left_out: left_out.map(|(host, why)| LeftOut { host: host.clone(), reason: (*why).to_owned() }).collect(),
        took: (started.elapsed().as_secs_f64() * 1e3).round() / 1e3,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn each_tunnel_is_in_one_round_of_at_most_so_many_senders() {
        let host = |n: u64| HostNumber::try_from(n).unwrap();
        let ways: Vec<Way> = (1..=230).flat_map(|from| [1, 2].map(|to| (host(from), host(to)))).collect();
        let rounds = sender_chunks(&ways);
        let senders = |round: &Vec<Way>| round.iter().map(|(from, _)| *from).collect::<BTreeSet<_>>().len();
        assert_eq!(rounds.iter().map(senders).collect::<Vec<_>>(), [SENDERS, SENDERS, 30]);
        assert_eq!(rounds.concat(), ways);
    }
}
