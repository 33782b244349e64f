//! Bridges, tunnels, interfaces, plans and what a change did.

use ovstunnel_api::{
    Bridge, BridgeAnswer, Interface, Ipv6Policy, Outcome, PlanAnswer, PlannedCommand, ReconcileAnswer, Tier, Tunnel,
    TunnelAnswer, Vpc,
};

use super::summary::{counted, flows_word, health_word, state_of_health, state_word, with_states, write_reason};
use super::{Page, quoted};
use crate::cli::bridge::TunnelList;

/// `bridge list`.
pub(in crate::cli) fn bridges(all: &[Bridge]) -> Page {
    let mut page = Page::new();
    if all.is_empty() {
        page.line("No managed bridges.");
    } else {
        bridge_rows(&mut page, all);
        let worst = all.iter().filter_map(|bridge| bridge.health.reasons.first());
        worst.for_each(|reason| write_reason(&mut page, reason));
    }
    page
}

pub(super) fn bridge_rows(page: &mut Page, all: &[Bridge]) {
    let row = |b: &Bridge| {
        vec![
            b.name.clone(),
            key_word(b),
            ipv6_word(b.ipv6).to_owned(),
            with_states(b.tunnels.iter().map(|t| t.state)),
            b.vifs.len().to_string(),
            flows_word(&b.flows),
            state_of_health(b.health.state).to_owned(),
        ]
    };
    let header = ["BRIDGE", "KEY", "IPV6", "TUNNELS", "VIFS", "FLOWS", "HEALTH"];
    page.table(&header, &[1, 4], all.iter().map(row).collect());
}

/// `bridge show`.
pub(in crate::cli) fn bridge(bridge: &Bridge) -> Page {
    let mut page = Page::new();
    write_bridge(&mut page, bridge);
    page
}

pub(super) fn write_bridge(page: &mut Page, bridge: &Bridge) {
    let vifs = bridge.vifs.iter().map(|v| match v.ofport {
        Some(_) => v.name.clone(),
        None => format!("{} (no device)", v.name),
    });
    let mut pairs = vec![
        ("Bridge", bridge.name.clone()),
        ("Key", key_word(bridge)),
        ("Network", bridge.network_uuid.clone().unwrap_or_else(dash)),
        ("Host id", bridge.host_id.clone().unwrap_or_else(dash)),
        ("IPv6", ipv6_word(bridge.ipv6).to_owned()),
        ("Adopted", if bridge.adopted { "yes: destroy leaves the bridge itself" } else { "no" }.to_owned()),
        ("Flows", flows_word(&bridge.flows)),
        ("Health", health_word(&bridge.health)),
        ("VIFs", listed(vifs.collect())),
        ("Other ports", listed(bridge.other_ports.clone())),
        ("Tunnels", with_states(bridge.tunnels.iter().map(|t| t.state))),
    ];
    if let Some(uplink) = &bridge.uplink {
        pairs.insert(9, ("Uplink", uplink.clone()));
    }
    page.pairs(&pairs);
    bridge.health.reasons.iter().for_each(|reason| write_reason(page, reason));
    bridge.vpc.iter().for_each(|vpc| write_vpc(page, vpc));
    if !bridge.tunnels.is_empty() {
        page.line("");
        tunnel_rows(page, bridge.tunnels.iter().map(|t| (None, t)));
    }
}

/// The key of a bridge's network; a VPC has several.
fn key_word(bridge: &Bridge) -> String {
    match (bridge.key, &bridge.vpc) {
        (Some(key), _) => key.to_string(),
        (None, Some(_)) => "VPC".to_owned(),
        (None, None) => dash(),
    }
}

fn write_vpc(page: &mut Page, vpc: &Vpc) {
    let number = |number: Option<u64>| number.map_or_else(|| "none yet".to_owned(), |number| number.to_string());
    page.line("");
    page.pairs(&[
        ("VPC", vpc.id.clone()),
        ("Topology", number(vpc.topology_sequence)),
        ("Policies", number(vpc.policies_sequence)),
        ("VIFs in no tier", listed(vpc.unplaced_vifs.clone())),
    ]);
    if !vpc.tiers.is_empty() {
        page.line("");
        let row = |t: &Tier| {
            let acl = t.acl.clone().unwrap_or_else(dash);
            vec![t.key.to_string(), t.cidr.clone(), acl, t.network_uuid.clone()]
        };
        page.table(&["KEY", "TIER", "ACL", "NETWORK"], &[0], vpc.tiers.iter().map(row).collect());
    }
}

/// `tunnel list`.
pub(in crate::cli) fn tunnels(list: &TunnelList) -> Page {
    let mut page = Page::new();
    write_tunnels(&mut page, list);
    page
}

pub(super) fn write_tunnels(page: &mut Page, list: &TunnelList) {
    if list.tunnels.is_empty() {
        page.line("No tunnels.");
    } else {
        tunnel_rows(page, list.tunnels.iter().map(|t| (Some(t.bridge.as_str()), &t.tunnel)));
    }
}

