//! The plan: the steps from what is observed to what is desired, over the union of both.
//!
//! What it does: compares, bridge by bridge. What it must not do: I/O, or touch anything without our mark.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    BridgeEdit, BridgeName, BridgeSpec, DesiredBridge, DesiredTunnel, FlowChange, FlowsSeen, GreIdentity, Mark,
    ObservedBridge, ObservedInterface, ObservedPort, PortEdit, PortName, Settings, Step, TunnelHealth, View, adopt,
    ids, network_flows,
};

/// The steps that make one bridge what it must be.
///
/// With nothing desired, whatever carries our mark goes: a bridge of our own making as a whole; from one that was there
/// before us our tunnels, flows and marks; from one that is not ours our left-over tunnels.
pub fn plan_bridge(
    desired: Option<&DesiredBridge>,
    observed: Option<&ObservedBridge>,
    flows: &FlowsSeen,
    settings: &Settings,
) -> Vec<Step> {
    match (desired, observed) {
        (None, None) => vec![],
        (Some(desired), None) => create(desired, settings),
        (None, Some(observed)) => remove(observed, flows),
        (Some(desired), Some(observed)) => change(desired, observed, flows, settings),
    }
}

fn create(desired: &DesiredBridge, settings: &Settings) -> Vec<Step> {
    let owned = |(key, value): (&str, String)| (key.to_owned(), value);
    let spec = BridgeSpec {
        name: desired.name.clone(),
        datapath_type: settings.datapath_type.clone(),
        external_ids: desired.external_ids().into_iter().filter_map(|(k, v)| Some(owned((k, v?)))).collect(),
        other_config: desired.other_config().into_iter().map(owned).collect(),
    };
    let mut steps = vec![Step::CreateBridge(spec)];
    steps.extend(desired.tunnels.values().map(|tunnel| add(&desired.name, tunnel)));
    let flows = network_flows(desired, None, settings);
    steps.extend(FlowChange::between(&flows, &FlowsSeen::none()).map(|change| change_flows(&desired.name, change)));
    steps
}

fn remove(observed: &ObservedBridge, flows: &FlowsSeen) -> Vec<Step> {
    let ours = observed.ports.values().filter(|port| port.is_tunnel_of_ours());
    let Ok(name) = observed.name.parse::<BridgeName>() else {
        return ours.map(|port| remove_tunnel(observed, port)).collect();
    };
    if DesiredBridge::mark(observed) == Mark::Foreign {
        // A bridge that is not ours is never written to on suspicion: flows of ours must have been seen there.
        let left = matches!(flows, FlowsSeen::Known { .. }).then(|| FlowChange::between(&BTreeSet::new(), flows));
        let left = left.flatten().map(|change| change_flows(&name, change));
        return left.into_iter().chain(ours.map(|port| remove_tunnel(observed, port))).collect();
    }
    if !DesiredBridge::recorded_as_adopted(observed) {
        let frees = observed.ports.values().filter_map(|port| port.interface()?.gre_identity()).collect();
        return vec![Step::DeleteBridge { bridge: name, uuid: observed.uuid, frees }];
    }
    release(&name, observed, flows)
}

/// The steps that leave a plain bridge with all on it that is not ours.
pub(crate) fn release(name: &BridgeName, observed: &ObservedBridge, flows: &FlowsSeen) -> Vec<Step> {
    // The flows go first: once the marks are gone, nothing says that those flows are ours to take away.
    let flows = FlowChange::between(&BTreeSet::new(), flows).map(|change| change_flows(name, change));
    let ours = observed.ports.values().filter(|port| port.is_tunnel_of_ours());
    let edits = adopt::give_back(observed);
    let marks = (!edits.is_empty()).then(|| Step::EditBridge { bridge: name.clone(), edits });
    flows.into_iter().chain(ours.map(|port| remove_tunnel(observed, port))).chain(marks).collect()
}

fn change(desired: &DesiredBridge, observed: &ObservedBridge, flows: &FlowsSeen, settings: &Settings) -> Vec<Step> {
    let mut steps = Vec::new();
    let edits = bridge_edits(desired, observed);
    if !edits.is_empty() {
        steps.push(Step::EditBridge { bridge: desired.name.clone(), edits });
    }
    steps.extend(tunnel_steps(desired, observed));
    let wanted = network_flows(desired, Some(observed), settings);
    steps.extend(FlowChange::between(&wanted, flows).map(|change| change_flows(&desired.name, change)));
    steps
}

