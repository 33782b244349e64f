//! VIFs on the bridges of VPCs that are in no tier, for the log. Must not say the same twice.

use std::collections::{BTreeMap, BTreeSet};

use ovstunnel_plan::{BridgeName, DesiredBridge, ObservedBridge, Settings, unplaced_vifs};

/// Those that were told, by bridge.
#[derive(Debug, Default)]
pub(super) struct Unplaced(BTreeMap<BridgeName, BTreeSet<String>>);

impl Unplaced {
    /// Tells of those that are new; one that was placed meanwhile is new again.
    pub fn log_new(&mut self, desired: &DesiredBridge, observed: &ObservedBridge, settings: &Settings) {
        let Some(vpc) = desired.kind.vpc() else { return };
        let topology = vpc.topology.as_ref().map(|applied| &*applied.value);
        let now: BTreeSet<String> =
            unplaced_vifs(topology, observed, settings).into_iter().map(str::to_owned).collect();
        let told = self.0.entry(desired.name.clone()).or_default();
        for vif in now.difference(told) {
            tracing::warn!(bridge = %desired.name, vif, "the VIF is in no tier of the VPC: nothing is forwarded for it");
        }
        *told = now;
    }
}
