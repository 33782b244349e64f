//! What is carried out, and in which order: flows before the database, transactions, ports that are flooded to again, flows after.
//!
//! What it does: gives each phase a place of its own, so that no order hides in positions of a list; whoever carries a plan out
//! and whoever prints it go through the same phases (docs/adr/0033-one-plan-is-run-or-printed.md). What it must not do: know
//! commands, or hold what only the switch's answers call for: what is done about a refusal is no part of a plan.

use std::fmt;

use crate::{BridgeEdit, BridgeName, FlowChange, Step, split_stages};

/// What one bridge needs. The phases are carried out in the order of [`Phase::ORDER`], each for all bridges of a [`Plan`] together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BridgePlan {
    /// The bridge.
    pub bridge: String,
    /// Flows that must have changed when the database does.
    pub flows_before: Option<FlowChange>,
    /// Ports are flooded to again before the database says that they are: what somebody died before.
    pub floods_before: bool,
    /// Changes of the database. What of them must not share a transaction is said by [`Plan::transactions`].
    pub database: Vec<Step>,
    /// A spanning tree ends in a transaction: its ports are flooded to again afterwards, and one more transaction says so.
    pub floods_after: bool,
    /// Flows that change once the database has.
    pub flows_after: Option<FlowChange>,
}

impl BridgePlan {
    /// Nothing yet.
    pub fn for_bridge(bridge: impl Into<String>) -> Self {
        BridgePlan { bridge: bridge.into(), ..BridgePlan::default() }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.database.is_empty() && self.flows_before.is_none() && self.flows_after.is_none()
    }

    /// Adds edits of the bridge's row to those that are there: one step has them all.
    pub(crate) fn add_edits(&mut self, bridge: &BridgeName, more: Vec<BridgeEdit>) {
        if more.is_empty() {
            return;
        }
        self.floods_before |= more.iter().any(BridgeEdit::says_flooding);
        self.floods_after |= more.iter().any(BridgeEdit::stops_flooding);
        let there = self.database.iter_mut().find_map(|step| match step {
            Step::EditBridge { edits, .. } => Some(edits),
            _ => None,
        });
        match there {
            Some(edits) => edits.extend(more),
            None => self.database.push(Step::EditBridge { bridge: bridge.clone(), edits: more }),
        }
    }

    /// Has flows change before the database; where the database does not change, after nothing is the same as before nothing, and
    /// what failed is tried again.
    pub(crate) fn flows_first(&mut self, change: Option<FlowChange>) {
        match self.database.is_empty() {
            true => self.flows_after = change,
            false => self.flows_before = change,
        }
    }

    /// All of it, in words and in order.
    pub fn items(&self) -> impl Iterator<Item = PlanItem<'_>> {
        let flows = |change| PlanItem::Flows(&self.bridge, change);
        let before = self.flows_before.as_ref().map(flows);
        let database = self.database.iter().map(PlanItem::Database);
        before.into_iter().chain(database).chain(self.flows_after.as_ref().map(flows))
    }
}

/// What is carried out together, bridge by bridge. A bridge stands in it once, and only where it needs something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    bridges: Vec<BridgePlan>,
}

impl FromIterator<BridgePlan> for Plan {
    fn from_iter<T: IntoIterator<Item = BridgePlan>>(bridges: T) -> Self {
        Plan { bridges: bridges.into_iter().filter(|bridge| !bridge.is_empty()).collect() }
    }
}

impl IntoIterator for Plan {
    type Item = BridgePlan;
    type IntoIter = std::vec::IntoIter<BridgePlan>;

