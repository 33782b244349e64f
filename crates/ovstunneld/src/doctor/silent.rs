//! Hosts from which nothing has come for long. Must not look: that is given.

use std::time::Duration;

use humantime_serde::re::humantime::format_duration;
use ovstunnel_api::Finding;

use super::finding::{About, ok, or_ok, warn};
use crate::silence::{Silent, Stays};

/// Hosts that have a finding of their own.
const TOLD: usize = 10;

/// Who has been silent for `[tunnel] forget_after`; nothing where that is off.
pub(super) fn check_silent(forget_after: Option<Duration>, silent: &[Silent]) -> Vec<Finding> {
    let Some(after) = forget_after else { return Vec::new() };
    or_ok(silent.iter().take(TOLD).map(silent_finding).collect(), || {
        ok("silent_peer", format!("nothing says that a host has been silent for {}", format_duration(after)))
    })
}

fn silent_finding(one: &Silent) -> Finding {
    let Silent { remote, silent, tunnels, stays } = one;
    let by_hand = format!(
        "if {remote} has left, have the tunnels to it removed (`ovstunnelctl tunnel list`, `tunnel delete`); else find out why it is silent"
    );
    let (why, remedy) = match stays {
        None => (
            "BFD with it is down: they are removed, one host at a time".to_owned(),
            "nothing; whoever wants them again asks for them".to_owned(),
        ),
        Some(Stays::NeverUp) => ("BFD with it has not been seen up, so they stay".to_owned(), by_hand),
        Some(Stays::Manager) => (
            "a zone's manager has recorded its epoch, so they are left to it".to_owned(),
            "see what the manager says of that host; `ovstunnelctl epoch clear` where there is no manager any more"
                .to_owned(),
        ),
        Some(Stays::FewAnswer { answer, of }) => (
            format!("of {of} hosts with which BFD has been up {answer} answer, fewer than half, so they stay"),
            format!("see whether this host's own network is at fault; {by_hand}"),
        ),
    };
    let silent = format_duration(Duration::from_secs(silent.as_secs()));
    let reason = format!("nothing has come from {remote} for {silent} by the {tunnels} tunnels to it; {why}");
    warn("silent_peer", reason, remedy).about(remote)
}

#[cfg(test)]
mod tests {
    use ovstunnel_api::Level;

    use super::*;

    #[test]
    fn who_is_silent_is_told_with_why_the_tunnels_stay() {
        let after = Some(Duration::from_secs(86_400));
        assert_eq!(check_silent(None, &[]), []);
        assert_eq!(check_silent(after, &[])[0].level, Level::Ok);
        let told = |stays| {
            let remote = [192, 0, 2, 2].into();
            let found =
                check_silent(after, &[Silent { remote, silent: Duration::from_secs(90_000), tunnels: 3, stays }]);
            assert_eq!((found[0].level, found[0].subject.as_deref()), (Level::Warn, Some("192.0.2.2")));
            found[0].reason.clone()
        };
        let reason = told(Some(Stays::NeverUp));
        assert!(reason.contains("for 1day 1h by the 3 tunnels") && reason.contains("not been seen up"), "{reason}");
        assert!(told(Some(Stays::Manager)).contains("left to it"));
        assert!(
            told(Some(Stays::FewAnswer { answer: 1, of: 3 }))
                .contains("of 3 hosts with which BFD has been up 1 answer")
        );
        assert!(told(None).contains("they are removed"));
    }
}
