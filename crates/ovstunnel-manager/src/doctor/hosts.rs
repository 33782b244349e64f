//! What is wrong with the registered hosts, as the zone tells of them. Must not ask one.

use ovstunnel_api::Finding;
use ovstunnel_manager_api::{Host, HostState};
use ovstunnel_server::doctor::finding::{About, fail, ok, or_ok, warn};

/// Hosts of which something is wrong that are told of, each for itself.
const TOLD: usize = 20;

pub(super) fn check_hosts(hosts: &[Host]) -> Vec<Finding> {
    let mut bad: Vec<&Host> = hosts.iter().filter(|host| host.state != HostState::Ok).collect();
    // The worst first, as far as they are told of.
    bad.sort_by_key(|host| std::cmp::Reverse(host.state));
    let mut findings: Vec<Finding> = bad.iter().take(TOLD).flat_map(|host| host_findings(host)).collect();
    if bad.len() > TOLD {
        let more = bad.len() - TOLD;
        let reason = format!("{more} more hosts are not as they should be");
        findings.push(warn("host", reason, "`ovstunnelctl zone hosts --state silent,degraded,connecting` lists them"));
    }
    let mut findings = or_ok(findings, || match hosts.len() {
        0 => ok("host", "none is registered yet: `ovstunnelctl zone host add` does it"),
        all => ok("host", format!("all {all} are connected, and nothing is wrong with them")),
    });
    findings.extend(of_old_daemons(hosts));
    findings
}

fn host_findings(host: &Host) -> Vec<Finding> {
    let age = host.age.map_or_else(|| "never heard of".to_owned(), |age| format!("last heard of {age:.0} s ago"));
    if host.troubles.is_empty() {
        let reason = format!("{} since the manager started: it is being connected to", age);
        let remedy = "wait a moment; `ovstunnelctl zone host show` says why it takes long";
        return vec![warn("host", reason, remedy).about(&host.name)];
    }
    let each = host.troubles.iter().map(|trouble| {
        let reason = match host.state {
            HostState::Silent => format!("{}: {} ({age})", trouble.kind, trouble.evidence),
            _ => format!("{}: {}", trouble.kind, trouble.evidence),
        };
        match host.state {
            HostState::Silent => fail("host", reason, &trouble.remedy),
            _ => warn("host", reason, &trouble.remedy),
        }
        .about(&host.name)
    });
    each.collect()
}

/// Those that are asked every few seconds, since they do not tell of changes.
fn of_old_daemons(hosts: &[Host]) -> Option<Finding> {
    let old: Vec<String> =
        hosts.iter().filter(|host| host.age.is_some() && !host.watched).map(|host| host.name.clone()).collect();
    if old.is_empty() {
        return None;
    }
    let names = ovstunnel_server::doctor::finding::some_names(&old, TOLD);
    let reason = format!("daemons too old to tell of changes, which are asked every 2 s: {names}");
    Some(warn("old_daemon", reason, "install the ovstunneld of this version there; no VM notices"))
}

#[cfg(test)]
mod tests {
    use ovstunnel_api::Level;
    use ovstunnel_manager_api::{Mode, Trouble};

    use super::*;

    fn host(name: &str, state: HostState, kind: Option<&str>) -> Host {
        let trouble = |kind: &str| Trouble { kind: kind.into(), evidence: "seen".into(), remedy: "mend it".into() };
        Host {
            name: name.into(),
            number: 1,
            api: "https://h:8443".into(),
            rack: None,
            label: None,
            mode: Mode::Manage,
            state,
            age: Some(4.0),
            watched: true,
            daemon: None,
            ip: None,
            netmask: None,
            mac: None,
            max_guest_mtu: None,
            cannot: Vec::new(),
            certificate_expires: None,
            bridges: 0,
            tunnels: 0,
            vifs: 0,
            cloudstack: None,
            maintenance: None,
            troubles: kind.map(trouble).into_iter().collect(),
        }
    }

    #[test]
    fn each_host_has_its_own_message_and_the_level_of_its_state() {
        let well = check_hosts(&[host("h1", HostState::Ok, None)]);
        assert_eq!((well.len(), well[0].level), (1, Level::Ok));
        assert_eq!(check_hosts(&[])[0].level, Level::Ok);
        let found = check_hosts(&[
            host("h1", HostState::Degraded, Some("address_taken")),
            host("h2", HostState::Silent, Some("certificate_refused")),
        ]);
        let told: Vec<_> = found.iter().map(|f| (f.level, f.subject.as_deref(), f.reason.as_str())).collect();
        assert_eq!(
            told,
            [
                (Level::Fail, Some("h2"), "certificate_refused: seen (last heard of 4 s ago)"),
                (Level::Warn, Some("h1"), "address_taken: seen"),
            ]
        );
        assert!(found.iter().all(|finding| finding.remedy.as_deref() == Some("mend it")));
        let connecting = check_hosts(&[Host { age: None, ..host("h3", HostState::Connecting, None) }]);
        assert_eq!(connecting[0].level, Level::Warn);
    }

    #[test]
    fn old_daemons_and_many_hosts_are_told_in_one_line() {
        let old = check_hosts(&[Host { watched: false, ..host("h1", HostState::Ok, None) }]);
        assert_eq!((old[1].check.as_str(), old[1].level), ("old_daemon", Level::Warn));
        let many: Vec<Host> = (0..50).map(|n| host(&format!("h{n}"), HostState::Silent, Some("host_silent"))).collect();
        let found = check_hosts(&many);
        assert_eq!(found.len(), TOLD + 1);
        assert!(found[TOLD].reason.starts_with("30 more hosts"), "{found:?}");
    }
}
