//! Whether a bridge carries its network's frames, with the reasons why it does not: one model for healing, `status`, the API,
//! metrics and `doctor`.
//!
//! What it does: names reasons. What it must not do: I/O, or know who asks.

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
