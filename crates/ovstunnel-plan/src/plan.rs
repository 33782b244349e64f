//! The plan of one bridge: from what is observed to what is desired, over the union of both.
//!
//! What it does: compares, bridge by bridge. What it must not do: I/O, or touch anything without our mark.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::bridge_mtu::{mtu_edits, wanted_mtu};
use crate::tunnel_edits::tunnel_edits;
use crate::{
    BridgeEdit, BridgeKind, BridgeName, BridgePlan, BridgeSpec, Cookie, DesiredBridge, DesiredTunnel,
    EffectiveSettings, FailMode, FlowChange, FlowsSeen, Mark, ObservedBridge, ObservedInterface, ObservedPort,
    PortEdit, Step, TunnelEndpoint, Vlan, adopt, bridge_flows, ids, second, wanted_flows,
};

/// What makes one bridge what it must be.
///
/// With nothing desired, whatever carries our mark goes: a bridge of our own making as a whole; from one that was there
/// before us our tunnels, flows and marks; from one that is not ours our left-over tunnels.
pub fn plan_bridge(
    desired: Option<&DesiredBridge>,
    observed: Option<&ObservedBridge>,
    flows: &FlowsSeen,
    settings: &EffectiveSettings,
) -> BridgePlan {
    match (desired, observed) {
        (None, None) => BridgePlan::default(),
        (Some(desired), None) => plan_creation(desired, settings),
        (None, Some(observed)) => plan_removal(observed, flows),
        (Some(desired), Some(observed)) => plan_change(desired, observed, flows, settings),
    }
}

fn plan_creation(desired: &DesiredBridge, settings: &EffectiveSettings) -> BridgePlan {
    let mtu_request = wanted_mtu(desired, settings);
    let marks = desired.external_ids().into_iter().filter_map(|(key, value)| Some((key, value?)));
    let spec = BridgeSpec {
        name: desired.name.clone(),
        datapath_type: settings.datapath_type.clone(),
        external_ids: marks.chain(mtu_request.map(|mtu| (ids::MTU.to_owned(), mtu.to_string()))).collect(),
        other_config: desired.other_config().into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        fail_mode: desired.needs_flows().then_some(FailMode::Secure),
        mtu_request,
    };
    let mut plan = BridgePlan::for_bridge(desired.name.as_str());
    plan.database.push(Step::CreateBridge(spec));
    plan.database
        .extend(desired.all_tunnels().map(|(_, tunnel)| add_step(&desired.name, &tunnel.with_settings(settings))));
    plan.flows_after = FlowChange::between(&bridge_flows(desired, None, settings), &FlowsSeen::none());
    plan
}

fn plan_removal(observed: &ObservedBridge, flows: &FlowsSeen) -> BridgePlan {
    let mut plan = BridgePlan::for_bridge(&observed.name);
    let ours = observed.ports.values().filter(|port| port.is_tunnel_of_ours());
    let ours = ours.map(|port| remove_tunnel(observed, port));
    let Ok(name) = observed.name.parse::<BridgeName>() else {
        plan.database.extend(ours);
        return plan;
    };
    if DesiredBridge::bridge_mark(observed) == Mark::Foreign {
        plan.database.extend(ours);
        // A bridge that is not ours is never written to on suspicion: flows of ours must have been seen there.
        let left = matches!(flows, FlowsSeen::Known { .. }).then(|| FlowChange::between(&BTreeSet::new(), flows));
        plan.flows_first(left.flatten().map(|change| made_plain(change, observed, flows)));
        return plan;
    }
    if !DesiredBridge::recorded_as_adopted(observed) || DesiredBridge::recorded_as_agents(observed) {
        return plan_deletion(&name, observed);
    }
    plan_release(&name, observed, flows)
}

/// What takes a bridge away with all on it.
pub(crate) fn plan_deletion(name: &BridgeName, observed: &ObservedBridge) -> BridgePlan {
    let mut plan = BridgePlan::for_bridge(name.as_str());
    let releases = observed.ports.values().filter_map(|port| port.interface()?.tunnel_endpoint()).collect();
    plan.database.push(Step::DeleteBridge { bridge: name.clone(), uuid: observed.uuid, releases });
    plan
}

/// Where our flow that forwards goes, Open vSwitch's own comes back with the same bundle: somebody may have deleted it, and it
/// is not made anew before the next start. With `fail_mode=secure` there is none; a VPC's bridge never had ours.
fn made_plain(change: FlowChange, observed: &ObservedBridge, seen: &FlowsSeen) -> FlowChange {
    let forwards = match seen {
        FlowsSeen::Unknown => !observed.external_ids.contains_key(ids::VPC),
        FlowsSeen::Known { flows, .. } => flows.iter().any(|flow| flow.cookie == Cookie::FORWARD),
    };
    let secure = observed.fail_mode.as_deref() == Some(FailMode::Secure.as_str());
    FlowChange { plain: forwards && !secure, ..change }
}

