//! How far a network is on the way to the kind of its tunnels, as a page. Must not ask anybody.

use ovstunnel_api::{Outcome, TunnelKind};
use ovstunnel_manager_api::{HostKind, NetworkAnswer, NetworkKind};

use crate::cli::show::{Page, Tone};

/// How far it is, in a sentence.
pub(super) fn progress_sentence(kind: &NetworkKind) -> String {
    let to = kind.to;
    let Some(next) = kind.next else {
        return match kind.waits_for.is_empty() {
            true => format!("{to}, on all hosts"),
            false => format!("{to}, as far as hosts have said"),
        };
    };
    let count =
        |is_meant: fn(&HostKind, TunnelKind) -> bool| kind.hosts.iter().filter(|host| is_meant(host, to)).count();
    let stages = [
        (count(|host, to| host.kind != to && host.second.is_none()), "have another"),
        (count(|host, to| host.kind != to && host.second.is_some()), "are prepared"),
        (count(|host, to| host.kind == to && host.second.is_some()), "have switched"),
        (count(|host, to| host.kind == to && host.second.is_none()), "have it alone"),
    ];
    let said: Vec<String> =
        stages.iter().filter(|(hosts, _)| *hosts > 0).map(|(hosts, words)| format!("{hosts} hosts {words}")).collect();
    format!("changing to {to}: {}; next: {next}", said.join(", "))
}

/// For which hosts it waits, and why.
pub(super) fn write_waits(page: &mut Page, kind: &NetworkKind) {
    if let Some(held) = &kind.held {
        page.verdict(Tone::Warn, "held", &format!(": {held}"));
    }
    for wait in &kind.waits_for {
        page.verdict(Tone::Warn, "waits", &format!(" for {}: {}", wait.host, wait.reason));
    }
}

/// What was recorded.
pub(super) fn set_page(name: &str, to: TunnelKind, answer: &NetworkAnswer, dry_run: bool) -> Page {
    let mut page = Page::new();
    page.line(match (answer.outcome, dry_run) {
        (Outcome::Unchanged, _) => format!("network {name} has the kind {to} recorded already"),
        (_, true) => format!("network {name} would be changed to tunnels of kind {to}; nothing was changed"),
        (_, false) => format!("network {name} is to have tunnels of kind {to}"),
    });
    if let Some(kind) = answer.network.as_ref().and_then(|network| network.kind.as_ref()).filter(|_| !dry_run) {
        page.line(progress_sentence(kind));
        write_waits(&mut page, kind);
    }
    page
}
