//! The proofs that are told once a network has come to rest, with what was told before. Must not decide when: see the network's story.

use ovstunnel_manager_api::ProofSummary;
use ovstunnel_mesh::Moment;
use ovstunnel_types::GreKey;
use ovstunnel_types::text::sanitize;
use time::OffsetDateTime;

use super::{Happened, State};

/// Characters of a reason that are kept.
const REASON: usize = 2000;

impl State {
    /// The proofs that are to be told now.
    pub(super) fn tell_proofs(&mut self, zone: &str, at: OffsetDateTime, now: Moment) -> Vec<Happened> {
        let due = |key: &GreKey, state: &State| {
            state.networks.get(key).is_some_and(|known| known.story.is_due(known.proof.is_whole(), now))
        };
        let keys: Vec<GreKey> = self.restless.iter().filter(|key| due(key, self)).copied().collect();
        keys.into_iter().filter_map(|key| self.tell_proof(zone, key, (at, now))).collect()
    }

    fn tell_proof(&mut self, zone: &str, key: GreKey, (at, now): (OffsetDateTime, Moment)) -> Option<Happened> {
        self.restless.remove(&key);
        let known = self.networks.get(&key)?;
        let document = self.proof_document(zone, key, known, (at, now));
        let summary = ProofSummary {
            whole: document.whole,
            generation: document.generation,
            wanted: document.tunnels.wanted,
            proven: document.tunnels.proven,
            reason: document.reason.as_deref().map(|reason| sanitize(reason, REASON)),
            digest: document.compute_digest(),
        };
        let said = if summary.whole { self.whole_sentence(&known.proof) } else { self.first_reason(&known.proof) };
        let (before, left_out, is_news) = self.networks.get_mut(&key)?.story.take_proof(&summary);
        let text = proof_text(&summary, &said, before.as_ref(), left_out);
        let network = Some(self.network_name(key));
        is_news.then_some(Happened {
            at,
            kind: "proof",
            host: None,
            network,
            actor: None,
            text,
            before,
            after: Some(summary),
        })
    }
}

fn proof_text(proof: &ProofSummary, said: &str, before: Option<&ProofSummary>, left_out: u64) -> String {
    let is = if proof.whole { said.to_owned() } else { format!("not whole: {said}") };
    let was = before.map(|before| {
        format!("; before: {}, generation {}", if before.whole { "whole" } else { "not whole" }, before.generation)
    });
    let more = (left_out > 0).then(|| format!("; {left_out} changes in between are not listed"));
    format!("{is}; generation {}{}{}", proof.generation, was.unwrap_or_default(), more.unwrap_or_default())
}
