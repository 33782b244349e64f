//! All networks in turn, all the time. Must not hurry: what is swept once a minute costs a host next to nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ovstunnel_types::GreKey;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Sweeper;

/// Each network is swept again after this time.
const CYCLE: Duration = Duration::from_secs(60);

/// One in which something was found.
const BAD_CYCLE: Duration = Duration::from_secs(5);

/// The time between the beginnings of two sweeps, at most; less where there are many networks.
const PACE: Duration = Duration::from_secs(1);

/// Networks that are swept at the same time.
const AT_ONCE: usize = 16;

impl Sweeper {
    /// Sweeps all networks in turn. Ends with the task that it runs in.
    pub async fn keep_sweeping(self) {
        let (mut jobs, mut running) = (JoinSet::new(), BTreeSet::new());
        let mut begun: BTreeMap<GreKey, Instant> = BTreeMap::new();
        loop {
            while jobs.len() >= AT_ONCE {
                if let Some(Ok(key)) = jobs.join_next().await {
                    running.remove(&key);
                }
            }
            while let Some(done) = jobs.try_join_next() {
                if let Ok(key) = done {
                    running.remove(&key);
                }
            }
            let networks = self.0.zone.sweep_candidates();
            begun.retain(|key, _| networks.contains_key(key));
            let due = networks.iter().filter(|(key, _)| !running.contains(*key));
            let now = Instant::now();
            if self.0.leader.epoch().is_ok()
                && let Some(key) = most_overdue(due, &begun, now)
            {
                begun.insert(key, now);
                running.insert(key);
                let sweeper = self.clone();
                jobs.spawn(async move {
                    sweeper.sweep_network(key, false).await;
                    key
                });
            }
            let many = u32::try_from(networks.len()).unwrap_or(u32::MAX).max(1);
            tokio::time::sleep((CYCLE / many).min(PACE)).await;
        }
    }
}

/// The network that is most overdue; of each it is said whether something was found in it.
fn most_overdue<'a>(
    networks: impl Iterator<Item = (&'a GreKey, &'a bool)>,
    begun: &BTreeMap<GreKey, Instant>,
    now: Instant,
) -> Option<GreKey> {
    let overdue = |(key, is_bad): (&GreKey, &bool)| match begun.get(key) {
        None => Some((Duration::MAX, *key)),
        Some(at) => {
            let cycle = if *is_bad { BAD_CYCLE } else { CYCLE };
            Some(((now - *at).checked_sub(cycle)?, *key))
        }
    };
    networks.filter_map(overdue).max().map(|(_, key)| key)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn the_most_overdue_network_comes_first_and_a_bad_one_sooner() {
        let key = |n: i64| GreKey::try_from(n).unwrap();
        let start = Instant::now();
        let networks = BTreeMap::from([(key(1), false), (key(2), false), (key(3), true)]);
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut begun = BTreeMap::from([(key(1), at(0)), (key(3), at(0))]);
        assert_eq!(most_overdue(networks.iter(), &begun, at(1)), Some(key(2)), "never swept");
        begun.insert(key(2), at(1));
        assert_eq!(most_overdue(networks.iter(), &begun, at(4)), None);
        assert_eq!(most_overdue(networks.iter(), &begun, at(6)), Some(key(3)));
        begun.insert(key(3), at(60));
        assert_eq!(most_overdue(networks.iter(), &begun, at(62)), Some(key(1)));
    }
}
