//! What is known of our flows in the switch. They are not in its database, so this is remembered from the last write or
//! dump. Must not be believed across a start of `ovs-vswitchd`.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use ovstunnel_core::FlowsSeen;
use ovstunnel_ovs::FlowSign;
use uuid::Uuid;

/// Our flows by bridge row, shared by the writer (who writes) and the handlers (who read).
#[derive(Clone, Debug, Default)]
pub struct FlowTable(Arc<RwLock<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    generation: u64,
    signs: u64,
    seen: HashMap<Uuid, Seen>,
}

#[derive(Debug)]
struct Seen {
    flows: FlowsSeen,
    /// The sign of the tables when they were read; none where they were written since.
    sign: Option<FlowSign>,
}

impl FlowTable {
    /// What is known of a bridge's flows.
    pub fn get(&self, bridge: Uuid) -> FlowsSeen {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        inner.seen.get(&bridge).map(|seen| seen.flows.clone()).unwrap_or_default()
    }

    /// Remembers what was written or read.
    pub(super) fn set(&self, bridge: Uuid, flows: FlowsSeen) {
        self.set_signed(bridge, flows, None);
    }

    /// Remembers what was read, with the sign of the tables at that moment.
    pub(super) fn set_signed(&self, bridge: Uuid, flows: FlowsSeen, sign: Option<FlowSign>) {
        self.write(|inner| drop(inner.seen.insert(bridge, Seen { flows, sign })));
    }

    /// Whether the tables are still those that were read last, by their sign.
    pub(super) fn is_still(&self, bridge: Uuid, sign: &FlowSign) -> bool {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        inner.seen.get(&bridge).and_then(|seen| seen.sign).is_some_and(|earlier| sign.same_as(&earlier))
    }

    /// Forgets a bridge that is gone.
    pub(super) fn forget(&self, bridge: Uuid) {
        self.write(|inner| drop(inner.seen.remove(&bridge)));
    }

    /// Forgets every bridge that is not among these.
    pub(super) fn retain(&self, bridges: &[Uuid]) {
        self.write(|inner| inner.seen.retain(|bridge, _| bridges.contains(bridge)));
    }

    /// Forgets everything where `ovs-vswitchd` has started anew.
    pub(super) fn enter_generation(&self, generation: u64) {
        self.write(|inner| {
            if inner.generation != generation {
                *inner = Inner { generation, signs: inner.signs, seen: HashMap::new() };
            }
        });
    }

    /// Forgets everything where somebody else has written since; true where there was something to forget.
    pub(super) fn enter_turn(&self, signs: u64) -> bool {
        let mut forgotten = false;
        self.write(|inner| {
            if inner.signs != signs {
                forgotten = !inner.seen.is_empty();
                *inner = Inner { generation: inner.generation, signs, seen: HashMap::new() };
            }
        });
        forgotten
    }

    fn write(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}
