//! Databases that are servers: how they are connected to.
//!
//! What it does: reads an address, asks for TLS, and has the server end what a manager left open that stands still. What it must not do: show an
//! address, in which there may be a password.

use super::engine::Pool;
use super::failure::store_error;
use super::{TlsFiles, file, tls};
use crate::{Result, StoreError};

/// What a session is to wait for, and what it may leave open, seconds: a manager that was stopped in the middle of a change must not keep others
/// from the lease for longer than the lease lasts.
const WAITS: u32 = 4;
const LEAVES_OPEN: u32 = 5;

const RULE: &str = "must be an address of a database that can be read";

fn url_error() -> StoreError {
    StoreError::invalid("[database] url", RULE, "(not shown)")
}

/// Connects to the server of this address; none where the scheme is no server's.
pub(super) async fn open_server(url: &str, files: &TlsFiles, writes: bool) -> Option<Result<Pool>> {
    let (scheme, _) = url.split_once("://")?;
    let is_server = matches!(scheme, "mysql" | "mariadb" | "postgres" | "postgresql");
    if is_server && let Err(bad) = tls::check_files(files) {
        return Some(Err(bad));
    }
    match scheme {
        #[cfg(feature = "mysql")]
        "mysql" | "mariadb" => Some(open_mysql(url, files, writes).await),
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => Some(open_postgres(url, files, writes).await),
        _ => None,
    }
}

#[cfg(feature = "mysql")]
async fn open_mysql(url: &str, files: &TlsFiles, writes: bool) -> Result<Pool> {
    use sqlx::Executor;
    use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions, MySqlSslMode};
    let options: MySqlConnectOptions = url.parse().map_err(|_| url_error())?;
    let mut options = options.charset("utf8mb4").collation("utf8mb4_bin");
    if let Some(own) = &files.own {
        options = options.ssl_client_cert(&own.certificate).ssl_client_key(&own.key);
    }
    if let Some(ca) = &files.ca {
        options = options.ssl_ca(ca).ssl_mode(MySqlSslMode::VerifyIdentity);
    }
    let pool = MySqlPoolOptions::new().max_connections(file::CONNECTIONS).acquire_timeout(file::PATIENCE);
    let pool = pool.after_connect(move |connection, _| {
        Box::pin(async move {
            let waits = format!("SET SESSION innodb_lock_wait_timeout = {WAITS}");
            connection.execute(sqlx::AssertSqlSafe(waits)).await?;
            // MySQL has no such limit.
            let open = format!("SET SESSION idle_transaction_timeout = {LEAVES_OPEN}");
            let _ = connection.execute(sqlx::AssertSqlSafe(open)).await;
            // On a node of Galera what was recorded at another one is seen as soon as it is recorded. MySQL has no such thing, and one server needs none.
            let _ = connection.execute("SET SESSION wsrep_sync_wait = 1").await;
            if !writes {
                connection.execute("SET SESSION TRANSACTION READ ONLY").await?;
            }
            Ok(())
        })
    });
    pool.connect_with(options).await.map(Pool::MySql).map_err(store_error)
}

#[cfg(feature = "postgres")]
async fn open_postgres(url: &str, files: &TlsFiles, writes: bool) -> Result<Pool> {
    use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
    let mut options: PgConnectOptions = url.parse().map_err(|_| url_error())?;
    if let Some(own) = &files.own {
        options = options.ssl_client_cert(&own.certificate).ssl_client_key(&own.key);
    }
    if let Some(ca) = &files.ca {
        options = options.ssl_root_cert(ca).ssl_mode(PgSslMode::VerifyFull);
    }
    let options = options.options([
        ("lock_timeout", format!("{WAITS}s")),
        ("idle_in_transaction_session_timeout", format!("{LEAVES_OPEN}s")),
        ("default_transaction_read_only", (if writes { "off" } else { "on" }).to_owned()),
    ]);
    let pool = PgPoolOptions::new().max_connections(file::CONNECTIONS).acquire_timeout(file::PATIENCE);
    pool.connect_with(options).await.map(Pool::Postgres).map_err(store_error)
}
