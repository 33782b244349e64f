//! The engines: one way to run a statement and to read a row, whichever of them it is.
//!
//! What it does: pools, transactions, statements made by sea-query in the engine's own words, columns of the two types that all
//! have (whole numbers and texts). What it must not do: know a table; have a statement as text, but those that make tables.

use futures_util::TryStreamExt;
use sea_query::{DeleteStatement, InsertStatement, SelectStatement, UpdateStatement};
use sea_query_sqlx::SqlxBinder;
use sqlx::{AssertSqlSafe, Row as _};

use super::failure::store_error;
use crate::{Result, StoreError};

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    #[cfg(feature = "mysql")]
    MySql,
    #[cfg(feature = "postgres")]
    Postgres,
}

/// Connections.
#[derive(Debug)]
pub(crate) enum Pool {
    Sqlite(sqlx::SqlitePool),
    #[cfg(feature = "mysql")]
    MySql(sqlx::MySqlPool),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::PgPool),
}

/// A transaction; dropped, it is rolled back.
pub(crate) enum Tx {
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
    #[cfg(feature = "mysql")]
    MySql(sqlx::Transaction<'static, sqlx::MySql>),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
}

/// The same for each engine: what it has, and how its statements are written.
macro_rules! each {
    ($of:ident, $value:expr, $inner:ident, $builder:ident => $body:expr) => {
        match $value {
            $of::Sqlite($inner) => {
                #[allow(unused_variables, reason = "not all bodies write a statement")]
                let $builder = sea_query::SqliteQueryBuilder;
                $body
            }
            #[cfg(feature = "mysql")]
            $of::MySql($inner) => {
                #[allow(unused_variables, reason = "not all bodies write a statement")]
                let $builder = sea_query::MysqlQueryBuilder;
                $body
            }
            #[cfg(feature = "postgres")]
            $of::Postgres($inner) => {
                #[allow(unused_variables, reason = "not all bodies write a statement")]
                let $builder = sea_query::PostgresQueryBuilder;
                $body
            }
        }
    };
}

impl Pool {
    /// A transaction that reads.
    pub(crate) async fn begin_read(&self) -> Result<Tx> {
        match self {
            Pool::Sqlite(pool) => pool.begin().await.map(Tx::Sqlite),
            #[cfg(feature = "mysql")]
            Pool::MySql(pool) => pool.begin().await.map(Tx::MySql),
            #[cfg(feature = "postgres")]
            Pool::Postgres(pool) => pool.begin().await.map(Tx::Postgres),
        }
        .map_err(store_error)
    }

    /// A transaction that writes. SQLite takes its one write lock at once: a transaction that reads first and writes then can be
    /// refused in its middle.
    pub(crate) async fn begin_write(&self) -> Result<Tx> {
        match self {
            Pool::Sqlite(pool) => pool.begin_with("BEGIN IMMEDIATE").await.map(Tx::Sqlite).map_err(store_error),
            #[cfg(any(feature = "mysql", feature = "postgres"))]
            _ => self.begin_read().await,
        }
    }

    /// A transaction that sees everything as of its beginning, and in which the engine refuses to write.
    pub(crate) async fn begin_snapshot(&self) -> Result<Tx> {
        match self {
            #[cfg(feature = "mysql")]
            Pool::MySql(pool) => {
                let begun = pool.begin_with("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").await;
                begun.map(Tx::MySql).map_err(store_error)
            }
            // SQLite's file is opened for reading only.
            _ => self.begin_read().await,
        }
    }

    pub(crate) async fn close(&self) {
        each!(Pool, self, pool, builder => pool.close().await);
    }
}

/// Longest statement that a connection keeps prepared, bytes. One of many rows comes again with another number of them, and each would be kept.
const KEPT: usize = 2000;

fn is_kept(sql: &str) -> bool {
    sql.len() <= KEPT
}

impl Tx {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Tx::Sqlite(_) => Kind::Sqlite,
            #[cfg(feature = "mysql")]
            Tx::MySql(_) => Kind::MySql,
            #[cfg(feature = "postgres")]
            Tx::Postgres(_) => Kind::Postgres,
        }
    }

    pub(crate) async fn commit(self) -> Result<()> {
        each!(Tx, self, tx, builder => tx.commit().await).map_err(store_error)
    }

    /// Each row of a statement, as what `decode` makes of it; rows are not kept.
    pub(crate) async fn fetch_all<T>(
        &mut self,
        statement: &SelectStatement,
        decode: impl Fn(Row<'_>) -> Result<T> + Send,
    ) -> Result<Vec<T>>
    where
        T: Send,
    {
        each!(Tx, self, tx, builder => {
            let (sql, values) = statement.build_sqlx(builder);
            let keep = is_kept(&sql);
            let mut rows = sqlx::query_with(AssertSqlSafe(sql), values).persistent(keep).fetch(&mut **tx);
            let mut all = Vec::new();
            while let Some(row) = rows.try_next().await.map_err(store_error)? {
                all.push(decode(Row(&row))?);
            }
            Ok(all)
        })
    }

    /// The first row of a statement, if there is one.
    pub(crate) async fn fetch_first<T: Send>(
        &mut self,
        statement: &SelectStatement,
        decode: impl Fn(Row<'_>) -> Result<T> + Send,
    ) -> Result<Option<T>> {
        Ok(self.fetch_all(statement, decode).await?.into_iter().next())
    }

    pub(crate) async fn run_insert(&mut self, statement: &InsertStatement) -> Result<u64> {
        each!(Tx, self, tx, builder => {
            let (sql, values) = statement.build_sqlx(builder);
            let keep = is_kept(&sql);
            let done = sqlx::query_with(AssertSqlSafe(sql), values).persistent(keep).execute(&mut **tx).await;
            done.map(|done| done.rows_affected()).map_err(store_error)
        })
    }

    pub(crate) async fn run_update(&mut self, statement: &UpdateStatement) -> Result<u64> {
        each!(Tx, self, tx, builder => {
            let (sql, values) = statement.build_sqlx(builder);
            let keep = is_kept(&sql);
            let done = sqlx::query_with(AssertSqlSafe(sql), values).persistent(keep).execute(&mut **tx).await;
            done.map(|done| done.rows_affected()).map_err(store_error)
        })
    }

    pub(crate) async fn run_delete(&mut self, statement: &DeleteStatement) -> Result<u64> {
        each!(Tx, self, tx, builder => {
            let (sql, values) = statement.build_sqlx(builder);
            let keep = is_kept(&sql);
            let done = sqlx::query_with(AssertSqlSafe(sql), values).persistent(keep).execute(&mut **tx).await;
            done.map(|done| done.rows_affected()).map_err(store_error)
        })
    }

    /// Runs a statement that makes tables, as the schema wrote it; answers the engine's own error.
    pub(crate) async fn run_definition(&mut self, sql: String) -> std::result::Result<(), sqlx::Error> {
        each!(Tx, self, tx, builder => sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut **tx).await.map(|_| ()))
    }
}

