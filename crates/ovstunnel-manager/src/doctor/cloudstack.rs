//! Whether CloudStack's API can be read, where it is to be, and which of its hosts are missing here. Must not ask it.

use ovstunnel_api::Finding;
use ovstunnel_manager_api::CloudStackState;
use ovstunnel_server::doctor::finding::{About, ok, some_names, warn};

/// Hosts that are named where some are missing.
const NAMED: usize = 5;

/// Nothing where no address of CloudStack's is configured.
pub(super) fn check_cloudstack(state: &CloudStackState) -> Vec<Finding> {
    if !state.enabled {
        return Vec::new();
    }
    let server = state.server.as_deref().unwrap_or_default();
    let read = match (&state.error, state.age) {
        (Some(error), age) => {
            let last = age.map_or_else(|| "never".to_owned(), |age| format!("{age} s ago"));
            warn(
                "cloudstack",
                format!("its API cannot be read, and could be last {last}: {error}; as a witness it says nothing"),
                "see to `url`, `keys` and `ca` under [cloudstack], and to the management server",
            )
        }
        (None, None) => ok("cloudstack", "its API is being read for the first time"),
        (None, Some(age)) => ok(
            "cloudstack",
            format!(
                "its API was read {age} s ago: {} hosts, {} networks, {} NICs",
                state.hosts, state.networks, state.nics
            ),
        ),
    };
    let strangers = (!state.strangers.is_empty()).then(|| {
        warn(
            "cloudstack",
            format!(
                "by its word VMs are on hosts that are not registered here: {}",
                some_names(&state.strangers, NAMED)
            ),
            "register them: `ovstunnelctl zone host add`, or let them join by a token",
        )
    });
    [Some(read), strangers].into_iter().flatten().map(|finding| finding.about(server)).collect()
}

#[cfg(test)]
mod tests {
    use ovstunnel_api::Level;

    use super::*;

    #[test]
    fn what_cannot_be_read_and_who_is_missing_is_told() {
        assert_eq!(check_cloudstack(&CloudStackState::default()), []);
        let state = CloudStackState {
            enabled: true,
            server: Some("cloud:8080".into()),
            age: Some(7),
            hosts: 3,
            ..CloudStackState::default()
        };
        let found = check_cloudstack(&state);
        assert_eq!((found.len(), found[0].level, found[0].subject.as_deref()), (1, Level::Ok, Some("cloud:8080")));
        assert!(found[0].reason.contains("read 7 s ago: 3 hosts"), "{found:?}");
        let strangers = (1..=6).map(|n| format!("s{n}")).collect();
        let bad = CloudStackState { error: Some("connection refused".into()), strangers, ..state };
        let found = check_cloudstack(&bad);
        assert_eq!(found.iter().map(|finding| finding.level).collect::<Vec<_>>(), [Level::Warn, Level::Warn]);
        assert!(found[0].reason.contains("last 7 s ago: connection refused"), "{found:?}");
        assert!(found[1].reason.ends_with("s1, s2, s3, s4, s5 and 1 more"), "{found:?}");
    }
}
