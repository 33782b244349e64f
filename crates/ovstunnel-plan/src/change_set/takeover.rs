//! What a take-over from the Python plugin adds to the plan of a bridge.
//!
//! What it does: marks, the plugin's flows, and what ends it. What it must not do: judge (`plugin` does), know the change set, or
//! let a flow of the plugin's go in another moment than the one in which ours come.

use std::collections::BTreeSet;

use super::touched::Touched;
use crate::{BridgeEdit, BridgeName, BridgePlan, FlowChange, ObservedBridge, Plan, ids};

/// The value of [`ids::TAKEOVER`].
const BEGUN: &str = "begun";

/// Whether a take-over of a bridge was begun and may not have been finished.
pub fn takeover_begun(bridge: &ObservedBridge) -> bool {
    bridge.external_ids.contains_key(ids::TAKEOVER)
}

/// What ends a take-over, once nothing of the plugin's is left on a bridge.
pub fn finish_takeover(bridge: &BridgeName) -> Plan {
    let mut plan = BridgePlan::for_bridge(bridge.as_str());
    plan.add_edits(bridge, vec![BridgeEdit::DropId(ids::TAKEOVER.to_owned())]);
    Plan::from_iter([plan])
}

/// Adds to a bridge's plan what its take-over needs.
///
/// Marks and `protected` come in the transaction, the plugin's flows go in the bundle behind it. Should we die in between,
/// one more mark says so; it goes once those flows have gone.
pub(super) fn complete_takeover(mut plan: BridgePlan, touched: &Touched) -> BridgePlan {
    let (Some(plugins), Some(observed), Some(desired)) = (&touched.plugins, &touched.observed, &touched.desired) else {
        return plan;
    };
    plan.bridge = desired.name.to_string();
    let begun = takeover_begun(observed);
    let mark = match plugins.is_empty() {
        true => begun.then(|| BridgeEdit::DropId(ids::TAKEOVER.to_owned())),
        false => (!begun).then(|| BridgeEdit::SetId(ids::TAKEOVER.to_owned(), BEGUN.to_owned())),
    };
    let root_port = touched.stp_root_port.as_ref().filter(|_| observed.stp_enable);
    let root_port = root_port.map(|port| BridgeEdit::SetId(ids::STP_ROOT_PORT.to_owned(), port.clone()));
    plan.add_edits(&desired.name, mark.into_iter().chain(root_port).collect());
    if !plugins.is_empty() {
        plan.flows_after.get_or_insert_with(|| FlowChange::of_plugin(BTreeSet::new())).plugins = plugins.clone();
    }
    plan
}
