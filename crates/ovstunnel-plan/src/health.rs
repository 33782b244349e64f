//! Whether a bridge carries its network's frames, with the reasons why it does not: one model for healing, `status`, the API,
//! metrics and `doctor`.
//!
//! What it does: judges what was seen (rows, flows, what the switch tells, the kernel's devices and routes) against everything
//! that a frame depends on, and names reasons. What it must not do: I/O, or know who asks.

mod flows;
mod frames;
mod ports;
mod requirements;
mod settings;
mod underlay;

use std::collections::BTreeMap;

use crate::{DesiredBridge, EffectiveSettings, FlowsSeen, HostFacts, ObservedBridge, Witness};

pub use requirements::{REQUIREMENTS, Repaired, Requirement, SeenBy};
pub use underlay::{Below, BelowBridge, Way, host_health};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It works, but not as it should, or not for all frames.
    Degraded,
    /// Frames of VMs are lost, doubled, or go where they must not.
    Failed,
}

/// One reason why a bridge is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// A stable word for it, such as `fail_open`: it is told in the API and documented.
    pub what: &'static str,
    /// The bridge, port, VIF, flow or address that it is about.
    pub subject: String,
    /// How bad it is.
    pub severity: Severity,
    /// What was seen.
    pub evidence: String,
    /// What takes it away: a command to run, or that the daemon does it by itself.
    pub remedy: String,
}

/// What is seen of a bridge.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What it must be.
    pub desired: &'a DesiredBridge,
    /// Its rows.
    pub observed: &'a ObservedBridge,
    /// Our flows.
    pub flows: &'a FlowsSeen,
    /// What the switch itself tells.
    pub witness: &'a Witness,
    /// The host's settings, as far as the switch can follow them.
    pub settings: &'a EffectiveSettings,
    /// Devices that are ports of a Linux bridge, each with the bridge's name.
    pub linux_bridges: &'a BTreeMap<String, String>,
    /// What its ports' devices are.
    pub host: &'a HostFacts,
}

/// The reasons why a bridge does not carry its network's frames as it must, the worst first.
pub fn bridge_health(facts: &Facts<'_>) -> Vec<Reason> {
    let mut reasons = frames::frame_reasons(facts);
    reasons.extend(settings::setting_reasons(facts));
    reasons.extend(ports::port_reasons(facts));
    reasons.extend(flows::flow_reasons(facts));
    worst_first(reasons)
}

/// The reasons, those that count most first.
pub(crate) fn worst_first(mut reasons: Vec<Reason>) -> Vec<Reason> {
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.severity));
    reasons
}

fn degraded_reason(what: &'static str, subject: &str, evidence: String, remedy: String) -> Reason {
    Reason { what, subject: subject.to_owned(), severity: Severity::Degraded, evidence, remedy }
}

fn failed_reason(what: &'static str, subject: &str, evidence: String, remedy: String) -> Reason {
    Reason { severity: Severity::Failed, ..degraded_reason(what, subject, evidence, remedy) }
}

/// That the daemon puts it right, and what to do where it stays.
fn by_itself() -> String {
    "the daemon puts it right at once; where it stays, `ovstunnelctl reconcile` says why it cannot".to_owned()
}

/// At most `most` of the names, and how many there are beyond.
fn some_names(names: &[String], most: usize) -> String {
    let shown = names.iter().take(most).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
