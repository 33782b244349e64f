//! The manager's database: what the zone remembers.
//!
//! What it does: rows and what can be asked and changed of them, over SQLite, MariaDB or PostgreSQL ([`Store::open`]) or in memory
//! ([`Store::in_memory`], for tests and for the simulated zone). All say the same, errors included: one body of tests runs over them.
//! What it must not do: decide anything. What a mesh should look like is computed elsewhere and never stands here; rows may follow
//! a change of a switch and never precede it. It never touches a host.

pub mod cloudstack;
mod error;
mod inspection;
mod memory;
mod rows;
mod sql;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backon::{ExponentialBuilder, Retryable};
use futures_util::future::BoxFuture;

pub use error::{Result, StoreError};
pub use inspection::Inspection;
pub use memory::MemoryStore;
pub use rows::{
    EventFilter, EventPage, EventRow, HostMode, HostRow, HostTunnels, InterfaceRow, KeyRow, KeyState, LeaseRow,
    NetworkRow, NewEvent, NewHost, NewInterface, NewNetwork, NewPhysicalNetwork, NicRow, PAGE_MAX, PhysicalNetworkRow,
    RowState, RowsWritten, StateWords, TunnelRow, Zone,
};
pub use sql::{Fence, OpenOptions, OwnFiles, SqlStore, TlsFiles};

use ovstunnel_types::{GreKey, HostNumber, NetworkNumber};

/// The manager's database. A clone is another handle of the same one.
///
/// A change is there as a whole or not at all, and a process that is killed after the answer has not lost it. Rows come in ascending
/// order of their numbers, physical networks, NICs and settings by name. Whatever is named must be there ([`StoreError::NotFound`]), except where
/// it is removed: then the answer is whether it was there.
#[derive(Clone, Debug)]
pub enum Store {
    /// Of an engine.
    Sql(Arc<SqlStore>),
    /// In memory.
    Memory(Arc<MemoryStore>),
}

impl Store {
    /// Opens the database at this address, for the zone of this name: `sqlite:///PATH`, and with the crate's features
    /// `mysql://…` and `postgres://…`. It is made if it is not there, and brought to this program's schema; one of a newer program
    /// ([`StoreError::Newer`]), of another zone ([`StoreError::OtherZone`]) or in use by another manager ([`StoreError::Locked`], SQLite) is
    /// refused and not changed.
    pub async fn open(url: &str, zone: &str, options: OpenOptions) -> Result<Store> {
        SqlStore::open(url, zone, options).await.map(|store| Store::Sql(Arc::new(store)))
    }

    /// Closes all connections once what runs has ended. The file of SQLite is free for others when the last clone is dropped.
    pub async fn close(&self) {
        if let Store::Sql(store) = self {
            store.close().await;
        }
    }

    /// From now on changes are made as this fence lets through; those of the lease always are. Does nothing in memory: it is one process's.
    pub fn set_fence(&self, fence: Fence) {
        if let Store::Sql(store) = self {
            store.set_fence(fence);
        }
    }

    /// Whether changes may be made as far as this process knows. What stands in the database decides when one is made.
    pub fn may_change(&self) -> bool {
        match self {
            Store::Sql(store) => store.may_change(),
            Store::Memory(_) => true,
        }
    }

    /// An empty database in memory, for a zone of this name.
    pub fn in_memory(zone: &str) -> Store {
        let zone = Zone { name: zone.to_owned(), uuid: uuid::Uuid::new_v4() };
        MemoryStore::new(zone, memory::system_clock).into()
    }
}

/// What the database at this address says of itself; `tls` as in [`OpenOptions`]. Nothing is made or changed, and a manager that has it open is not disturbed.
///
/// # Errors
/// It is not there, cannot be read, or is none of a manager.
pub async fn inspect(url: &str, tls: &TlsFiles) -> Result<Inspection> {
    sql::inspect_unopened(url, tls).await
}

/// Copies the database at this address, SQLite's alone, as it is at one moment, to a file that must not be there; a manager that has it open goes on. The
/// copy has not the settings that are to be forgotten: those whose names are like one of these, where `%` stands for anything.
///
/// # Errors
/// It cannot be read, is damaged or of a newer program, or the file cannot be written; then there is no file.
pub async fn backup(url: &str, to: &Path, forget: &[&str]) -> Result<()> {
    sql::backup_file(url, to, forget).await
}

