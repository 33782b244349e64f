//! What is known of each network, and the pass that proves those of which something has changed.

use std::time::Instant;

use ovstunnel_mesh::proof::Proof;
use ovstunnel_mesh::{Mesh, Moment};
use ovstunnel_types::GreKey;
use time::OffsetDateTime;

use super::story::Story;
use super::{Happened, State};

/// Networks that are proven without letting anybody else have a look at the zone.
const AT_ONCE: usize = 32;

/// A network that a host has something of.
#[derive(Debug)]
pub(super) struct Known {
    pub mesh: Mesh,
    pub proof: Proof,
    /// Which proof of the zone's it is: another one each time that anything of it may have changed.
    pub number: u64,
    /// Counts the changes of the mesh.
    pub generation: u64,
    /// Since when it is whole, or is not.
    pub since: OffsetDateTime,
    /// The same, by the clock that does not jump.
    pub since_moment: Moment,
    /// What was told of it.
    pub story: Story,
}

/// The name of a network of which only the key is known.
pub(super) fn default_name(key: GreKey) -> String {
    format!("key-{key}")
}

impl State {
    /// Proves some of the networks of which something has changed. Gives what has happened, and whether there are more.
    pub(super) fn prove_some_changed(&mut self, at: OffsetDateTime, now: Moment) -> (Vec<Happened>, bool) {
        let some: Vec<GreKey> = std::iter::from_fn(|| self.changed.pop_first()).take(AT_ONCE).collect();
        (some.into_iter().filter_map(|key| self.prove_network(key, at, now)).collect(), !self.changed.is_empty())
    }

    pub(super) fn prove_network(&mut self, key: GreKey, at: OffsetDateTime, now: Moment) -> Option<Happened> {
        let started = Instant::now();
        let happened = self.prove_now(key, at, now);
        if self.acts {
            self.proven.insert(key);
        }
        self.work.proofs += 1;
        self.work.took += started.elapsed();
        happened
    }

    fn prove_now(&mut self, key: GreKey, at: OffsetDateTime, now: Moment) -> Option<Happened> {
        let hosts = self.judge_attachments(key, now);
        let name = self.network_name(key);
        let happened = |kind, text| Happened { network: Some(name.clone()), ..Happened::new(at, kind, text) };
        let mesh = self.network_mesh(key, self.recorded.of_key(key), &hosts)?;
        if hosts.is_empty() && self.recorded.of_key(key).is_none() {
            self.prover.forget_network(mesh.network);
            self.restless.remove(&key);
            let before = self.networks.remove(&key)?.story.last_told().cloned();
            let text = format!("no host has a bridge with key {key} any more");
            return Some(Happened { before, ..happened("network_gone", text) });
        }
        let proof = self.prover.prove_network(&mesh, &self.seen, now);
        let before = self.networks.remove(&key);
        let was_whole = before.as_ref().map(|known| known.proof.is_whole());
        let first = before.as_ref().and_then(|known| known.proof.first_reason().cloned());
        let (generation, since, since_moment) = match &before {
            Some(known) => {
                let generation = known.generation + u64::from(known.mesh != mesh);
                match was_whole == Some(proof.is_whole()) {
                    true => (generation, known.since, known.since_moment),
                    false => (generation, at, now),
                }
            }
            None => (1, at, now),
        };
        let told = match (was_whole, proof.is_whole()) {
            (Some(true), true) => None,
            (_, true) => Some(("network_whole", self.whole_sentence(&proof))),
            // The same first reason is no news; another one is.
            (Some(false), false) if proof.first_reason() == first.as_ref() => None,
            (_, false) => Some(("network_not_whole", self.first_reason(&proof))),
        };
        let is_other_mesh = before.as_ref().is_none_or(|known| known.generation != generation);
        let mut story = before.map_or_else(Story::new, |known| known.story);
        if is_other_mesh || told.is_some() {
            story.note_change(now);
            self.restless.insert(key);
        }
        let told = told.filter(|_| story.may_tell());
        self.networks
            .insert(key, Known { mesh, proof, number: self.work.proofs, generation, since, since_moment, story });
        told.map(|(kind, text)| happened(kind, text))
    }

    /// Whether something is to be done without anything that changes.
    pub(super) fn is_restless(&self) -> bool {
        !self.restless.is_empty() || !self.again.is_empty()
    }

    pub(super) fn whole_sentence(&self, proof: &Proof) -> String {
        format!("whole: {} tunnels among {} hosts", proof.proven, proof.hosts.len())
    }

    /// The first reason why a network is not whole, in a sentence.
    pub(super) fn first_reason(&self, proof: &Proof) -> String {
        let Some(reason) = proof.first_reason() else {
            return format!("{} of {} tunnels are proven", proof.proven, proof.wanted);
        };
        let (host, more) = (self.name_of(reason.host), proof.found - 1);
        let to = reason.to.map(|to| format!(" to {}", self.name_of(to))).unwrap_or_default();
        let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
        format!("{} on {host}{to}: {}{more}", reason.what.as_str(), reason.evidence)
    }
}
