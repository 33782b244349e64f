//! What was set on a bridge as a whole, and what its record says that it must be. Must not look at single ports.

use std::collections::BTreeSet;

use super::{Facts, Reason, Severity, by_itself, degraded_reason, failed_reason, some_names};
use crate::{
    Cookie, FailMode, FlowChange, FlowsSeen, ObservedMirror, PlanItem, bridge_flows, plan_bridge, unplaced_vifs,
};

/// Flows beyond ours that a bridge may well need: xapi's, for some VIFs.
const ROOM: u64 = 16;

pub(super) fn setting_reasons(facts: &Facts<'_>) -> Vec<Reason> {
    let bridge = facts.observed;
    let name = &bridge.name;
    let mut reasons: Vec<Reason> = Vec::new();
    reasons.extend(spanning_tree(facts));
    if bridge.mcast_snooping {
        let evidence = format!("multicast snooping is on for bridge {name}: multicast is lost or doubled");
        reasons.push(failed_reason("mcast_snooping", name, evidence, by_itself()));
    }
    reasons.extend(bridge.mirrors.iter().filter_map(|mirror| of_mirror(facts, mirror)));
    reasons.extend(controller_reason(facts));
    reasons.extend(fail_mode(facts));
    reasons.extend(flow_limit(facts));
    reasons.extend(datapath_reason(facts));
    reasons.extend(own_device(facts));
    reasons.extend(drift_reason(facts));
    reasons.extend(unplaced_reason(facts));
    reasons
}

fn spanning_tree(facts: &Facts<'_>) -> Option<Reason> {
    let bridge = facts.observed;
    let (which, column) = match (bridge.stp_enable, bridge.rstp_enable) {
        (true, _) => ("STP", "stp_enable"),
        (false, true) => ("RSTP", "rstp_enable"),
        (false, false) => return None,
    };
    let name = &bridge.name;
    let evidence = format!("{which} is on for bridge {name}: it shuts tunnels of the full mesh, and VMs wait for it");
    let remedy = format!("`ovs-vsctl set Bridge {name} {column}=false`, and find out who sets it");
    Some(failed_reason("stp", name, evidence, remedy))
}

fn of_mirror(facts: &Facts<'_>, mirror: &ObservedMirror) -> Option<Reason> {
    let bridge = facts.observed;
    let name = &bridge.name;
    let remedy = format!("`ovs-vsctl -- --id=@m get Mirror {0} -- remove Bridge {name} mirrors @m`", mirror.name);
    if let Some(vlan) = mirror.output_vlan.filter(|_| mirror.selects) {
        let evidence = format!(
            "mirror {} of bridge {name} floods copies in VLAN {vlan} (output_vlan): VMs get frames twice, and those of others",
            mirror.name
        );
        return Some(failed_reason("mirror", name, evidence, remedy));
    }
    let output = bridge.ports.get(mirror.output_port.as_deref()?)?;
    let whose = match output.name == *name || output.is_tunnel_of_ours() {
        true => Severity::Failed,
        false if bridge.is_vif(output, &facts.settings.vif_prefixes) => Severity::Degraded,
        false => return None,
    };
    let evidence = format!(
        "port {} of bridge {name} is the output_port of mirror {}: it gets copies only, and what comes in by it is dropped",
        output.name, mirror.name
    );
    Some(Reason { severity: whose, ..degraded_reason("mirror", &output.name, evidence, remedy) })
}

fn controller_reason(facts: &Facts<'_>) -> Option<Reason> {
    let bridge = facts.observed;
    let name = &bridge.name;
    let secure = match bridge.fail_mode.as_deref() == Some(FailMode::Secure.as_str()) {
        true => ", and without it nothing is learnt (fail_mode secure)",
        false => ", and where it does not answer for 15 s, all flows are void (fail-open)",
    };
    let count = bridge.controllers;
    let evidence =
        format!("bridge {name} has {count} OpenFlow controller(s), which may change its flows at any time{secure}");
    let remedy = format!(
        "`ovs-vsctl del-controller {name}`, unless it is meant to be; `ovs-vsctl get-controller {name}` tells whose it is"
    );
    (count > 0).then(|| degraded_reason("controller", name, evidence, remedy))
}

fn fail_mode(facts: &Facts<'_>) -> Option<Reason> {
    let name = &facts.observed.name;
    let secure = facts.observed.fail_mode.as_deref() == Some(FailMode::Secure.as_str());
    let evidence = format!(
        "bridge {name} has fail_mode=secure: after a restart of ovs-vswitchd it forwards nothing until this daemon has written its flows"
    );
    let remedy = format!("`ovs-vsctl del-fail-mode {name}`");
    (secure && !facts.desired.needs_flows()).then(|| degraded_reason("fail_mode", name, evidence, remedy))
}

