//! Health in the API's types. Must not judge.

use std::time::SystemTime;

use ovstunnel_api::{Health, HealthState, Severity};
use ovstunnel_plan::Reason;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

fn reason_to_wire(reason: &Reason) -> ovstunnel_api::Reason {
    ovstunnel_api::Reason {
        what: reason.what.to_owned(),
        subject: reason.subject.clone(),
        severity: match reason.severity {
            ovstunnel_plan::Severity::Degraded => Severity::Degraded,
            ovstunnel_plan::Severity::Failed => Severity::Failed,
        },
        evidence: reason.evidence.clone(),
        remedy: reason.remedy.clone(),
    }
}

/// These reasons on the wire, known at `as_of`.
pub(crate) fn health_to_wire(reasons: &[Reason], as_of: Option<SystemTime>) -> Health {
    let state = match reasons.iter().map(|reason| reason.severity).max() {
        None => HealthState::Ok,
        Some(ovstunnel_plan::Severity::Degraded) => HealthState::Degraded,
        Some(ovstunnel_plan::Severity::Failed) => HealthState::Failed,
    };
    // A clock beyond the year 9999 has no such form.
    let as_of = as_of.and_then(|at| OffsetDateTime::from(at).format(&Rfc3339).ok());
    Health { state, as_of, reasons: reasons.iter().map(reason_to_wire).collect() }
}
