//! What a look would change now. What single managed bridges are like is the model's to judge.

use ovstunnel_api::Finding;

use super::finding::{fail, ok, some_names, warn};

/// What is not as the record says: `pending` is what a look would change now, or why that is not known.
pub(super) fn check_drift(pending: &Result<Vec<String>, String>) -> Finding {
    match pending {
        Ok(changes) if changes.is_empty() => ok("drift", "a look would change nothing"),
        Ok(changes) => {
            let reason = format!("a look would change now: {}", some_names(changes, 5));
            let remedy = "`ovstunnelctl reconcile` does it; if it comes back, find out who changes what is ours (the log says when)";
            fail("drift", reason, remedy)
        }
        Err(error) => {
            let reason = format!("it is not known whether anything has drifted: {error}");
            warn("drift", reason, "ask again; `ovstunnelctl reconcile` says what holds it up")
        }
    }
}
