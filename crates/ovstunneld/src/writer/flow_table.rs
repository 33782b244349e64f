//! What is known of our flows in the switch. They are not in its database, so this is remembered from the last write or
//! dump. Must not be believed across a start of `ovs-vswitchd`.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use ovstunnel_ovs::FlowDigest;
use ovstunnel_plan::FlowsSeen;
use uuid::Uuid;

use crate::writer::changed_bridges::ChangedBridges;

/// Our flows by bridge row, shared by the writer (who writes) and the handlers (who read).
#[derive(Clone, Debug, Default)]
pub struct FlowTable(Arc<RwLock<Inner>>, ChangedBridges);

#[derive(Debug, Default)]
struct Inner {
    generation: u64,
    epoch: u64,
    seen: HashMap<Uuid, Seen>,
    /// When the switch last said, by its counters, that no flow of any bridge was changed.
    unchanged: Option<SystemTime>,
}

#[derive(Debug)]
struct Seen {
    flows: FlowsSeen,
    /// The digest of the tables when they were read; none where they were written since.
    digest: Option<FlowDigest>,
    /// The seqno of the bridge's flow monitor when they were read: as long as it stays they are these.
    seqno: Option<u64>,
    /// When the switch last said that they are these.
    as_of: SystemTime,
}

/// What a digest says of what is known of a bridge's flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Still {
    /// It still holds.
    Same,
    /// It does not, or may not.
    Other,
    /// There is nothing to compare with: the daemon itself has written since it was read, or it never was.
    Unsigned,
}

impl FlowTable {
    /// What is known of a bridge's flows.
    pub fn get(&self, bridge: Uuid) -> FlowsSeen {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        inner.seen.get(&bridge).map(|seen| seen.flows.clone()).unwrap_or_default()
    }

    /// Word of the bridges of which other flows may be known than before.
    pub(crate) fn changed_bridges(&self) -> &ChangedBridges {
        &self.1
    }

    /// Remembers what was written or read.
    pub(super) fn set(&self, bridge: Uuid, flows: FlowsSeen) {
        self.set_with_digest(bridge, flows, None);
    }

    /// Remembers what was read, with the digest of the tables at that moment.
    pub(super) fn set_with_digest(&self, bridge: Uuid, flows: FlowsSeen, digest: Option<FlowDigest>) {
        self.insert_seen(bridge, Seen { flows, digest, seqno: None, as_of: SystemTime::now() });
    }

    /// Remembers what was read of a bridge that a flow monitor watches, with its seqno.
    pub(super) fn set_with_seqno(&self, bridge: Uuid, flows: FlowsSeen, seqno: Option<u64>) {
        self.insert_seen(bridge, Seen { flows, digest: None, seqno, as_of: SystemTime::now() });
    }

    fn insert_seen(&self, bridge: Uuid, seen: Seen) {
        self.with_write(|inner| drop(inner.seen.insert(bridge, seen)));
        self.1.note_bridge(bridge);
    }

    /// Whether what is known of a bridge is from the time of this seqno of its flow monitor.
    pub(crate) fn holds_at(&self, bridge: Uuid, seqno: u64) -> bool {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        inner.seen.get(&bridge).is_some_and(|seen| seen.seqno == Some(seqno))
    }

    /// The flow monitor of a bridge has told of no change.
    pub(crate) fn confirm_unchanged(&self, bridge: Uuid, at: SystemTime) {
        self.with_write(|inner| {
            if let Some(seen) = inner.seen.get_mut(&bridge) {
                seen.as_of = at;
            }
        });
    }

    /// Whether the tables are still those that were read last, by their digest. Where they are that is noted.
    pub(crate) fn compare_digest(&self, bridge: Uuid, digest: &FlowDigest) -> Still {
        let mut still = Still::Unsigned;
        self.with_write(|inner| {
            if let Some(seen) = inner.seen.get_mut(&bridge)
                && let Some(earlier) = seen.digest
            {
                still = if digest.same_as(&earlier) { Still::Same } else { Still::Other };
                seen.as_of = if still == Still::Same { SystemTime::now() } else { seen.as_of };
            }
        });
        still
    }

