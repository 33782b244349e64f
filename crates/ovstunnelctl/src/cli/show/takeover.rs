//! What a take-over found, did and left, and what a release did.

use ovstunnel_api::{Ipv6Policy, Outcome, SpanningTree, TakeoverAnswer, TakeoverBridge, TakeoverPlan, TakeoverState};

use super::Page;
use super::things::write_plan;

/// `takeover`.
pub(in crate::cli) fn takeover_page(answer: &TakeoverAnswer) -> Page {
    let mut page = Page::new();
    write_takeover(&mut page, answer);
    page
}

pub(super) fn write_takeover(page: &mut Page, answer: &TakeoverAnswer) {
    write_bridges(page, &answer.bridges, false);
}

/// `takeover --dry-run`.
pub(in crate::cli) fn takeover_plan(plan: &TakeoverPlan) -> Page {
    let mut page = Page::new();
    write_takeover_plan(&mut page, plan);
    page
}

pub(super) fn write_takeover_plan(page: &mut Page, plan: &TakeoverPlan) {
    write_bridges(page, &plan.bridges, true);
    page.line("");
    write_plan(page, &plan.plan);
}

/// A table, and below it, bridge by bridge, what was done and what was left.
fn write_bridges(page: &mut Page, bridges: &[TakeoverBridge], dry_run: bool) {
    if bridges.is_empty() {
        page.line("No bridge of the Python plugin was found.");
        return;
    }
    let row = |b: &TakeoverBridge| {
        vec![
            b.bridge.clone(),
            b.key.map_or_else(|| "-".to_owned(), |key| key.to_string()),
            b.tunnels.len().to_string(),
            b.vifs.len().to_string(),
            b.plugin_flows.to_string(),
            b.other_flows.to_string(),
            state_word(b.state, dry_run).to_owned(),
        ]
    };
    let header = ["BRIDGE", "KEY", "TUNNELS", "VIFS", "PLUGIN'S FLOWS", "OTHER FLOWS", "STATE"];
    page.table(&header, &[1, 2, 3, 4, 5], bridges.iter().map(row).collect());
    for bridge in bridges {
        let mut done = if dry_run { vec![] } else { bridge.done.clone() };
        done.extend(bridge.changes.iter().map(|change| match dry_run {
            true => format!("would change {change}"),
            false => format!("changed {change}"),
        }));
        done.extend(bridge.ipv6.filter(|_| bridge.state == TakeoverState::TakenOver).map(ipv6_policy));
        done.extend(bridge.spanning_tree.as_ref().map(takeover_order));
        if bridge.announced > 0 {
            done.push(format!("addresses of VMs announced to the other hosts: {}", bridge.announced));
        }
        if done.is_empty() && bridge.left.is_empty() {
            continue;
        }
        page.line("");
        page.line(format!("{}:", bridge.bridge));
        done.iter().for_each(|line| page.line(format!("  {line}")));
        bridge.left.iter().for_each(|line| page.line(format!("  LEFT: {line}")));
    }
}

/// What becomes of IPv6.
fn ipv6_policy(policy: Ipv6Policy) -> String {
    match policy {
        Ipv6Policy::Allow => "IPv6: passes, as before: the plugin has no flow that drops it".to_owned(),
        Ipv6Policy::Drop => "IPv6: dropped, as before".to_owned(),
    }
}

/// When the host of a bridge with STP has its turn among all hosts of the network.
fn takeover_order(SpanningTree { bridge_id, root_id, root_port }: &SpanningTree) -> String {
    match root_port {
        Some(port) => format!("STP: bridge {bridge_id}, root {root_id} behind {port}: highest id first, the root last"),
        None => format!("STP: bridge {bridge_id} is the root: last, after `takeover` was run twice on each other host"),
    }
}

fn state_word(state: TakeoverState, dry_run: bool) -> &'static str {
    match state {
        TakeoverState::TakenOver if dry_run => "would be taken over",
        TakeoverState::TakenOver => "taken over",
        TakeoverState::Unchanged => "unchanged",
        TakeoverState::Left => "left as it is",
        TakeoverState::Failed => "FAILED",
    }
}

/// `release`.
pub(in crate::cli) fn released_page(name: &str, outcome: Outcome) -> Page {
    let mut page = Page::new();
    page.line(match outcome {
        Outcome::Unchanged => format!("bridge {name}: unchanged (nothing of ours was there)"),
        _ => format!("bridge {name}: released"),
    });
    page
}
