//! Which tunnels lose everything, by what both their ends have counted: one sends, and nothing arrives.
//!
//! What it does: compares, round by round, what the hosts' tunnels have counted. What it must not do: reckon losses. The ends are read at
//! different moments, and a datapath in user space counts twice what it is told to send: only an end at which nothing at all arrives is a
//! sign.

use std::collections::BTreeMap;

use ovstunnel_types::{GreKey, HostNumber};

use crate::Moment;

/// Packets that must have been sent: fewer may be a moment in which a tunnel was being made.
const ENOUGH: u64 = 10;

/// Rounds after which it is judged. What was sent between the first and the last but one is compared: at the first both ends are read
/// anew, so that nothing counts that had arrived before, and by the last all that was sent had its time to arrive.
const ROUNDS: u8 = 3;

/// Rounds that a host may miss without its tunnels being looked at from the beginning.
const MISSED: u8 = 2;

/// What a tunnel has counted at one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Its key.
    pub key: GreKey,
    /// The host at the other end.
    pub to: HostNumber,
    /// Packets that came by it.
    pub rx: u64,
    /// Packets that went by it.
    pub tx: u64,
}

/// A host's tunnels, in order; of several with one key to one host nothing is said.
#[derive(Clone, Debug, Default)]
pub struct Ends(Vec<Counted>);

impl Ends {
    /// Those that a host has told.
    pub fn new(mut ends: Vec<Counted>) -> Ends {
        let of = |end: &Counted| (end.key, end.to);
        ends.sort_by_key(of);
        let (mut kept, mut rest) = (Vec::with_capacity(ends.len()), &ends[..]);
        while let [first, ..] = rest {
            let same = rest.iter().take_while(|end| of(end) == of(first)).count();
            kept.extend((same == 1).then_some(*first));
            rest = &rest[same..];
        }
        Ends(kept)
    }

    fn find_counted(&self, key: GreKey, to: HostNumber) -> Option<&Counted> {
        let at = self.0.binary_search_by_key(&(key, to), |end| (end.key, end.to)).ok()?;
        self.0.get(at)
    }
}

/// A tunnel by which nothing arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Its key.
    pub key: GreKey,
    /// The host that sends.
    pub from: HostNumber,
    /// The host at which nothing arrives.
    pub to: HostNumber,
    /// Packets that were sent.
    pub packets: u64,
    /// Since when.
    pub since: Moment,
}

/// An end at which nothing has arrived for some rounds.
#[derive(Clone, Copy, Debug)]
struct Quiet {
    key: GreKey,
    from: HostNumber,
    rx: u64,
    /// When it was first read again.
    since: Moment,
    /// What the other end had sent by then, and by the last round.
    first: u64,
    last: u64,
    rounds: u8,
    missed: u8,
}

impl Quiet {
    /// The same after another round in which nothing has arrived.
    fn after_round(self, sent: u64, now: Moment) -> Quiet {
        let (first, since) = if self.rounds == 0 { (sent, now) } else { (self.first, self.since) };
        Quiet { first, since, last: sent, rounds: self.rounds.saturating_add(1), missed: 0, ..self }
    }
}

/// What was read so far: of each host, the ends at which nothing arrives.
#[derive(Clone, Debug, Default)]
pub struct Counters(BTreeMap<HostNumber, Vec<Quiet>>);

impl Counters {
    /// Takes in a round: what those hosts say that have answered. Gives the tunnels that lose everything.
    pub fn take_round(&mut self, now: Moment, answers: &BTreeMap<HostNumber, Ends>) -> Vec<Lost> {
        let (mut lost, mut before) = (Vec::new(), std::mem::take(&mut self.0));
        for (to, ends) in answers {
            let old = before.remove(to).unwrap_or_default();
            let mut quiet = Vec::with_capacity(ends.0.len());
            for end in &ends.0 {
                let was = old.binary_search_by_key(&(end.key, end.to), |quiet| (quiet.key, quiet.from));
                let was = was.ok().map(|at| old[at]).filter(|was| was.rx == end.rx);
                let Some(sender) = answers.get(&end.to) else {
                    let was = was.and_then(after_missed);
                    lost.extend(was.and_then(|was| judge_loss(*to, was, was.last)));
                    quiet.extend(was);
                    continue;
                };
                // A tunnel that is not there sends nothing.
                let Some(sent) = sender.find_counted(end.key, *to).map(|end| end.tx) else { continue };
                quiet.push(match was.filter(|was| was.last <= sent) {
                    Some(was) => {
                        lost.extend(judge_loss(*to, was, sent));
                        was.after_round(sent, now)
                    }
                    None => begin_quiet(end, sent, now),
                });
            }
            self.0.insert(*to, quiet);
        }
        for (to, quiet) in before {
            let quiet: Vec<Quiet> = quiet.into_iter().filter_map(after_missed).collect();
            lost.extend(quiet.iter().filter_map(|quiet| judge_loss(to, *quiet, quiet.last)));
            if !quiet.is_empty() {
                self.0.insert(to, quiet);
            }
        }
        lost
    }

    /// Whether something has arrived at a host by a tunnel since the last round.
    pub fn has_arrived(&self, key: GreKey, from: HostNumber, to: HostNumber, ends: &Ends) -> bool {
        let quiet = self.0.get(&to).into_iter().flatten().find(|quiet| (quiet.key, quiet.from) == (key, from));
        quiet.zip(ends.find_counted(key, from)).is_some_and(|(quiet, end)| quiet.rx != end.rx)
    }
}

fn begin_quiet(end: &Counted, sent: u64, now: Moment) -> Quiet {
    Quiet { key: end.key, from: end.to, rx: end.rx, since: now, first: sent, last: sent, rounds: 0, missed: 0 }
}

/// The same after a round in which an end was not read.
fn after_missed(quiet: Quiet) -> Option<Quiet> {
    (quiet.missed < MISSED).then(|| Quiet { missed: quiet.missed + 1, ..quiet })
}

/// Whether everything is lost that was sent up to the last round, since nothing has arrived up to now.
fn judge_loss(to: HostNumber, quiet: Quiet, sent: u64) -> Option<Lost> {
    let Quiet { key, from, since, first, last, rounds, .. } = quiet;
    let is_lost = rounds + 1 >= ROUNDS && last - first >= ENOUGH;
    is_lost.then(|| Lost { key, from, to, packets: sent - first, since })
}

#[cfg(test)]
#[path = "counters/tests.rs"]
mod tests;
