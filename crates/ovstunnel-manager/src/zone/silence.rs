//! Why a host cannot be asked, and the words of what the zone tells of hosts. Must not find it out.

use ovstunnel_api::{Reason, Severity};
use ovstunnel_mesh::observed::Unmet;

/// The word for a certificate that has ended, or will within 30 days.
pub const CERTIFICATE_EXPIRES: &str = "certificate_expires";

/// Why a host cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// `host_silent`, or `certificate_refused` where one end does not take the other's certificate.
    pub kind: &'static str,
    /// What was seen.
    pub evidence: String,
    /// What takes it away.
    pub remedy: String,
}

impl From<String> for Silence {
    fn from(evidence: String) -> Silence {
        let remedy = "see whether the host is up, ovstunneld runs there, and the manager's certificate is accepted";
        Silence { kind: "host_silent", evidence, remedy: remedy.to_owned() }
    }
}

/// A reason of a daemon's health, as a proof takes it.
pub fn unmet_requirement(reason: &Reason) -> Unmet {
    let Reason { what, subject, severity, evidence, remedy } = reason.clone();
    Unmet { what, subject, is_failure: severity == Severity::Failed, evidence, remedy }
}
