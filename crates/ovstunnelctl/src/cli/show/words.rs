//! The words for states and counts, which lists, tables and the summary share. Must not lay anything out.

use ovstunnel_api::{Flows, FlowsState, Health, HealthState, Reason, Severity, TunnelState};

use super::{Page, Tone};

/// `ok`, `degraded: vlan`, `FAILED: fail_open, 2 more`: the worst reason first.
pub(super) fn health_word(health: &Health) -> String {
    let state = state_of_health(health.state);
    let worst = health.reasons.first().map(|reason| format!(": {}", reason.what)).unwrap_or_default();
    match health.reasons.len().saturating_sub(1) {
        0 => format!("{state}{worst}"),
        more => format!("{state}{worst}, {more} more"),
    }
}

/// What is wrong stands out without colour.
pub(super) fn state_of_health(state: HealthState) -> &'static str {
    match state {
        HealthState::Ok => "ok",
        HealthState::Degraded => "degraded",
        HealthState::Failed => "FAILED",
    }
}

/// How a health stands out.
pub(super) fn health_tone(state: HealthState) -> Tone {
    match state {
        HealthState::Ok => Tone::Plain,
        HealthState::Degraded => Tone::Warn,
        HealthState::Failed => Tone::Bad,
    }
}

/// How a tunnel's state stands out.
pub(super) fn tunnel_tone(state: TunnelState) -> Tone {
    match state {
        TunnelState::Up => Tone::Plain,
        TunnelState::Pending => Tone::Warn,
        TunnelState::Error => Tone::Bad,
    }
}

/// A reason with its remedy, as `doctor` shows findings.
pub(super) fn write_reason(page: &mut Page, reason: &Reason) {
    let Reason { what, subject, severity, evidence, remedy } = reason;
    let (tone, word) = if *severity == Severity::Failed { (Tone::Bad, "FAIL") } else { (Tone::Warn, "WARN") };
    page.verdict(tone, word, &format!("  {what} ({subject}): {evidence}"));
    page.line(format!("      remedy: {remedy}"));
}

/// `1 tunnel`, `2 tunnels`.
pub(super) fn counted_noun(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// `3 (2 up, 1 ERROR)`: states that do not occur are left out.
pub(super) fn with_states(states: impl Iterator<Item = TunnelState> + Clone) -> String {
    let total = states.clone().count();
    let each = [TunnelState::Up, TunnelState::Pending, TunnelState::Error].map(|state| {
        let count = states.clone().filter(|s| *s == state).count();
        (count > 0).then(|| format!("{count} {}", state_word(state)))
    });
    match each.into_iter().flatten().collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => total.to_string(),
        words => format!("{total} ({words})"),
    }
}

/// What is wrong stands out without colour.
pub(super) fn state_word(state: TunnelState) -> &'static str {
    match state {
        TunnelState::Up => "up",
        TunnelState::Pending => "pending",
        TunnelState::Error => "ERROR",
    }
}

/// `in sync (4)`, `DRIFTED (3 of 4)`.
pub(super) fn flows_word(flows: &Flows) -> String {
    let installed = flows.installed.map_or_else(|| "?".to_owned(), |n| n.to_string());
    match flows.state {
        FlowsState::InSync => format!("in sync ({})", flows.expected),
        FlowsState::Drifted => format!("DRIFTED ({installed} of {})", flows.expected),
        FlowsState::Unknown => "not read yet".to_owned(),
    }
}
