//! Arguments of `ovs-ofctl`. Must not run anything. Flows that lack our cookie are read for a take-over, and else not named.

use std::collections::BTreeSet;

use ovstunnel_plan::Cookie;

use crate::Tools;

/// Arguments that replace flows of a bridge by a bundle on standard input: all of it or nothing, and no frame sees half.
pub(crate) fn bundle_args(tools: &Tools, bridge: &str) -> Vec<String> {
    let mut args = common_options(tools);
    args.extend(["--bundle".into(), "add-flows".into(), bridge_target(tools, bridge), "-".into()]);
    args
}

/// Arguments that carry out a bundle of flows and of packets that are sent out, on standard input. Since Open vSwitch 2.8.
pub(crate) fn bundle_with_packets(tools: &Tools, bridge: &str) -> Vec<String> {
    let mut args = common_options(tools);
    args.extend(["bundle".into(), bridge_target(tools, bridge), "-".into()]);
    args
}

/// Arguments that print our flows of a bridge.
pub(crate) fn dump_args(tools: &Tools, bridge: &str) -> Vec<String> {
    let mut args = common_options(tools);
    let ours = format!("cookie={}/{}", Cookie::OURS, Cookie::MASK);
    args.extend(["dump-flows".into(), bridge_target(tools, bridge), ours]);
    args
}

/// Arguments that print all flows of a bridge, whosever they are: those of one table, as `table=0`, or of every one. By any
/// OpenFlow that the bridge may speak: not before it is ours is it made to speak 1.4.
pub(crate) fn dump_all(tools: &Tools, bridge: &str, which: Option<&str>) -> Vec<String> {
    let protocols = "OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15";
    let mut args = with_protocols(tools, protocols);
    args.extend(["dump-flows".into(), bridge_target(tools, bridge)]);
    args.into_iter().chain(which.map(str::to_owned)).collect()
}

/// Arguments that print a bridge's ports with what they are configured to do.
pub(crate) fn show_args(tools: &Tools, bridge: &str) -> Vec<String> {
    let mut args = with_protocols(tools, "OpenFlow10");
    args.extend(["show".into(), bridge_target(tools, bridge)]);
    args
}

/// Arguments that set whether a port is flooded to: `flood` or `no-flood`. Only OpenFlow 1.0 has this setting; a newer one
/// takes it without a word and does nothing.
pub(crate) fn mod_port(tools: &Tools, bridge: &str, port: &str, how: &str) -> Vec<String> {
    let mut args = with_protocols(tools, "OpenFlow10");
    args.extend(["mod-port".into(), bridge_target(tools, bridge), port.into(), how.into()]);
    args
}

/// The ports that somebody has excepted from flooding, from what `show` prints.
pub(crate) fn parse_no_flood(printed: &str) -> BTreeSet<u32> {
    let (mut port, mut found) = (None::<u32>, BTreeSet::new());
    for line in printed.lines().map(str::trim) {
        if let Some((number, _)) = line.split_once('(').filter(|(_, rest)| rest.contains("): addr:")) {
            port = number.parse().ok();
        } else if line.starts_with("config:") && line.contains("NO_FLOOD") {
            found.extend(port);
        }
    }
    found
}

/// Arguments that make (`add-meter`) or change (`mod-meter`) a meter, which drops what is beyond `pps` frames a second.
/// A burst of one second's worth passes.
pub(crate) fn set_meter(verb: &str, tools: &Tools, bridge: &str, (meter, pps): (u32, u32)) -> Vec<String> {
    let mut args = common_options(tools);
    let band = format!("meter={meter},pktps,burst,bands=type=drop,rate={pps},burst_size={pps}");
    args.extend([verb.into(), bridge_target(tools, bridge), band]);
    args
}

/// Arguments that remove a meter.
pub(crate) fn del_meter(tools: &Tools, bridge: &str, meter: u32) -> Vec<String> {
    let mut args = common_options(tools);
    args.extend(["del-meter".into(), bridge_target(tools, bridge), format!("meter={meter}")]);
    args
}

/// Arguments that print what a meter has counted.
pub(crate) fn meter_stats(tools: &Tools, bridge: &str, meter: u32) -> Vec<String> {
    let mut args = common_options(tools);
    args.extend(["meter-stats".into(), bridge_target(tools, bridge), format!("meter={meter}")]);
    args
}

fn common_options(tools: &Tools) -> Vec<String> {
    // Bundles need OpenFlow 1.4, which every supported Open vSwitch has on unless a bridge's `protocols` leaves it out.
    with_protocols(tools, "OpenFlow14")
}

fn with_protocols(tools: &Tools, protocols: &str) -> Vec<String> {
    let timeout = format!("--timeout={}", tools.timeout.as_secs().max(1));
    // Else it first asks for the names of all ports and of 254 tables, by two connections more (docs/ovs-facts.md).
    let names = tools.no_names.then(|| "--no-names".to_owned());
    [timeout, format!("--protocols={protocols}")].into_iter().chain(names).collect()
}

fn bridge_target(tools: &Tools, bridge: &str) -> String {
    format!("unix:{}/{bridge}.mgmt", tools.rundir.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_not_asked_for_where_that_can_be_said() {
        let without = Tools { no_names: false, ..Tools::default() };
        let asked = |tools| bundle_args(tools, "xapi1").iter().all(|arg| arg != "--no-names");
        assert_eq!((asked(&Tools::default()), asked(&without)), (false, true));
    }

    #[test]
    fn ports_that_somebody_excepted_from_flooding_are_known() {
        let printed = "OFPT_FEATURES_REPLY (xid=0x2): dpid:0000aa\n 1(vif1.0): addr:02:00:00:00:00:01\n     config:     0\n \
                       2(vif2.0): addr:02:00:00:00:00:02\n     config:     NO_FLOOD\n     state:      0\n \
                       LOCAL(xapi1): addr:02:00:00:00:00:03\n     config:     PORT_DOWN NO_FLOOD\n";
        assert_eq!(parse_no_flood(printed), BTreeSet::from([2]));
    }
}
