//! Which leader of a zone's manager acts on this host: who watches and says so.
//!
//! What it does: knows who is connected and who was a moment ago, by a clock that nobody sets. What it must not do: outlive the
//! daemon. After a restart nobody has been connected until a manager is again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ovstunnel_plan::Epoch;
use tokio::time::Instant;

/// How long a manager counts as acting after it was last connected: longer than a restart of it takes, or the election of another.
const ABSENT_FOR: Duration = Duration::from_secs(5 * 60);

/// Those who act, or did. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Controllers(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    connections: u64,
    seen: Vec<Seen>,
}

/// One connection.
#[derive(Debug)]
struct Seen {
    id: u64,
    epoch: Epoch,
    /// When it ended; nothing while it is there.
    ended: Option<Instant>,
}

/// The connection of one who acts, for as long as it lasts.
#[derive(Debug)]
#[must_use]
pub struct Connected {
    controllers: Controllers,
    id: u64,
}

impl Controllers {
    fn lock_known(&self) -> MutexGuard<'_, Known> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One has connected that leads under this epoch, and says whether it acts.
    pub fn record_controller(&self, epoch: Epoch, acts: bool) -> Option<Connected> {
        if acts {
            return Some(self.connect_controller(epoch));
        }
        self.stop_controller(epoch);
        None
    }

    fn connect_controller(&self, epoch: Epoch) -> Connected {
        let mut known = self.lock_known();
        known.connections += 1;
        let id = known.connections;
        known.seen.retain(Seen::still_counts);
        known.seen.push(Seen { id, epoch, ended: None });
        Connected { controllers: self.clone(), id }
    }

    /// The one that leads under this epoch does not act any more.
    fn stop_controller(&self, epoch: Epoch) {
        self.lock_known().seen.retain(|seen| seen.epoch != epoch);
    }

    /// Whether the one that leads under this epoch acts: it is connected, or was within the last 5 minutes.
    pub fn controller_acts(&self, epoch: Epoch) -> bool {
        self.lock_known().seen.iter().any(|seen| seen.epoch == epoch && seen.still_counts())
    }
}

impl Seen {
    fn still_counts(&self) -> bool {
        self.ended.is_none_or(|ended| ended.elapsed() < ABSENT_FOR)
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let mut known = self.controllers.lock_known();
        let Some(at) = known.seen.iter().position(|seen| seen.id == self.id) else { return };
        let mut last = known.seen.swap_remove(at);
        last.ended = Some(Instant::now());
        // Of those that have ended, the last says all.
        known.seen.retain(|seen| seen.still_counts() && (seen.epoch != last.epoch || seen.ended.is_none()));
        known.seen.push(last);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn epoch(number: u64) -> Epoch {
        Epoch::new(uuid::Uuid::from_u128(7), number).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_connected_counts_for_five_minutes() {
        let controllers = Controllers::default();
        assert!(!controllers.controller_acts(epoch(4)), "nobody was, since the start");
        let (first, second) = (controllers.connect_controller(epoch(4)), controllers.connect_controller(epoch(4)));
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert!(controllers.controller_acts(epoch(4)) && !controllers.controller_acts(epoch(5)));
        drop(first);
        tokio::time::advance(ABSENT_FOR).await;
        assert!(controllers.controller_acts(epoch(4)), "the other is there");
        drop(second);
        tokio::time::advance(ABSENT_FOR - Duration::from_secs(1)).await;
        assert!(controllers.controller_acts(epoch(4)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!controllers.controller_acts(epoch(4)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_does_not_act_and_what_is_kept_does_not_grow() {
        let controllers = Controllers::default();
        let there = controllers.connect_controller(epoch(4));
        controllers.stop_controller(epoch(4));
        assert!(!controllers.controller_acts(epoch(4)));
        let again = controllers.connect_controller(epoch(4));
        drop(there);
        assert!(controllers.controller_acts(epoch(4)));
        drop(again);
        for _ in 0..100 {
            drop(controllers.connect_controller(epoch(4)));
        }
        assert_eq!(controllers.lock_known().seen.len(), 1);
        tokio::time::advance(ABSENT_FOR).await;
        let _other = controllers.connect_controller(epoch(5));
        assert_eq!(controllers.lock_known().seen.len(), 1);
    }
}