fn bridge_edits(desired: &DesiredBridge, observed: &ObservedBridge) -> Vec<BridgeEdit> {
    let mut edits = adopt::keep(desired, observed);
    for (key, value) in desired.external_ids() {
        match (value, observed.external_ids.get(key)) {
            (Some(value), there) if there != Some(&value) => edits.push(BridgeEdit::SetId(key.to_owned(), value)),
            // Another tool's key stays where we have no value of our own for it.
            (None, Some(_)) if key != ids::XS_NETWORK_UUID => edits.push(BridgeEdit::DropId(key.to_owned())),
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
    edits.extend(own_port_open.then_some(BridgeEdit::Protect(true)));
    edits
}

/// Over the union of the tunnels that must be there and those of ours that are.
fn tunnel_steps(desired: &DesiredBridge, observed: &ObservedBridge) -> Vec<Step> {
    let mut steps = Vec::new();
    let left_over =
        |port: &&ObservedPort| port.is_tunnel_of_ours() && !desired.tunnels.contains_key(port.name.as_str());
    steps.extend(observed.ports.values().filter(left_over).map(|port| remove_tunnel(observed, port)));

    let held: BTreeMap<GreIdentity, &str> = observed
        .ports
        .values()
        .filter_map(|port| Some((port.interface()?.gre_identity()?, port.name.as_str())))
        .collect();
    for (name, tunnel) in &desired.tunnels {
        let Some(port) = observed.ports.get(name.as_str()) else {
            steps.push(add(&desired.name, tunnel));
            continue;
        };
        let edits = tunnel_edits(tunnel, port);
        // Open vSwitch applies edits port by port: one whose new identity another port still has must make way first.
        let taken = held.get(&tunnel.identity()).is_some_and(|holder| *holder != name.as_str());
        if taken && !edits.is_empty() {
            steps.push(remove_tunnel(observed, port));
            steps.push(add(&desired.name, tunnel));
        } else if !edits.is_empty() {
            steps.extend(edit(desired, tunnel, port, edits));
        }
    }
    steps
}

/// The steps that edit a tunnel in place.
///
/// Somebody who has changed a tunnel's remote address or key may have given them to another port. Open vSwitch says nothing
/// when an edit takes them back then: the tunnel shows as up and is dead (docs/ovs-facts.md). So one whose record is not
/// what it is, is set aside first; then it is looked at as a new one is, and an error is shown.
fn edit(bridge: &DesiredBridge, tunnel: &DesiredTunnel, port: &ObservedPort, edits: Vec<PortEdit>) -> Vec<Step> {
    let (before, after) = (port.interface().and_then(ObservedInterface::gre_identity), tunnel.identity());
    let step = |edits, frees, takes| Step::EditTunnel {
        bridge: bridge.name.clone(),
        port: tunnel.port(),
        edits,
        frees,
        takes,
    };
    if before == Some(after) {
        return vec![step(edits, None, None)];
    }
    if DesiredTunnel::from_record(port).as_ref() != Some(tunnel) {
        return vec![step(edits, before, Some(after))];
    }
    let back = [PortEdit::MakeGre].into_iter().chain(edits.into_iter().filter(|edit| *edit != PortEdit::MakeGre));
    vec![step(vec![PortEdit::SetAside], before, None), step(back.collect(), None, Some(after))]
}

fn tunnel_edits(tunnel: &DesiredTunnel, port: &ObservedPort) -> Vec<PortEdit> {
    let mut edits = Vec::new();
    for (key, value) in tunnel.external_ids() {
        if port.external_ids.get(key) != Some(&value) {
            edits.push(PortEdit::SetId(key.to_owned(), value));
        }
    }
    edits.extend((!port.protected).then_some(PortEdit::Protect));
    let Some(interface) = port.interface() else { return edits };
    edits.extend((interface.kind != "gre").then_some(PortEdit::MakeGre));
    let options: BTreeMap<_, _> = tunnel.options().into_iter().collect();
    for key in interface.options.keys().filter(|key| !options.contains_key(key.as_str())) {
        edits.push(PortEdit::DropOption(key.clone()));
    }
    for (key, value) in options {
        if interface.options.get(key) != Some(&value) {
            edits.push(PortEdit::SetOption(key.to_owned(), value));
        }
    }
    edits
}

fn add(bridge: &BridgeName, tunnel: &DesiredTunnel) -> Step {
    Step::AddTunnel { bridge: bridge.clone(), tunnel: tunnel.clone() }
}

fn remove_tunnel(bridge: &ObservedBridge, port: &ObservedPort) -> Step {
    let frees = port.interface().and_then(ObservedInterface::gre_identity);
    Step::RemoveTunnel { bridge: bridge.name.clone(), port: port.name.clone(), uuid: port.uuid, frees }
}

fn change_flows(bridge: &BridgeName, change: FlowChange) -> Step {
    Step::ChangeFlows { bridge: bridge.clone(), change }
}

/// Splits steps into groups that must not be in one transaction, in order.
///
/// Open vSwitch takes the ports of a transaction in an order of its own and refuses a tunnel while another port still has
/// its remote address and key (docs/ovs-facts.md). So what frees such a pair, or a port's name, goes before what takes it.
/// All else goes into the last group.
pub fn stages(mut steps: Vec<Step>) -> Vec<Vec<Step>> {
    let mut stages = VecDeque::new();
    while !steps.is_empty() {
        let (first, rest) = part(steps);
        // Steps that all wait for each other are never planned: a swap removes and adds.
        let (stage, before) = if rest.is_empty() { (first, vec![]) } else { (rest, first) };
        stages.push_front(stage);
        steps = before;
    }
    stages.into()
}

/// The steps that must make way for others of them, and those others.
fn part(steps: Vec<Step>) -> (Vec<Step>, Vec<Step>) {
    let takes: BTreeSet<GreIdentity> = steps.iter().filter_map(Step::takes).collect();
    let added = |step: &Step| if let Step::AddTunnel { tunnel, .. } = step { Some(tunnel.port()) } else { None };
    let names: BTreeSet<PortName> = steps.iter().filter_map(added).collect();
    let makes_way = |step: &Step| {
        let name_freed = matches!(step, Step::RemoveTunnel { port, .. } if names.contains(port.as_str()));
        let set_aside = matches!(step, Step::EditTunnel { edits, .. } if edits.contains(&PortEdit::SetAside));
        name_freed || set_aside || step.frees().iter().any(|identity| takes.contains(identity))
    };
    steps.into_iter().partition(makes_way)
}

/// Whether what the steps wrote to the database can be seen there, and vswitchd has looked at each new tunnel.
///
/// Looks at what the steps name and at nothing else, for a bridge may have thousands of other ports.
pub fn visible(steps: &[Step], view: &dyn View) -> bool {
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
        Step::AddTunnel { tunnel, .. } => port(tunnel.port().as_str())
            .is_some_and(|port| port.interface().is_some_and(|i| i.health() != TunnelHealth::Pending)),
        Step::RemoveTunnel { port: name, uuid, .. } => port(name).is_none_or(|port| port.uuid != *uuid),
        Step::EditTunnel { port: name, edits, .. } => {
            port(name.as_str()).is_none_or(|port| edits.iter().all(|edit| port_edit_visible(edit, &port)))
        }
        Step::EditBridge { edits, .. } => {
            bridge.is_none_or(|bridge| edits.iter().all(|edit| bridge_edit_visible(edit, bridge)))
        }
        Step::ChangeFlows { .. } | Step::TryAgain { .. } => true,
    }
}

fn port_edit_visible(edit: &PortEdit, port: &ObservedPort) -> bool {
    let interface = port.interface();
    match edit {
        PortEdit::SetId(key, value) => port.external_ids.get(key) == Some(value),
        PortEdit::Protect => port.protected,
        PortEdit::SetAside => interface.is_none_or(|interface| interface.kind == "null"),
        PortEdit::MakeGre => interface.is_none_or(|interface| interface.kind == "gre"),
        PortEdit::SetOption(key, value) => interface.is_none_or(|interface| interface.options.get(key) == Some(value)),
        PortEdit::DropOption(key) => interface.is_none_or(|interface| !interface.options.contains_key(key)),
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
        BridgeEdit::Protect(on) => bridge.own_port().is_none_or(|port| port.protected == *on),
    }
}
