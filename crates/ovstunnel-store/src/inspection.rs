//! What a database says of itself. Must not judge it.

/// The last migration that this program has.
pub(crate) const KNOWN: u32 = 1;

/// What a database says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Which engine it is of: `SQLite`, `MySQL`, `PostgreSQL`, `memory`.
    pub engine: &'static str,
    /// Number of the last migration that it has had.
    pub schema: u32,
    /// The last one that this program has.
    pub known: u32,
    /// The zone that it is for; none where that cannot be told.
    pub zone: Option<String>,
    /// What is damaged in it, in the engine's words.
    pub damage: Option<String>,
}
