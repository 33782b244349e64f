//! Ports of VMs that are not taken for VIFs, because their names begin in another way: where no VIF is on the bridge, broadcast
//! of other hosts ends there. Must not judge ports of which the bridge's health speaks.

use ovstunnel_api::{Bridge, Finding};

use super::finding::{About, some_names, warn};

pub(super) fn check_others(bridges: &[Bridge], prefixes: &[String]) -> Vec<Finding> {
    bridges.iter().filter(|bridge| bridge.vpc.is_none()).filter_map(|bridge| of_bridge(bridge, prefixes)).collect()
}

fn of_bridge(bridge: &Bridge, prefixes: &[String]) -> Option<Finding> {
    let told = |port: &String| bridge.health.reasons.iter().any(|reason| reason.subject == *port);
    let ports: Vec<String> = bridge
        .other_ports
        .iter()
        .filter(|port| Some(*port) != bridge.uplink.as_ref() && !told(port))
        .cloned()
        .collect();
    if ports.is_empty() || !bridge.vifs.is_empty() || bridge.tunnels.is_empty() {
        return None;
    }
    let mut with: Vec<String> = prefixes.iter().map(|prefix| format!("\"{prefix}\"")).collect();
    let mut new: Vec<String> = ports.iter().map(|port| format!("\"{}\"", name_prefix(port))).collect();
    new.sort();
    new.dedup();
    with.extend(new);
    let reason = format!(
        "no port of {} is a VIF by its name, which begins with none of `[network] vif_prefixes`: broadcast from other hosts does not reach {}",
        bridge.name,
        some_names(&ports, 5)
    );
    let remedy = format!(
        "`[network] vif_prefixes = [{}]` and `systemctl reload ovstunneld`, where they are VMs' ports",
        with.join(", ")
    );
    Some(warn("vif_prefixes", reason, remedy).about(&bridge.name))
}

/// How the names of ports of this kind begin: up to the first number.
fn name_prefix(port: &str) -> &str {
    let end = port.find(|c: char| c.is_ascii_digit()).filter(|end| *end > 0);
    &port[..end.unwrap_or(port.len()).min(14)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_what_stands_before_the_numbers() {
        assert_eq!(["one-11-0", "veth", "9p"].map(name_prefix), ["one-", "veth", "9p"]);
    }
}
