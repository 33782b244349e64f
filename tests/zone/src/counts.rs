//! What is counted of each host's switch and of the management server's messages. Must not know why.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ovstunnel_ovs::{Pace, Work};
use serde::Serialize;

use crate::costs::{Costs, Rows};

/// What one switch was asked to do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Transactions, by `ovs-vsctl`.
    pub transactions: u64,
    /// Bundles of flow changes, by `ovs-ofctl`.
    pub bundles: u64,
    /// Readings of a bridge's flows, by `ovs-ofctl`.
    pub dumps: u64,
    /// Tunnels made.
    pub tunnels_made: u64,
    /// Tunnels removed.
    pub tunnels_removed: u64,
    /// Bridges made.
    pub bridges_made: u64,
    /// Bridges removed.
    pub bridges_removed: u64,
    /// Time in transactions.
    pub writing: Duration,
    /// Time in commands about flows; several run at once.
    pub flows: Duration,
    /// The longest transaction.
    pub longest: Duration,
}

impl Counts {
    fn note(&mut self, work: &Work<'_>, time: Duration) {
        match work {
            Work::Transaction { steps, .. } => {
                let rows = Rows::of(steps);
                self.transactions += 1;
                self.tunnels_made += rows.tunnels_made;
                self.tunnels_removed += rows.tunnels_removed;
                self.bridges_made += rows.bridges_made;
                self.bridges_removed += rows.bridges_removed;
                self.writing += time;
                self.longest = self.longest.max(time);
            }
            Work::Bundle(_) => {
                self.bundles += 1;
                self.flows += time;
            }
            Work::Dump { .. } => {
                self.dumps += 1;
                self.flows += time;
            }
        }
    }

    /// Adds those of another switch.
    pub fn add(&mut self, other: &Counts) {
        self.transactions += other.transactions;
        self.bundles += other.bundles;
        self.dumps += other.dumps;
        self.tunnels_made += other.tunnels_made;
        self.tunnels_removed += other.tunnels_removed;
        self.bridges_made += other.bridges_made;
        self.bridges_removed += other.bridges_removed;
        self.writing += other.writing;
        self.flows += other.flows;
        self.longest = self.longest.max(other.longest);
    }

    /// Time in all commands.
    pub fn busy(&self) -> Duration {
        self.writing + self.flows
    }
}

/// Counts of one switch, shared with it.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Mutex<Counts>>);

impl Meter {
    /// A pace that counts what it is asked about.
    pub fn pace(&self, costs: Costs) -> Pace {
        let meter = self.clone();
        Pace::new(move |work| {
            let time = costs.of(work);
            meter.lock().note(work, time);
            time
        })
    }

    /// What was counted since the start or the last reset.
    pub fn counts(&self) -> Counts {
        *self.lock()
    }

    /// Begins to count anew.
    pub fn reset(&self) {
        *self.lock() = Counts::default();
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Messages of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Messages {
    /// How many were sent.
    pub sent: u64,
    /// How many of them nobody answered: the host or its daemon was down.
    pub unanswered: u64,
    /// How many were answered with an error.
    pub errors: u64,
    /// Bytes of their bodies.
    pub bytes_sent: u64,
    /// Bytes of the answers' bodies.
    pub bytes_received: u64,
}

impl Messages {
    /// Adds those of another kind.
    pub fn add(&mut self, other: &Messages) {
        self.sent += other.sent;
        self.unanswered += other.unanswered;
        self.errors += other.errors;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
    }
}

/// Messages by what they ask for.
pub type Tally = BTreeMap<&'static str, Messages>;
