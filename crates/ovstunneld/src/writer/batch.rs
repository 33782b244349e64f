//! Which changes are carried out together, and what that takes.
//!
//! What it does: picks, from the waiting changes, those that do not touch each other, and merges them into one change set. What it
//! must not do: let one change overtake another on the same thing, or change the switch.

use std::collections::BTreeMap;

use ovstunnel_plan::{BridgeName, Change, ChangeSet, Changed, DesiredBridge, Footprint, Plan, PortName, Rejected};

use super::{Executor, Job, Message, Task, Wanted};

/// What each touched bridge is to be; nothing where it is to be gone.
pub(super) type Desired = BTreeMap<BridgeName, Option<DesiredBridge>>;

/// Changes in one batch: their answers are read back together.
const BATCH_MAX: usize = 256;

/// A batch of changes, merged and planned.
pub(super) struct Merged {
    /// For each change the port of the tunnel it is about, or why it cannot be carried out.
    pub results: Vec<Result<Option<PortName>, Rejected>>,
    /// What all of them together take.
    pub plan: Plan,
    /// What those change of what is there now.
    pub changes: Vec<Changed>,
    /// What each bridge that they touch is to be.
    pub desired: Desired,
}

/// Whether changes behind it may be carried out before it: an event of a VIF has no place in their order.
fn may_be_passed(message: &Message) -> bool {
    matches!(
        message,
        Message::Change { wanted: Wanted::Execution(..), .. } | Message::Vif { wanted: Wanted::Execution(..), .. }
    )
}

impl Task {
    /// The changes that can be carried out together with `first`. The others stay in the queue, in order.
    pub(super) fn batch_with(&mut self, first: Job) -> Vec<Job> {
        if self.queue.is_empty() {
            return vec![first];
        }
        let waiting = self.queue.take_all();
        self.executor.switch.observer().read(|db| {
            let (view, mut change_set) = (db.view(), ChangeSet::with_cache(&self.executor.cache));
            let mut taken: Vec<Footprint> = vec![change_set.footprint_of(&view, &first.change)];
            let (mut batch, mut passed, mut barrier) = (vec![first], Vec::new(), false);
            for message in waiting {
                match message {
                    Message::Change { change, id, span, wanted: Wanted::Execution(ticket, reply) }
                        if !barrier && batch.len() < BATCH_MAX =>
                    {
                        let footprint = change_set.footprint_of(&view, &change);
                        if taken.iter().chain(&passed).all(|other| footprint.independent_of(other)) {
                            if ticket.try_begin() {
                                taken.push(footprint);
                                batch.push(Job { change, id, span, ticket, reply });
                            }
                        } else {
                            passed.push(footprint);
                            let wanted = Wanted::Execution(ticket, reply);
                            self.queue.put_back(Message::Change { change, id, span, wanted });
                        }
                    }
                    other => {
                        barrier |= !may_be_passed(&other);
                        self.queue.put_back(other);
                    }
                }
            }
            batch
        })
    }
}

impl Executor {
    /// Merges changes into one set, against the switch as it is now.
    pub(super) fn change_set<'a>(&self, changes: impl IntoIterator<Item = &'a Change>) -> Merged {
        self.flows.enter_generation(self.switch.watch_health().borrow().generation);
        self.switch.observer().read(|db| {
            let (view, mut change_set) = (db.view(), ChangeSet::with_cache(&self.cache));
            let results =
                changes.into_iter().map(|change| change_set.apply_change(&view, &self.settings, change)).collect();
            let plan = match self.plan_change_set(&change_set) {
                // Nothing is encrypted without the guard before it.
                plan if !plan.is_empty() => plan.with_switch_row(&view, &self.settings),
                plan => plan,
            };
            let changes = plan.items().flat_map(|item| Changed::changes_by(item, &view)).collect();
            Merged { results, plan, changes, desired: change_set.into_desired() }
        })
    }

    /// What a change set takes.
    pub(super) fn plan_change_set(&self, change_set: &ChangeSet<'_>) -> Plan {
        change_set.build_plan(&self.switch.effective_settings(&self.settings), |bridge| self.flows.get(bridge.uuid))
    }
}
