//! A lock among the hosts of a pool, made of what xapi has: a key can be added to a network's `other-config` only if it is
//! not there. Must not do anything but judge what stands there (docs/adr/0011-a-lock-in-other-config.md).
//!
//! The lock is the highest of the keys `ovstunnel-lock-1`, `-2`, … (another lock's keys begin otherwise); its value says until when its holder may use it. A dead
//! holder's lock is not taken away but passed by: whoever adds the next number has it. So nobody ever removes a key that
//! somebody else may have added meanwhile.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

/// How the keys of the lock on a network begin; a number follows.
pub(super) const NETWORK: &str = "ovstunnel-lock-";

/// The value of a lock's key: `<end in milliseconds since 1970>/<unlike any other>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    until: u128,
    token: Uuid,
}

impl Ticket {
    pub fn new(now: SystemTime, lease: Duration) -> Self {
        Ticket { until: unix_millis(now) + lease.as_millis(), token: Uuid::new_v4() }
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.until, self.token)
    }
}

fn unix_millis(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()
}

/// The locks that stand in a network's `other-config`, each with its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Locks(BTreeMap<u64, String>);

impl Locks {
    /// Those whose keys begin so.
    pub fn with_prefix(other_config: &BTreeMap<String, String>, prefix: &str) -> Self {
        let number = |key: &str| key.strip_prefix(prefix).and_then(|number| number.parse().ok());
        Locks(other_config.iter().filter_map(|(key, value)| Some((number(key)?, value.clone()))).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number to add, where there is no lock or its time has passed. What says no time has none.
    pub fn free_number(&self, now: SystemTime) -> Option<u64> {
        let Some((number, value)) = self.0.last_key_value() else { return Some(1) };
        let until = value.split('/').next().and_then(|until| until.parse::<u128>().ok()).unwrap_or(0);
        (until < unix_millis(now)).then(|| number.checked_add(1)).flatten()
    }

    /// Whether we have the lock: ours is there and the highest, and below it is nothing but what we passed by. Of two who added
    /// theirs at once at least one sees the other, for each adds first and looks then.
    pub fn is_held(&self, number: u64, ticket: &Ticket, passed_by: &Locks) -> bool {
        let mut expected = passed_by.clone();
        expected.0.insert(number, ticket.to_string());
        *self == expected
    }

    /// The numbers that were passed by.
    pub fn numbers(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn locks(pairs: &[(&str, &str)]) -> Locks {
        Locks::with_prefix(
            &pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            NETWORK,
        )
    }

    fn at(millis: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(millis)
    }

    #[test]
    fn a_lock_is_free_where_there_is_none_or_its_time_has_passed() {
        assert_eq!(
            locks(&[("ovs-host-setup", "1"), ("ovstunnel-lock-x", "9"), ("lock-1", "9")]).free_number(at(5)),
            Some(1)
        );
        assert_eq!(locks(&[("ovstunnel-lock-1", "1000/x")]).free_number(at(1000)), None);
        assert_eq!(locks(&[("ovstunnel-lock-1", "1000/x")]).free_number(at(1001)), Some(2));
        let two = [("ovstunnel-lock-1", "10/x"), ("ovstunnel-lock-2", "1000/y")];
        assert_eq!((locks(&two).free_number(at(500)), locks(&two).free_number(at(2000))), (None, Some(3)));
        assert_eq!(locks(&[("ovstunnel-lock-7", "nonsense")]).free_number(at(1)), Some(8));
        assert_eq!(locks(&[("ovstunnel-lock-18446744073709551615", "0/x")]).free_number(at(1)), None);
    }

    #[test]
    fn of_two_that_add_at_once_not_both_have_it() {
        let (a, b) = (Ticket::new(at(0), Duration::from_secs(1)), Ticket::new(at(0), Duration::from_secs(1)));
        let (a_text, b_text) = (a.to_string(), b.to_string());
        let dead = locks(&[("ovstunnel-lock-1", "10/dead")]);
        // One passes the dead lock by, the other finds none, since the dead one was removed meanwhile.
        let both = locks(&[("ovstunnel-lock-1", &a_text), ("ovstunnel-lock-2", &b_text)]);
        assert!(!both.is_held(1, &a, &Locks::default()) && !both.is_held(2, &b, &dead));
        assert!(locks(&[("ovstunnel-lock-1", &a_text)]).is_held(1, &a, &Locks::default()));
        let passed = locks(&[("ovstunnel-lock-1", "10/dead"), ("ovstunnel-lock-2", &b_text)]);
        assert!(
            passed.is_held(2, &b, &dead) && !passed.is_held(2, &a, &dead) && !passed.is_held(2, &b, &Locks::default())
        );
        assert!(!locks(&[]).is_held(1, &a, &Locks::default()));
    }

    /// Where a host is in taking the lock and letting go of it; `passed_by` is what it saw when it began.
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum At {
        Begin,
        Add { number: u64, passed_by: Locks },
        Refused { number: u64, passed_by: Locks },
        Run { number: u64, passed_by: Locks },
        StepBack { number: u64 },
        Hold { remove: Vec<u64> },
    }

    /// What a host does next: one call of xapi's, which no other call is mixed with.
    fn next(place: &At, locks: &mut Locks, ticket: &Ticket) -> At {
        match place.clone() {
            At::Begin => match locks.free_number(at(5)) {
                Some(number) => At::Add { number, passed_by: locks.clone() },
                None => At::Begin,
            },
            At::Add { number, passed_by } if locks.0.contains_key(&number) => At::Refused { number, passed_by },
            At::Refused { number, passed_by } if *locks == passed_by => At::Add { number, passed_by },
            At::Refused { .. } => At::Begin,
            At::Add { number, passed_by } => {
                locks.0.insert(number, ticket.to_string());
                At::Run { number, passed_by }
            }
            At::Run { number, passed_by } => match locks.is_held(number, ticket, &passed_by) {
                true => At::Hold { remove: passed_by.numbers().chain([number]).collect() },
                false => At::StepBack { number },
            },
            At::StepBack { number } => {
                locks.0.remove(&number);
                At::Begin
            }
            At::Hold { mut remove } => {
                locks.0.remove(&remove.remove(0));
                if remove.is_empty() { At::Begin } else { At::Hold { remove } }
            }
        }
    }

    /// Three hosts that take the lock again and again, in every order in which their calls can come: never do two have it.
    #[test]
    fn in_no_order_of_calls_do_two_hosts_have_it() {
        let tickets = [1000, 1001, 1002].map(|until| Ticket::new(at(until), Duration::ZERO));
        for dead in
            [&[][..], &[("ovstunnel-lock-1", "1/x")], &[("ovstunnel-lock-2", "1/x"), ("ovstunnel-lock-3", "2/y")]]
        {
            let start = (locks(dead), [At::Begin, At::Begin, At::Begin]);
            let (mut seen, mut open, mut held) = (BTreeSet::from([start.clone()]), vec![start], 0);
            while let Some((locks, hosts)) = open.pop() {
                let holders = hosts.iter().filter(|at| matches!(at, At::Hold { .. })).count();
                assert!(holders <= 1, "{hosts:?} with {locks:?}");
                held += holders;
                for (n, ticket) in tickets.iter().enumerate() {
                    let (mut locks, mut hosts) = (locks.clone(), hosts.clone());
                    hosts[n] = next(&hosts[n], &mut locks, ticket);
                    if seen.insert((locks.clone(), hosts.clone())) {
                        open.push((locks, hosts));
                    }
                }
            }
            assert!(held > 3 && seen.len() > 30, "{held} of {}", seen.len());
        }
    }
}
