//! What holds of keys, on random histories against a naive model, and what is said when there is none.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ovstunnel_mesh::Moment;
use ovstunnel_mesh::keys::{KeyState, Keys, Pool, Ranges, Refused};
use ovstunnel_types::{GreKey, HostNumber, Isolation, NetworkNumber};
use proptest::prelude::*;

fn key(number: u32) -> GreKey {
    GreKey::try_from(i64::from(number)).unwrap()
}

fn host(number: u64) -> HostNumber {
    number.try_into().unwrap()
}

fn network(number: u64) -> NetworkNumber {
    number.try_into().unwrap()
}

fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

fn pool(name: &str, ranges: &str) -> Pool {
    Pool::new(name, Ranges::parse(ranges, Isolation::Gre).unwrap())
}

fn keys_of(numbers: &[u32]) -> BTreeSet<GreKey> {
    numbers.iter().map(|number| key(*number)).collect()
}

#[test]
fn keys_go_round_so_that_a_released_one_rests() {
    let (mut keys, mut pool) = (Keys::new(), pool("p", "1-3"));
    assert_eq!(keys.allocate_key(network(1), &mut pool).unwrap(), key(1));
    assert_eq!(keys.allocate_key(network(1), &mut pool).unwrap(), key(1), "a network keeps the key that it has");
    assert_eq!(keys.release_key(network(1)), Some(key(1)));
    assert_eq!(keys.release_key(network(1)), None);
    assert_eq!(keys.allocate_key(network(2), &mut pool).unwrap(), key(2));
    assert_eq!(keys.allocate_key(network(3), &mut pool).unwrap(), key(3));
    assert_eq!(keys.allocate_key(network(4), &mut pool).unwrap(), key(1));
}

#[test]
fn a_pool_of_one_whose_host_is_silent_says_what_it_waits_for() {
    let (mut keys, mut pool) = (Keys::new(), pool("gre-a", "1001"));
    keys.allocate_key(network(1), &mut pool).unwrap();
    keys.may_have(host(7), key(1001), at(10));
    keys.release_key(network(1));
    let error = keys.allocate_key(network(2), &mut pool).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no key is free in 1001 of the physical network gre-a: of 1, 0 are in use, 1 were released and wait until hosts are \
         seen without them, 0 are on hosts without a network; waiting: 1 for host 7"
    );
    // A picture from before the request does not tell what became of it.
    keys.host_seen(host(7), &keys_of(&[]), at(10));
    assert!(keys.allocate_key(network(2), &mut pool).is_err());
    keys.host_seen(host(8), &keys_of(&[]), at(11));
    assert!(keys.allocate_key(network(2), &mut pool).is_err());
    keys.host_seen(host(7), &keys_of(&[1001]), at(12));
    assert!(keys.allocate_key(network(2), &mut pool).is_err());
    keys.host_seen(host(7), &keys_of(&[]), at(13));
    assert_eq!(keys.allocate_key(network(2), &mut pool).unwrap(), key(1001));
}

#[test]
fn a_dead_hosts_part_ends_by_an_operators_word() {
    let (mut keys, mut pool) = (Keys::new(), pool("p", "5"));
    keys.allocate_key(network(1), &mut pool).unwrap();
    keys.may_have(host(7), key(5), at(1));
    keys.release_key(network(1));
    keys.host_wiped(host(7));
    assert_eq!(keys.key_state(key(5)), KeyState::Free);
}

