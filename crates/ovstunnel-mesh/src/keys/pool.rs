//! The keys of one physical network: where the search goes on, how full it is, and what is said when there is none. Must not know
//! who has a key.

use std::collections::BTreeMap;
use std::fmt;

use ovstunnel_types::{GreKey, HostNumber};

use super::Ranges;

/// The share of a pool, in percent, from which on an operator is warned.
const WARNED_AT: u64 = 80;

/// Most hosts that a message names.
const NAMED: usize = 5;

/// The keys that networks of one physical network may get.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Name of the physical network.
    pub name: String,
    /// Its keys.
    pub ranges: Ranges,
    /// The key given last: the search for the next one begins after it, so that a released key rests as long as can be.
    pub last: Option<GreKey>,
}

impl Pool {
    /// A pool of which nothing was given yet.
    pub fn new(name: impl Into<String>, ranges: Ranges) -> Pool {
        Pool { name: name.into(), ranges, last: None }
    }

    /// The first key after the one given last, and round to the beginning, that is free.
    pub(super) fn next_fit(&self, is_free: impl Fn(GreKey) -> bool) -> Option<GreKey> {
        let from = self.last.map_or(1, |last| last.get() + 1);
        let mut next = self.ranges.at_or_after(from);
        while let Some(key) = next {
            if is_free(key) {
                return Some(key);
            }
            next = self.ranges.at_or_after(key.get() + 1);
        }
        let mut next = self.ranges.at_or_after(1).filter(|key| key.get() < from);
        while let Some(key) = next {
            if is_free(key) {
                return Some(key);
            }
            next = self.ranges.at_or_after(key.get() + 1).filter(|key| key.get() < from);
        }
        None
    }
}

/// How full a pool is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// How many keys its ranges have.
    pub size: u64,
    /// How many belong to a network.
    pub in_use: u64,
    /// How many were released and may still be on a host.
    pub quarantined: u64,
    /// How many were seen on hosts without ever having been given to a network.
    pub withdrawn: u64,
}

impl Usage {
    /// How many can be given.
    pub fn free(&self) -> u64 {
        self.size.saturating_sub(self.in_use + self.quarantined + self.withdrawn)
    }

    /// Whether an operator is warned: 80 % or more cannot be given.
    pub fn is_warned(&self) -> bool {
        (self.size - self.free()) * 100 >= self.size * WARNED_AT
    }
}

/// There is no key to give.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Exhausted {
    /// Name of the physical network.
    pub pool: String,
    /// Its ranges.
    pub ranges: Ranges,
    /// How full it is.
    pub usage: Usage,
    /// The hosts that quarantined keys wait for, each with how many.
    pub waits_for: BTreeMap<HostNumber, u64>,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exhausted { pool, ranges, usage, waits_for } = self;
        let Usage { size, in_use, quarantined, withdrawn } = usage;
        write!(f, "no key is free in {ranges} of the physical network {pool}: of {size}, {in_use} are in use, ")?;
        write!(f, "{quarantined} were released and wait until hosts are seen without them, ")?;
        write!(f, "{withdrawn} are on hosts without a network")?;
        let mut hosts: Vec<_> = waits_for.iter().collect();
        hosts.sort_by_key(|(host, keys)| (std::cmp::Reverse(**keys), **host));
        for (index, (host, keys)) in hosts.iter().take(NAMED).enumerate() {
            write!(f, "{}{keys} for host {host}", if index == 0 { "; waiting: " } else { ", " })?;
        }
        match hosts.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more hosts"),
        }
    }
}
