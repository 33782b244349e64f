//! `doctor`: what is wrong, why, and what to do about it. Judges the daemon's answers; must not change anything.

use ovstunnel_api::{Bridge, FlowsState, TunnelState};
use serde::Serialize;

use super::status::Status;
use super::{Failure, Report, show};
use crate::client::Client;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Severity {
    /// Somebody has to act.
    Wrong,
    /// It works, but not as configured.
    Warning,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// What is wrong.
    pub(super) what: String,
    /// Why, as far as it is known.
    pub(super) why: String,
    /// What to do.
    pub(super) remedy: &'static str,
}

/// The JSON of `doctor`.
#[derive(Debug, Serialize)]
pub(super) struct Diagnosis {
    /// Nothing is wrong; there may be warnings.
    pub(super) ok: bool,
    pub(super) findings: Vec<Finding>,
}

pub(super) async fn run(client: &Client, json: bool) -> Result<Report, Failure> {
    let diagnosis = diagnose(&Status::ask(client).await?);
    Ok(Report::new(json, &diagnosis, show::diagnosis)?.wrong_if(!diagnosis.ok))
}

fn wrong(what: impl Into<String>, why: impl Into<String>, remedy: &'static str) -> Finding {
    Finding { severity: Severity::Wrong, what: what.into(), why: why.into(), remedy }
}

/// What is to be said of the daemon's answers, the worst first.
pub(super) fn diagnose(status: &Status) -> Diagnosis {
    let mut findings = Vec::new();
    let ready = &status.ready;
    if !ready.ready {
        let why = ready.reason.clone().unwrap_or_else(|| "it does not say why".to_owned());
        findings.push(wrong("the daemon is not ready", why, READY));
    }
    findings.extend(status.bridges.iter().flatten().flat_map(of_bridge));
    if let Some(look) = ready.last_reconcile.as_ref().filter(|look| look.failed > 0) {
        let what = format!("{} of what differed could not be repaired", look.failed);
        findings.push(wrong(what, look.words.join("; "), REPAIR));
    }
    let warning = |why: &String| Finding {
        severity: Severity::Warning,
        what: "something is configured that this switch does not have".to_owned(),
        why: why.clone(),
        remedy: METERS,
    };
    findings.extend(ready.warnings.iter().map(warning));
    let ok = !findings.iter().any(|finding| finding.severity == Severity::Wrong);
    Diagnosis { ok, findings }
}

fn of_bridge(bridge: &Bridge) -> Vec<Finding> {
    let in_error = bridge.tunnels.iter().filter(|tunnel| tunnel.state == TunnelState::Error).map(|tunnel| {
        let what = format!("tunnel {} of bridge {} to {} is in error", tunnel.port, bridge.name, tunnel.remote_ip);
        wrong(what, tunnel.error.clone().unwrap_or_else(|| "Open vSwitch does not say why".to_owned()), TUNNEL)
    });
    let mut findings: Vec<Finding> = in_error.collect();
    if bridge.flows.state == FlowsState::Drifted {
        let installed = bridge.flows.installed.map_or_else(|| "?".to_owned(), |n| n.to_string());
        let why = format!("it has {installed} of {} flows", bridge.flows.expected);
        findings.push(wrong(format!("the flows of bridge {} have drifted", bridge.name), why, FLOWS));
    }
    findings
}

const READY: &str = "start Open vSwitch (`ovs-vsctl show` must answer); the daemon notices by itself";
const REPAIR: &str =
    "read the reason; the daemon tries again by itself, `ovstunnelctl reconcile` does so now and says what stays";
const TUNNEL: &str = "see that no other port has this remote address and key (`ovs-vsctl show`), and remove that one; Open vSwitch is \
                      asked to try again by itself";
const FLOWS: &str = "`ovstunnelctl reconcile` puts them back; if they drift again, find out who changes them";
const METERS: &str = "set `[network] vif_broadcast_pps = 0`, or use an Open vSwitch and a datapath that have meters";
