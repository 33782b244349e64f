//! The counters of both ends of all tunnels, compared all the time: what one has sent and the other has not received.
//!
//! What it does: has hosts asked in rounds, and tells the zone by which tunnels nothing arrives, and who receives what it has no tunnel
//! for. What it must not do: have anything sent or written: hosts that are only looked at are compared like others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ovstunnel_api::{CountersAnswer, TunnelCounters};
use ovstunnel_mesh::counters::{Counted, Counters, Ends};
use ovstunnel_types::{GreKey, HostNumber};
use tokio::time::Instant;

use crate::hosts::Counting;
use crate::zone::Zone;

/// The time between two rounds. What is lost is told after three of them.
const EVERY: Duration = Duration::from_secs(30);

/// Another time in seconds: for tests only.
const SECONDS: &str = "OVSTUNNEL_COUNTERS_SECONDS";

/// For how long a round is waited for.
const ANSWERED: Duration = Duration::from_secs(4);

/// How often it is asked whether something arrives by a tunnel by which nothing did, and for how long that is waited for.
const AGAIN: Duration = Duration::from_secs(3);
const ANSWERED_AGAIN: Duration = Duration::from_secs(1);

/// Hosts that are asked so often.
const FEW: usize = 50;

/// The time between two rounds.
pub fn round_interval() -> Duration {
    let seconds = std::env::var(SECONDS).ok().and_then(|seconds| seconds.parse().ok());
    seconds.map_or(EVERY, Duration::from_secs)
}

/// Compares, round by round. Ends with the task that it runs in.
pub async fn keep_comparing(zone: Zone, counting: Counting, every: Duration) {
    let mut counters = Counters::default();
    loop {
        let next = Instant::now() + every;
        let answers = counting.ask_hosts(None, ANSWERED).await;
        let now = zone.now();
        // With many hosts this takes its time.
        let compared = tokio::task::spawn_blocking(move || {
            let ends = answers.iter().filter(|(_, answer)| answer.every * 2.0 <= every.as_secs_f64());
            let ends: BTreeMap<HostNumber, Ends> = ends.map(|(host, answer)| (*host, ends_of(answer))).collect();
            let lost = counters.take_round(now, &ends);
            let unexpected = answers.into_iter().map(|(host, answer)| (host, answer.unexpected)).collect();
            (counters, lost, unexpected, ends.len())
        });
        let (kept, lost, unexpected, hosts) = match compared.await {
            Ok(compared) => compared,
            // It ends only where the manager does.
            Err(_) => return,
        };
        counters = kept;
        zone.record_counted(lost, unexpected, hosts);
        while Instant::now() + AGAIN + ANSWERED_AGAIN < next {
            tokio::time::sleep(AGAIN).await;
            look_again(&zone, &counting, &counters).await;
        }
        tokio::time::sleep_until(next).await;
    }
}

/// Looks whether something arrives by now by those tunnels by which nothing did.
async fn look_again(zone: &Zone, counting: &Counting, counters: &Counters) {
    let losing = zone.losing_tunnels();
    let hosts: BTreeSet<HostNumber> = losing.iter().map(|(_, _, to)| *to).take(FEW).collect();
    if hosts.is_empty() {
        return;
    }
    let answers = counting.ask_hosts(Some(hosts), ANSWERED_AGAIN).await;
    let ends: BTreeMap<HostNumber, Ends> = answers.iter().map(|(host, answer)| (*host, ends_of(answer))).collect();
    let has_arrived =
        |(key, from, to): &_| ends.get(to).is_some_and(|ends| counters.has_arrived(*key, *from, *to, ends));
    zone.record_arrived(losing.into_iter().filter(has_arrived));
}

fn ends_of(answer: &CountersAnswer) -> Ends {
    let of = |tunnel: &TunnelCounters| {
        let key = GreKey::try_from(i64::from(tunnel.key)).ok()?;
        let to = HostNumber::try_from(tunnel.to.parse::<u64>().ok()?).ok()?;
        Some(Counted { key, to, rx: tunnel.rx_packets, tx: tunnel.tx_packets })
    };
    Ends::new(answer.tunnels.iter().filter_map(of).collect())
}
