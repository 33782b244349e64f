//! By whom each host is written to: the client of the connection on which the host is listened to, once it has taken the manager's epoch.
//!
//! What it does: hands it out, one writer at a time for each host and so many in all. What it must not do: send anything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ovstunnel_types::HostNumber;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::HostClient;

/// The writers of all hosts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Writers {
    hosts: Arc<Mutex<BTreeMap<HostNumber, Host>>>,
    all: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Host {
    client: Option<Arc<dyn HostClient>>,
    /// Counts its connections.
    connection: u64,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// The right to write to a host now.
#[derive(Debug)]
pub struct Turn {
    /// By whom.
    pub client: Arc<dyn HostClient>,
    _of_all: OwnedSemaphorePermit,
    _of_host: OwnedMutexGuard<()>,
}

impl Writers {
    /// So many hosts are written to at the same time.
    pub fn new(concurrency: usize) -> Writers {
        Writers { hosts: Arc::default(), all: Arc::new(Semaphore::new(concurrency)) }
    }

    /// A host has taken the epoch, and is written to by this client.
    pub fn open_writer(&self, host: HostNumber, client: Arc<dyn HostClient>) {
        let mut hosts = self.lock_hosts();
        let host = hosts.entry(host).or_default();
        host.client = Some(client);
        host.connection += 1;
    }

    /// A host cannot be written to now.
    pub fn close_writer(&self, host: HostNumber) {
        if let Some(host) = self.lock_hosts().get_mut(&host) {
            host.client = None;
        }
    }

    /// Counts the connections to a host: what failed on an older one may be tried at once.
    pub fn connection_count(&self, host: HostNumber) -> u64 {
        self.lock_hosts().get(&host).map_or(0, |host| host.connection)
    }

    /// By whom a host is written to, out of turn: for what takes long, and what other requests need not wait for. Nothing where it cannot be
    /// written to.
    pub fn client_of(&self, host: HostNumber) -> Option<Arc<dyn HostClient>> {
        self.lock_hosts().get(&host)?.client.clone()
    }

    /// Waits for the turn to write to a host; nothing where it cannot be written to.
    pub async fn wait_turn(&self, host: HostNumber) -> Option<Turn> {
        let turn = Arc::clone(&self.lock_hosts().get(&host)?.turn);
        let of_host = turn.lock_owned().await;
        let of_all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        // By the connection that there is by now.
        let client = self.lock_hosts().get(&host)?.client.clone()?;
        Some(Turn { client, _of_all: of_all, _of_host: of_host })
    }

    fn lock_hosts(&self) -> MutexGuard<'_, BTreeMap<HostNumber, Host>> {
        // Each change is complete in itself, so what a panic leaves is good.
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
