//! What the last reconcile run found, and the last repair: for `/readyz` and for those who ask at 3 a.m. Must not grow.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use super::Report;

/// Messages that are kept of one run.
const MESSAGES: usize = 20;

/// A reconcile run, or a repair of what somebody else has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// When it ended.
    pub at: SystemTime,
    /// What called for it.
    pub why: &'static str,
    /// How much differed.
    pub found: usize,
    /// How much of that could not be repaired.
    pub failed: usize,
    /// What could not be repaired and what was found, the first few.
    pub messages: Vec<String>,
}

/// The last ones. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Runs(Arc<RwLock<Last>>);

#[derive(Clone, Debug, Default)]
struct Last {
    everything: Option<Run>,
    repair: Option<Run>,
}

impl Runs {
    /// The last reconcile run.
    pub fn last_run(&self) -> Option<Run> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).everything.clone()
    }

    /// The last time that something had to be repaired.
    pub fn last_repair(&self) -> Option<Run> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).repair.clone()
    }

    /// A reconcile run has ended.
    pub(super) fn record_end(&self, why: &'static str, report: &Report) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).everything = Some(Run::from_report(why, report));
        if !report.found.is_empty() || !report.failed.is_empty() {
            self.record_repair(why, report);
        }
    }

    /// Something was repaired, or could not be.
    pub(super) fn record_repair(&self, why: &'static str, report: &Report) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).repair = Some(Run::from_report(why, report));
    }
}

impl Run {
    fn from_report(why: &'static str, report: &Report) -> Self {
        let Report { found, failed, .. } = report;
        let messages = failed.iter().chain(found).take(MESSAGES).cloned().collect();
        Run { at: SystemTime::now(), why, found: found.len(), failed: failed.len(), messages }
    }
}
