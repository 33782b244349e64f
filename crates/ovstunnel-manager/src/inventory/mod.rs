//! What is recorded of the zone's networks: physical networks, networks, their keys and their NICs.
//!
//! What it does: checks a change against what is recorded and seen, has the database keep it, and tells the zone. What it must not do:
//! write to a host, or know a route. A key is allocated only where the manager may change hosts.

mod begin;
mod implement;
pub mod keys;
mod kinds;
mod networks;
mod nics;
pub mod physical;
mod placement;
mod unfinished;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ovstunnel_store::{KeyRow, KeyState, Store, StoreError};
use ovstunnel_types::GreKey;
use time::OffsetDateTime;

use crate::zone::{Happened, Zone};

pub use kinds::kind_setting;
pub use networks::WantedNetwork;
pub use nics::{Preparation, WantedNic};
pub use placement::Move;

/// What is recorded. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Inventory {
    store: Store,
    zone: Zone,
    /// The keys that are not free, as the database has them.
    keys: Arc<Mutex<BTreeMap<GreKey, KeyRow>>>,
    /// One change after another: what is free must not change between look and deed.
    turn: Arc<tokio::sync::Mutex<()>>,
    times: Times,
}

/// How long the inventory waits for what.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// After how long a silent host is taken for dead.
    pub dead_after: Duration,
    /// For how long a network without a NIC keeps a key that was allocated to it.
    pub gc: Duration,
    /// After how long a migration of which nobody said how it ended is settled by where the VIFs are.
    pub migration: Duration,
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InventoryError {
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// A value breaks a rule.
    #[error("{field} {rule}, not `{value}`")]
    Invalid {
        /// What.
        field: &'static str,
        /// The rule.
        rule: String,
        /// What it is.
        value: String,
    },
    /// Something is in the way.
    #[error("{detail}")]
    Conflict {
        /// What.
        in_the_way: String,
        /// The sentence.
        detail: String,
    },
    /// The NIC is moving between two other hosts.
    #[error(
        "NIC {nic} is moving from host {from} to host {to}; say how that ended (migrated or rollback), or have it replaced"
    )]
    Migrating {
        /// The NIC.
        nic: String,
        /// Where it is.
        from: String,
        /// Where it goes.
        to: String,
    },
    /// No key of its physical network is free.
    #[error("{0}")]
    KeysExhausted(String),
    /// The network has no bridge on the host, and none can be made there.
    #[error(
        "network {network} has no bridge on host {host}, whose bridges are xapi's, and its daemon cannot have xapi make one; name one in `bridge`, or install this version of ovstunneld there"
    )]
    BridgeMissing {
        /// The network.
        network: String,
        /// The host.
        host: String,
    },
    /// The host takes no new NIC.
    #[error("host {host} is being drained: it takes no new NIC")]
    Draining {
        /// The host.
        host: String,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl InventoryError {
    fn conflict(in_the_way: impl ToString, detail: String) -> InventoryError {
        InventoryError::Conflict { in_the_way: in_the_way.to_string(), detail }
    }
}

/// Who asks for a change, and whether only to hear what it would do.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Who.
    pub actor: &'a str,
    /// Nothing is changed.
    pub dry_run: bool,
}

impl Inventory {
    fn lock_keys(&self) -> MutexGuard<'_, BTreeMap<GreKey, KeyRow>> {
        // Each change is complete in itself, so what a panic leaves is good.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the zone which keys no network has any more.
    fn tell_quarantined(&self) {
        let rows = self.lock_keys().clone();
        let quarantined = rows.values().filter(|row| row.state == KeyState::Quarantined).map(|row| row.key);
        self.zone.set_quarantined(quarantined.collect());
    }

    async fn put_key(&self, row: KeyRow) -> Result<(), StoreError> {
        self.store.put_key(&row).await?;
        self.lock_keys().insert(row.key, row);
        self.tell_quarantined();
        Ok(())
    }

    async fn delete_key(&self, key: GreKey) -> Result<(), StoreError> {
        self.store.delete_key(key).await?;
        self.lock_keys().remove(&key);
        self.tell_quarantined();
        Ok(())
    }

    fn record_event(
        &self,
        kind: &'static str,
        network: Option<&str>,
        host: Option<&str>,
        actor: Option<&str>,
        text: String,
    ) {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let at = OffsetDateTime::now_utc();
        let (network, host, actor) = (owned(network), owned(host), owned(actor));
        self.zone.send_event(Happened { network, host, actor, ..Happened::new(at, kind, text) });
    }
}

/// Now, in seconds since 1970.
fn unix_seconds() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

/// What a list of changes says in a sentence.
fn changes_sentence(changes: &[ovstunnel_api::Changed]) -> String {
    changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The fields that differ, each with what it was and is.
fn field_changes<const N: usize>(
    subject: &str,
    before: Option<[Option<String>; N]>,
    after: [(&str, Option<String>); N],
) -> Vec<ovstunnel_api::Changed> {
    let before = before.unwrap_or_else(|| std::array::from_fn(|_| None));
    let differing = before.into_iter().zip(after).filter(|(before, (_, after))| before != after);
    let changed = differing.map(|(before, (what, after))| {
        let (what, subject) = (what.to_owned(), subject.to_owned());
        ovstunnel_api::Changed { what, subject, before, after }
    });
    changed.collect()
}