#[test]
fn a_given_key_must_be_free_and_in_range() {
    let (mut keys, pool) = (Keys::new(), pool("p", "10-20"));
    keys.claim_key(network(1), key(12), &pool).unwrap();
    keys.claim_key(network(1), key(12), &pool).unwrap();
    let says = |result: Result<(), Refused>| result.unwrap_err().to_string();
    assert_eq!(says(keys.claim_key(network(2), key(9), &pool)), "key 9 is not in 10-20 of the physical network p");
    assert_eq!(says(keys.claim_key(network(2), key(12), &pool)), "key 12 is not free: network 1 has it");
    assert_eq!(says(keys.claim_key(network(1), key(13), &pool)), "network 1 has key 12, so it cannot get key 13");
    keys.host_seen(host(3), &keys_of(&[14]), at(1));
    let withdrawn = "key 14 is not free: it was seen without a network on these hosts: 3";
    assert_eq!(says(keys.claim_key(network(2), key(14), &pool)), withdrawn);
    keys.may_have(host(4), key(12), at(1));
    keys.release_key(network(1));
    let quarantined = "key 12 is not free: network 1 released it, and these hosts were not seen without it since: 4";
    assert_eq!(says(keys.claim_key(network(2), key(12), &pool)), quarantined);
    keys.claim_key(network(2), key(15), &pool).unwrap();
    assert_eq!(keys.key_of(network(2)), Some(key(15)));
}

#[test]
fn a_key_of_two_networks_is_refused_to_the_second() {
    let mut keys = Keys::new();
    keys.restore_key(network(1), key(7)).unwrap();
    keys.restore_key(network(1), key(7)).unwrap();
    assert_eq!(keys.restore_key(network(2), key(7)).unwrap_err().to_string(), "key 7 is not free: network 1 has it");
    assert!(keys.restore_quarantine(key(7), network(3), BTreeMap::new()).is_err());
    keys.restore_quarantine(key(8), network(3), [(host(1), at(0))].into()).unwrap();
    assert!(matches!(keys.key_state(key(8)), KeyState::Quarantined { by, .. } if by == network(3)));
    assert_eq!(keys.iter().count(), 2);
}

#[test]
fn an_operator_is_warned_at_four_fifths() {
    let (mut keys, mut pool) = (Keys::new(), pool("p", "1-10"));
    for number in 1..=7 {
        keys.allocate_key(network(number), &mut pool).unwrap();
    }
    assert!(!keys.pool_usage(&pool).is_warned());
    keys.host_seen(host(1), &keys_of(&[9]), at(1));
    let usage = keys.pool_usage(&pool);
    assert_eq!((usage.in_use, usage.quarantined, usage.withdrawn, usage.free()), (7, 0, 1, 2));
    assert!(usage.is_warned());
}

#[test]
fn the_whole_range_of_gre_is_no_list() {
    let (mut keys, mut pool) = (Keys::new(), pool("p", "1-2147483647"));
    pool.last = Some(key(2_147_483_647));
    assert_eq!(keys.allocate_key(network(1), &mut pool).unwrap(), key(1));
    pool.last = Some(key(2_147_483_646));
    assert_eq!(keys.allocate_key(network(2), &mut pool).unwrap(), key(2_147_483_647));
    assert_eq!(keys.allocate_key(network(3), &mut pool).unwrap(), key(2));
}

#[derive(Clone, Debug)]
enum Event {
    Allocate(u64, usize),
    Claim(u64, u32, usize),
    Release(u64),
    Send(u64, u64),
    /// The host is seen with what the model says it has.
    See(u64),
    /// Whatever the host has goes away.
    Empty(u64),
    /// Somebody else sets up a bridge with this key there.
    Stranger(u64, u32),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1..8u64, 0..2usize).prop_map(|(network, pool)| Event::Allocate(network, pool)),
        1 => (1..8u64, 0..16u32, 0..2usize).prop_map(|(network, key, pool)| Event::Claim(network, key + 1, pool)),
        3 => (1..8u64).prop_map(Event::Release),
        3 => (1..8u64, 1..4u64).prop_map(|(network, host)| Event::Send(network, host)),
        3 => (1..4u64).prop_map(Event::See),
        2 => (1..4u64).prop_map(Event::Empty),
        1 => (1..4u64, 1..16u32).prop_map(|(host, key)| Event::Stranger(host, key)),
    ]
}

/// Who has what in truth: networks by key, and the keys that each host has and was seen with.
#[derive(Default)]
struct Truth {
    owner: BTreeMap<u32, u64>,
    has: BTreeMap<u64, BTreeSet<u32>>,
    maybe: BTreeMap<u64, BTreeSet<u32>>,
}

