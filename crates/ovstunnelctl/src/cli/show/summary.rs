//! The summaries of `status` and `doctor`.

use ovstunnel_api::{Bridge, DoctorAnswer, Finding, FlowsState, Level, Ready, ReconcileRun, Tunnel};

use super::things::bridge_rows;
use super::words::{counted_noun, health_word, with_states, write_reason};
use super::{Page, Tone};
use crate::cli::status::{Status, needs_attention};

/// `status`: what is there in numbers, then a table of the bridges that need attention, or of `all`.
pub(in crate::cli) fn status_page(status: &Status, all: bool) -> Page {
    let mut page = Page::new();
    write_status(&mut page, status, all);
    page
}

pub(super) fn write_status(page: &mut Page, status: &Status, all: bool) {
    let mut pairs = vec![
        ("Daemon", readiness_line(&status.ready, &status.daemon)),
        ("Open vSwitch", status.ready.ovs_version.clone().unwrap_or_else(|| "unknown".to_owned())),
    ];
    let Some(bridges) = &status.bridges else { return page.pairs(&pairs) };
    let tunnels: Vec<&Tunnel> = bridges.iter().flat_map(|b| &b.tunnels).collect();
    let (attention, well): (Vec<&Bridge>, Vec<&Bridge>) = bridges.iter().partition(|bridge| needs_attention(bridge));
    pairs.push(("Bridges", bridges_word(bridges.len(), attention.len())));
    pairs.push(("Tunnels", with_states(tunnels.iter().map(|t| t.state))));
    pairs.push(("VIFs", bridges.iter().map(|b| b.vifs.len()).sum::<usize>().to_string()));
    pairs.push(("Flows", all_flows(bridges)));
    pairs.extend(status.ready.health.as_ref().map(|health| ("Health", health_word(health))));
    pairs.push((
        "Last look",
        status.ready.last_reconcile.as_ref().map_or_else(|| "none yet".to_owned(), |at| run_sentence(page, at)),
    ));
    let repair = status.ready.last_repair.as_ref();
    pairs.push(("Last repair", repair.map_or_else(|| "none".to_owned(), |at| run_sentence(page, at))));
    page.pairs(&pairs);
    // Beside the look that found it, or it would be said twice.
    repair.iter().flat_map(|look| &look.words).for_each(|words| page.line(format!("  {words}")));
    let reasons = status.ready.health.iter().flat_map(|health| &health.reasons);
    reasons.for_each(|reason| write_reason(page, reason));
    status.ready.warnings.iter().for_each(|warning| page.verdict(Tone::Warn, "WARNING:", &format!(" {warning}")));
    let shown = if all { bridges.iter().collect() } else { attention };
    if !shown.is_empty() {
        page.line("");
        bridge_rows(page, &shown, false);
    }
    if !all && !well.is_empty() {
        page.line("");
        page.line(format!(
            "{} {} well: --all lists all.",
            well.len(),
            if well.len() == 1 { "bridge is" } else { "bridges are" }
        ));
    }
}

/// `12 (2 need attention)`
fn bridges_word(all: usize, attention: usize) -> String {
    match attention {
        0 => all.to_string(),
        1 => format!("{all} (1 needs attention)"),
        several => format!("{all} ({several} need attention)"),
    }
}

/// `2026-05-01T03:12:07Z (5m ago), the interval has passed: 2 differed, 1 NOT REPAIRED`
fn run_sentence(page: &Page, look: &ReconcileRun) -> String {
    let ReconcileRun { at, why, found, failed, .. } = look;
    let at = page.time(at);
    let found = if *found == 0 { "nothing differed".to_owned() } else { format!("{found} differed") };
    let failed = if *failed == 0 { String::new() } else { format!(", {failed} NOT REPAIRED") };
    format!("{at}, {why}: {found}{failed}")
}

/// `doctor`: each finding with its reason and its remedy; with `all` also what is as it should be.
pub(in crate::cli) fn doctor_page(answer: &DoctorAnswer, all: bool) -> Page {
    let mut page = Page::new();
    let (fine, bad): (Vec<&Finding>, Vec<&Finding>) = answer.findings.iter().partition(|f| f.level == Level::Ok);
    for Finding { check, level, subject, reason, remedy } in &bad {
        let (tone, word) = if *level == Level::Fail { (Tone::Bad, "FAIL") } else { (Tone::Warn, "WARN") };
        let about = subject.as_ref().map(|subject| format!(" ({subject})")).unwrap_or_default();
        page.verdict(tone, word, &format!("  {check}{about}: {reason}"));
        remedy.iter().for_each(|remedy| page.line(format!("      remedy: {remedy}")));
    }
    if all {
        fine.iter().for_each(|finding| page.line(format!("OK    {}: {}", finding.check, finding.reason)));
    }
    let count = |level| bad.iter().filter(|finding| finding.level == level).count();
    page.line(match (count(Level::Fail), count(Level::Warn), fine.len()) {
        (0, 0, fine) => format!("Nothing is wrong: {} made.", counted_noun(fine, "check")),
        (fails, warns, fine) => {
            format!(
                "{}, {}, {} found nothing wrong.",
                counted_noun(fails, "failure"),
                counted_noun(warns, "warning"),
                counted_noun(fine, "check")
            )
        }
    });
    page
}

fn readiness_line(ready: &Ready, peer: &str) -> String {
    let daemon = format!("{peer}, version {}", ready.version);
    match (ready.ready, &ready.reason) {
        (true, _) => format!("ready ({daemon})"),
        (false, Some(reason)) => format!("NOT READY: {reason} ({daemon})"),
        (false, None) => format!("NOT READY ({daemon})"),
    }
}

fn all_flows(bridges: &[Bridge]) -> String {
    let count = |state| bridges.iter().filter(|b| b.flows.state == state).count();
    match (count(FlowsState::Drifted), count(FlowsState::Unknown)) {
        (0, 0) => "in sync".to_owned(),
        (0, unknown) => format!("not read yet on {unknown} of {}", on_bridges(bridges.len())),
        (drifted, 0) => format!("DRIFTED on {drifted} of {}", on_bridges(bridges.len())),
        (drifted, unknown) => {
            format!("DRIFTED on {drifted}, not read yet on {unknown} of {}", on_bridges(bridges.len()))
        }
    }
}

fn on_bridges(count: usize) -> String {
    counted_noun(count, "bridge")
}
