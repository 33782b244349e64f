//! What a change did. Must not say more than that: details belong to the answer.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a changing request did. The same request twice is a success; the second one says `unchanged`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was not there and is there now.
    Created,
    /// It was there and differed.
    Updated,
    /// Nothing had to be done.
    Unchanged,
    /// It was there and is gone now.
    Removed,
}

impl Outcome {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Created => "created",
            Outcome::Updated => "updated",
            Outcome::Unchanged => "unchanged",
            Outcome::Removed => "removed",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