impl Truth {
    fn is_held(&self, key: u32) -> bool {
        self.owner.contains_key(&key) || self.maybe.values().any(|keys| keys.contains(&key))
    }

    fn of(&self, network: u64) -> Option<u32> {
        self.owner.iter().find(|(_, owner)| **owner == network).map(|(key, _)| *key)
    }
}

const RANGES: [(&str, &[u32]); 2] = [("1-3,7", &[1, 2, 3, 7]), ("3-5,9", &[3, 4, 5, 9])];

fn given(truth: &mut Truth, network: u64, result: Option<GreKey>, range: &[u32]) {
    let free: Vec<u32> = range.iter().copied().filter(|key| !truth.is_held(*key)).collect();
    match (truth.of(network), result) {
        (Some(has), got) => assert_eq!(got, Some(key(has))),
        (None, Some(got)) => {
            assert!(free.contains(&got.get()), "{got} is not free or not in range");
            truth.owner.insert(got.get(), network);
        }
        (None, None) => assert_eq!(free, Vec::<u32>::new(), "it says exhausted with keys left"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn keys_are_given_once_in_range_and_to_the_last(events in prop::collection::vec(any_event(), 0..60)) {
        let mut keys = Keys::new();
        let mut pools = RANGES.map(|(ranges, _)| pool("p", ranges));
        let mut truth = Truth::default();
        for (second, event) in (1u64..).zip(events) {
            match event {
                Event::Allocate(n, p) => {
                    let result = keys.allocate_key(network(n), &mut pools[p]);
                    given(&mut truth, n, result.ok(), RANGES[p].1);
                }
                Event::Claim(n, k, p) => {
                    let right = match truth.of(n) {
                        Some(has) => has == k,
                        None => RANGES[p].1.contains(&k) && !truth.is_held(k),
                    };
                    prop_assert_eq!(keys.claim_key(network(n), key(k), &pools[p]).is_ok(), right);
                    if right {
                        truth.owner.insert(k, n);
                    }
                }
                Event::Release(n) => {
                    prop_assert_eq!(keys.release_key(network(n)).map(GreKey::get), truth.of(n));
                    truth.owner.retain(|_, owner| *owner != n);
                }
                Event::Send(n, h) => if let Some(k) = truth.of(n) {
                    keys.may_have(host(h), key(k), at(second));
                    truth.has.entry(h).or_default().insert(k);
                    truth.maybe.entry(h).or_default().insert(k);
                },
                Event::See(h) => {
                    let has = truth.has.entry(h).or_default().clone();
                    let seen: Vec<u32> = has.iter().copied().collect();
                    keys.host_seen(host(h), &keys_of(&seen), at(second));
                    truth.maybe.insert(h, has);
                }
                Event::Empty(h) => { truth.has.remove(&h); }
                Event::Stranger(h, k) => { truth.has.entry(h).or_default().insert(k); }
            }
        }
        for number in 1..16 {
            prop_assert_eq!(keys.key_state(key(number)) != KeyState::Free, truth.is_held(number));
        }
    }

    #[test]
    fn ranges_are_the_set_that_the_text_names(parts in prop::collection::vec((1..60u32, 0..12u32), 1..8)) {
        let text: Vec<String> = parts.iter().map(|(first, more)| format!("{first}-{}", first + more)).collect();
        let ranges = Ranges::parse(&text.join(","), Isolation::Gre).unwrap();
        let naive: BTreeSet<u32> = parts.iter().flat_map(|(first, more)| *first..=first + more).collect();
        for number in 1..80 {
            prop_assert_eq!(ranges.contains(key(number)), naive.contains(&number));
        }
        prop_assert_eq!(ranges.size(), naive.len() as u64);
        // Kept as ranges: no two of them touch.
        let pairs: Vec<_> = ranges.iter().collect();
        prop_assert!(pairs.windows(2).all(|two| two[0].1.get() + 1 < two[1].0.get()));
    }
}
