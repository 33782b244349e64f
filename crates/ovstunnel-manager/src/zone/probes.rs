//! What hosts tell of each other by BFD. Must not have it run, or end it.

use std::collections::BTreeMap;

use ovstunnel_mesh::bfd::{self, Cut, Stands};
use ovstunnel_mesh::observed::{Mode, Session, Snapshot};
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
    fn stands(&self, number: HostNumber, host: &Registered) -> Stands {
        if host.mode() == Mode::Observe {
            return Stands::Never;
        }
        let Some(told) = host.told() else { return Stands::Unknown };
        if !told.capabilities.iter().any(|word| word == BFD) {
            return Stands::Never;
        }
        // One that has not taken the epoch is seen as one that is only looked at.
        let seen = self.seen.get(&number);
        match seen.is_some_and(|seen| seen.is_connected && seen.mode != Mode::Observe && seen.switch_fault.is_none()) {
            true => Stands::Acts,
            false => Stands::Unknown,
        }
    }

    /// What those hosts said last that can be asked.
    fn said(&self) -> BTreeMap<HostNumber, &Snapshot> {
        let asked = self.seen.iter().filter(|(_, seen)| seen.is_connected && seen.switch_fault.is_none());
        asked.filter_map(|(number, seen)| Some((*number, seen.snapshot.as_ref()?))).collect()
    }

    fn finding_of(&self, cut: &Cut) -> Finding {
        let (from, to) = (self.name_of(cut.from), self.name_of(cut.to));
        Finding {
            what: What::BfdDown,
            host: cut.from,
            to: Some(cut.to),
            evidence: format!("{to}: {}", cut.evidence),
            remedy: format!(
                "see why GRE packets (IP protocol 47) of {from} do not arrive at {to}: routes, firewalls and switches between the two"
            ),
        }
    }

    /// What BFD tells of each network, and whether the two hosts heard each other before: what is between them carries all their networks.
    pub(super) fn bfd_findings(&self) -> Vec<(GreKey, Finding, bool)> {
        let mut found = Vec::new();
        for cut in bfd::cuts(&self.said()) {
            let finding = self.finding_of(&cut);
            let shares = |key: &GreKey| self.networks.get(key).is_some_and(|known| known.mesh.has(cut.to));
            let keys = self.sight.keys_of(cut.from).filter(shares);
            found.extend(keys.map(|key| (key, finding.clone(), cut.was_up)));
        }
        found
    }
}

impl Zone {
    /// How each registered host that has told of its bridges stands to BFD.
    pub fn bfd_ends(&self) -> Vec<(HostNumber, Stands, Snapshot)> {
        let state = self.state();
        let ends = state.hosts.iter().filter_map(|(number, host)| {
            let snapshot = state.seen.get(number)?.snapshot.clone()?;
            Some((*number, state.stands(*number, host), snapshot))
        });
        ends.collect()
    }

    /// What two hosts tell of each other by BFD, where both do.
    pub fn sessions(&self, one: HostNumber, other: HostNumber) -> Option<Sessions> {
        let state = self.state();
        let mut said = state.said();
        said.retain(|host, _| *host == one || *host == other);
        let cuts = bfd::cuts(&said);
        if !cuts.is_empty() {
            return Some(Sessions::Down(cuts.iter().map(|cut| state.finding_of(cut)).collect()));
        }
        let up = |from, to| {
            let mut tunnels = said.get(&from)?.bridges().iter().flat_map(|bridge| &bridge.tunnels);
            let is_up = |session: &Session| session.is_up();
            let tunnel =
                tunnels.find(|tunnel| tunnel.peer() == Some(to) && tunnel.bfd.as_deref().is_some_and(is_up))?;
            Some(tunnel.port.to_string())
        };
        Some(Sessions::Up(up(one, other)?, up(other, one)?))
    }
}
