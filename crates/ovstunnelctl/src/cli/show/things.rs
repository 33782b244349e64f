//! Bridges, tunnels, interfaces, plans and what a change did.

use ovstunnel_api::{
    Bfd, BfdState, Bridge, BridgeAnswer, Interface, Ipv6Policy, NeighbourState, Outcome, PlanAnswer, PlannedCommand,
    ReconcileAnswer, Tier, Tunnel, TunnelAnswer, TunnelKind, TunnelState, Vpc,
};

use super::words::{
    counted_noun, flows_word, health_tone, health_word, state_of_health, state_word, tunnel_tone, with_states,
    write_reason,
};
use super::{Page, Row, quoted};
use crate::cli::tunnel::TunnelList;

/// `bridge list`.
pub(in crate::cli) fn bridge_list_page(all: &[Bridge], wide: bool, headers: bool) -> Page {
    let mut page = Page::with_headers(headers);
    write_bridges(&mut page, all, wide);
    page
}

pub(super) fn write_bridges(page: &mut Page, all: &[Bridge], wide: bool) {
    match (all.is_empty(), page.has_headers()) {
        (true, true) => page.line("No managed bridges."),
        (true, false) => {}
        (false, _) => bridge_rows(page, &all.iter().collect::<Vec<_>>(), wide),
    }
    if page.has_headers() && !wide {
        let worst = all.iter().filter_map(|bridge| bridge.health.reasons.first());
        worst.for_each(|reason| write_reason(page, reason));
    }
}

/// With `wide`, the reason of a bridge's health stands in its row.
pub(super) fn bridge_rows(page: &mut Page, all: &[&Bridge], wide: bool) {
    let row = |b: &&Bridge| {
        let mut cells = vec![
            b.name.clone(),
            key_word(b),
            ipv6_word(b.ipv6).to_owned(),
            tunnels_word(b),
            b.vifs.len().to_string(),
            flows_word(&b.flows),
            state_of_health(b.health.state).to_owned(),
        ];
        if wide {
            let reason = b.health.reasons.first().map(|reason| format!("{}: {}", reason.what, reason.evidence));
            let adopted = if b.adopted { "yes" } else { "no" };
            cells.extend([
                b.host_id.clone().unwrap_or_else(dash),
                b.network_uuid.clone().unwrap_or_else(dash),
                adopted.to_owned(),
                b.uplink.clone().unwrap_or_else(dash),
                reason.unwrap_or_else(dash),
            ]);
        }
        Row { cells, tone: health_tone(b.health.state) }
    };
    let all_columns = [
        "BRIDGE", "KEY", "IPV6", "TUNNELS", "VIFS", "FLOWS", "HEALTH", "HOST ID", "NETWORK", "ADOPTED", "UPLINK",
        "REASON",
    ];
    let header = if wide { &all_columns[..] } else { &all_columns[..7] };
    page.table(header, &[1, 4], all.iter().map(row).collect());
}

/// `59`, `59 (2 pending, 1 ERROR)`: that the rest is up goes without saying.
fn tunnels_word(bridge: &Bridge) -> String {
    let total = bridge.tunnels.len();
    let each = [TunnelState::Pending, TunnelState::Error].map(|state| {
        let count = bridge.tunnels.iter().filter(|tunnel| tunnel.state == state).count();
        (count > 0).then(|| format!("{count} {}", state_word(state)))
    });
    match each.into_iter().flatten().collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => total.to_string(),
        words => format!("{total} ({words})"),
    }
}

