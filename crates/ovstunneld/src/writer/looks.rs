//! What the last look at everything found, and the last repair: for `/readyz` and for those who ask at 3 a.m. Must not grow.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use super::Report;

/// Words that are kept of one look.
const WORDS: usize = 20;

/// A look at everything, or a repair of what somebody else has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// When it ended.
    pub at: SystemTime,
    /// What called for it.
    pub why: &'static str,
    /// How much differed.
    pub found: usize,
    /// How much of that could not be repaired.
    pub failed: usize,
    /// What could not be repaired and what was found, the first few.
    pub words: Vec<String>,
}

/// The last ones. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Looks(Arc<RwLock<Last>>);

#[derive(Clone, Debug, Default)]
struct Last {
    everything: Option<Look>,
    repair: Option<Look>,
}

impl Looks {
    /// The last look at everything.
    pub fn last(&self) -> Option<Look> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).everything.clone()
    }

    /// The last time that something had to be repaired.
    pub fn last_repair(&self) -> Option<Look> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).repair.clone()
    }

    /// Everything was looked at.
    pub(super) fn looked(&self, why: &'static str, report: &Report) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).everything = Some(Look::of(why, report));
        if !report.found.is_empty() || !report.failed.is_empty() {
            self.repaired(why, report);
        }
    }

    /// Something was repaired, or could not be.
    pub(super) fn repaired(&self, why: &'static str, report: &Report) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).repair = Some(Look::of(why, report));
    }
}

impl Look {
    fn of(why: &'static str, report: &Report) -> Self {
        let Report { found, failed, .. } = report;
        let words = failed.iter().chain(found).take(WORDS).cloned().collect();
        Look { at: SystemTime::now(), why, found: found.len(), failed: failed.len(), words }
    }
}