/// Puts a copy in place of the database at this address, SQLite's alone, without the settings that are to be forgotten, as [`backup`] has them. Gives where the
/// database before is now, if there was one.
///
/// # Errors
/// A manager has the database, or the copy is damaged, of a newer program or of another zone. Then nothing was changed. Where a file could not be
/// renamed, the database before is there still.
pub async fn restore(url: &str, from: &Path, zone: &str, forget: &[&str]) -> Result<Option<PathBuf>> {
    sql::restore_file(url, from, zone, forget).await
}

impl From<MemoryStore> for Store {
    fn from(store: MemoryStore) -> Store {
        Store::Memory(Arc::new(store))
    }
}

/// How often, and after which pause at first, a transaction is made again that the engine has taken back.
const TRIES: usize = 6;
const SHORTEST_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// How long a database may take for a call. After it it is not known what became of a change.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(60);

async fn in_time<T>(call: impl Future<Output = Result<T>>) -> Result<T> {
    let late = || StoreError::Unavailable { reason: format!("it did not answer within {LONGEST:?}") };
    tokio::time::timeout(LONGEST, call).await.unwrap_or_else(|_| Err(late()))
}

/// Makes a call again, after some milliseconds, where the engine has taken its transaction back: each call is one transaction, and of those nothing
/// stays. Boxed: else the types of those who call would hold those of all that is called, and the compiler gives up on them.
async fn again<'a, T: 'a>(mut call: impl FnMut() -> BoxFuture<'a, Result<T>> + Send) -> Result<T> {
    let pauses = ExponentialBuilder::default().with_min_delay(SHORTEST_PAUSE).with_max_times(TRIES).with_jitter();
    (|| call()).retry(pauses).when(|error| matches!(error, StoreError::RolledBack { .. })).await
}

/// What every kind of database has: one list, so that none can have less.
macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
        impl Store {
            $($(#[$doc])*
            pub async fn $name(&self, $($arg: $type),*) -> Result<$answer> {
                match self {
                    Store::Sql(store) => in_time(again(|| Box::pin(store.$name($($arg),*)))).await,
                    Store::Memory(store) => store.$name($($arg),*),
                }
            })*
        }
    };
}

