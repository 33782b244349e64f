//! Which calls about one bridge may run at the same time.
//!
//! A set-up and a removal change the switch and then xapi's list; two that cross each other would leave the list saying the
//! opposite of the switch. So each of those has its bridge alone, while all others share it: the writer orders them, many in one
//! batch. What it must not do: make calls about different bridges wait for each other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use ovstunnel_plan::BridgeName;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// The bridges about which there are calls.
#[derive(Debug, Default)]
pub struct Turns(Mutex<HashMap<BridgeName, Weak<RwLock<()>>>>);

/// One bridge for a single call.
pub(crate) type Alone = OwnedRwLockWriteGuard<()>;

/// One bridge with other calls that share it.
pub(crate) type Shared = OwnedRwLockReadGuard<()>;

impl Turns {
    /// Waits until a bridge is nobody's, and has it until the guard goes.
    pub(crate) async fn wait_alone(&self, bridge: &BridgeName) -> Alone {
        self.lock_of(bridge).write_owned().await
    }

    /// Waits until nobody has a bridge alone, and shares it until the guard goes.
    pub(crate) async fn wait_shared(&self, bridge: &BridgeName) -> Shared {
        self.lock_of(bridge).read_owned().await
    }

    fn lock_of(&self, bridge: &BridgeName) -> Arc<RwLock<()>> {
        // Nobody panics while having the map.
        let mut bridges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = bridges.get(bridge).and_then(Weak::upgrade) {
            return known;
        }
        bridges.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::default();
        bridges.insert(bridge.clone(), Arc::downgrade(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_bridge_is_had_alone_or_shared_and_nothing_is_kept() {
        let (turns, name): (Turns, fn(&str) -> BridgeName) = (Turns::default(), |name| name.parse().unwrap());
        let (one, two) = (turns.wait_shared(&name("a")).await, turns.wait_shared(&name("a")).await);
        assert!(turns.wait_alone(&name("a")).now_or_never().is_none());
        let other = turns.wait_alone(&name("b")).now_or_never();
        assert!(other.is_some());
        drop((one, two));
        let alone = turns.wait_alone(&name("a")).now_or_never();
        assert!(alone.is_some() && turns.wait_shared(&name("a")).now_or_never().is_none());
        drop((alone, other));
        assert!(turns.wait_shared(&name("c")).now_or_never().is_some());
        assert_eq!(turns.0.lock().unwrap().len(), 1);
    }
}
