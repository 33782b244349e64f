//! What hosts tell of each other by BFD. Must not have it run, or end it.

use std::sync::Arc;

use ovstunnel_mesh::bfd::{self, Cut, Stands};
use ovstunnel_mesh::observed::{Bridge, Mode, Session, Snapshot};
use ovstunnel_mesh::proof::{Finding, What};
use ovstunnel_types::{GreKey, HostNumber};

use super::{Registered, State, Zone};

/// The word of daemons that can run BFD, and have the flow that it needs on every bridge.
const BFD: &str = "bfd";

/// What two hosts tell of each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sessions {
    /// They hear each other: the ports of both tunnels.
    Up(String, String),
    /// One does not hear the other, or neither does.
    Down(Vec<Finding>),
}

impl State {
    /// How a host stands to what only daemons can do that say this word.
    pub(super) fn standing_to(&self, ability: &str, number: HostNumber, host: &Registered) -> Stands {
        if host.observed_mode() == Mode::Observe {
            return Stands::Never;
        }
        let Some(told) = host.daemon_facts() else { return Stands::Unknown };
        if !told.capabilities.iter().any(|word| word == ability) {
            return Stands::Never;
        }
        // One that has not taken the epoch is seen as one that is only looked at.
        let seen = self.seen.get(&number);
        match seen.is_some_and(|seen| {
            seen.snapshot.is_some() && seen.is_connected && seen.mode != Mode::Observe && seen.switch_fault.is_none()
        }) {
            true => Stands::Acts,
            false => Stands::Unknown,
        }
    }

    /// What a host said last, where it can be asked.
    fn last_snapshot(&self, number: HostNumber) -> Option<&Snapshot> {
        let seen = self.seen.get(&number).filter(|seen| seen.is_connected && seen.switch_fault.is_none());
        seen?.snapshot.as_ref()
    }

    fn finding_of(&self, cut: &Cut) -> Finding {
        let (from, to) = (self.name_of(cut.from), self.name_of(cut.to));
        Finding {
            what: What::BfdDown,
            host: cut.from,
            to: Some(cut.to),
            evidence: format!("{to}: {}", cut.evidence),
            remedy: format!(
                "see why tunnel packets (GRE: IP protocol 47; VXLAN, Geneve: UDP) of {from} do not arrive at {to}: routes, firewalls and switches between the two"
            ),
        }
    }

    /// What BFD tells of each network, and whether that is certain at once: what is between them carries all their networks.
    pub(super) fn bfd_findings(&self) -> Vec<(GreKey, Finding, bool)> {
        let mut found = Vec::new();
        for cut in bfd::find_cuts(self.deaf.iter().copied(), |host| self.last_snapshot(host)) {
            let finding = self.finding_of(&cut);
            let shares = |key: &GreKey| self.networks.get(key).is_some_and(|known| known.mesh.has_member(cut.to));
            let keys = self.sight.keys_of(cut.from).filter(shares);
            found.extend(keys.map(|key| (key, finding.clone(), cut.is_certain)));
        }
        found
    }
}

impl Zone {
    /// How each registered host stands to BFD, and what it has told of its bridges: nothing, where it has not told yet.
    pub fn bfd_ends(&self) -> Vec<(HostNumber, Stands, Snapshot)> {
        let state = self.lock_state();
        let ends = state.hosts.iter().map(|(number, host)| {
            let told = state.seen.get(number).and_then(|seen| seen.snapshot.clone());
            let snapshot = told.unwrap_or_else(|| Snapshot::new("", 0, Vec::<Arc<Bridge>>::new()));
            (*number, state.standing_to(BFD, *number, host), snapshot)
        });
        ends.collect()
    }

    /// What two hosts tell of each other by BFD, where both do. A session that may only have begun tells nothing yet.
    pub fn bfd_sessions(&self, one: HostNumber, other: HostNumber) -> Option<Sessions> {
        let (now, state) = (self.now(), self.lock_state());
        let said = |host| state.last_snapshot(host).filter(|_| host == one || host == other);
        let mut cuts = bfd::find_cuts([one, other].into_iter(), said);
        match cuts.iter().any(|cut| cut.is_certain) {
            true => cuts.retain(|cut| cut.is_certain),
            false => cuts.retain(|cut| state.has_settled(&state.finding_of(cut), now)),
        }
        if !cuts.is_empty() {
            return Some(Sessions::Down(cuts.iter().map(|cut| state.finding_of(cut)).collect()));
        }
        let up = |from, to| {
            let mut tunnels = said(from)?.bridges().iter().flat_map(|bridge| &bridge.tunnels);
            let is_up = |session: &Session| session.is_up();
            let tunnel =
                tunnels.find(|tunnel| tunnel.peer_number() == Some(to) && tunnel.bfd.as_deref().is_some_and(is_up))?;
            Some(tunnel.port.to_string())
        };
        Some(Sessions::Up(up(one, other)?, up(other, one)?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use ovstunnel_manager_api::Trouble;

    use super::*;
    use crate::zone::tests::{Bench, bridge, number, row};

    fn stands(bench: &Bench) -> Vec<Stands> {
        bench.zone.bfd_ends().into_iter().map(|(_, stands, _)| stands).collect()
    }

    #[test]
    fn a_host_that_cannot_be_commanded_yet_or_for_now_is_unknown() {
        use Stands::{Acts, Never, Unknown};
        let mut bench = Bench::new();
        assert_eq!(stands(&bench), [Never; 3], "their daemons do not say that they can");
        (1..=3).for_each(|n| bench.says_with(n, &["bfd"], &[bridge(n, &[])]));
        assert_eq!(stands(&bench), [Acts; 3]);
        bench.zone.register_host(row(4));
        assert_eq!(stands(&bench), [Acts, Acts, Acts, Unknown], "it has not said anything yet");
        bench.zone.host_silent(number(2), "connection refused".to_owned());
        assert_eq!(stands(&bench), [Acts, Unknown, Acts, Unknown]);
        bench.zone.start_acting();
        bench.zone.record_lead(number(1), None);
        bench.says_with(3, &["bfd"], &[bridge(3, &[])]);
        let (kind, evidence, remedy) = ("not_led".to_owned(), String::new(), String::new());
        bench.zone.record_lead(number(3), Some(Trouble { kind, evidence, remedy }));
        assert_eq!(stands(&bench), [Acts, Unknown, Unknown, Unknown], "host 3 has not taken the epoch");
    }
}
