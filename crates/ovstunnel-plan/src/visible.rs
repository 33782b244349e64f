//! Whether what was written can be seen. Must not look at more than what was written: a bridge may have thousands of ports.

use std::collections::BTreeMap;

use crate::{
    BridgeEdit, NO_VLAN, ObservedBridge, ObservedPort, PortEdit, Step, SwitchEdit, TunnelHealth, View, Vlan, ids,
};

/// Whether what the steps wrote to the database can be seen there, and vswitchd has looked at each new tunnel.
///
/// Looks at what the steps name and at nothing else, for a bridge may have thousands of other ports.
pub fn steps_visible(steps: &[Step], view: &dyn View) -> bool {
    let mut bridges: BTreeMap<&str, Option<ObservedBridge>> = BTreeMap::new();
    steps.iter().all(|step| {
        let bridge = bridges.entry(step.bridge()).or_insert_with(|| view.bare_bridge(step.bridge()));
        step_visible(step, bridge.as_ref(), view)
    })
}

fn step_visible(step: &Step, bridge: Option<&ObservedBridge>, view: &dyn View) -> bool {
    let port = |name: &str| view.port(step.bridge(), name);
    match step {
        Step::CreateBridge(_) => bridge.is_some(),
        Step::DeleteBridge { uuid, .. } => bridge.is_none_or(|bridge| bridge.uuid != *uuid),
        Step::AddTunnel { tunnel, .. } => port(tunnel.port_name().as_str())
            .is_some_and(|port| port.interface().is_some_and(|i| i.health() != TunnelHealth::Pending)),
        Step::RemoveTunnel { port: name, uuid, .. } => port(name).is_none_or(|port| port.uuid != *uuid),
        Step::EditTunnel { port: name, edits, .. } => {
            port(name.as_str()).is_none_or(|port| edits.iter().all(|edit| port_edit_visible(edit, &port)))
        }
        Step::EditBridge { edits, .. } => {
            bridge.is_none_or(|bridge| edits.iter().all(|edit| bridge_edit_visible(edit, bridge)))
        }
        Step::TryAgain { .. } => true,
        Step::EditSwitch(edits) => edits.iter().all(|edit| switch_edit_visible(edit, view)),
        Step::RecordEpoch(epoch) => view.switch_id(ids::EPOCH) == epoch.map(|epoch| epoch.to_string()),
    }
}

fn switch_edit_visible(edit: &SwitchEdit, view: &dyn View) -> bool {
    match edit {
        SwitchEdit::SetConfig(key, value) => view.switch_config(key).as_ref() == Some(value),
        SwitchEdit::DropConfig(key) => view.switch_config(key).is_none(),
        SwitchEdit::SetId(key, value) => view.switch_id(key).as_ref() == Some(value),
        SwitchEdit::DropId(key) => view.switch_id(key).is_none(),
    }
}

fn port_edit_visible(edit: &PortEdit, port: &ObservedPort) -> bool {
    let interface = port.interface();
    match edit {
        PortEdit::SetId(key, value) => port.external_ids.get(key) == Some(value),
        PortEdit::DropId(key) => !port.external_ids.contains_key(key),
        PortEdit::Protect => port.protected,
        PortEdit::NoVlan => port.vlan == Vlan::default(),
        PortEdit::ReceiveOnly => port.vlan == Vlan { tag: Some(NO_VLAN), ..Vlan::default() },
        PortEdit::Detach => interface.is_none_or(|interface| interface.kind == "null"),
        PortEdit::MakeTunnel(kind) => interface.is_none_or(|interface| interface.tunnel_kind() == Some(*kind)),
        PortEdit::SetOption(key, value) => interface.is_none_or(|interface| interface.options.get(key) == Some(value)),
        PortEdit::DropOption(key) => interface.is_none_or(|interface| !interface.options.contains_key(key)),
        PortEdit::SetBfd(key, value) => interface.is_none_or(|interface| interface.bfd.get(key) == Some(value)),
        PortEdit::DropBfd(key) => interface.is_none_or(|interface| !interface.bfd.contains_key(key)),
    }
}

fn bridge_edit_visible(edit: &BridgeEdit, bridge: &ObservedBridge) -> bool {
    match edit {
        BridgeEdit::SetId(key, value) => bridge.external_ids.get(key) == Some(value),
        BridgeEdit::DropId(key) => !bridge.external_ids.contains_key(key),
        BridgeEdit::SetConfig(key, value) => bridge.other_config.get(key) == Some(value),
        BridgeEdit::DropConfig(key) => !bridge.other_config.contains_key(key),
        BridgeEdit::StpOff => !bridge.stp_enable,
        BridgeEdit::RstpOff => !bridge.rstp_enable,
        BridgeEdit::OpenFlow14(on) => bridge.protocols.iter().any(|protocol| protocol == "OpenFlow14") == *on,
        BridgeEdit::FailMode(mode) => bridge.fail_mode.as_deref() == mode.map(|mode| mode.as_str()),
        BridgeEdit::McastSnooping(on) => bridge.mcast_snooping == *on,
        BridgeEdit::NoVlan => bridge.own_port().is_none_or(|port| port.vlan == Vlan::default()),
        BridgeEdit::MtuRequest(mtu) => {
            bridge.own_port().and_then(|port| port.interface()).is_none_or(|own| own.mtu_request == *mtu)
        }
        BridgeEdit::Protect(on) => bridge.own_port().is_none_or(|port| port.protected == *on),
    }
}
