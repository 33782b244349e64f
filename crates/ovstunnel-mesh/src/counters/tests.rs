//! Which counters are a sign that everything is lost, and which are not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use std::time::Duration;

use super::*;

fn host(n: u64) -> HostNumber {
    HostNumber::try_from(n).unwrap()
}

fn key() -> GreKey {
    GreKey::try_from(1001).unwrap()
}

fn end(to: u64, rx: u64, tx: u64) -> Counted {
    Counted { key: key(), to: host(to), rx, tx }
}

/// Rounds 30 seconds apart.
#[derive(Default)]
struct Rounds(Counters, u64);

impl Rounds {
    /// What is lost after a round in which host 1 has sent so much to host 2, and host 2 received so much; nothing of one that was not read.
    fn read(&mut self, sent: Option<u64>, received: Option<u64>) -> Vec<(u64, u64)> {
        self.1 += 1;
        let ends = |end: Counted| Ends::new(vec![end]);
        let sent = sent.map(|sent| (host(1), ends(end(2, 77, sent))));
        let received = received.map(|received| (host(2), ends(end(1, received, 5))));
        let now = Moment(Duration::from_secs(30 * self.1));
        let lost = self.0.take_round(now, &sent.into_iter().chain(received).collect());
        assert!(lost.iter().all(|lost| (lost.key, lost.from, lost.to) == (key(), host(1), host(2))), "{lost:?}");
        lost.into_iter().map(|lost| (lost.packets, lost.since.0.as_secs())).collect()
    }

    fn both(&mut self, sent: u64, received: u64) -> Vec<(u64, u64)> {
        self.read(Some(sent), Some(received))
    }
}

#[test]
fn packets_not_counted_an_interval_later_are_lost_until_one_is() {
    let mut rounds = Rounds::default();
    assert_eq!(rounds.both(100, 40), []);
    assert_eq!(rounds.both(100, 40), []);
    assert_eq!(rounds.both(115, 40), [], "the last of it may be under way");
    assert_eq!(rounds.both(120, 40), [(20, 60)]);
    assert_eq!(rounds.both(120, 40), [(20, 60)], "it stands while nothing arrives, whether more is sent or not");
    assert_eq!(rounds.both(200, 41), [], "one packet is enough");
    assert_eq!(rounds.both(300, 41), []);
}

#[test]
fn what_had_arrived_before_the_first_round_was_read_is_not_lost() {
    let mut rounds = Rounds::default();
    // Host 1 was read before it sent a hundred packets, host 2 after they had come.
    assert_eq!(rounds.both(0, 100), []);
    assert!((0..5).all(|_| rounds.both(100, 100).is_empty()));
}

#[test]
fn few_packets_a_silent_sender_and_reset_counters_prove_nothing() {
    let mut few = Rounds::default();
    assert!((0..9).all(|n| few.both(n, 0).is_empty()), "too few to say anything");
    let mut anew = Rounds::default();
    for sent in [50, 50, 90] {
        assert_eq!(anew.both(sent, 7), []);
    }
    assert_eq!(anew.both(3, 7), [], "the sender's port was made anew");
    assert_eq!(anew.both(3, 7), []);
    assert_eq!(anew.both(80, 0), [], "the receiver's, too");
}

#[test]
fn a_host_that_misses_a_round_ends_no_fault_and_a_removed_does() {
    let mut rounds = Rounds::default();
    for sent in [0, 0, 50] {
        assert_eq!(rounds.both(sent, 7), []);
    }
    assert_eq!(rounds.both(50, 7), [(50, 60)]);
    assert_eq!(rounds.read(Some(60), None), [(50, 60)], "what was read last counts");
    assert_eq!(rounds.read(None, Some(7)), [(50, 60)]);
    assert_eq!(rounds.both(60, 7), [(60, 60)]);
    for _ in 0..=MISSED {
        rounds.read(None, None);
    }
    assert_eq!(rounds.both(99, 7), [], "it is looked at from the beginning");
}

#[test]
fn of_two_tunnels_with_one_key_to_one_host_nothing_is_said() {
    let ends = Ends::new(vec![end(2, 1, 1), end(3, 1, 1), end(2, 5, 5)]);
    assert_eq!(ends.0, [end(3, 1, 1)]);
}

#[test]
fn between_two_rounds_it_is_seen_that_something_arrives() {
    let mut rounds = Rounds::default();
    rounds.both(0, 7);
    let arrived = |received| rounds.0.has_arrived(key(), host(1), host(2), &Ends::new(vec![end(1, received, 0)]));
    assert_eq!([7, 8].map(arrived), [false, true]);
}
