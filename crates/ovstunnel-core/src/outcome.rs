//! What a change did. Must not say more than that: details belong to the answer.

use std::fmt;

/// What a change did; the same change twice is a success and the second one is `Unchanged`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::Created => "created",
            Outcome::Updated => "updated",
            Outcome::Unchanged => "unchanged",
            Outcome::Removed => "removed",
        })
    }
}
