//! The database as one: SQLite, and with the crate's features MariaDB, MySQL and PostgreSQL.
//!
//! What it does: opens it (schema, zone) and runs what [`crate::Store`] says, each change in one transaction. What it must not do:
//! hold a statement that one of the engines does not have.

mod act;
mod backup;
mod engine;
mod events;
mod failure;
mod file;
mod hosts;
mod inspect;
mod networks;
mod schema;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod server;
mod settings;
mod statements;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod tls;
mod tunnels;

use sea_query::{Expr, ExprTrait, LockType, Query};
use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

use crate::rows::next_free;
use crate::{Result, StateWords, StoreError, Zone};
pub(crate) use backup::{backup_file, restore_file};
pub(crate) use engine::{Kind, Pool, Row, Tx};
pub(crate) use inspect::inspect_unopened;
pub(crate) use statements::{Fields, Int, insert_statement, update_statement};

/// How a database is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// Which words are written for a tunnel's state (`[database] states`).
    pub states: StateWords,
    /// The zone's UUID, where it is known from elsewhere: that of a database which is made now, or in which no host stands yet.
    pub uuid: Option<Uuid>,
    /// TLS with a server.
    pub tls: TlsFiles,
}

/// TLS with a server, by files (PEM).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificates that a server's must come from; TLS is asked for then. None: as the address says.
    pub ca: Option<std::path::PathBuf>,
    /// How a server is shown who asks: a certificate and its key. None: by the password in the address alone.
    pub own: Option<OwnFiles>,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnFiles {
    /// The certificate, followed by any intermediate ones.
    pub certificate: std::path::PathBuf,
    /// Its private key, unencrypted.
    pub key: std::path::PathBuf,
}

/// A database of an engine.
#[derive(Debug)]
pub struct SqlStore {
    pool: Pool,
    zone: Zone,
    words: StateWords,
    /// One change at a time in this process: no engine then has to refuse one for another of our own.
    writes: Mutex<()>,
    /// Who may change anything now.
    fence: std::sync::Mutex<Fence>,
    /// The lock on SQLite's file, for as long as this lives.
    _file: Option<file::Held>,
}

/// Who may change what stands in a database that several managers share. Looked at in the transaction of each change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fence {
    /// This process: nobody else has the database.
    #[default]
    Open,
    /// The leader of this name, for as long as it has the lease.
    Held(String),
    /// Whoever comes, while nobody has the lease.
    Unled,
    /// Not this process, for this reason.
    Closed(String),
}

/// A transaction that changes something.
struct Change<'a> {
    tx: Tx,
    _turn: MutexGuard<'a, ()>,
}

const URL_RULE: &str =
    "must be sqlite:///PATH, with the path from the root, or mysql:// or postgres://USER:PASSWORD@HOST/DATABASE";

/// How often a server's tables are tried to be made, where another manager makes them at the same moment.
const BEGINS: usize = 5;

impl SqlStore {
    /// Opens a database, makes it if it is not there, and brings it to this program's schema.
    pub(crate) async fn open(url: &str, zone: &str, options: OpenOptions) -> Result<SqlStore> {
        crate::rows::check_path_name("zone", zone)?;
        let (pool, held) = connect_pool(url, &options.tls).await?;
        let zone = match begin_together(&pool, zone, options.uuid).await {
            Ok(zone) => zone,
            Err(error) => {
                pool.close().await;
                return Err(error);
            }
        };
        Ok(SqlStore {
            pool,
            zone,
            words: options.states,
            writes: Mutex::default(),
            fence: std::sync::Mutex::default(),
            _file: held,
        })
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    pub(crate) async fn zone(&self) -> Result<Zone> {
        Ok(self.zone.clone())
    }

    async fn begin_read(&self) -> Result<Tx> {
        self.pool.begin_read().await
    }

    async fn begin_change(&self) -> Result<Change<'_>> {
        let closed = |by: String| StoreError::NotLeading { by };
        if let Fence::Closed(by) = self.current_fence() {
            return Err(closed(by));
        }
        let turn = self.writes.lock().await;
        let mut tx = self.pool.begin_write().await?;
        match self.current_fence() {
            Fence::Open => {}
            Fence::Closed(by) => return Err(closed(by)),
            fence => tx.check_fence(&fence).await?,
        }
        Ok(Change { tx, _turn: turn })
    }

