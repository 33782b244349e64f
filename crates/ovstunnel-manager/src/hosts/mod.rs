//! The daemons of the hosts: one task for each host, which connects, listens and tells the zone.
//!
//! What it does: starts and ends these tasks as hosts are registered, and hands out by whom a host is written to. What it must not do: let
//! one host wait for another, but for its turn to connect.

pub mod certificate;
mod client;
mod counting;
mod ends;
pub(crate) mod lead;
mod picture;
mod silence;
mod watcher;
mod writers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ovstunnel_client::{Client, ClientError, Endpoint, Identity};
use ovstunnel_types::HostNumber;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use crate::leader::Leader;
use crate::zone::{Row, Zone};

pub use client::{By, HostClient};
pub use counting::{CountersAnswers, Counting};
pub use ends::Ends;
pub use picture::{Picture, Unreadable};
pub use writers::{Turn, Writers};

/// How long a request to a daemon may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long it may take to have xapi make a network: the daemon gives up before.
const NETWORK_TIMEOUT: Duration = Duration::from_secs(150);

/// The tasks of all hosts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Hosts(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    zone: Zone,
    identity: Option<Identity>,
    ends: Ends,
    /// Who may connect now: so many at the same time.
    turns: Arc<Semaphore>,
    /// What each host has to accept before it is written to; none where none is.
    leader: Option<Leader>,
    writers: Writers,
    counting: Counting,
    tasks: Mutex<BTreeMap<HostNumber, AbortHandle>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        let tasks = self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner);
        tasks.values().for_each(AbortHandle::abort);
    }
}

/// Why a daemon cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There are no certificate files.
    #[error("no certificate, key and ca are named under [hosts], and without them no daemon can be asked")]
    NoIdentity,
    /// Its address is no URL.
    #[error("{0}")]
    Url(String),
    /// It cannot be reached, or refuses.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl AskError {
    /// All of it in one line.
    pub fn to_line(&self) -> String {
        ovstunnel_types::text::error_chain(self)
    }
}

/// A client for the daemon at this address, with these files.
pub(crate) fn daemon_client(identity: Identity, api: &str) -> Result<Client, AskError> {
    let url = Endpoint::parse_url(api).map_err(AskError::Url)?;
    Ok(Client::new(&Endpoint::Https { url, identity }, TIMEOUT)?)
}

impl Hosts {
    /// No host yet.
    pub fn new(
        zone: Zone,
        identity: Option<Identity>,
        ends: Ends,
        concurrency: usize,
        leader: Option<Leader>,
    ) -> Hosts {
        let (turns, tasks) = (Arc::new(Semaphore::new(concurrency)), Mutex::default());
        let (writers, counting) = (Writers::new(concurrency), Counting::new());
        Hosts(Arc::new(Shared { zone, identity, ends, turns, leader, writers, counting, tasks }))
    }

    /// By what hosts are asked what their tunnels have counted.
    pub fn counting(&self) -> Counting {
        self.0.counting.clone()
    }

    /// By whom hosts are written to.
    pub fn writers(&self) -> Writers {
        self.0.writers.clone()
    }

    /// A client for the daemon at this address.
    ///
    /// # Errors
    /// There are no certificate files, they cannot be used, or the address is none.
    pub fn daemon_client(&self, api: &str) -> Result<Client, AskError> {
        daemon_client(self.0.identity.clone().ok_or(AskError::NoIdentity)?, api)
    }

    /// Registers a host with the zone and listens to it; what listened to it before ends.
    pub fn register_host(&self, row: Row) {
        let number = row.number;
        self.stop_watcher(number);
        self.0.zone.register_host(row.clone());
        let client = match self.daemon_client(&row.api) {
            Ok(client) => client,
            Err(error) => return self.0.zone.host_silent(number, error.to_line()),
        };
        // Made anew for each connection: the files may be others by then.
        let hosts = Arc::downgrade(&self.0);
        let fresh = move || Hosts(hosts.upgrade()?).daemon_client(&row.api).ok();
        let label = row.label.unwrap_or_else(|| self.0.ends.default_label.clone());
        let family = self.0.ends.family;
        let (zone, turns) = (self.0.zone.clone(), Arc::clone(&self.0.turns));
        let (leader, writers) = (self.0.leader.clone(), self.0.writers.clone());
        let counting = self.0.counting.clone();
        let watcher = watcher::Watcher { zone, number, client, fresh, label, family, turns, leader, writers, counting };
        let task = tokio::spawn(watcher.run());
        self.with_tasks(|tasks| tasks.insert(number, task.abort_handle()));
    }

    /// These hosts are registered, whoever registered them: listens to those that were not, or were otherwise, and to no others.
    pub fn replace_registered(&self, rows: Vec<Row>) {
        let known = self.0.zone.registered_all();
        let there: BTreeSet<HostNumber> = rows.iter().map(|row| row.number).collect();
        known.keys().filter(|number| !there.contains(number)).for_each(|number| self.unregister_host(*number));
        rows.into_iter().filter(|row| known.get(&row.number) != Some(row)).for_each(|row| self.register_host(row));
    }

    /// A host is no longer listened to, and no longer of the zone.
    pub fn unregister_host(&self, number: HostNumber) {
        self.stop_watcher(number);
        self.0.zone.unregister_host(number);
    }

    fn stop_watcher(&self, number: HostNumber) {
        if let Some(task) = self.with_tasks(|tasks| tasks.remove(&number)) {
            task.abort();
        }
        self.0.writers.close_writer(number);
    }

    fn with_tasks<T>(&self, change: impl FnOnce(&mut BTreeMap<HostNumber, AbortHandle>) -> T) -> T {
        change(&mut self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
