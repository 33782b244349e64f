//! What came of a plan: which parts of it were not carried out, and why. Must not decide what is done about them.

use std::collections::BTreeMap;

use ovstunnel_ovs::CommitError;
use ovstunnel_plan::{BridgeName, PlanItem};

use super::answer::Refusal;

/// What came of a plan.
#[derive(Debug, Default)]
pub(super) struct Executed {
    /// The database was not changed as planned.
    pub failed: Option<CommitError>,
    /// Tunnels that Open vSwitch refused.
    pub refused: Vec<Refusal>,
    /// Those are gone again; else their rows stay, in error.
    pub taken_away: bool,
    /// Bridges that Open vSwitch refused and that are gone again, with its words.
    pub bridges_refused: BTreeMap<BridgeName, String>,
    /// Bridges whose flows had to be changed first and could not be: of them nothing was changed in the database.
    pub held_back: BTreeMap<String, CommitError>,
    /// Bridges whose flows could not be changed.
    pub flows_failed: BTreeMap<String, CommitError>,
    /// That the database was changed was known only afterwards: the flows are planned anew.
    pub plan_anew: bool,
}

impl Executed {
    /// Why a part of a plan was not carried out, if it was not.
    pub fn failure_of(&self, item: PlanItem<'_>) -> Option<&CommitError> {
        let of_flows = self.flows_failed.get(item.bridge()).filter(|_| item.is_flows());
        of_flows.or_else(|| self.held_back.get(item.bridge())).or(self.failed.as_ref())
    }

    /// Adds what came of what was planned anew.
    pub fn and_then(&mut self, rest: Executed) {
        self.failed = self.failed.take().or(rest.failed);
        self.refused.extend(rest.refused);
        self.held_back.extend(rest.held_back);
        self.flows_failed.extend(rest.flows_failed);
        self.plan_anew = rest.plan_anew;
    }
}
