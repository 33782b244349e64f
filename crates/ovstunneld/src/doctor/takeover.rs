//! Bridges of CloudStack's Python plugin that wait for their take-over, and what a storm on them would reach. Must not judge which
//! bridges are the plugin's: `ovstunnel-plan` does.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ovstunnel_api::Finding;
use ovstunnel_plan::{self as core, ObservedBridge, ObservedPort, Settings, survey_bridges, was_released};

use super::finding::{About, fail, some_names, warn};

/// The plugin's bridges among all of the switch, each with why it cannot be taken over, if it cannot.
pub(super) fn plugin_bridges(bridges: &[ObservedBridge], settings: &Settings) -> Vec<(ObservedBridge, Vec<String>)> {
    let findings = survey_bridges(bridges, settings);
    let of = |bridge: &ObservedBridge| match findings.get(&bridge.name)? {
        core::Finding::Plugins(_) => Some((bridge.clone(), vec![])),
        core::Finding::Left(reasons) => Some((bridge.clone(), reasons.clone())),
        core::Finding::Ours | core::Finding::Foreign => None,
    };
    bridges.iter().filter_map(of).collect()
}

/// That they wait, and whether they can storm. Of one that was given back and has no tunnels again there is nothing to say.
pub(super) fn check_takeover(found: &[(ObservedBridge, Vec<String>)]) -> Vec<Finding> {
    let at_work =
        found.iter().filter(|(bridge, _)| !was_released(bridge) || unprotected_ports(bridge).next().is_some());
    at_work
        .flat_map(|(bridge, reasons)| [Some(waiting_finding(bridge, reasons)), storm_finding(bridge)])
        .flatten()
        .collect()
}

fn waiting_finding(bridge: &ObservedBridge, reasons: &[String]) -> Finding {
    let name = &bridge.name;
    let told = format!("bridge {name} is the Python plugin's: calls for it are refused");
    match reasons {
        [] => {
            warn("python_bridge", format!("{told} until it is taken over"), format!("`ovstunnelctl takeover {name}`"))
        }
        reasons => {
            let reason = format!("{told}, and it cannot be taken over as it is: {}", some_names(reasons, 3));
            warn("python_bridge", reason, "put that right, then `ovstunnelctl takeover`; takeover.md says how")
        }
    }
    .about(name)
}

/// Two tunnels make a loop with the one between the hosts at their other ends. On the bridge of a VPC nothing goes from tunnel
/// to tunnel.
fn storm_finding(bridge: &ObservedBridge) -> Option<Finding> {
    let name = &bridge.name;
    let ends: BTreeSet<IpAddr> = unprotected_ports(bridge).filter_map(remote_address).collect();
    if ends.len() < 2 || core::has_vpc_pipeline(bridge) {
        return None;
    }
    let hosts = ends.len() + 1;
    let remedy = format!("`ovstunnelctl takeover {name}` here, and the same on each of the others");
    let reason = |words: &str| {
        format!(
            "{} tunnels of bridge {name} are not protected: {words} storm over {hosts} hosts",
            unprotected_ports(bridge).count()
        )
    };
    let spanning = bridge.stp_enable || bridge.rstp_enable;
    Some(match spanning {
        true => warn("storm", reason("where one host of them is without STP, one frame can"), remedy),
        false => fail("storm", reason("one frame can"), remedy),
    })
    .map(|finding| finding.about(name))
}

fn unprotected_ports(bridge: &ObservedBridge) -> impl Iterator<Item = &ObservedPort> {
    bridge.ports.values().filter(|port| port.is_tunnel_of_our_kind() && !port.protected)
}

fn remote_address(port: &ObservedPort) -> Option<IpAddr> {
    port.interface()?.options.get("remote_ip")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ovstunnel_api::Level;
    use ovstunnel_plan::{ObservedInterface, ids};

    use super::*;

    fn tunnel(to: u8) -> (String, ObservedPort) {
        let name = format!("t1001-1-{to}");
        let options = [("key", "1001".to_owned()), ("remote_ip", format!("192.0.2.{to}"))];
        let options = options.map(|(key, value)| (key.to_owned(), value)).into();
        let interface = ObservedInterface {
            name: name.clone(),
            kind: "gre".into(),
            ofport: Some(to.into()),
            options,
            ..Default::default()
        };
        (name.clone(), ObservedPort { name, interfaces: vec![interface], ..Default::default() })
    }

    fn bridge(tunnels: &[u8]) -> ObservedBridge {
        ObservedBridge {
            name: "xapi1".into(),
            other_config: BTreeMap::from([(ids::GRE_KEY.to_owned(), "OVSTunnel1001".to_owned())]),
            ports: tunnels.iter().map(|to| tunnel(*to)).collect(),
            ..ObservedBridge::default()
        }
    }

    fn found(bridge: ObservedBridge) -> Vec<(String, Level, String)> {
        let found = check_takeover(&plugin_bridges(&[bridge], &Settings::default()));
        found.into_iter().map(|finding| (finding.check, finding.level, finding.reason)).collect()
    }

    #[test]
    fn a_waiting_bridge_and_its_storm_risk_are_named() {
        let waits = "bridge xapi1 is the Python plugin's: calls for it are refused until it is taken over";
        let one = ("python_bridge".to_owned(), Level::Warn, waits.to_owned());
        assert_eq!(found(bridge(&[])), vec![one.clone()]);
        assert_eq!(found(bridge(&[2])), vec![one.clone()], "two hosts make no loop");
        let storm = "3 tunnels of bridge xapi1 are not protected: one frame can storm over 4 hosts";
        assert_eq!(found(bridge(&[2, 3, 4])), [one, ("storm".to_owned(), Level::Fail, storm.to_owned())]);
        let stp = ObservedBridge { stp_enable: true, ..bridge(&[2, 3]) };
        assert_eq!(found(stp)[1].1, Level::Warn);
        let mut protected = bridge(&[2, 3]);
        protected.ports.values_mut().for_each(|port| port.protected = true);
        assert_eq!(found(protected).len(), 1);
        let refused =
            ObservedBridge { other_config: [(ids::GRE_KEY.to_owned(), "x".to_owned())].into(), ..bridge(&[]) };
        assert!(found(refused)[0].2.contains("it cannot be taken over as it is: other_config:gre_key is"));
        assert_eq!(found(ObservedBridge { other_config: BTreeMap::new(), ..bridge(&[]) }), []);
    }

    #[test]
    fn a_released_bridge_is_named_only_with_tunnels_again() {
        let mark = || BTreeMap::from([(ids::RELEASED.to_owned(), "true".to_owned())]);
        assert_eq!(found(ObservedBridge { external_ids: mark(), ..bridge(&[]) }), []);
        assert_eq!(found(ObservedBridge { external_ids: mark(), ..bridge(&[2]) }).len(), 1);
    }
}
