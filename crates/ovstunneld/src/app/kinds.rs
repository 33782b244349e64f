//! Says once, after the first look, which bridges have another kind of tunnels than the configuration gives new ones, and which are in the middle
//! of a change of kind. Must not change any.

use ovstunnel_ovs::Switch;
use ovstunnel_plan::{DesiredBridge, TunnelKind, View};

/// So many bridges are named.
const NAMED: usize = 5;

/// Into the log, where there are any.
pub(super) fn tell(switch: &Switch, configured: TunnelKind) {
    let bridges: Vec<DesiredBridge> = switch.observer().read(|db| {
        let view = db.view();
        let bridges = db.bridge_names().into_iter().filter_map(|name| view.bridge(&name));
        bridges.filter_map(|bridge| DesiredBridge::from_record(&bridge)).collect()
    });
    let changing = |bridge: &DesiredBridge| {
        let second = bridge.second.as_ref()?;
        Some(format!("{} (sends by {}, receives by {} too)", bridge.name, bridge.encap.kind(), second.encap.kind()))
    };
    let others = bridges.iter().filter(|bridge| bridge.second.is_none() && bridge.encap.kind() != configured);
    let others: Vec<String> = others.map(|bridge| format!("{} ({})", bridge.name, bridge.encap.kind())).collect();
    let changing: Vec<String> = bridges.iter().filter_map(changing).collect();
    if !others.is_empty() {
        tracing::info!(%configured, count = others.len(), bridges = some_of(&others), "bridges keep the kind of tunnels that they have");
    }
    if !changing.is_empty() {
        tracing::info!(
            count = changing.len(),
            bridges = some_of(&changing),
            "bridges are in the middle of a change of kind"
        );
    }
}

/// The first of them, in a line.
fn some_of(names: &[String]) -> String {
    names.get(..NAMED).unwrap_or(names).join(", ")
}
