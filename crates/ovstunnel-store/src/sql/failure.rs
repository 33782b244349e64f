//! What an engine's error means.
//!
//! What it does: SQLite's result codes, MySQL's numbers, PostgreSQL's SQLSTATEs, as [`StoreError`]. What it must not do: repeat
//! anything.

use sqlx::error::DatabaseError;

use crate::StoreError;

/// What an error of sqlx means.
pub(crate) fn store_error(error: sqlx::Error) -> StoreError {
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    if let Some(reason) = super::tls::reason_in_words(&error) {
        return StoreError::Unavailable { reason };
    }
    match &error {
        sqlx::Error::Database(said) => by_engine(said.as_ref()),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => {
            StoreError::Corrupt { reason: error.to_string() }
        }
        sqlx::Error::PoolTimedOut => StoreError::Unavailable { reason: "no connection became free in time".into() },
        _ => StoreError::Unavailable { reason: error.to_string() },
    }
}

fn by_engine(said: &dyn DatabaseError) -> StoreError {
    #[cfg(feature = "mysql")]
    if let Some(said) = said.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        return mysql_error(said.number(), said.message());
    }
    #[cfg(feature = "postgres")]
    if let Some(said) = said.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
        return postgres_error(said.code(), said.message(), said.constraint());
    }
    let code = said.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or_default();
    sqlite_error(code, said.message())
}

/// By the code (<https://sqlite.org/rescode.html>), whose lower eight bits say the kind.
fn sqlite_error(code: i32, message: &str) -> StoreError {
    let reason = message.to_owned();
    match code & 0xff {
        // BUSY, LOCKED: our own file lock keeps other managers away.
        5 | 6 => StoreError::Locked { by: "another program, such as sqlite3 or a backup".into() },
        // READONLY
        8 => StoreError::ReadOnly { reason },
        // CORRUPT, NOTADB
        11 | 26 => StoreError::Corrupt { reason },
        // FULL
        13 => StoreError::Full { reason },
        // CONSTRAINT: "UNIQUE constraint failed: table.column"
        19 => {
            StoreError::Conflict { field: message.rsplit(": ").next().unwrap_or_default().into(), value: String::new() }
        }
        _ => StoreError::Unavailable { reason },
    }
}

/// By the number (<https://mariadb.com/kb/en/mariadb-error-codes/>).
#[cfg(feature = "mysql")]
fn mysql_error(number: u16, message: &str) -> StoreError {
    let reason = message.to_owned();
    match number {
        // ER_OPTION_PREVENTS_STATEMENT, ER_READ_ONLY_MODE, ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
        1290 | 1836 | 1792 => StoreError::ReadOnly { reason },
        // ER_DISK_FULL, ER_RECORD_FILE_FULL
        1021 | 1114 => StoreError::Full { reason },
        // ER_NOT_KEYFILE, ER_CRASHED_ON_USAGE, ER_INDEX_CORRUPT
        1034 | 1194 | 1712 => StoreError::Corrupt { reason },
        // ER_LOCK_DEADLOCK, which is also what a node of Galera says of a transaction that another node's was faster than; ER_CHECKREAD
        1213 | 1020 => StoreError::RolledBack { reason },
        // ER_DUP_ENTRY
        1062 => StoreError::Conflict { field: "an entry".into(), value: reason },
        _ => StoreError::Unavailable { reason },
    }
}

/// By the SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
#[cfg(feature = "postgres")]
fn postgres_error(code: &str, message: &str, constraint: Option<&str>) -> StoreError {
    let reason = message.to_owned();
    match code {
        "25006" => StoreError::ReadOnly { reason },
        // serialization_failure, deadlock_detected
        "40001" | "40P01" => StoreError::RolledBack { reason },
        "53100" => StoreError::Full { reason },
        "XX001" | "XX002" => StoreError::Corrupt { reason },
        "23505" => StoreError::Conflict { field: constraint.unwrap_or("an entry").into(), value: reason },
        _ => StoreError::Unavailable { reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_sqlite_say_what_is_wrong() {
        assert!(matches!(sqlite_error(517, "database is locked"), StoreError::Locked { .. }));
        assert!(matches!(sqlite_error(1032, "attempt to write"), StoreError::ReadOnly { .. }));
        assert!(matches!(sqlite_error(267, "malformed"), StoreError::Corrupt { .. }));
        assert!(matches!(sqlite_error(14, "unable to open"), StoreError::Unavailable { .. }));
        let twice = sqlite_error(2067, "UNIQUE constraint failed: ovstunnel_host.name");
        assert_eq!(twice, StoreError::conflict("ovstunnel_host.name", ""));
    }
}
