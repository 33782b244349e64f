//! Small parts of statements.
//!
//! What it does: rows to insert and fields to update from one list, numbers as all engines take them. What it must not do: know a
//! table.

use ovstunnel_types::{GreKey, HostNumber, NetworkNumber};
use sea_query::{Expr, InsertStatement, Query, UpdateStatement, Value};

use crate::{Result, StoreError};

/// Columns and what to write to them.
pub(crate) type Fields = Vec<(&'static str, Value)>;

/// Most rows of one statement: with 8 columns, far below the 32766 values that SQLite takes.
pub(crate) const ROWS: usize = 500;

pub(crate) fn insert_statement(table: &'static str, rows: Vec<Fields>) -> Result<InsertStatement> {
    let mut statement = Query::insert();
    statement.into_table(table);
    let columns = rows.first().map(|row| row.iter().map(|(column, _)| *column).collect::<Vec<_>>());
    statement.columns(columns.unwrap_or_default());
    for row in rows {
        let values = row.into_iter().map(|(_, value)| Expr::from(value));
        let reason = |error: sea_query::error::Error| StoreError::Unavailable { reason: error.to_string() };
        statement.values(values).map_err(reason)?;
    }
    Ok(statement)
}

pub(crate) fn update_statement(table: &'static str, fields: Fields) -> UpdateStatement {
    let mut statement = Query::update();
    statement.table(table).values(fields.into_iter().map(|(column, value)| (column, Expr::from(value))));
    statement
}

/// Numbers of hosts and networks are below 2^63: signed, as PostgreSQL has nothing else.
pub(crate) trait Int {
    fn int(self) -> i64;
}

impl Int for u64 {
    fn int(self) -> i64 {
        i64::try_from(self).unwrap_or(i64::MAX)
    }
}

impl Int for HostNumber {
    fn int(self) -> i64 {
        self.get().int()
    }
}

impl Int for NetworkNumber {
    fn int(self) -> i64 {
        self.get().int()
    }
}

impl Int for GreKey {
    fn int(self) -> i64 {
        i64::from(self.get())
    }
}
