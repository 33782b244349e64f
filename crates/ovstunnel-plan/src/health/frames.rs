//! What the switch tells beside its database and our flows. Must not believe more than is told: what was not asked for yet is
//! empty, and says nothing.

use super::{Facts, Reason, Severity, by_itself, degraded_reason, failed_reason, some_names};
use crate::{ObservedInterface, PortConfig};

/// OpenFlow number of a bridge's own port.
const LOCAL: u32 = 65534;

/// Moves of addresses in a second from which on a loop is running: VMs that move make a few.
const STORM: u64 = 50;

pub(super) fn frame_reasons(facts: &Facts<'_>) -> Vec<Reason> {
    let mut reasons: Vec<Reason> = Vec::new();
    reasons.extend(fail_open(facts));
    reasons.extend(fragment_reason(facts));
    reasons.extend(address_reasons(facts));
    reasons.extend(
        facts.witness.fixed_addresses.iter().map(|(port, address)| static_address_reason(facts, port, address)),
    );
    reasons.extend(facts.witness.ports.iter().filter_map(|(number, config)| shut_port_reason(facts, *number, *config)));
    reasons.extend(trace_reason(facts));
    reasons
}

/// Open vSwitch's own flow of fail-open forwards everything. Those for in-band control match more.
fn is_fail_open(flow: &str) -> bool {
    let Some((fields, actions)) = flow.split_once("actions=") else { return false };
    let about = ["priority=", "duration=", "n_packets=", "n_bytes=", "table_id=", "cookie=", "table=", "idle_age="];
    let mut fields = fields.split([',', ' ']).filter(|field| !field.is_empty());
    actions.trim().eq_ignore_ascii_case("normal")
        && fields.all(|field| about.iter().any(|name| field.starts_with(name)))
}

fn fail_open(facts: &Facts<'_>) -> Option<Reason> {
    let flow = facts.witness.hidden.iter().find(|flow| is_fail_open(flow))?;
    let name = &facts.observed.name;
    let evidence = format!(
        "bridge {name} is in fail-open: its controller does not answer, and a hidden flow forwards everything past ours: {}",
        flow.trim()
    );
    Some(failed_reason("fail_open", name, evidence, format!("`ovs-vsctl del-controller {name}`")))
}

fn fragment_reason(facts: &Facts<'_>) -> Option<Reason> {
    let (mode, name) = (facts.witness.fragments.as_deref().filter(|mode| *mode != "normal")?, &facts.observed.name);
    let remedy = format!("`ovs-ofctl set-frags {name} normal`");
    Some(match mode {
        "drop" => {
            let evidence = format!("bridge {name} drops IP fragments (set-frags drop): large packets of VMs are lost");
            failed_reason("fragments", name, evidence, remedy)
        }
        mode => degraded_reason("fragments", name, format!("bridge {name} treats IP fragments as '{mode}'"), remedy),
    })
}

fn address_reasons(facts: &Facts<'_>) -> Vec<Reason> {
    let (Some(table), name) = (facts.witness.addresses, &facts.observed.name) else { return vec![] };
    let mut reasons = Vec::new();
    if table.moves_per_second > STORM {
        let between = match &facts.witness.moving {
            Some((one, other)) => format!("between ports {one} and {other}"),
            None => "from one port to another".to_owned(),
        };
        let moves = table.moves_per_second;
        let evidence = format!("a loop is running on bridge {name}: {moves} times a second an address moves {between}");
        let remedy = match &facts.witness.moving {
            Some(_) => "take the second way between the networks behind these two ports away".to_owned(),
            None => format!("`ovs-appctl fdb/show {name}`, twice, shows between which two: take the second way away"),
        };
        reasons.push(failed_reason("loop", name, evidence, remedy));
    }
    if table.max > 0 && table.entries >= table.max {
        let by = match &facts.witness.filled_by {
            Some((port, count)) => format!(", {count} of them by port {port}"),
            None => String::new(),
        };
        let evidence = format!(
            "the table of addresses of bridge {name} is full, {} of {}{by}: frames to others are flooded",
            table.entries, table.max
        );
        let remedy = match &facts.witness.filled_by {
            Some((port, _)) => format!("have the VM behind {port} stop; then `ovs-appctl fdb/flush {name}`"),
            None => format!(
                "`ovs-appctl fdb/show {name}` shows who fills it; once that stops `ovs-appctl fdb/flush {name}`"
            ),
        };
        reasons.push(degraded_reason("address_table_full", name, evidence, remedy));
    }
    reasons
}