/// What leaves a plain bridge with all on it that is not ours.
pub(crate) fn plan_release(name: &BridgeName, observed: &ObservedBridge, flows: &FlowsSeen) -> BridgePlan {
    let mut plan = BridgePlan::for_bridge(name.as_str());
    let ours = observed.ports.values().filter(|port| port.is_tunnel_of_ours());
    plan.database.extend(ours.map(|port| remove_tunnel(observed, port)));
    plan.add_edits(name, adopt::give_back(observed));
    // The flows go first: once the marks are gone, nothing says that those flows are ours to take away.
    let change = FlowChange::between(&BTreeSet::new(), flows);
    plan.flows_first(change.map(|change| made_plain(change, observed, flows)));
    plan
}

fn plan_change(
    desired: &DesiredBridge,
    observed: &ObservedBridge,
    flows: &FlowsSeen,
    settings: &EffectiveSettings,
) -> BridgePlan {
    let desired = &*desired.settled(observed, flows, settings);
    let mut plan = BridgePlan::for_bridge(desired.name.as_str());
    let mut edits = bridge_edits(desired, observed);
    edits.extend(mtu_edits(desired, observed, settings));
    // Open vSwitch deletes all flows of a bridge whose `fail_mode` becomes another one (docs/ovs-facts.md).
    let flushed = edits.iter().any(|edit| matches!(edit, BridgeEdit::FailMode(_)));
    plan.add_edits(&desired.name, edits);
    plan.database.extend(tunnel_steps(desired, observed, settings));
    let wanted = wanted_flows(desired, observed, flows, settings);
    if second::turns(desired, &plan.database) {
        let seen = if flushed { &FlowsSeen::Unknown } else { flows };
        let before = FlowChange::between(&second::carried(desired, observed, wanted.clone()).collect(), seen);
        let then = before.as_ref().map_or_else(|| seen.clone(), |change| change.applied_to(seen));
        (plan.flows_before, plan.flows_after) = (before, FlowChange::between(&wanted, &then));
    } else if records_an_update(desired, observed) || plan.database.iter().any(begins_bfd) {
        // What is recorded was applied: the record never says more than the flows do (docs/adr/0013-vpc-bridges.md). And nobody sends BFD to a
        // switch whose flows would let VMs have it, or forge it.
        plan.flows_first(FlowChange::between(&wanted, flows));
        plan.flows_after = flushed.then(|| FlowChange::between(&wanted, &FlowsSeen::Unknown)).flatten();
    } else {
        plan.flows_after = FlowChange::between(&wanted, if flushed { &FlowsSeen::Unknown } else { flows });
    }
    plan
}

/// Whether a tunnel that is there begins to send BFD, or one that does is made.
fn begins_bfd(step: &Step) -> bool {
    match step {
        Step::AddTunnel { tunnel, .. } => tunnel.bfd.is_some(),
        Step::EditTunnel { edits, .. } => edits.iter().any(|edit| matches!(edit, PortEdit::SetBfd(..))),
        _ => false,
    }
}

/// Whether the record of what a VPC was told changes.
fn records_an_update(desired: &DesiredBridge, observed: &ObservedBridge) -> bool {
    desired.kind.vpc().filter(|vpc| vpc.topology.is_some() || vpc.policies.is_some()).is_some_and(|vpc| {
        let there = BridgeKind::from_record(observed);
        let there = there.as_ref().and_then(BridgeKind::vpc);
        there.is_none_or(|there| (&there.topology, &there.policies) != (&vpc.topology, &vpc.policies))
    })
}

fn bridge_edits(desired: &DesiredBridge, observed: &ObservedBridge) -> Vec<BridgeEdit> {
    let mut edits = adopt::keep_edits(desired, observed);
    let marks = desired.external_ids();
    let chunks = observed.external_ids.keys().filter(|key| ids::is_chunk(key));
    let left_over = chunks.filter(|chunk| marks.iter().all(|(key, _)| key != *chunk));
    edits.extend(left_over.cloned().map(BridgeEdit::DropId));
    for (key, value) in marks {
        match (value, observed.external_ids.get(&key)) {
            (Some(value), there) if there != Some(&value) => edits.push(BridgeEdit::SetId(key, value)),
            // Another tool's key stays where we have no value of our own for it.
            (None, Some(_)) if key != ids::XS_NETWORK_UUID => edits.push(BridgeEdit::DropId(key)),
            _ => {}
        }
    }
    for (key, value) in desired.other_config() {
        if observed.other_config.get(key) != Some(&value) {
            edits.push(BridgeEdit::SetConfig(key.to_owned(), value));
        }
    }
    let spanning = observed.stp_enable || observed.rstp_enable;
    match (spanning, observed.external_ids.contains_key(ids::FLOODING)) {
        (true, false) => edits.push(BridgeEdit::SetId(ids::FLOODING.to_owned(), "off".to_owned())),
        (false, true) => edits.push(BridgeEdit::DropId(ids::FLOODING.to_owned())),
        _ => {}
    }
    let own_port_open = observed.own_port().is_some_and(|port| !port.protected);
    edits.extend(observed.stp_enable.then_some(BridgeEdit::StpOff));
    edits.extend(observed.rstp_enable.then_some(BridgeEdit::RstpOff));
    edits.extend(adopt::lacks_openflow_14(observed).then_some(BridgeEdit::OpenFlow14(true)));
    // With it frames are lost or doubled, whatever the ports are set to (docs/ovs-facts.md).
    edits.extend(observed.mcast_snooping.then_some(BridgeEdit::McastSnooping(false)));
    // The own device of a bridge that was there before us may be somebody's access port.
    let in_vlan = |port: &ObservedPort| !desired.adopted && port.vlan != Vlan::default();
    edits.extend(observed.own_port().is_some_and(in_vlan).then_some(BridgeEdit::NoVlan));
    edits.extend(own_port_open.then_some(BridgeEdit::Protect(true)));
    let open = desired.needs_flows() && observed.fail_mode.as_deref() != Some(FailMode::Secure.as_str());
    edits.extend(open.then_some(BridgeEdit::FailMode(Some(FailMode::Secure))));
    edits
}

