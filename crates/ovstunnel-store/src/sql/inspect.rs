//! What a database says of itself: its schema, how many rows each table has, and whether SQLite's file is whole.
//!
//! What it must not do: write, or take the lock of a file that a manager has.

use sea_query::{Asterisk, Expr, Func, Query};

use super::engine::{Kind, Pool, Tx};
use super::failure::store_error;
use super::{SqlStore, TlsFiles, URL_RULE, file, open_viewer, schema};
use crate::inspection::KNOWN;
use crate::{Inspection, Result, StoreError};

impl Tx {
    async fn schema_version(&mut self) -> Result<u32> {
        let last = Query::select().expr_as(Func::max(Expr::col("number")), "last").from(schema::SCHEMA).to_owned();
        let found = self.fetch_first(&last, |row| row.maybe_int("last")).await?.flatten().unwrap_or_default();
        Ok(u32::try_from(found).unwrap_or(u32::MAX))
    }
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Sqlite => "SQLite",
            #[cfg(feature = "mysql")]
            Kind::MySql => "MySQL",
            #[cfg(feature = "postgres")]
            Kind::Postgres => "PostgreSQL",
        }
    }
}

async fn inspect_pool(pool: &Pool) -> Result<Inspection> {
    let mut tx = pool.begin_snapshot().await?;
    let engine = tx.kind().as_str();
    let schema = tx.schema_version().await?;
    let zone = Query::select().column("name").from(schema::ZONE).to_owned();
    // A newer program may keep it elsewhere.
    let zone = if schema > KNOWN { None } else { tx.fetch_first(&zone, |row| row.text("name")).await? };
    drop(tx);
    let damage = match pool {
        Pool::Sqlite(pool) => file::first_damage(pool).await.map_err(store_error)?,
        #[cfg(any(feature = "mysql", feature = "postgres"))]
        _ => None,
    };
    Ok(Inspection { engine, schema, known: KNOWN, zone, damage })
}

/// Inspects a database that nobody in this process has open, for reading only: the manager that has it may run.
pub(crate) async fn inspect_unopened(url: &str, tls: &TlsFiles) -> Result<Inspection> {
    let scheme = url.split_once("://").map_or(url, |(scheme, _)| scheme);
    let no_address = || StoreError::invalid("[database] url", URL_RULE, scheme);
    let pool = open_viewer(url, tls).await.ok_or_else(no_address)??;
    let inspection = inspect_pool(&pool).await;
    pool.close().await;
    inspection
}

impl SqlStore {
    pub(crate) async fn inspect(&self) -> Result<Inspection> {
        inspect_pool(&self.pool).await
    }

    pub(crate) async fn count_rows(&self) -> Result<Vec<(String, u64)>> {
        let mut tx = self.begin_read().await?;
        let mut counts = Vec::new();
        for table in schema::TABLES {
            let all = Query::select().expr_as(Func::count(Expr::col(Asterisk)), "rows").from(table).to_owned();
            let rows = tx.fetch_first(&all, |row| row.count("rows")).await?;
            counts.push((table.to_owned(), rows.unwrap_or_default()));
        }
        Ok(counts)
    }
}