/// `bridge show`.
pub(in crate::cli) fn bridge_page(bridge: &Bridge) -> Page {
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
        ("Tunnel kind", with_port(bridge.kind, bridge.dst_port)),
        ("Adopted", if bridge.adopted { "yes: destroy leaves the bridge itself" } else { "no" }.to_owned()),
        ("Flows", flows_word(&bridge.flows)),
        ("Health", health_word(&bridge.health) + &as_of(page, bridge)),
        ("VIFs", joined_names(vifs.collect())),
        ("Other ports", joined_names(bridge.other_ports.clone())),
        ("Tunnels", with_states(bridge.tunnels.iter().map(|t| t.state))),
    ];
    if let Some(uplink) = &bridge.uplink {
        pairs.insert(9, ("Uplink", uplink.clone()));
    }
    if let Some(second) = &bridge.second {
        let kind = with_port(second.kind, second.dst_port);
        let words = format!("{kind}, {}", with_states(second.tunnels.iter().map(|t| t.state)));
        pairs.insert(6, ("Also received", words));
    }
    pairs.extend(bridge.max_guest_mtu.map(|mtu| ("Guest MTU", format!("{mtu} at most"))));
    pairs.extend(bridge.mtu_request.map(|mtu| ("Device MTU", format!("{mtu}, as asked for"))));
    if !bridge.neighbours.is_empty() {
        pairs.push(("Answers for", neighbours_word(bridge)));
    }
    page.pairs(&pairs);
    bridge.health.reasons.iter().for_each(|reason| write_reason(page, reason));
    bridge.vpc.iter().for_each(|vpc| write_vpc(page, vpc));
    if !bridge.tunnels.is_empty() {
        page.line("");
        tunnel_rows(page, bridge.tunnels.iter().map(|t| (None, t)), false);
    }
}

/// A kind, with its UDP port where it has one.
fn with_port(kind: TunnelKind, port: Option<u16>) -> String {
    match port {
        Some(port) => format!("{kind}, UDP port {port}"),
        None => kind.to_string(),
    }
}

/// How many addresses there are, and which of them are not answered for.
fn neighbours_word(bridge: &Bridge) -> String {
    let all = &bridge.neighbours;
    if all.iter().all(|one| one.state == NeighbourState::Off) {
        return format!("no address, though it knows {}: [network] answer_neighbours is off", all.len());
    }
    let withdrawn: Vec<&str> =
        all.iter().filter(|one| one.state == NeighbourState::Withdrawn).map(|one| one.ip.as_str()).collect();
    let answered = format!("{} addresses", all.len() - withdrawn.len());
    match withdrawn.as_slice() {
        [] => answered,
        withdrawn => format!("{answered}; withdrawn: {}", withdrawn.join(", ")),
    }
}

/// How old the knowledge of a bridge's health is.
fn as_of(page: &Page, bridge: &Bridge) -> String {
    bridge.health.as_of.as_ref().map(|at| format!(", as of {}", page.time(at))).unwrap_or_default()
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
        ("VIFs in no tier", joined_names(vpc.unplaced_vifs.clone())),
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
pub(in crate::cli) fn tunnel_list_page(list: &TunnelList, wide: bool, headers: bool) -> Page {
    let mut page = Page::with_headers(headers);
    write_tunnels(&mut page, list, wide);
    page
}

pub(super) fn write_tunnels(page: &mut Page, list: &TunnelList, wide: bool) {
    match (list.tunnels.is_empty(), page.has_headers()) {
        (true, true) => page.line("No tunnels."),
        (true, false) => {}
        (false, _) => tunnel_rows(page, list.tunnels.iter().map(|t| (Some(t.bridge.as_str()), &t.tunnel)), wide),
    }
}

/// Open vSwitch's words are long and rare: they follow the table, so that it keeps its shape; with `wide` they are in it.
fn tunnel_rows<'a>(page: &mut Page, tunnels: impl Iterator<Item = (Option<&'a str>, &'a Tunnel)> + Clone, wide: bool) {
    let with_bridge = tunnels.clone().any(|(bridge, _)| bridge.is_some());
    let names: &[&str] = if with_bridge { &["BRIDGE"] } else { &[] };
    let with_bfd = tunnels.clone().any(|(_, tunnel)| tunnel.bfd.is_some());
    let bfd: &[&str] = if with_bfd { &["BFD"] } else { &[] };
    let last: &[&str] = if wide { &["ERROR"] } else { &[] };
    let header = [names, &["PORT", "FROM", "TO", "REMOTE IP", "KEY", "OFPORT", "STATE"], bfd, last].concat();
    let row = |(bridge, t): (Option<&str>, &Tunnel)| {
        let ofport = t.ofport.map_or_else(dash, |n| n.to_string());
        let state = state_word(t.state).to_owned();
        let cells =
            [t.port.clone(), t.from.clone(), t.to.clone(), t.remote_ip.clone(), t.key.to_string(), ofport, state];
        let error = wide.then(|| t.error.clone().unwrap_or_else(dash));
        let bfd = with_bfd.then(|| t.bfd.as_ref().map_or_else(dash, bfd_word));
        let cells = bridge.map(str::to_owned).into_iter().chain(cells).chain(bfd).chain(error).collect();
        Row { cells, tone: tunnel_tone(t.state) }
    };
    let first = names.len();
    page.table(&header, &[first + 4, first + 5], tunnels.clone().map(row).collect());
    if page.has_headers() && !wide {
        for (port, error) in tunnels.filter_map(|(_, tunnel)| Some((&tunnel.port, tunnel.error.as_ref()?))) {
            page.line(format!("{port}: {error}"));
        }
    }
}

