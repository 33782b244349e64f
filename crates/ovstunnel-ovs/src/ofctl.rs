//! Arguments of `ovs-ofctl`. Must not run anything. Flows that lack our cookie are read for a take-over, and else not named.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use ovstunnel_core::Cookie;

/// Arguments that replace flows of a bridge by a bundle on standard input: all of it or nothing, and no frame sees half.
pub(crate) fn bundle(rundir: &Path, bridge: &str, timeout: Duration) -> Vec<String> {
    let mut args = options(timeout);
    args.extend(["--bundle".into(), "add-flows".into(), target(rundir, bridge), "-".into()]);
    args
}

/// Arguments that carry out a bundle of flows and of packets that are sent out, on standard input. Since Open vSwitch 2.8.
pub(crate) fn bundle_with_packets(rundir: &Path, bridge: &str, timeout: Duration) -> Vec<String> {
    let mut args = options(timeout);
    args.extend(["bundle".into(), target(rundir, bridge), "-".into()]);
    args
}

/// Arguments that print our flows of a bridge.
pub(crate) fn dump(rundir: &Path, bridge: &str, timeout: Duration) -> Vec<String> {
    let mut args = options(timeout);
    let ours = format!("cookie={}/{}", Cookie::OURS, Cookie::MASK);
    args.extend(["dump-flows".into(), target(rundir, bridge), ours]);
    args
}

/// Arguments that print all flows of a bridge, whosever they are: those of one table, as `table=0`, or of every one. By any
/// OpenFlow that the bridge may speak: not before it is ours is it made to speak 1.4.
pub(crate) fn dump_all(rundir: &Path, bridge: &str, timeout: Duration, which: Option<&str>) -> Vec<String> {
    let protocols = "--protocols=OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15";
    let timeout = format!("--timeout={}", timeout.as_secs().max(1));
    let args = [timeout, protocols.into(), "dump-flows".into(), target(rundir, bridge)];
    args.into_iter().chain(which.map(str::to_owned)).collect()
}

/// Arguments that print a bridge's ports with what they are configured to do.
pub(crate) fn show(rundir: &Path, bridge: &str, timeout: Duration) -> Vec<String> {
    let timeout = format!("--timeout={}", timeout.as_secs().max(1));
    vec![timeout, "--protocols=OpenFlow10".into(), "show".into(), target(rundir, bridge)]
}

/// Arguments that set whether a port is flooded to: `flood` or `no-flood`. Only OpenFlow 1.0 has this setting; a newer one
/// takes it without a word and does nothing.
pub(crate) fn mod_port(rundir: &Path, bridge: &str, timeout: Duration, port: u32, how: &str) -> Vec<String> {
    let options = [format!("--timeout={}", timeout.as_secs().max(1)), "--protocols=OpenFlow10".into()];
    let args = ["mod-port".into(), target(rundir, bridge), port.to_string(), how.into()];
    options.into_iter().chain(args).collect()
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
pub(crate) fn set_meter(
    verb: &str,
    rundir: &Path,
    bridge: &str,
    timeout: Duration,
    (meter, pps): (u32, u32),
) -> Vec<String> {
    let mut args = options(timeout);
    let band = format!("meter={meter},pktps,burst,bands=type=drop,rate={pps},burst_size={pps}");
    args.extend([verb.into(), target(rundir, bridge), band]);
    args
}

/// Arguments that remove a meter.
pub(crate) fn del_meter(rundir: &Path, bridge: &str, timeout: Duration, meter: u32) -> Vec<String> {
    let mut args = options(timeout);
    args.extend(["del-meter".into(), target(rundir, bridge), format!("meter={meter}")]);
    args
}

fn options(timeout: Duration) -> Vec<String> {
    // Bundles need OpenFlow 1.4, which every supported Open vSwitch has on unless a bridge's `protocols` leaves it out.
    vec![format!("--timeout={}", timeout.as_secs().max(1)), "--protocols=OpenFlow14".into()]
}

fn target(rundir: &Path, bridge: &str) -> String {
    format!("unix:{}/{bridge}.mgmt", rundir.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_that_somebody_excepted_from_flooding_are_known() {
        let printed = "OFPT_FEATURES_REPLY (xid=0x2): dpid:0000aa\n 1(vif1.0): addr:02:00:00:00:00:01\n     config:     0\n \
                       2(vif2.0): addr:02:00:00:00:00:02\n     config:     NO_FLOOD\n     state:      0\n \
                       LOCAL(xapi1): addr:02:00:00:00:00:03\n     config:     PORT_DOWN NO_FLOOD\n";
        assert_eq!(parse_no_flood(printed), BTreeSet::from([2]));
    }
}
