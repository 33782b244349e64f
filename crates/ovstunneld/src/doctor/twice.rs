//! What is there twice on this host, from a time when it was not refused. Must not ask the switch.

use std::collections::BTreeMap;

use ovstunnel_api::Finding;
use ovstunnel_plan::{DesiredBridge, DesiredTunnel, GreKey, HostId, ObservedBridge};

use super::finding::{About, fail, ok, or_ok, some_names};

/// What was there twice before it was refused: a network's key on two bridges, two tunnels to one host.
pub(super) fn check_duplicates(bridges: &[ObservedBridge]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut by_key: BTreeMap<GreKey, Vec<String>> = BTreeMap::new();
    for bridge in bridges {
        let mut by_host: BTreeMap<(HostId, GreKey), Vec<String>> = BTreeMap::new();
        for tunnel in bridge.ports.values().filter_map(DesiredTunnel::from_record) {
            by_host.entry((tunnel.to, tunnel.key)).or_default().push(tunnel.name.to_string());
        }
        for ((host, _), ports) in by_host.into_iter().filter(|(_, ports)| ports.len() > 1) {
            let name = &bridge.name;
            let reason = format!(
                "tunnels {} of bridge {name} all lead to host {host}: frames are doubled",
                some_names(&ports, 5)
            );
            let remedy = format!("`ovstunnelctl tunnel destroy {name} PORT` for all but the one to its right address");
            findings.push(fail("twice", reason, remedy).about(name));
        }
        DesiredBridge::recorded_keys(bridge)
            .into_iter()
            .for_each(|key| by_key.entry(key).or_default().push(bridge.name.clone()));
    }
    for (key, names) in by_key.into_iter().filter(|(_, names)| names.len() > 1) {
        let reason = format!(
            "bridges {} all have key {key}: only one of them can have a tunnel to a host",
            some_names(&names, 5)
        );
        let remedy = "one network is on one bridge: `ovstunnelctl bridge destroy` for the other";
        findings.push(fail("twice", reason, remedy).about(&names[0]));
    }
    or_ok(findings, || ok("twice", "each key is on one bridge, and one tunnel leads to a host"))
}

#[cfg(test)]
mod tests {
    use ovstunnel_api::Level;
    use ovstunnel_plan::{ObservedInterface, ObservedPort};

    use super::*;

    fn port(name: &str, kind: &str, protected: bool) -> (String, ObservedPort) {
        let interface = ObservedInterface { name: name.into(), kind: kind.into(), ..ObservedInterface::default() };
        let port =
            ObservedPort { name: name.into(), protected, interfaces: vec![interface], ..ObservedPort::default() };
        (name.to_owned(), port)
    }

    #[test]
    fn what_is_there_twice_is_named() {
        let marked = |name: &str, key: &str, tunnels: &[(&str, &str)]| {
            let mut bridge = ObservedBridge { name: name.into(), ..ObservedBridge::default() };
            bridge.external_ids.insert("ovstunnel-key".into(), key.into());
            for (port_name, to) in tunnels {
                let (name, mut port) = port(port_name, "gre", true);
                let marks = [("from", "1"), ("to", *to), ("key", key), ("remote-ip", "192.0.2.2")];
                port.external_ids = marks.map(|(id, value)| (format!("ovstunnel-{id}"), value.to_owned())).into();
                bridge.ports.insert(name, port);
            }
            bridge
        };
        let good = marked("a", "5", &[("t5-1-2", "2"), ("t5-1-3", "3")]);
        assert_eq!(check_duplicates(&[good.clone(), marked("b", "6", &[])])[0].level, Level::Ok);
        let found = check_duplicates(&[good, marked("b", "5", &[("t5-1-4", "4"), ("t5-9-4", "4")])]);
        assert!(found.len() == 2 && found.iter().all(|finding| finding.level == Level::Fail), "{found:?}");
        assert!(found[0].reason.contains("t5-1-4, t5-9-4 of bridge b all lead to host 4"), "{found:?}");
        assert!(found[1].reason.contains("bridges a, b all have key 5"), "{found:?}");
    }
}