/// The state of a BFD session in a table.
fn bfd_word(session: &Bfd) -> String {
    session.state.map_or("not begun", BfdState::as_str).to_owned()
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
    tunnel_rows(&mut page, std::iter::once((None, &answer.tunnel)), false);
    page
}

/// `bridge destroy`, `tunnel destroy`.
pub(in crate::cli) fn removed_page(what: &str, outcome: Outcome) -> Page {
    let mut page = Page::new();
    match outcome {
        Outcome::Unchanged => page.line(format!("{what}: unchanged (it was not there)")),
        other => page.line(format!("{what}: {}", other.as_str())),
    }
    page
}

/// `interface`.
pub(in crate::cli) fn interface_page(interface: &Interface) -> Page {
    let mut page = Page::new();
    page.pairs(&[
        ("Label", interface.label.clone()),
        ("Device", interface.device.clone()),
        ("IP", interface.ip.clone().unwrap_or_else(dash)),
        ("Netmask", interface.netmask.clone().unwrap_or_else(dash)),
        ("IPv6", interface.ipv6.clone().unwrap_or_else(dash)),
        ("MAC", interface.mac.clone().unwrap_or_else(dash)),
        ("MTU", format!("{} bytes", interface.mtu)),
        (
            "Guest MTU",
            format!(
                "{} bytes at most: a tunnel takes {}",
                interface.max_guest_mtu,
                interface.mtu - interface.max_guest_mtu
            ),
        ),
    ]);
    page
}

/// `reconcile`.
pub(in crate::cli) fn reconcile_page(answer: &ReconcileAnswer) -> Page {
    let mut page = Page::new();
    let bridges = counted_noun(answer.bridges as usize, "bridge");
    let tunnels = counted_noun(answer.tunnels as usize, "tunnel");
    page.line(format!("Looked at {bridges} and {tunnels}."));
    if answer.found.is_empty() {
        page.line("Nothing differed from the record.");
    }
    let changes: Vec<String> = answer.changes.iter().map(ToString::to_string).collect();
    for (title, lines) in
        [("Found:", &answer.found), ("Done:", &answer.done), ("Changed:", &changes), ("NOT REPAIRED:", &answer.failed)]
    {
        if !lines.is_empty() {
            page.line(title);
            lines.iter().for_each(|line| page.line(format!("  {line}")));
        }
    }
    page
}

/// What `--dry-run` shows: the changes in words, then commands that can be copied into a shell.
pub(in crate::cli) fn plan_page(plan: &PlanAnswer) -> Page {
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
        plan.commands.iter().for_each(|command| page.block(&shell_line(command)));
    }
}

/// A command as a line of a shell; what goes to its standard input follows as a here-document.
fn shell_line(command: &PlannedCommand) -> String {
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

fn joined_names(names: Vec<String>) -> String {
    if names.is_empty() { dash() } else { names.join(", ") }
}

fn dash() -> String {
    "-".to_owned()
}
