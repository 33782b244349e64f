//! The change of a network's tunnel kind: what is sent of it, and what hosts have answered.
//!
//! What it must not do: decide which step is next, or keep anything that a successor needs: hosts tell it what they have.

use ovstunnel_mesh::Request;
use ovstunnel_mesh::difference::Difference;
use ovstunnel_mesh::kind_change::{Answered, KindChange, Stage};
use ovstunnel_types::{GreKey, HostNumber};
use time::OffsetDateTime;

use super::attempts::{Failed, Result};
use super::{Reconciler, State};
use crate::zone::Happened;

impl Reconciler {
    /// What hosts have refused of a network's change of kind, and when it is tried again.
    pub fn kind_failures(&self, key: GreKey) -> Vec<Failed> {
        self.lock_state().kind_attempts.failures(key)
    }

    /// What hosts have answered of a network's change of kind, which begins with this where it has not.
    pub(super) fn kind_answers(&self, key: GreKey, difference: &Difference) -> Answered {
        match difference.changes_kind() {
            true => self.lock_state().kinds.entry(key).or_default().clone(),
            false => Answered::new(),
        }
    }

    /// A step was sent to a host. Whether what came of it is news.
    pub(super) fn record_step(
        &self,
        key: GreKey,
        host: HostNumber,
        requests: Vec<Request>,
        connection: u64,
        result: Result,
    ) -> bool {
        let mut state = self.lock_state();
        for request in requests.iter().filter(|_| result.is_good()) {
            if let Request::ChangeKind { to, step, .. } = request {
                let stage = Stage::after_step(*step);
                state.kinds.entry(key).or_default().extend(stage.map(|stage| (host, (*to, stage))));
            }
        }
        state.kind_attempts.record_result(key, host, requests, connection, result)
    }

    /// Tells that a network has its kind on all hosts, where that was not so before.
    pub(super) fn settle_kind(&self, state: &mut State, key: GreKey, change: Option<&KindChange>) {
        if change.is_some_and(|change| !change.is_done()) {
            return;
        }
        state.kind_attempts.forget_network(key);
        let (Some(_), Some(change)) = (state.kinds.remove(&key), change) else { return };
        let network = self.0.zone.network_name(key);
        let text = format!("the tunnels of network {network} are {} on all {} hosts", change.to, change.stages.len());
        let happened = Happened::new(OffsetDateTime::now_utc(), "network_kind_changed", text);
        self.0.zone.send_event(Happened { network: Some(network), ..happened });
    }
}
