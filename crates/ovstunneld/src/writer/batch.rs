//! Which changes are carried out together, and what that takes.
//!
//! What it does: picks, from the waiting changes, those that do not touch each other, and drafts them as one. What it
//! must not do: let one change overtake another on the same thing, or change the switch.

use std::collections::BTreeMap;

use ovstunnel_plan::{BridgeName, Change, Changed, DesiredBridge, Draft, Footprint, Plan, PortName, Rejected};

use super::{Job, Message, Task, Wanted};

/// What each touched bridge is to be; nothing where it is to be gone.
pub(super) type Desired = BTreeMap<BridgeName, Option<DesiredBridge>>;

/// Changes in one batch: their answers are read back together.
const BATCH_MAX: usize = 256;

/// A batch of changes, drafted.
pub(super) struct Drafted {
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
        Message::Change { wanted: Wanted::Effect(..), .. } | Message::Vif { wanted: Wanted::Effect(..), .. }
    )
}

impl Task {
    /// The changes that can be carried out together with `first`. The others stay in the queue, in order.
    pub(super) fn batch_with(&mut self, first: Job) -> Vec<Job> {
        if self.queue.is_empty() {
            return vec![first];
        }
        let waiting = self.queue.take_all();
        self.switch.observer().read(|db| {
            let (view, mut draft) = (db.view(), Draft::with_memory(&self.memory));
            let mut taken: Vec<Footprint> = vec![draft.footprint(&view, &first.change)];
            let (mut batch, mut passed, mut barrier) = (vec![first], Vec::new(), false);
            for message in waiting {
                match message {
                    Message::Change { change, id, span, wanted: Wanted::Effect(ticket, reply) }
                        if !barrier && batch.len() < BATCH_MAX =>
                    {
                        let footprint = draft.footprint(&view, &change);
                        if taken.iter().chain(&passed).all(|other| footprint.independent_of(other)) {
                            if ticket.begin() {
                                taken.push(footprint);
                                batch.push(Job { change, id, span, ticket, reply });
                            }
                        } else {
                            passed.push(footprint);
                            let wanted = Wanted::Effect(ticket, reply);
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

    /// Drafts changes as one, against the switch as it is now.
    pub(super) fn draft<'a>(&self, changes: impl IntoIterator<Item = &'a Change>) -> Drafted {
        self.flows.enter_generation(self.switch.health().borrow().generation);
        self.switch.observer().read(|db| {
            let (view, mut draft) = (db.view(), Draft::with_memory(&self.memory));
            let results = changes.into_iter().map(|change| draft.apply(&view, &self.settings, change)).collect();
            let plan = self.plan_draft(&draft);
            let changes = plan.items().flat_map(|item| Changed::by(item, &view)).collect();
            Drafted { results, plan, changes, desired: draft.into_desired() }
        })
    }

    /// What a draft takes.
    pub(super) fn plan_draft(&self, draft: &Draft<'_>) -> Plan {
        draft.plan(&self.switch.effective(&self.settings), |bridge| self.flows.get(bridge.uuid))
    }
}
