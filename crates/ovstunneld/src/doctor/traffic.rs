//! What the tunnels to each host carried a while ago: so that one that worked and became one-sided is told from one that is quiet.
//!
//! What it does: keeps a few counts. What it must not do: ask for them, or judge.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Packets that came from each host by its tunnels, and that went there.
pub(super) type Packets = BTreeMap<IpAddr, (u64, u64)>;

/// How old a count must be, for nobody answers at once; and how old it may be.
const YOUNGEST: Duration = Duration::from_secs(45);
const OLDEST: Duration = Duration::from_secs(3600);

/// Counts that are kept.
const KEPT: usize = 16;

/// The counts of the last hour.
#[derive(Debug, Default)]
pub(super) struct Traffic(Mutex<VecDeque<(Instant, Packets)>>);

/// What came and went since a count, and what had come and gone until the oldest one: what is quiet now may have been so then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Since {
    pub ago: Duration,
    pub came: u64,
    pub went: u64,
    pub before: (u64, u64),
}

impl Traffic {
    /// Keeps a count; gives for each host what came and went since the last one that is old enough.
    pub(super) fn count_packets(&self, at: Instant, packets: &Packets) -> BTreeMap<IpAddr, Since> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(then, _)| at.duration_since(*then) <= OLDEST);
        let old_enough = |(then, _): &&(Instant, Packets)| at.duration_since(*then) >= YOUNGEST;
        let last = kept.iter().rev().find(old_enough).zip(kept.front());
        let since =
            last.map(|((then, counted), (_, oldest))| counts_since(at.duration_since(*then), counted, packets, oldest));
        // Who asks often pushes out nothing that is needed.
        if kept.back().is_none_or(|(then, _)| at.duration_since(*then) >= YOUNGEST) {
            kept.push_back((at, packets.clone()));
        }
        if kept.len() > KEPT {
            kept.pop_front();
        }
        since.unwrap_or_default()
    }
}

/// A tunnel that was made anew counts from nothing: of that nothing is said.
fn counts_since(ago: Duration, counted: &Packets, now: &Packets, oldest: &Packets) -> BTreeMap<IpAddr, Since> {
    let of = |(ip, (came, went)): (&IpAddr, &(u64, u64))| {
        let (last, before) = (counted.get(ip)?, oldest.get(ip).or_else(|| counted.get(ip))?);
        let (came, went) = (came.checked_sub(last.0)?, went.checked_sub(last.1)?);
        Some((*ip, Since { ago, came, went, before: *before }))
    };
    now.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_since_is_told_from_what_ever_came() {
        let (traffic, ip) = (Traffic::default(), IpAddr::from([192, 0, 2, 2]));
        let begun = Instant::now();
        let count = |seconds: u64, came: u64, went: u64| {
            traffic
                .count_packets(begun + Duration::from_secs(seconds), &Packets::from([(ip, (came, went))]))
                .get(&ip)
                .copied()
        };
        assert_eq!(count(0, 500, 600), None, "there is none before");
        assert_eq!(count(5, 500, 700), None, "too young");
        let since = Since { ago: Duration::from_secs(60), came: 0, went: 300, before: (500, 600) };
        assert_eq!(count(60, 500, 900), Some(since));
        assert_eq!(count(120, 3, 9), None, "made anew");
        assert_eq!(count(9000, 4, 9), None, "too old");
    }
}