fn static_address_reason(facts: &Facts<'_>, port: &str, address: &str) -> Reason {
    let name = &facts.observed.name;
    let evidence =
        format!("address {address} of bridge {name} was set by hand to port {port}: frames to it go nowhere else");
    // `fdb/del` is of 2.16 and newer, as `fdb/add` is.
    failed_reason("static_address", name, evidence, format!("`ovs-appctl fdb/del {name} 0 {address}`"))
}

fn shut_port_reason(facts: &Facts<'_>, number: u32, config: PortConfig) -> Option<Reason> {
    let bridge = facts.observed;
    let of = |interface: &ObservedInterface| interface.openflow_port() == Some(number);
    let port = match number {
        LOCAL => bridge.own_port(),
        _ => bridge.ports.values().find(|port| port.interfaces.iter().any(of)),
    }?;
    let PortConfig { no_flood, down, no_receive, no_forward } = config;
    // Of a VIF whose device is down Open vSwitch says so here as well: that is told of the device.
    let is_down = || port.interfaces.iter().any(|interface| interface.admin_up == Some(false));
    let down = down && (port.is_tunnel_of_ours() || !is_down());
    let words = [
        (no_flood, "no-flood", "flood"),
        (down, "down", "up"),
        (no_receive, "no-receive", "receive"),
        (no_forward, "no-forward", "forward"),
    ];
    let set: Vec<_> = words.into_iter().filter(|(on, ..)| *on).collect();
    let (_, _, undo) = set.first()?;
    let (own, ours) = (port.name == bridge.name, port.is_tunnel_of_ours());
    // Nobody needs the bridge's own device: it is down on most hosts.
    if own && !no_flood && !no_receive && !no_forward {
        return None;
    }
    let (name, on) = (&port.name, set.iter().map(|(_, word, _)| (*word).to_owned()).collect::<Vec<_>>());
    let evidence = format!("port {name} of bridge {} is set to {} over OpenFlow", bridge.name, some_names(&on, 4));
    Some(match own || ours {
        true => failed_reason("port_config", name, evidence, by_itself()),
        false => {
            let remedy =
                format!("`ovs-ofctl -O OpenFlow10 mod-port {} {name} {undo}`, unless it is meant to be", bridge.name);
            degraded_reason("port_config", name, evidence, remedy)
        }
    })
}

/// Frames that do not go where they must, after what explains it.
fn trace_reason(facts: &Facts<'_>) -> Option<Reason> {
    let astray: Vec<_> =
        facts.witness.traces.iter().filter(|trace| !trace.missing.is_empty() || !trace.surplus.is_empty()).collect();
    let first = astray.first()?;
    let name = &facts.observed.name;
    let part = |what: &str, ports: &[String]| (!ports.is_empty()).then(|| format!("{what} {}", some_names(ports, 5)));
    let parts: Vec<String> =
        [part("not by", &first.missing), part("also by", &first.surplus)].into_iter().flatten().collect();
    let more = match astray.len().saturating_sub(1) {
        0 => String::new(),
        more => format!("; {more} more frames go astray"),
    };
    let evidence = format!(
        "followed through the tables of bridge {name}, a frame ({}) leaves {}{more}: {}",
        first.frame,
        parts.join(", "),
        first.evidence
    );
    let remedy =
        "see what else is told of this bridge: that is mostly the cause; `ovs-appctl ofproto/trace` shows each table"
            .to_owned();
    Some(Reason { severity: Severity::Failed, ..degraded_reason("trace", name, evidence, remedy) })
}
