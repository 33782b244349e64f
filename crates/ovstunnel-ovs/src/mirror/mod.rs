//! A live mirror of the switch's database.
//!
//! What it does: holds the rows that matter, follows each change, and says which bridges it touched. What it must not do:
//! write; its only requests are `get_schema`, `monitor_cond` and `echo`, which it answers, too (docs/adr/0002).

mod columns;
mod db;
mod follow;
mod frame;
mod kept;
mod keys;
mod pulse;
mod tables;
mod view;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;

pub use db::Db;
pub(crate) use db::{Bfd, BridgeRow, InterfaceRow, Pairs, PortRow};
pub(crate) use follow::{control_socket, follow_database, follow_vswitchd, take_message};
pub(crate) use frame::JsonFrames;
pub use view::{SwitchView, TunnelAddresses, small_network};

use crate::Health;

/// Shared access to the mirror: many readers, one follower that writes.
#[derive(Clone, Debug)]
pub struct Observer {
    db: Arc<RwLock<Db>>,
    revision: Arc<watch::Sender<u64>>,
    health: Arc<watch::Sender<Health>>,
    heard: Arc<Mutex<Instant>>,
    /// Number of the connection to the database that is asked for.
    connection: Arc<watch::Sender<u64>>,
}

impl Observer {
    pub(crate) fn new(health: Health) -> Self {
        Observer {
            db: Arc::default(),
            revision: Arc::new(watch::Sender::new(0)),
            health: Arc::new(watch::Sender::new(health)),
            heard: Arc::new(Mutex::new(Instant::now())),
            connection: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Has the follower begin anew on a new connection to the database; gives its number.
    pub(crate) fn ask_for_connection(&self) -> u64 {
        self.connection.send_modify(|number| *number += 1);
        *self.connection.borrow()
    }

    /// The connection that is asked for, now and from now on.
    pub(crate) fn watch_connection(&self) -> watch::Receiver<u64> {
        self.connection.subscribe()
    }

    /// Whether the mirror is that of this connection, or of a later one, and `ovs-vswitchd` has taken up all that its first
    /// answer had.
    pub fn has_caught_up(&self, connection: u64) -> bool {
        self.read(|db| db.connection >= connection && db.cur_cfg >= db.next_cfg_at_first)
    }

    /// Whether the database has answered on this connection, or on a later one.
    pub fn has_begun_anew(&self, connection: u64) -> bool {
        self.read(|db| db.connection >= connection)
    }

    /// Reads the mirror as it is now. Short work only: the follower waits meanwhile.
    pub fn read<R>(&self, read: impl FnOnce(&Db) -> R) -> R {
        read(&self.db.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// A number that grows with each change of the mirror.
    pub fn watch_revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Whether the switch can be worked with.
    pub fn watch_health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// The bridges that were touched since the last call.
    pub fn take_touched(&self) -> BTreeSet<String> {
        let mut db = self.db.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::take(&mut db.touched)
    }

    /// Whether the switch's own row was touched since the last call.
    pub fn take_touched_itself(&self) -> bool {
        let mut db = self.db.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::take(&mut db.touched_itself)
    }

    /// The same of bridges for whoever asks the switch itself; neither takes anything from the other.
    pub fn take_touched_for_witness(&self) -> BTreeSet<String> {
        let mut db = self.db.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::take(&mut db.touched_for_witness)
    }

    /// The same for whoever tells of changes; nothing where it may be any bridge.
    pub fn take_touched_for_watch(&self) -> Option<BTreeSet<String>> {
        let mut db = self.db.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        db.touched_for_watch.replace(BTreeSet::new())
    }

    /// From now on nobody asks for [`Observer::take_touched_for_watch`]: nothing is kept until somebody does again.
    pub fn forget_touched_for_watch(&self) {
        self.db.write().unwrap_or_else(std::sync::PoisonError::into_inner).touched_for_watch = None;
    }

    /// Time since the mirror last heard of a change; since its start where it never did.
    pub fn age(&self) -> Duration {
        self.heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner).elapsed()
    }

    pub(crate) fn write<R>(&self, write: impl FnOnce(&mut Db) -> R) -> R {
        *self.heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
        let result = write(&mut self.db.write().unwrap_or_else(std::sync::PoisonError::into_inner));
        self.revision.send_modify(|revision| *revision += 1);
        result
    }

    /// Says whether it did change.
    pub(crate) fn set_health(&self, change: impl FnOnce(&mut Health)) -> bool {
        self.health.send_if_modified(|health| {
            let before = health.clone();
            change(health);
            *health != before
        })
    }
}
