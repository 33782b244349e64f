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

/// Flows of others, which are told once two looks have found them: a flow of ours that is written or taken away between a look and what is known
/// by then looks like one.
#[derive(Debug, Default)]
pub(super) struct Strangers(HashMap<Uuid, Found>);

/// What the last look has found, and whether the one before had all of it.
#[derive(Debug, Default)]
struct Found {
    lines: Vec<String>,
    is_confirmed: bool,
}

impl Strangers {
    /// Those of what a look has found that the one before had found, too.
    fn confirm(&mut self, bridge: Uuid, lines: Vec<String>) -> Vec<String> {
        let before = self.0.remove(&bridge).unwrap_or_default().lines;
        let both: Vec<String> = lines.iter().filter(|line| before.contains(line)).cloned().collect();
        let is_confirmed = both.len() == lines.len();
        self.0.insert(bridge, Found { lines, is_confirmed });
        both
    }

    /// Whether another look has to say what becomes of them.
    pub(super) fn wants_look(&self, bridge: Uuid) -> bool {
        self.0.get(&bridge).is_some_and(|found| !found.is_confirmed)
    }

    fn retain(&mut self, bridges: &BTreeSet<Uuid>) {
        self.0.retain(|uuid, _| bridges.contains(uuid));
    }
}

impl Watch {
    /// Hands bridges whose flows are not what they were to the writer.
    pub(super) async fn ask_flows(&mut self, moved: Moved, at: SystemTime, suspicion: &mut Suspicion) {
        let flows = self.watched.flows.clone();
        let untold = |uuid: &Uuid| {
            self.flows.untold.get(uuid).is_some_and(|seconds| *seconds < 8 || self.seconds.is_multiple_of(8))
        };
        let asks =
            |uuid: &Uuid| moved.counted || !flows.is_signed(*uuid) || untold(uuid) || self.strangers.wants_look(*uuid);
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

    /// Forgets bridges that are not there any more.
    fn retain_strangers(&mut self) {
        let rows = self.bridges.iter().map(|bridge| bridge.uuid).collect();
        self.strangers.retain(&rows);
    }

    /// Asks for the tables of monitored bridges whose turn it is, for flows of others and hidden ones.
    pub(super) async fn ask_printed(&mut self) {
        self.retain_strangers();
        let due = self.printed_due();
        for (bridge, tables) in self.ask_tables(due).await {
            let Some(tables) = tables else { continue };
            self.tell_printed(bridge.uuid, &tables);
        }
    }

    /// Tells what a bridge has beside our flows; gives what is known of those.
    fn tell_printed(&mut self, bridge: Uuid, tables: &Tables) -> FlowsSeen {
        let known = self.watched.flows.get(bridge);
        let foreign = self.strangers.confirm(bridge, tables.foreign_flows(&known));
        self.witnesses.edit_witness(bridge, |witness| {
            witness.hidden.clone_from(&tables.hidden);
            witness.foreign = foreign;
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
    fn a_flow_of_others_is_told_by_the_second_look_that_finds_it() {
        let (mut strangers, bridge) = (Strangers::default(), Uuid::from_u128(1));
        let lines = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        for (found, told, wants_look) in [
            (&[][..], &[][..], false),
            // Of ours, and in the middle of being written.
            (&["a"], &[], true),
            (&[], &[], false),
            (&["a", "b"], &[], true),
            (&["b", "c"], &["b"], true),
            (&["b", "c"], &["b", "c"], false),
            (&["b"], &["b"], false),
        ] {
            assert_eq!(strangers.confirm(bridge, lines(found)), lines(told), "{found:?}");
            assert_eq!(strangers.wants_look(bridge), wants_look, "{found:?}");
        }
        strangers.retain(&BTreeSet::new());
        assert_eq!(strangers.confirm(bridge, lines(&["b"])), lines(&[]));
    }

    #[test]
    fn flows_are_read_back_ever_more_seldom() {
        let read = |fresh| (1..40).filter(|seconds| is_due(*seconds, fresh)).collect::<Vec<_>>();
        assert_eq!(read(true), [4, 8, 16, 32]);
        assert_eq!(read(false), [1, 2, 3, 4, 8, 16, 32]);
    }
}
