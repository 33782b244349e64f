//! What calls of the plugin say about whether this host has VMs of a network: recorded on the network's bridge, with the call's change.
//!
//! What it must not do: keep a call from being carried out, or write a row for nothing.

use ovstunnel_api::{Claim, ClaimSays};
use ovstunnel_plan::{BridgeName, Change, DesiredBridge, HostId, View, ids};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::adopt::set_up;
use super::{Call, Failure};
use crate::state::to_wire;

/// A word that was said again is written again where the last time is longer ago.
const AGAIN: Duration = Duration::hours(1);

/// The same of a tunnel, which says something for a minute only.
const TUNNEL_AGAIN: Duration = Duration::seconds(20);

/// What a call says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Says {
    In,
    Out,
    Tunnel(HostId),
}

impl Says {
    /// The mark to be written over what is there; nothing where that says it already.
    fn mark_over(&self, there: Option<&Claim>, now: OffsetDateTime) -> Option<String> {
        let last = there.and_then(|there| OffsetDateTime::parse(&there.at, &Rfc3339).ok());
        // Also where the clock was set back since.
        let fresh = |limit| last.is_some_and(|last| now >= last && now - last < limit);
        let said = there.is_some_and(|there| match (self, there.says) {
            // A set-up says more than a tunnel, and for longer.
            (Says::Tunnel(_), ClaimSays::In) => true,
            (Says::In, ClaimSays::In) | (Says::Out, ClaimSays::Out) => fresh(AGAIN),
            (Says::Tunnel(peer), ClaimSays::Tunnel) => {
                there.peer.as_deref() == Some(peer.as_ref()) && fresh(TUNNEL_AGAIN)
            }
            _ => false,
        });
        if said {
            return None;
        }
        // A clock beyond the year 9999 has no such form.
        let at = now.replace_nanosecond(0).ok()?.format(&Rfc3339).ok()?;
        Some(match self {
            Says::In => format!("in {at}"),
            Says::Out => format!("out {at}"),
            Says::Tunnel(peer) => format!("tunnel {peer} {at}"),
        })
    }

    /// A change with what is said by who calls for it.
    pub(super) fn add_claim(&self, call: Call<'_>, change: Change) -> Change {
        // Without its ports: there may be thousands.
        let there = call.state.switch.observer().read(|db| {
            let bridge = db.view().bare_bridge(change.bridge().as_str())?;
            to_wire::parse_claim(bridge.external_ids.get(ids::CLAIM)?)
        });
        match self.mark_over(there.as_ref(), OffsetDateTime::now_utc()) {
            Some(mark) => Change::Claimed(Box::new(change), mark),
            None => change,
        }
    }
}

/// The plugin has called for the end of a bridge that stays, for it has a VIF or is left to a manager: says so there.
pub(super) async fn record_left(call: Call<'_>, bridge: &BridgeName) -> Result<(), Failure> {
    let record = call.observed_bridge(bridge).and_then(|observed| DesiredBridge::from_record(&observed));
    let Some(record) = record else { return Ok(()) };
    let vpc = record.kind.vpc().map(|vpc| vpc.id.clone());
    let Some(as_it_is) = set_up(bridge, vpc, record.kind.key(), None) else { return Ok(()) };
    match Says::Out.add_claim(call, as_it_is) {
        claimed @ Change::Claimed(..) => call.make_change(claimed).await.map(drop),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let peer: HostId = "7".parse().unwrap();
        for (says, as_told) in [(Says::In, ClaimSays::In), (Says::Out, ClaimSays::Out)] {
            let mark = says.mark_over(None, at(0)).unwrap();
            assert_eq!(
                to_wire::parse_claim(&mark).unwrap(),
                Claim { says: as_told, at: "2027-01-15T08:00:00Z".into(), peer: None }
            );
        }
        let claim = to_wire::parse_claim(&Says::Tunnel(peer).mark_over(None, at(0)).unwrap()).unwrap();
        assert_eq!((claim.says, claim.peer.as_deref()), (ClaimSays::Tunnel, Some("7")));
        for bad in [
            "",
            "in",
            "in yesterday",
            "tunnel 2027-01-15T08:00:00Z",
            "in 2027-01-15T08:00:00Z x",
            "on 2027-01-15T08:00:00Z",
        ] {
            assert_eq!(to_wire::parse_claim(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_repeated_claim_is_written_when_it_must() {
        let (a, b): (HostId, HostId) = ("7".parse().unwrap(), "8".parse().unwrap());
        let claim = |says: &Says| to_wire::parse_claim(&says.mark_over(None, at(0)).unwrap()).unwrap();
        let writes = |there: &Says, says: &Says, seconds| says.mark_over(Some(&claim(there)), at(seconds)).is_some();
        let (tunnel_a, tunnel_b) = (Says::Tunnel(a), Says::Tunnel(b));
        let cases = [
            (&Says::In, &Says::In, 3599, false),
            (&Says::In, &Says::In, 3600, true),
            (&Says::In, &Says::In, -1, true),
            (&Says::In, &Says::Out, 0, true),
            (&Says::Out, &Says::In, 0, true),
            (&Says::Out, &tunnel_a, 0, true),
            (&tunnel_a, &tunnel_a, 19, false),
            (&tunnel_a, &tunnel_a, 20, true),
            (&tunnel_a, &tunnel_b, 0, true),
            (&tunnel_a, &Says::In, 0, true),
            (&Says::In, &tunnel_a, 9999, false),
        ];
        for (there, says, seconds, expected) in cases {
            assert_eq!(writes(there, says, seconds), expected, "{there:?}, then {says:?} after {seconds} s");
        }
    }
}