    /// Whether a later digest can say that what is known still holds.
    pub(crate) fn is_signed(&self, bridge: Uuid) -> bool {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        inner.seen.get(&bridge).is_some_and(|seen| seen.digest.is_some())
    }

    /// Has a bridge's flows read again, whatever their digest says.
    pub(crate) fn mark_doubtful(&self, bridge: Uuid) {
        self.with_write(|inner| {
            if let Some(seen) = inner.seen.get_mut(&bridge) {
                seen.digest = None;
            }
        });
    }

    /// The switch says that since it was last asked no flow of any bridge was changed.
    pub(crate) fn confirm_all(&self, at: SystemTime) {
        self.with_write(|inner| inner.unchanged = Some(at));
    }

    /// When the switch last said that a bridge's flows are what is known of them; nothing where nothing is known.
    pub fn as_of(&self, bridge: Uuid) -> Option<SystemTime> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let seen = inner.seen.get(&bridge).filter(|seen| seen.flows != FlowsSeen::Unknown)?;
        let by_counter = inner.unchanged.filter(|_| seen.digest.is_some());
        Some(by_counter.map_or(seen.as_of, |at| at.max(seen.as_of)))
    }

    /// Forgets a bridge that is gone.
    pub(super) fn forget_bridge(&self, bridge: Uuid) {
        self.with_write(|inner| drop(inner.seen.remove(&bridge)));
    }

    /// Forgets every bridge that is not among these.
    pub(super) fn retain(&self, bridges: &[Uuid]) {
        self.with_write(|inner| inner.seen.retain(|bridge, _| bridges.contains(bridge)));
    }

    /// Forgets everything where `ovs-vswitchd` has started anew.
    pub(super) fn enter_generation(&self, generation: u64) {
        let mut forgotten = false;
        self.with_write(|inner| {
            if inner.generation != generation {
                forgotten = true;
                *inner = Inner { generation, epoch: inner.epoch, ..Inner::default() };
            }
        });
        if forgotten {
            self.1.of_any();
        }
    }

    /// Forgets everything where somebody else has written since; true where there was something to forget.
    pub(super) fn enter_turn(&self, epoch: u64) -> bool {
        let mut forgotten = false;
        self.with_write(|inner| {
            if inner.epoch != epoch {
                forgotten = !inner.seen.is_empty();
                *inner = Inner { generation: inner.generation, epoch, ..Inner::default() };
            }
        });
        if forgotten {
            self.1.of_any();
        }
        forgotten
    }

    fn with_write(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_read_holds_under_its_number_alone() {
        let (table, bridge) = (FlowTable::default(), Uuid::from_u128(1));
        assert!(!table.holds_at(bridge, 7), "of nothing nothing holds");
        table.set_with_seqno(bridge, FlowsSeen::none(), Some(7));
        assert!(table.holds_at(bridge, 7) && !table.holds_at(bridge, 8));
        table.set(bridge, FlowsSeen::none());
        assert!(!table.holds_at(bridge, 7), "what was written and not read back does not");
    }

    #[test]
    fn knowledge_is_as_old_as_its_last_confirmation() {
        let (table, bridge) = (FlowTable::default(), Uuid::from_u128(1));
        let later = SystemTime::now() + Duration::from_secs(60);
        assert_eq!(table.as_of(bridge), None);
        table.set(bridge, FlowsSeen::Unknown);
        assert_eq!(table.as_of(bridge), None, "of nothing there is no knowledge");
        table.set(bridge, FlowsSeen::none());
        table.confirm_all(later);
        let written = table.as_of(bridge).unwrap();
        assert!(written < later, "what was written and not read back is not confirmed by a counter");
        assert!(!table.is_signed(bridge));
    }
}
