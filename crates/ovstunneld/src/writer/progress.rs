//! Whether the writer gets on, for the watchdog. Must not cost anything worth measuring.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The last sign of life of a busy writer. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Mutex<Option<Instant>>>);

impl Progress {
    /// Since when the writer has been at one piece of work; nothing while it waits for some.
    pub fn busy_since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A piece of work begins, or gets on.
    pub(super) fn begin_step(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// There is nothing to do.
    pub(super) fn set_idle(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
