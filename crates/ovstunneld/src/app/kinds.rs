//! Says once, after the first look, which bridges have another kind of tunnels than the configuration gives new ones. Must not change any.

use ovstunnel_ovs::Switch;
use ovstunnel_plan::{DesiredBridge, TunnelKind, View};

/// So many bridges are named.
const NAMED: usize = 5;

/// Into the log, where there are any.
pub(super) fn tell(switch: &Switch, configured: TunnelKind) {
    let others: Vec<String> = switch.observer().read(|db| {
        let view = db.view();
        let bridges = db.bridge_names().into_iter().filter_map(|name| DesiredBridge::from_record(&view.bridge(&name)?));
        let others = bridges.filter(|bridge| bridge.encap.kind() != configured);
        others.map(|bridge| format!("{} ({})", bridge.name, bridge.encap.kind())).collect()
    });
    if !others.is_empty() {
        let some = others.get(..NAMED).unwrap_or(&others).join(", ");
        tracing::info!(%configured, count = others.len(), bridges = some, "bridges keep the kind of tunnels that they have");
    }
}