/// Open vSwitch's words are long and rare: they follow the table, so that it keeps its shape.
fn tunnel_rows<'a>(page: &mut Page, tunnels: impl Iterator<Item = (Option<&'a str>, &'a Tunnel)> + Clone) {
    let with_bridge = tunnels.clone().any(|(bridge, _)| bridge.is_some());
    let names: &[&str] = if with_bridge { &["BRIDGE"] } else { &[] };
    let header = [names, &["PORT", "FROM", "TO", "REMOTE IP", "KEY", "OFPORT", "STATE"]].concat();
    let row = |(bridge, t): (Option<&str>, &Tunnel)| {
        let ofport = t.ofport.map_or_else(dash, |n| n.to_string());
        let state = state_word(t.state).to_owned();
        let cells =
            [t.port.clone(), t.from.clone(), t.to.clone(), t.remote_ip.clone(), t.key.to_string(), ofport, state];
        bridge.map(str::to_owned).into_iter().chain(cells).collect()
    };
    let first = names.len();
    page.table(&header, &[first + 4, first + 5], tunnels.clone().map(row).collect());
    for (_, tunnel) in tunnels {
        if let Some(error) = &tunnel.error {
            page.line(format!("{}: {error}", tunnel.port));
        }
    }
}

/// `bridge setup`.
pub(in crate::cli) fn bridge_answer(answer: &BridgeAnswer) -> Page {
    let mut page = Page::new();
    page.line(format!("bridge {}: {}", answer.bridge.name, outcome_word(answer.outcome)));
    // What is gone cannot be seen below.
    let gone = answer.changes.iter().filter(|change| change.after.is_none());
    gone.for_each(|change| page.line(format!("  {change}")));
    page.line("");
    write_bridge(&mut page, &answer.bridge);
    page
}

/// `tunnel create`.
pub(in crate::cli) fn tunnel_answer(bridge: &str, answer: &TunnelAnswer) -> Page {
    let mut page = Page::new();
    page.line(format!("tunnel {} of {bridge}: {}", answer.tunnel.port, outcome_word(answer.outcome)));
    page.line("");
    tunnel_rows(&mut page, std::iter::once((None, &answer.tunnel)));
    page
}

/// `bridge destroy`, `tunnel destroy`.
pub(in crate::cli) fn gone(what: &str, outcome: Outcome) -> Page {
    let mut page = Page::new();
    match outcome {
        Outcome::Unchanged => page.line(format!("{what}: unchanged (it was not there)")),
        other => page.line(format!("{what}: {}", other.as_str())),
    }
    page
}

/// `interface`.
pub(in crate::cli) fn interface(interface: &Interface) -> Page {
    let mut page = Page::new();
    page.pairs(&[
        ("Label", interface.label.clone()),
        ("Device", interface.device.clone()),
        ("IP", interface.ip.clone().unwrap_or_else(dash)),
        ("Netmask", interface.netmask.clone().unwrap_or_else(dash)),
        ("MAC", interface.mac.clone().unwrap_or_else(dash)),
        ("MTU", format!("{} bytes", interface.mtu)),
        (
            "Guest MTU",
            format!("{} bytes at most: GRE with a key takes {}", interface.max_guest_mtu, ovstunnel_api::GRE_OVERHEAD),
        ),
    ]);
    page
}

/// `reconcile`.
pub(in crate::cli) fn reconcile(answer: &ReconcileAnswer) -> Page {
    let mut page = Page::new();
    let bridges = counted(answer.bridges as usize, "bridge");
    let tunnels = counted(answer.tunnels as usize, "tunnel");
    page.line(format!("Looked at {bridges} and {tunnels}."));
    if answer.found.is_empty() {
        page.line("Nothing differed from the record.");
    }
    for (title, lines) in [("Found:", &answer.found), ("Done:", &answer.done), ("NOT REPAIRED:", &answer.failed)] {
        if !lines.is_empty() {
            page.line(title);
            lines.iter().for_each(|line| page.line(format!("  {line}")));
        }
    }
    page
}

/// What `--dry-run` shows: the changes in words, then commands that can be copied into a shell.
pub(in crate::cli) fn plan(plan: &PlanAnswer) -> Page {
    let mut page = Page::new();
    write_plan(&mut page, plan);
    page
}

pub(super) fn write_plan(page: &mut Page, plan: &PlanAnswer) {
    page.line(format!("Dry run, nothing was changed. The request would answer: {}.", plan.outcome.as_str()));
    if plan.changes.is_empty() {
        page.line("Nothing would have to be done.");
    } else {
        page.line("Changes:");
        plan.changes.iter().for_each(|change| page.line(format!("  {change}")));
    }
    if !plan.commands.is_empty() {
        page.line("");
        page.line("Commands:");
        plan.commands.iter().for_each(|command| page.block(&shell(command)));
    }
}

/// A command as a line of a shell; what goes to its standard input follows as a here-document.
fn shell(command: &PlannedCommand) -> String {
    let line = command.argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    let Some(stdin) = &command.stdin else { return line };
    let mut end = "EOF".to_owned();
    while stdin.lines().any(|l| l == end) {
        end.push('_');
    }
    format!("{line} <<'{end}'\n{}\n{end}", stdin.trim_end_matches('\n'))
}

fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Unchanged => "unchanged (it was like that already)",
        other => other.as_str(),
    }
}

fn ipv6_word(policy: Ipv6Policy) -> &'static str {
    match policy {
        Ipv6Policy::Drop => "drop",
        Ipv6Policy::Allow => "allow",
    }
}

fn listed(names: Vec<String>) -> String {
    if names.is_empty() { dash() } else { names.join(", ") }
}

fn dash() -> String {
    "-".to_owned()
}
