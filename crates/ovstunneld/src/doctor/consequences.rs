//! What follows from another finding is not one of its own: whoever reads them mends the cause. Must not make a host look better:
//! what stays is as bad as what goes, or explains it.

use ovstunnel_api::{Finding, Level};

/// What is below all tunnels.
const BELOW: [&str; 4] = ["underlay_bridge", "underlay_device", "flow_restore_wait", "tunnel_address"];

/// How `/readyz` begins where no tunnel of the host can carry anything.
const ALL_DEAD: &str = "the daemon is not ready: no tunnel of this host carries anything";

/// The findings without those that follow from others.
pub(super) fn without_consequences(mut findings: Vec<Finding>) -> Vec<Finding> {
    let wrong = |check: &str| findings.iter().any(|one| one.check == check && one.level == Level::Fail);
    let (below, open) = (BELOW.into_iter().any(wrong), wrong("fail_open"));
    // Somebody who may change flows is told of where flows are changed.
    let controlled = findings.iter().any(|one| one.check == "controller" && one.level != Level::Ok);
    findings.retain(|one| {
        let follows = match one.check.as_str() {
            "ready" => below && one.reason.starts_with(ALL_DEAD),
            "trace" => below,
            "controller" => open,
            "drift" => open || controlled,
            _ => false,
        };
        one.level == Level::Ok || !follows
    });
    findings
}

#[cfg(test)]
mod tests {
    use super::super::finding::{fail, ok, warn};
    use super::*;

    fn left(findings: Vec<Finding>) -> Vec<String> {
        without_consequences(findings).into_iter().map(|one| one.check).collect()
    }

    #[test]
    fn the_cause_stays_and_what_nothing_explains() {
        let dead = || fail("ready", format!("{ALL_DEAD}: x"), "x");
        assert_eq!(left(vec![dead(), fail("underlay_device", "x", "x"), fail("trace", "x", "x")]), ["underlay_device"]);
        let all = ["ready", "underlay_device", "trace"];
        assert_eq!(left(vec![dead(), ok("underlay_device", "x"), fail("trace", "x", "x")]), all);
        let busy = fail("ready", "the daemon is not ready: busy", "x");
        assert_eq!(left(vec![busy, fail("underlay_device", "x", "x")]), ["ready", "underlay_device"]);
        let open = || fail("fail_open", "x", "x");
        assert_eq!(left(vec![open(), warn("controller", "x", "x"), fail("drift", "x", "x")]), ["fail_open"]);
        assert_eq!(left(vec![ok("drift", "x"), warn("controller", "x", "x")]), ["drift", "controller"]);
        assert_eq!(left(vec![fail("drift", "x", "x")]), ["drift"]);
    }
}