fn flow_limit(facts: &Facts<'_>) -> Option<Reason> {
    let (limit, name) = (facts.observed.flow_limit?, &facts.observed.name);
    let needed = bridge_flows(facts.desired, Some(facts.observed), facts.settings);
    let needed = needed.iter().filter(|flow| flow.table == 0).count();
    let needed = u64::try_from(needed).unwrap_or(u64::MAX);
    let beyond = if limit.evicts { "takes the place of another" } else { "is refused" };
    let evidence = format!(
        "table 0 of bridge {name} holds at most {} flows (Flow_Table flow_limit), one more {beyond}; ours are {needed}",
        limit.flows
    );
    let remedy = format!("`ovs-vsctl remove Bridge {name} flow_tables 0`");
    match limit.flows {
        flows if flows < needed => Some(failed_reason("flow_limit", name, evidence, remedy)),
        flows if flows < needed.saturating_add(ROOM) => Some(degraded_reason("flow_limit", name, evidence, remedy)),
        _ => None,
    }
}

/// The datapath's name, as it is where none is set.
pub(super) fn datapath_name(kind: &str) -> &str {
    if kind.is_empty() { "system" } else { kind }
}

fn datapath_reason(facts: &Facts<'_>) -> Option<Reason> {
    let (bridge, configured) = (facts.observed, facts.settings.datapath_type.as_str());
    let (is, wanted) = (datapath_name(&bridge.datapath_type), datapath_name(configured));
    if configured.is_empty() || is == wanted {
        return None;
    }
    let name = &bridge.name;
    let evidence = format!("bridge {name} has datapath '{is}', configured is '{wanted}'");
    Some(match facts.desired.adopted {
        true => {
            let remedy =
                "set `[ovs] datapath_type` to what the host's bridges have; a bridge that was adopted keeps its own";
            degraded_reason("datapath", name, evidence, remedy.to_owned())
        }
        false => {
            let remedy = format!("`ovs-vsctl set Bridge {name} datapath_type={wanted}`, and find out who changes it");
            failed_reason("datapath", name, evidence, remedy)
        }
    })
}

fn own_device(facts: &Facts<'_>) -> Option<Reason> {
    let name = &facts.observed.name;
    let words = facts.observed.own_port()?.interface()?.error.as_ref()?;
    let evidence = format!("Open vSwitch has no device for bridge {name} itself: {words}");
    let remedy =
        "see that no other device of the host has its name, and that its datapath_type is one that this host has";
    Some(degraded_reason("port_error", name, evidence, remedy.to_owned()))
}

/// What differs from the record: what a repair would do.
fn drift_reason(facts: &Facts<'_>) -> Option<Reason> {
    let name = &facts.observed.name;
    if *facts.flows == FlowsSeen::Unknown {
        let evidence = format!("our flows on bridge {name} were not read since ovs-vswitchd came up");
        let remedy =
            "the daemon reads them as soon as it can; where this stays, `ovstunnelctl reconcile` says why it cannot";
        return Some(degraded_reason("flows_unknown", name, evidence, remedy.to_owned()));
    }
    let plan = plan_bridge(Some(facts.desired), Some(facts.observed), facts.flows, facts.settings);
    if plan.is_empty() {
        return None;
    }
    let dead = |item: PlanItem<'_>| match item {
        PlanItem::Flows(_, change) => facts.desired.needs_flows() || loses_forwarding(facts.flows, change),
        PlanItem::Database(_) => true,
    };
    let severity = if plan.items().any(dead) { Severity::Failed } else { Severity::Degraded };
    let words: Vec<String> = plan.items().map(|item| item.to_string()).collect();
    let evidence = format!("what is ours on bridge {name} differs from its record; due is: {}", some_names(&words, 5));
    Some(Reason { severity, ..degraded_reason("drift", name, evidence, by_itself()) })
}

/// Whether the flow that forwards what no other matches is not there.
fn loses_forwarding(seen: &FlowsSeen, change: &FlowChange) -> bool {
    let FlowsSeen::Known { flows, .. } = seen else { return false };
    let there: BTreeSet<Cookie> = flows.iter().map(|flow| flow.cookie).collect();
    change.add.iter().any(|flow| flow.cookie == Cookie::FORWARD) && !there.contains(&Cookie::FORWARD)
}

fn unplaced_reason(facts: &Facts<'_>) -> Option<Reason> {
    let topology = facts.desired.kind.vpc()?.topology.as_ref().map(|applied| &*applied.value);
    let vifs = unplaced_vifs(topology, facts.observed, facts.settings);
    let vifs: Vec<String> = vifs.into_iter().map(str::to_owned).collect();
    let name = &facts.observed.name;
    let evidence = format!(
        "VIFs of VPC bridge {name} are in no tier of its topology, and nothing is forwarded for them: {}",
        some_names(&vifs, 5)
    );
    let remedy = "the management server has to send the topology again; a VIF's MAC or `xs-network-uuid` must be in it";
    (!vifs.is_empty()).then(|| degraded_reason("unplaced_vif", name, evidence, remedy.to_owned()))
}
