//! Word of bridges of which more, or other things, may be known than before. Must not say what.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

/// Rows that are kept: of more it is told that it may be any.
const MANY: usize = 4096;

/// The bridges that there is news of since the last time that somebody asked. For one who asks; clones share it.
#[derive(Clone, Debug, Default)]
pub struct ChangedBridges(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Rows of bridges; nothing where it may be any, and before anybody asks.
    bridges: Mutex<Option<HashSet<Uuid>>>,
    there: Notify,
}

impl ChangedBridges {
    /// There is news of a bridge.
    pub fn note_bridge(&self, bridge: Uuid) {
        let mut bridges = self.0.bridges.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = bridges.as_mut() {
            known.insert(bridge);
            if known.len() > MANY {
                *bridges = None;
            }
        }
        self.0.there.notify_one();
    }

    /// There may be news of any.
    pub fn of_any(&self) {
        self.stop_noting();
        self.0.there.notify_one();
    }

    /// Waits until there is some.
    pub async fn wait_changed(&self) {
        self.0.there.notified().await;
    }

    /// The bridges that there is news of; nothing where it may be any.
    pub fn take_changed(&self) -> Option<HashSet<Uuid>> {
        self.0.bridges.lock().unwrap_or_else(PoisonError::into_inner).replace(HashSet::new())
    }

    /// Nobody asks any more: nothing is kept until somebody does.
    pub fn stop_noting(&self) {
        *self.0.bridges.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