    /// A change of the lease: it passes each fence. On a server it does not wait for what else this process changes.
    async fn change_lease(&self) -> Result<(Tx, Option<MutexGuard<'_, ()>>)> {
        let turn = if matches!(self.pool, Pool::Sqlite(_)) { Some(self.writes.lock().await) } else { None };
        Ok((self.pool.begin_write().await?, turn))
    }

    fn current_fence(&self) -> Fence {
        self.fence.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    pub(crate) fn set_fence(&self, fence: Fence) {
        *self.fence.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = fence;
    }

    pub(crate) fn may_change(&self) -> bool {
        !matches!(self.current_fence(), Fence::Closed(_))
    }
}

impl Change<'_> {
    async fn commit(self) -> Result<()> {
        self.tx.commit().await
    }
}

async fn connect_pool(url: &str, tls: &TlsFiles) -> Result<(Pool, Option<file::Held>)> {
    if let Some(("sqlite", path)) = url.split_once("://") {
        let path = Some(path).filter(|path| path.starts_with('/') && !path.contains(['?', '#']));
        let path = path.ok_or_else(|| StoreError::invalid("[database] url", URL_RULE, url))?;
        let (pool, held) = file::open_file(std::path::Path::new(path)).await?;
        return Ok((Pool::Sqlite(pool), Some(held)));
    }
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    if let Some(pool) = server::open_server(url, tls, true).await {
        return Ok((pool?, None));
    }
    let _ = tls;
    // An address of a server may have a password in it.
    let shown = url.split_once("://").map_or_else(|| url.to_owned(), |(scheme, _)| format!("{scheme}://…"));
    Err(StoreError::invalid("[database] url", URL_RULE, &shown))
}

/// Opens a manager's database, for a session that can only read; none where the address is none.
pub(crate) async fn open_viewer(url: &str, tls: &TlsFiles) -> Option<Result<Pool>> {
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    if let Some(pool) = server::open_server(url, tls, false).await {
        return Some(pool);
    }
    let _ = tls;
    open_reader(url).await
}

/// Opens somebody else's database, for a session that can only read; none where the address is none.
pub(crate) async fn open_reader(url: &str) -> Option<Result<Pool>> {
    open_foreign(url, false).await
}

/// The same, for a session that can write. A file that is not there is not made.
pub(crate) async fn open_writer(url: &str) -> Option<Result<Pool>> {
    open_foreign(url, true).await
}

async fn open_foreign(url: &str, writes: bool) -> Option<Result<Pool>> {
    match url.split_once("://")? {
        ("sqlite", path) if path.starts_with('/') && !path.contains(['?', '#']) => {
            Some(file::open_foreign(std::path::Path::new(path), writes).await.map(Pool::Sqlite))
        }
        #[cfg(feature = "mysql")]
        ("mysql" | "mariadb", rest) if rest.split_once('/').is_some_and(|(_, name)| !name.is_empty()) => {
            let options: sqlx::mysql::MySqlConnectOptions = url.parse().ok()?;
            let pool = sqlx::mysql::MySqlPoolOptions::new().max_connections(1).acquire_timeout(file::PATIENCE);
            let pool = pool.after_connect(move |connection, _| {
                let session = match writes {
                    true => "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
                    false => "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
                };
                Box::pin(async move { sqlx::Executor::execute(connection, session).await.map(|_| ()) })
            });
            Some(pool.connect_with(options).await.map(Pool::MySql).map_err(failure::store_error))
        }
        _ => None,
    }
}

