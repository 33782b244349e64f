//! What can go wrong with the manager's database, and what to do about it.
//!
//! What it does: one type for all engines, whose messages are meant for an operator. What it must not do: know an engine.

/// Why the database did not do what was asked. Nothing was changed, unless it is [`StoreError::Unavailable`] of a change: then it
/// is not known, and all changes may be repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No connection, no file, no answer.
    #[error("the database cannot be used: {reason}; it is tried again at the next request")]
    Unavailable {
        /// What the engine or the system said.
        reason: String,
    },
    /// The engine took this transaction back for another one: a deadlock, or two at once on the nodes of a cluster. It was made again some times.
    #[error("the database has taken the change back each time, in favour of another one: {reason}; try again")]
    RolledBack {
        /// What the engine said.
        reason: String,
    },
    /// Somebody else has the SQLite file.
    #[error(
        "the database is in use by {by}; end that program first, or give this manager another database in [database] url"
    )]
    Locked {
        /// Who: a process and since when, where that is known.
        by: String,
    },
    /// Reading would do, writing does not.
    #[error("the database can only be read: {reason}; make its file, its folder or its server writable")]
    ReadOnly {
        /// What the engine said.
        reason: String,
    },
    /// No space is left.
    #[error("the database has no space left: {reason}; make space where it lies, nothing has been lost")]
    Full {
        /// What the engine said.
        reason: String,
    },
    /// What is stored is not what this program stores.
    #[error(
        "the database is damaged: {reason}; stop the manager, keep the file, and restore a backup or use 'ovstunnel-manager rebuild'"
    )]
    Corrupt {
        /// What was found, and where.
        reason: String,
    },
    /// Its tables were made by a newer program.
    #[error(
        "the database has schema {found}, this program knows {known}; use the newer program, or restore a backup from before"
    )]
    Newer {
        /// Number of the last migration that it has had.
        found: u32,
        /// The last one that this program has.
        known: u32,
    },
    /// It belongs to another zone.
    #[error(
        "the database is that of zone {found:?}, not of {wanted:?}; set zone = {found:?}, or give another [database] url"
    )]
    OtherZone {
        /// The zone in the database.
        found: String,
        /// The zone that it was opened for.
        wanted: String,
    },
    /// Another manager of the zone leads, and writes alone.
    #[error("the database is changed by the manager that leads, and not by this one: that has {by}")]
    NotLeading {
        /// Who leads, as far as that is known.
        by: String,
    },
    /// A value that can be there once is there already.
    #[error("{field} {value:?} is already in use; choose another one")]
    Conflict {
        /// Table and field.
        field: String,
        /// The value.
        value: String,
    },
    /// A thing that was named is not there.
    #[error("there is no {what} {name:?}; add it first")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// Its name or number.
        name: String,
    },
    /// A thing that others need cannot go.
    #[error("{what} {name:?} is used by {by}; remove that first")]
    InUse {
        /// What kind of thing.
        what: &'static str,
        /// Its name or number.
        name: String,
        /// The first one that uses it.
        by: String,
    },
    /// A value that no column takes.
    #[error("{field} {rule}; got {value:?}")]
    Invalid {
        /// Table and field.
        field: &'static str,
        /// The rule, which reads on from the field.
        rule: &'static str,
        /// The value, cut at 80 characters.
        value: String,
    },
}

/// What the database answers.
pub type Result<T> = std::result::Result<T, StoreError>;

impl StoreError {
    /// A value that breaks a rule.
    pub(crate) fn invalid(field: &'static str, rule: &'static str, value: &str) -> StoreError {
        StoreError::Invalid { field, rule, value: value.chars().take(80).collect() }
    }

    /// A value that is there already.
    pub(crate) fn conflict(field: &str, value: impl ToString) -> StoreError {
        StoreError::Conflict { field: field.to_owned(), value: value.to_string() }
    }

    /// A thing that is not there.
    pub(crate) fn not_found(what: &'static str, name: impl ToString) -> StoreError {
        StoreError::NotFound { what, name: name.to_string() }
    }

    /// A value that this program cannot have written.
    pub(crate) fn corrupt(table: &str, column: &str, value: impl std::fmt::Debug) -> StoreError {
        StoreError::Corrupt { reason: format!("table {table} has {value:?} in column {column}") }
    }
}