calls! {
    /// The zone that it is for.
    zone() -> Zone;

    /// All hosts.
    hosts() -> Vec<HostRow>;
    /// The host of this name.
    host(name: &str) -> Option<HostRow>;
    /// Registers a host, or changes the one of this name, and answers what stands there now. Its number and the time of its
    /// registration stay; another number than it has, or one that another host has, is a [`StoreError::Conflict`]. Without a number it
    /// gets the next one that nobody has and that was never given out.
    put_host(host: &NewHost) -> HostRow;
    /// Removes a host with its interfaces and with its rows of tunnels, from it and to it. A host with NICs is [`StoreError::InUse`].
    delete_host(name: &str) -> bool;

    /// Gives the host of this name another one, and answers what stands there now. One that another host has is a [`StoreError::Conflict`].
    rename_host(name: &str, to: &str) -> HostRow;
    /// Gives the host of this name another number, also where a released key waits for it, and answers what stands there now. Its interfaces and
    /// its rows of tunnels go: hosts tell them anew. A number that another host has is a [`StoreError::Conflict`], a host with NICs
    /// [`StoreError::InUse`].
    renumber_host(name: &str, to: HostNumber) -> HostRow;

    /// All endpoints (`ovs_tunnel_interface`), without the lock row.
    interfaces() -> Vec<InterfaceRow>;
    /// Adds the endpoint of a host and label or changes it; doubles, which the table allows, go.
    put_interface(interface: &NewInterface) -> InterfaceRow;
    /// Removes a host's endpoints and answers how many there were.
    delete_interfaces(host: HostNumber) -> u64;

    /// All rows of a network (`ovs_tunnel_network`), by `from` and `to`, without the lock row. A mesh of n hosts has n·(n-1) of them: for a big
    /// one ask host by host.
    tunnel_rows(network: NetworkNumber) -> Vec<TunnelRow>;
    /// The rows of a network that start at a host, by `to`.
    tunnel_rows_from(network: NetworkNumber, from: HostNumber) -> Vec<TunnelRow>;
    /// Makes the rows of a network that start at a host exactly these, in any order; others of them go. Unchanged rows keep their ids.
    set_tunnel_rows(network: NetworkNumber, from: HostNumber, rows: &[TunnelRow]) -> ();
    /// Makes all rows that start at these hosts exactly these, whatever their networks, and answers how many that took: rows that are as
    /// given are not written and keep their ids. Each host stands there once.
    set_host_tunnels(hosts: &[HostTunnels]) -> RowsWritten;
    /// The hosts that rows start at.
    hosts_with_tunnel_rows() -> Vec<HostNumber>;
    /// Removes all rows of a network and answers how many there were.
    delete_tunnel_rows(network: NetworkNumber) -> u64;

    /// All physical networks.
    physical_networks() -> Vec<PhysicalNetworkRow>;
    /// Adds a physical network, or changes the one of this name.
    put_physical_network(network: &NewPhysicalNetwork) -> ();
    /// Removes a physical network. One with networks is [`StoreError::InUse`].
    delete_physical_network(name: &str) -> bool;

    /// All networks.
    networks() -> Vec<NetworkRow>;
    /// The network of this name.
    network(name: &str) -> Option<NetworkRow>;
    /// Adds a network, or changes the one of this name, and answers what stands there now; numbers as with [`Store::put_host`]. Another
    /// physical network than it has, or a key that another network has, is a [`StoreError::Conflict`].
    put_network(network: &NewNetwork) -> NetworkRow;
    /// Removes a network with its rows of tunnels. One with NICs is [`StoreError::InUse`].
    delete_network(name: &str) -> bool;

    /// A network's NICs.
    nics(network: NetworkNumber) -> Vec<NicRow>;
    /// The NICs on a host or moving to it, by network and id.
    nics_on(host: HostNumber) -> Vec<NicRow>;
    /// All NICs, by network and id.
    every_nic() -> Vec<NicRow>;
    /// Adds a NIC, or changes the one of this id; its network and hosts must be there.
    put_nic(nic: &NicRow) -> ();
    /// Removes a NIC.
    delete_nic(network: NetworkNumber, id: &str) -> bool;

    /// All keys that are not free.
    keys() -> Vec<KeyRow>;
    /// Records what a key is used for; a second allocated key of a network is a [`StoreError::Conflict`].
    put_key(key: &KeyRow) -> ();
    /// Makes a key free.
    delete_key(key: GreKey) -> bool;

    /// Who leads or led, if anybody ever did.
    lease() -> Option<LeaseRow>;
    /// Who leads now by the database's clock, if anybody does.
    living_lease() -> Option<LeaseRow>;
    /// Takes the lease or renews it for so many milliseconds, unless another leader has it still, and answers who has it now. A new leader, and
    /// one whose lease had run out, gets a new epoch, above `at_least` too.
    take_lease(leader: &str, milliseconds: u32, at_least: u64) -> LeaseRow;
    /// Ends the lease of this leader at once; answers whether it had it.
    release_lease(leader: &str) -> bool;

    /// Adds events, all or none, and answers their ids, which ascend.
    append_events(events: &[NewEvent]) -> Vec<u64>;
    /// The newest events that are asked for, at most `limit` and at most [`PAGE_MAX`]; with a cursor those older than it.
    events(filter: &EventFilter, cursor: Option<u64>, limit: u32) -> EventPage;
    /// Removes events that are older than this, in milliseconds since 1970, and answers how many there were.
    purge_events(older_than: i64) -> u64;
    /// Removes the oldest events where there are more than so many, and answers how many there were.
    cut_events(most: u64) -> u64;

    /// What the database says of itself; of SQLite the whole file is read.
    inspect() -> Inspection;
    /// How many rows each table has, by its name.
    count_rows() -> Vec<(String, u64)>;

    /// All settings.
    settings() -> Vec<(String, String)>;
    /// A setting.
    setting(name: &str) -> Option<String>;
    /// Sets a setting, at most 16383 characters, or removes it.
    set_setting(name: &str, value: Option<&str>) -> ();
}

impl Store {
    /// Adds one event and answers its id.
    pub async fn append_event(&self, event: NewEvent) -> Result<u64> {
        let ids = self.append_events(&[event]).await?;
        ids.first().copied().ok_or_else(|| StoreError::Corrupt { reason: "an event was added without an id".into() })
    }
}
