//! GRE packets that come in and that no tunnel is for. Must not read the log: that is given.

use ovstunnel_api::Finding;

use super::finding::{About, ok, or_ok, warn};
use crate::health::Unexpected;

/// Senders that have a finding of their own.
const TOLD: usize = 10;

/// What comes in and is dropped, since there is no tunnel for it.
pub(super) fn check_unexpected(unexpected: &[Unexpected]) -> Vec<Finding> {
    let findings = unexpected.iter().take(TOLD).map(|one| {
        let Unexpected { key, from, lines, .. } = one;
        let reason = format!(
            "{from} sends packets with key {key}, and no tunnel here leads to {from} with that key: they are dropped \
             (`receive tunnel port not found` in the log of ovs-vswitchd, {lines} times in the last two minutes)"
        );
        let remedy = format!(
            "where this host has VMs of that network, have its tunnel to {from} made (`ovstunnelctl zone plan` says what is \
             missing); else have the tunnel to this host taken away at {from} (`ovstunnelctl tunnel list` there)"
        );
        warn("unexpected_packets", reason, remedy).about(from)
    });
    or_ok(findings.collect(), || {
        ok("unexpected_packets", "the log of ovs-vswitchd tells of no packets that no tunnel is for")
    })
}