/// The columns of a row.
trait Columns {
    fn int(&self, column: &str) -> std::result::Result<Option<i64>, sqlx::Error>;
    fn text(&self, column: &str) -> std::result::Result<Option<String>, sqlx::Error>;
}

impl Columns for sqlx::sqlite::SqliteRow {
    fn int(&self, column: &str) -> std::result::Result<Option<i64>, sqlx::Error> {
        self.try_get(column)
    }

    fn text(&self, column: &str) -> std::result::Result<Option<String>, sqlx::Error> {
        self.try_get(column)
    }
}

#[cfg(feature = "mysql")]
impl Columns for sqlx::mysql::MySqlRow {
    /// UNSIGNED columns are read as unsigned numbers only; ours are below 2^63.
    fn int(&self, column: &str) -> std::result::Result<Option<i64>, sqlx::Error> {
        self.try_get::<Option<i64>, _>(column).or_else(|_| {
            let number = self.try_get::<Option<u64>, _>(column)?;
            number.map(i64::try_from).transpose().map_err(|error| sqlx::Error::Decode(error.into()))
        })
    }

    fn text(&self, column: &str) -> std::result::Result<Option<String>, sqlx::Error> {
        self.try_get(column)
    }
}

#[cfg(feature = "postgres")]
impl Columns for sqlx::postgres::PgRow {
    /// Shorter columns are read as shorter numbers only.
    fn int(&self, column: &str) -> std::result::Result<Option<i64>, sqlx::Error> {
        self.try_get::<Option<i64>, _>(column)
            .or_else(|_| self.try_get::<Option<i32>, _>(column).map(|number| number.map(i64::from)))
    }

    fn text(&self, column: &str) -> std::result::Result<Option<String>, sqlx::Error> {
        self.try_get(column)
    }
}

/// A row. Whatever is read is checked: a value that this program cannot have written is damage, and is named.
pub(crate) struct Row<'a>(&'a dyn Columns);

fn damaged_column(column: &str, value: impl std::fmt::Debug) -> StoreError {
    StoreError::Corrupt { reason: format!("column {column} holds {value:?}, which this program does not write") }
}

impl Row<'_> {
    pub(crate) fn maybe_int(&self, column: &str) -> Result<Option<i64>> {
        self.0.int(column).map_err(|error| damaged_column(column, error.to_string()))
    }

    pub(crate) fn int(&self, column: &str) -> Result<i64> {
        self.maybe_int(column)?.ok_or_else(|| damaged_column(column, "NULL"))
    }

    pub(crate) fn maybe_text(&self, column: &str) -> Result<Option<String>> {
        self.0.text(column).map_err(|error| damaged_column(column, error.to_string()))
    }

    pub(crate) fn text(&self, column: &str) -> Result<String> {
        self.maybe_text(column)?.ok_or_else(|| damaged_column(column, "NULL"))
    }

    /// A number that is not negative.
    pub(crate) fn count(&self, column: &str) -> Result<u64> {
        let number = self.int(column)?;
        u64::try_from(number).map_err(|_| damaged_column(column, number))
    }

    /// The number of a host or a network.
    pub(crate) fn number<T: TryFrom<u64>>(&self, column: &str) -> Result<T> {
        let number = self.count(column)?;
        T::try_from(number).map_err(|_| damaged_column(column, number))
    }

    pub(crate) fn maybe_number<T: TryFrom<u64>>(&self, column: &str) -> Result<Option<T>> {
        self.maybe_int(column)?.map(|_| self.number(column)).transpose()
    }

    /// A value that is written as a text.
    pub(crate) fn parsed_text<T: std::str::FromStr>(&self, column: &str) -> Result<T> {
        let text = self.text(column)?;
        text.parse().map_err(|_| damaged_column(column, text))
    }

    pub(crate) fn maybe_parsed<T: std::str::FromStr>(&self, column: &str) -> Result<Option<T>> {
        self.maybe_text(column)?.map(|text| text.parse().map_err(|_| damaged_column(column, text))).transpose()
    }

    pub(crate) fn maybe_key(&self, column: &str) -> Result<Option<ovstunnel_types::GreKey>> {
        let key = self.maybe_int(column)?;
        key.map(|key| ovstunnel_types::GreKey::try_from(key).map_err(|_| damaged_column(column, key))).transpose()
    }

    pub(crate) fn key(&self, column: &str) -> Result<ovstunnel_types::GreKey> {
        self.maybe_key(column)?.ok_or_else(|| damaged_column(column, "NULL"))
    }
}
