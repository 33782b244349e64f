//! What was told of a network, and whether something is to be told now: at once that it is whole or not, though not as often as it may
//! change, and a proof each time that it has come to rest.
//!
//! What it must not do: keep anything but the last proof that was told, or know the zone.

use std::time::Duration;

use ovstunnel_manager_api::ProofSummary;
use ovstunnel_mesh::Moment;
use ovstunnel_server::seldom::Seldom;

/// A network that has not changed for so long has come to rest.
pub(super) const REST: Duration = Duration::from_secs(5);

/// After so long a proof is told of a network that does not come to rest.
pub(super) const RESTLESS: Duration = Duration::from_secs(60);

/// So many changes of a network, and as many of a host's connection, are told at once; then one in each pause.
const AT_ONCE: (u32, Duration) = (6, Duration::from_secs(10));

/// What is told seldom of one network or host.
pub(super) fn new_rate_limit() -> Seldom {
    Seldom::new(AT_ONCE.0, AT_ONCE.1)
}

/// What was told of a network, and what is still to be told.
#[derive(Debug)]
pub(super) struct Story {
    told: Option<ProofSummary>,
    untold: Option<Untold>,
    at_once: Seldom,
    left_out: u64,
}

/// Changes since the last proof that was told.
#[derive(Clone, Copy, Debug)]
struct Untold {
    first: Moment,
    last: Moment,
}

impl Story {
    pub(super) fn new() -> Story {
        Story { told: None, untold: None, at_once: new_rate_limit(), left_out: 0 }
    }

    /// The network has changed: its mesh, whether it is whole, or the first reason why not.
    pub(super) fn note_change(&mut self, now: Moment) {
        let first = self.untold.map_or(now, |untold| untold.first);
        self.untold = Some(Untold { first, last: now });
    }

    /// Whether a change may be told at once: not before the first proof, and not too often.
    pub(super) fn may_tell(&mut self) -> bool {
        if self.told.is_none() {
            return false;
        }
        let may = self.at_once.may_write().is_some();
        self.left_out += u64::from(!may);
        may
    }

    /// Whether a proof is to be told now. The first one that is whole is told at once.
    pub(super) fn is_due(&self, is_whole: bool, now: Moment) -> bool {
        let Some(Untold { first, last }) = self.untold else { return false };
        (self.told.is_none() && is_whole) || now.since(last) >= REST || now.since(first) >= RESTLESS
    }

    /// What the last proof said that was told.
    pub(super) fn last_told(&self) -> Option<&ProofSummary> {
        self.told.as_ref()
    }

    /// Takes in a proof. Gives what the one before said, how many changes were told nobody, and whether there is news at all.
    pub(super) fn take_proof(&mut self, proof: &ProofSummary) -> (Option<ProofSummary>, u64, bool) {
        self.untold = None;
        let left_out = std::mem::take(&mut self.left_out);
        let before = self.told.replace(proof.clone());
        let is_news = before.as_ref().is_none_or(|before| {
            (before.whole, before.generation, &before.reason) != (proof.whole, proof.generation, &proof.reason)
        });
        (before, left_out, is_news || left_out > 0)
    }
}