/// Schema and zone. Managers that begin with an empty database at the same moment get in each other's way, and one of them does all of it.
async fn begin_together(pool: &Pool, zone: &str, uuid: Option<Uuid>) -> Result<Zone> {
    let mut tries = if matches!(pool, Pool::Sqlite(_)) { 1 } else { BEGINS };
    loop {
        tries -= 1;
        match prepare_schema(pool, zone, uuid).await {
            Err(StoreError::Conflict { .. } | StoreError::Unavailable { .. }) if tries > 0 => {
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
            begun => return begun,
        }
    }
}

/// Schema and zone: tables, then what stands in them.
async fn prepare_schema(pool: &Pool, zone: &str, uuid: Option<Uuid>) -> Result<Zone> {
    let mut tx = pool.begin_write().await?;
    let found = schema::make_tables(&mut tx).await?;
    tx.commit().await?;
    let mut tx = pool.begin_write().await?;
    schema::fill_tables(&mut tx, found, crate::memory::system_clock() / 1000).await?;
    let known = Query::select().columns(["name", "uuid"]).from(schema::ZONE).to_owned();
    let known =
        tx.fetch_first(&known, |row| Ok(Zone { name: row.text("name")?, uuid: row.parsed_text("uuid")? })).await?;
    let known = match known {
        Some(known) if known.name == zone => match uuid.filter(|uuid| *uuid != known.uuid) {
            Some(uuid) if tx.has_no_host().await? => {
                tx.run_update(&update_statement(schema::ZONE, vec![("uuid", uuid.hyphenated().to_string().into())]))
                    .await?;
                Zone { uuid, ..known }
            }
            _ => known,
        },
        Some(known) => return Err(StoreError::OtherZone { found: known.name, wanted: zone.to_owned() }),
        None => {
            let made = Zone { name: zone.to_owned(), uuid: uuid.unwrap_or_else(Uuid::new_v4) };
            let uuid = made.uuid.hyphenated().to_string();
            let row = vec![("id", 1i64.into()), ("name", zone.into()), ("uuid", uuid.into())];
            tx.run_insert(&insert_statement(schema::ZONE, vec![row])?).await?;
            made
        }
    };
    tx.commit().await?;
    Ok(known)
}

impl Tx {
    async fn has_no_host(&mut self) -> Result<bool> {
        let first = Query::select().column("number").from(schema::HOST).limit(1).to_owned();
        Ok(self.fetch_first(&first, |row| row.count("number")).await?.is_none())
    }

    /// The last number that was given out for a kind of thing; nobody else gives one out until this transaction ends.
    async fn last_given(&mut self, name: &'static str) -> Result<u64> {
        let mut last = Query::select();
        last.column("last").from(schema::COUNTER).and_where(Expr::col("name").eq(name)).lock(LockType::Update);
        let last = self.fetch_first(&last, |row| row.count("last")).await?;
        last.ok_or_else(|| StoreError::corrupt(schema::COUNTER, "name", format!("no {name}")))
    }

    async fn set_last_given(&mut self, name: &'static str, last: u64) -> Result<()> {
        let mut statement = update_statement(schema::COUNTER, vec![("last", last.int().into())]);
        self.run_update(statement.and_where(Expr::col("name").eq(name))).await.map(|_| ())
    }

    /// So many numbers that follow each other; answers the first.
    async fn next_numbers(&mut self, name: &'static str, many: u64) -> Result<u64> {
        let last = self.last_given(name).await?;
        self.set_last_given(name, last.saturating_add(many)).await?;
        Ok(last.saturating_add(1))
    }

    /// The next number that nobody of a table has.
    async fn give_free(&mut self, name: &'static str, table: &'static str) -> Result<u64> {
        let last = self.last_given(name).await?;
        let mut taken = Query::select();
        taken.column("number").from(table).and_where(Expr::col("number").gt(last.int()));
        taken.order_by("number", sea_query::Order::Asc);
        let next = next_free(last, self.fetch_all(&taken, |row| row.count("number")).await?);
        self.set_last_given(name, next).await?;
        Ok(next)
    }
}
