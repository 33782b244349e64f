//! Whether flows were changed: by the switch's counter, and where that has moved by the signs of all tables.
//! Must not read flows; the writer does.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::SystemTime;

use futures_util::StreamExt;
use ovstunnel_ovs::Tables;
use ovstunnel_plan::FlowsSeen;
use uuid::Uuid;

use super::{AT_ONCE, Managed, Moved, Watch};
use crate::writer::{Still, Suspicion};

/// Bridges whose flows are read in a second where the counter has moved and no sign says why: somebody may have given flows of
/// ours another cookie, which shows in no sign.
const DOUBTED: usize = 2;

/// Bridges that the daemon itself has written to and that are read back in a second: requests wait meanwhile.
const READ_BACK: usize = 32;

/// What is remembered from second to second.
#[derive(Debug, Default)]
pub(super) struct Flows {
    /// For how many seconds a bridge was without a sign.
    unsigned: HashMap<Uuid, u32>,
    /// For how many seconds a bridge's tables were asked for and not told.
    untold: HashMap<Uuid, u32>,
    /// The signs of probes' flows, which explain that the counter has moved and call for nothing.
    probes: HashMap<Uuid, u64>,
    /// Bridges without a sign whose flows are to be read for one.
    unread: BTreeMap<Uuid, Managed>,
    /// Bridges whose flows are to be read whatever their signs say.
    doubted: VecDeque<Managed>,
}

impl Watch {
    /// Hands bridges whose flows are not what they were to the writer.
    pub(super) async fn ask_flows(&mut self, moved: Moved, at: SystemTime, suspicion: &mut Suspicion) {
        let flows = self.watched.flows.clone();
        let untold = |uuid: &Uuid| {
            self.flows.untold.get(uuid).is_some_and(|seconds| *seconds < 8 || self.seconds.is_multiple_of(8))
        };
        let asks = |uuid: &Uuid| moved.counted || !flows.is_signed(*uuid) || untold(uuid);
        let unwatched = self.bridges.iter().filter(|bridge| !self.is_monitored(bridge));
        let due: Vec<Managed> = unwatched.filter(|bridge| asks(&bridge.uuid)).cloned().collect();
        if !moved.counted && self.flows.untold.is_empty() {
            flows.confirm_all(at);
        }
        let rows: BTreeSet<Uuid> = self.bridges.iter().map(|bridge| bridge.uuid).collect();
        self.flows.untold.retain(|uuid, _| rows.contains(uuid));
        self.flows.unsigned.retain(|uuid, _| rows.contains(uuid));
        self.flows.probes.retain(|uuid, _| rows.contains(uuid));
        let mut explained = !moved.counted;
        for (bridge, tables) in self.ask_tables(due).await {
            let Some(tables) = tables else {
                // What its counter told is not yet looked at.
                explained = true;
                *self.flows.untold.entry(bridge.uuid).or_default() += 1;
                continue;
            };
            self.flows.untold.remove(&bridge.uuid);
            explained |= self.flows.probes.insert(bridge.uuid, tables.probes) != Some(tables.probes);
            let known = self.tell_printed(bridge.uuid, &tables);
            match flows.compare_digest(bridge.uuid, &tables.digest) {
                Still::Same => drop(self.flows.unsigned.remove(&bridge.uuid)),
                Still::Other => {
                    explained = true;
                    match tables.lacks_flow(&known) {
                        true => drop(suspicion.lost.insert(bridge.name, known)),
                        false => drop(suspicion.flows.insert(bridge.name)),
                    }
                }
                Still::Unsigned => {
                    explained = true;
                    let seconds = self.flows.unsigned.entry(bridge.uuid).or_default();
                    *seconds += 1;
                    if tables.lacks_flow(&known) {
                        suspicion.lost.insert(bridge.name, known);
                    } else if is_due(*seconds, tables.digest.is_fresh()) {
                        self.flows.unread.insert(bridge.uuid, bridge);
                    }
                }
            }
        }
        for _ in 0..READ_BACK {
            let Some((_, bridge)) = self.flows.unread.pop_first() else { break };
            suspicion.flows.insert(bridge.name);
        }
        if !explained {
            self.flows.doubted = self.bridges.iter().filter(|bridge| !self.is_monitored(bridge)).cloned().collect();
        }
        for _ in 0..DOUBTED {
            let Some(bridge) = self.flows.doubted.pop_front() else { break };
            flows.mark_doubtful(bridge.uuid);
            suspicion.flows.insert(bridge.name);
        }
    }

    /// Asks for the tables of monitored bridges whose turn it is, for flows of others and hidden ones.
    pub(super) async fn ask_printed(&mut self) {
        let due = self.printed_due();
        for (bridge, tables) in self.ask_tables(due).await {
            let Some(tables) = tables else { continue };
            self.tell_printed(bridge.uuid, &tables);
        }
    }

    /// Tells what a bridge has beside our flows; gives what is known of those.
    fn tell_printed(&self, bridge: Uuid, tables: &Tables) -> FlowsSeen {
        let known = self.watched.flows.get(bridge);
        self.witnesses.edit_witness(bridge, |witness| {
            witness.hidden.clone_from(&tables.hidden);
            witness.foreign = tables.foreign_flows(&known);
        });
        known
    }

    async fn ask_tables(&self, bridges: Vec<Managed>) -> Vec<(Managed, Option<Tables>)> {
        let real = &self.real;
        let asked = bridges.into_iter().map(|bridge| async move {
            let tables = real.read_tables(bridge.name.as_str()).await;
            (bridge, tables)
        });
        futures_util::stream::iter(asked).buffer_unordered(AT_ONCE).collect().await
    }
}

/// Whether the flows of a bridge without a sign are to be read: a sign holds only once its youngest flow is some seconds old.
/// One that cannot be read is tried again at growing distances.
fn is_due(seconds: u32, fresh: bool) -> bool {
    match seconds {
        0..4 => !fresh,
        _ => seconds.is_power_of_two(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_are_read_back_ever_more_seldom() {
        let read = |fresh| (1..40).filter(|seconds| is_due(*seconds, fresh)).collect::<Vec<_>>();
        assert_eq!(read(true), [4, 8, 16, 32]);
        assert_eq!(read(false), [1, 2, 3, 4, 8, 16, 32]);
    }
}