/// Over the union of the tunnels that must be there and those of ours that are.
fn tunnel_steps(desired: &DesiredBridge, observed: &ObservedBridge, settings: &EffectiveSettings) -> Vec<Step> {
    let mut steps = Vec::new();
    let left_over = |port: &&ObservedPort| port.is_tunnel_of_ours() && desired.tunnel_at(port.name.as_str()).is_none();
    steps.extend(observed.ports.values().filter(left_over).map(|port| remove_tunnel(observed, port)));

    let held = LazyCell::new(|| tunnels_held(observed));
    for (name, tunnel) in desired.all_tunnels() {
        let tunnel = &*tunnel.with_settings(settings);
        let Some(port) = observed.ports.get(name.as_str()) else {
            steps.push(add_step(&desired.name, tunnel));
            continue;
        };
        let edits = tunnel_edits(tunnel, port);
        if edits.is_empty() {
            continue;
        }
        // Open vSwitch applies edits port by port: one whose new identity another port still has must make way first.
        if held.get(&tunnel.endpoint()).is_some_and(|holder| *holder != name.as_str()) {
            steps.push(remove_tunnel(observed, port));
            steps.push(add_step(&desired.name, tunnel));
        } else {
            steps.extend(edit_steps(desired, tunnel, port, edits));
        }
    }
    steps
}

/// Which port has each tunnel now.
fn tunnels_held(observed: &ObservedBridge) -> BTreeMap<TunnelEndpoint, &str> {
    let ports = observed.ports.values();
    ports.filter_map(|port| Some((port.interface()?.tunnel_endpoint()?, port.name.as_str()))).collect()
}

/// The steps that edit a tunnel in place.
///
/// Somebody who has changed a tunnel's remote address or key may have given them to another port. Open vSwitch says nothing
/// when an edit takes them back then: the tunnel shows as up and is dead (docs/ovs-facts.md). So one whose record is not
/// what it is, is detached first; then it is looked at as a new one is, and an error is shown.
fn edit_steps(bridge: &DesiredBridge, tunnel: &DesiredTunnel, port: &ObservedPort, edits: Vec<PortEdit>) -> Vec<Step> {
    let (before, after) = (port.interface().and_then(ObservedInterface::tunnel_endpoint), tunnel.endpoint());
    let step = |edits, releases, claims| Step::EditTunnel {
        bridge: bridge.name.clone(),
        port: tunnel.port_name(),
        edits,
        releases,
        claims,
    };
    if before == Some(after) {
        return vec![step(edits, None, None)];
    }
    let recorded = DesiredTunnel::from_record(port);
    let of_record = |recorded| DesiredTunnel {
        options: tunnel.options.clone(),
        bfd: tunnel.bfd,
        second: tunnel.second,
        ..recorded
    };
    let recorded = recorded.map(of_record);
    if recorded.as_ref() != Some(tunnel) {
        return vec![step(edits, before, Some(after))];
    }
    let make = PortEdit::MakeTunnel(tunnel.encap.kind());
    let back = std::iter::once(make.clone()).chain(edits.into_iter().filter(|edit| *edit != make));
    vec![step(vec![PortEdit::Detach], before, None), step(back.collect(), None, Some(after))]
}

fn add_step(bridge: &BridgeName, tunnel: &DesiredTunnel) -> Step {
    Step::AddTunnel { bridge: bridge.clone(), tunnel: tunnel.clone() }
}

fn remove_tunnel(bridge: &ObservedBridge, port: &ObservedPort) -> Step {
    let releases = port.interface().and_then(ObservedInterface::tunnel_endpoint);
    Step::RemoveTunnel { bridge: bridge.name.clone(), port: port.name.clone(), uuid: port.uuid, releases }
}
