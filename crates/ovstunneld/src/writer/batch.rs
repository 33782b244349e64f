//! Which changes are carried out together, and what that takes.
//!
//! What it does: picks, from the waiting changes, those that do not touch each other, and drafts them as one. What it
//! must not do: let one change overtake another on the same thing, or change the switch.

use std::collections::BTreeMap;

use ovstunnel_plan::{BridgeName, Change, Changed, DesiredBridge, Draft, Footprint, Plan, PortName, Rejected};

use super::{Job, Message, Task};

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

impl Task {
    /// The changes that can be carried out together with `first`. The others stay in the inbox, in order.
    pub(super) fn batch_with(&mut self, first: Job) -> Vec<Job> {
        if self.inbox.is_empty() {
            return vec![first];
        }
        let inbox = std::mem::take(&mut self.inbox);
        self.switch.observer().read(|db| {
            let (view, mut draft) = (db.view(), Draft::with_memory(&self.memory));
            let mut taken: Vec<Footprint> = vec![draft.footprint(&view, &first.change)];
            let (mut batch, mut passed, mut barrier) = (vec![first], Vec::new(), false);
            for message in inbox {
                match message {
                    Message::Change(job) if !barrier && batch.len() < BATCH_MAX => {
                        let footprint = draft.footprint(&view, &job.change);
                        if taken.iter().chain(&passed).all(|other| footprint.independent_of(other)) {
                            if job.ticket.begin() {
                                taken.push(footprint);
                                batch.push(job);
                            }
                        } else {
                            passed.push(footprint);
                            self.inbox.push_back(Message::Change(job));
                        }
                    }
                    other => {
                        // News of a VIF have no place in the order of changes.
                        barrier |= !matches!(other, Message::Change(_) | Message::Vif(_));
                        self.inbox.push_back(other);
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