    fn into_iter(self) -> Self::IntoIter {
        self.bridges.into_iter()
    }
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.bridges.is_empty()
    }

    /// What each bridge needs.
    pub fn bridges(&self) -> &[BridgePlan] {
        &self.bridges
    }

    /// Whether there is something to do for a bridge.
    pub fn is_about(&self, bridge: &str) -> bool {
        self.bridges.iter().any(|plan| plan.bridge == bridge)
    }

    /// Adds what other bridges need.
    pub fn extend(&mut self, other: Plan) {
        self.bridges.extend(other.bridges);
    }

    /// All of it, in words: bridge by bridge, and of each in order.
    pub fn items(&self) -> impl Iterator<Item = PlanItem<'_>> {
        self.bridges.iter().flat_map(BridgePlan::items)
    }

    /// All changes of the database.
    pub fn database_steps(&self) -> impl Iterator<Item = &Step> {
        self.bridges.iter().flat_map(|plan| &plan.database)
    }

    /// Flow changes that go before the database.
    pub fn flows_before(&self) -> Vec<(&str, &FlowChange)> {
        self.bridges.iter().filter_map(|plan| Some((plan.bridge.as_str(), plan.flows_before.as_ref()?))).collect()
    }

    /// Flow changes that come after it.
    pub fn flows_after(&self) -> Vec<(&str, &FlowChange)> {
        self.bridges.iter().filter_map(|plan| Some((plan.bridge.as_str(), plan.flows_after.as_ref()?))).collect()
    }

    /// Bridges whose ports are flooded to again before the database says so.
    pub fn floods_before(&self) -> Vec<&str> {
        self.bridges.iter().filter(|plan| plan.floods_before).map(|plan| plan.bridge.as_str()).collect()
    }

    /// Bridges whose ports are flooded to again once their spanning tree has ended.
    pub fn floods_after(&self) -> Vec<&str> {
        self.bridges.iter().filter(|plan| plan.floods_after).map(|plan| plan.bridge.as_str()).collect()
    }

    /// The changes of the database as transactions, in order: more than one only where Open vSwitch needs ports out of the way.
    pub fn transactions(&self) -> Vec<Vec<Step>> {
        split_stages(self.database_steps().cloned().collect())
    }

    /// The transaction that says that ports are flooded to again.
    pub fn says_flooding(&self) -> Vec<Step> {
        let flooding = || BridgeEdit::DropId(crate::ids::FLOODING.to_owned());
        let bridges = self.floods_after().into_iter().filter_map(|bridge| bridge.parse().ok());
        bridges.map(|bridge| Step::EditBridge { bridge, edits: vec![flooding()] }).collect()
    }

    /// Without what some bridges need.
    pub fn without_bridges(&self, held_back: impl Fn(&str) -> bool) -> Plan {
        self.bridges.iter().filter(|plan| !held_back(&plan.bridge)).cloned().collect()
    }
}

/// The phases of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// [`Plan::flows_before`], several bridges side by side.
    FlowsBefore,
    /// [`Plan::floods_before`].
    FloodsBefore,
    /// [`Plan::transactions`].
    Database,
    /// [`Plan::floods_after`], and then the transaction [`Plan::says_flooding`].
    FloodsAfter,
    /// [`Plan::flows_after`], several bridges side by side.
    FlowsAfter,
}

impl Phase {
    /// All of them in the one order in which a plan is carried out, and printed.
    pub const ORDER: [Phase; 5] =
        [Phase::FlowsBefore, Phase::FloodsBefore, Phase::Database, Phase::FloodsAfter, Phase::FlowsAfter];
}

/// One thing of a plan, as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanItem<'a> {
    /// Flows of a bridge change.
    Flows(&'a str, &'a FlowChange),
    /// The database changes.
    Database(&'a Step),
}

impl<'a> PlanItem<'a> {
    /// The bridge on which it works; empty where it is the whole switch.
    pub fn bridge(&self) -> &'a str {
        match self {
            PlanItem::Flows(bridge, _) => bridge,
            PlanItem::Database(step) => step.bridge(),
        }
    }

    /// The change of the database, where it is one.
    pub fn step(&self) -> Option<&'a Step> {
        match self {
            PlanItem::Flows(..) => None,
            PlanItem::Database(step) => Some(step),
        }
    }

    /// Whether it changes flows and not the database.
    pub fn is_flows(&self) -> bool {
        matches!(self, PlanItem::Flows(..))
    }
}

impl fmt::Display for PlanItem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanItem::Flows(bridge, change) => write!(f, "flows of bridge {bridge}: {change}"),
            PlanItem::Database(step) => step.fmt(f),
        }
    }
}
