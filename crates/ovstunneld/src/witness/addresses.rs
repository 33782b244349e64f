//! The tables of learnt addresses: how full they are, and whether addresses move from port to port as they do in a loop.
//! Must not list them but where the counters call for it.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use ovstunnel_ovs::{AddressCounts, Questions, RealSwitch, moved_between};
use ovstunnel_plan::AddressTable;
use uuid::Uuid;

use super::{AT_ONCE, Managed, Watch, port_name};

/// More moves than this in a second, in two samples, are a loop.
const LOOP: u64 = 50;

/// Each bridge is asked twice, in two seconds that follow each other, in this time; and each second where addresses move.
const ALL_IN: Duration = Duration::from_secs(60);

/// What is remembered from second to second.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    turn: usize,
    /// Bridges that had their turn in the second before.
    again: BTreeSet<Uuid>,
    samples: HashMap<Uuid, Sample>,
}

#[derive(Debug)]
struct Sample {
    at: Instant,
    moved: u64,
    rate: u64,
    /// What was listed, where addresses move.
    listed: Option<String>,
}

/// What a bridge has answered, and the connection that it was asked on.
pub(super) type Counted = (Managed, Questions, Option<AddressCounts>);

/// Asks these bridges at once.
pub(super) async fn count_addresses(real: &RealSwitch, due: Vec<Managed>) -> Vec<Counted> {
    let asked = due.into_iter().map(|bridge| async move {
        let mut questions = real.lend_questions();
        let counts = questions.address_counts(bridge.name.as_str()).await;
        (bridge, questions, counts)
    });
    futures_util::stream::iter(asked).buffer_unordered(AT_ONCE).collect().await
}

impl Watch {
    /// The bridges whose turn it is, those whose turn it just was, and those where addresses move.
    pub(super) fn addresses_due(&mut self) -> Vec<Managed> {
        let rows: BTreeSet<Uuid> = self.bridges.iter().map(|bridge| bridge.uuid).collect();
        self.addresses.samples.retain(|uuid, _| rows.contains(uuid));
        let mut turn = self.addresses.turn;
        let turns: BTreeSet<Uuid> = self.in_turn(&mut turn, ALL_IN).iter().map(|bridge| bridge.uuid).collect();
        self.addresses.turn = turn;
        let again = std::mem::replace(&mut self.addresses.again, turns.clone());
        let hot = |uuid: &Uuid| self.addresses.samples.get(uuid).is_some_and(|sample| sample.rate > LOOP);
        let due = |uuid: &Uuid| turns.contains(uuid) || again.contains(uuid) || hot(uuid);
        self.bridges.iter().filter(|bridge| due(&bridge.uuid)).cloned().collect()
    }

    /// Takes in what they have answered.
    pub(super) async fn take_addresses(&mut self, counted: Vec<Counted>) {
        for (bridge, questions, counts) in counted {
            if let Some(counts) = counts {
                self.take_counts(&bridge, questions, counts).await;
            }
        }
    }

    async fn take_counts(&mut self, bridge: &Managed, mut questions: Questions, counts: AddressCounts) {
        let before = self.addresses.samples.remove(&bridge.uuid);
        let at = Instant::now();
        let rate =
            before.as_ref().map_or(0, |before| per_second(counts.moved.saturating_sub(before.moved), at - before.at));
        let sustained = before.as_ref().map_or(0, |before| before.rate).min(rate);
        let full = counts.max > 0 && counts.entries >= counts.max;
        let listed = match rate > LOOP || full || counts.fixed.is_some_and(|fixed| fixed > 0) {
            true => questions.print_addresses(bridge.name.as_str()).await,
            false => None,
        };
        let fixed = listed.as_deref().map(Questions::fixed_addresses).unwrap_or_default();
        let fullest = listed.as_deref().and_then(Questions::fullest_port);
        let earlier = before.and_then(|before| before.listed);
        let moving = earlier.zip(listed.as_ref()).and_then(|(earlier, now)| moved_between(&earlier, now));
        let observed = listed.as_ref().and_then(|_| self.observed_bridge(bridge.uuid));
        let observed = observed.map(|(observed, _)| observed).unwrap_or_default();
        let name = |number: &str| port_name(&observed, number);
        self.witnesses.edit_witness(bridge.uuid, |witness| {
            let AddressCounts { entries, max, .. } = counts;
            witness.addresses = Some(AddressTable { entries, max, moves_per_second: sustained });
            witness.fixed_addresses = fixed.iter().map(|(port, mac)| (name(port), mac.clone())).collect();
            witness.filled_by = fullest.filter(|_| full).map(|(port, count)| (name(&port), count));
            witness.moving = match sustained > LOOP {
                true => moving.map(|(a, b)| (name(&a), name(&b))).or(witness.moving.take()),
                false => None,
            };
        });
        let listed = listed.filter(|_| rate > LOOP);
        self.real.give_back(questions);
        self.addresses.samples.insert(bridge.uuid, Sample { at, moved: counts.moved, rate, listed });
    }
}

/// So many in this time, a second.
fn per_second(count: u64, time: Duration) -> u64 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    count.saturating_mul(1_000) / millis
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_by_the_second() {
        assert_eq!(per_second(591, Duration::from_secs(2)), 295);
        assert_eq!(per_second(10, Duration::from_secs(30)), 0);
        assert_eq!(per_second(5, Duration::ZERO), 5_000);
    }
}
