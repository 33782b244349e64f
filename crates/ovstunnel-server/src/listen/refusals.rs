//! Clients that are turned away: counted all, told of seldom. Must not decide who is.

use std::fmt;
use std::time::Duration;

use crate::seldom::Seldom;

/// Why a connection was ended, as the label of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// No good certificate, or no TLS at all.
    Handshake,
    /// The handshake took too long.
    Slow,
    /// Others needed the room.
    Displaced,
    /// Its answers were not read.
    Unread,
}

impl Reason {
    fn label(self) -> &'static str {
        match self {
            Reason::Handshake => "handshake",
            Reason::Slow => "slow_handshake",
            Reason::Displaced => "displaced",
            Reason::Unread => "unread_answers",
        }
    }
}

/// Of refusals 60 lines at once, then one a second; of the rest, which are also in the journal, 5 and one in 20 s.
pub(super) struct Refusals {
    count: Box<dyn Fn(&'static str) + Send + Sync>,
    refused: Seldom,
    displaced: Seldom,
    unread: Seldom,
}

impl Refusals {
    pub(super) fn new(count: impl Fn(&'static str) + Send + Sync + 'static) -> Self {
        let rare = || Seldom::new(5, Duration::from_secs(20));
        let refused = Seldom::new(60, Duration::from_secs(1));
        Refusals { count: Box::new(count), refused, displaced: rare(), unread: rare() }
    }

    /// Counts one; gives leave to write a line, with how many were not told of before.
    pub(super) fn count_refusal(&self, reason: Reason) -> Option<Option<u64>> {
        (self.count)(reason.label());
        match reason {
            Reason::Handshake | Reason::Slow => self.refused.may_write(),
            Reason::Displaced => self.displaced.may_write(),
            Reason::Unread => self.unread.may_write(),
        }
    }
}

impl Default for Refusals {
    fn default() -> Self {
        Refusals::new(|_| {})
    }
}

impl fmt::Debug for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusals").finish_non_exhaustive()
    }
}
