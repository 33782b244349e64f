//! Having a lock in an `other-config` while something is changed (docs/adr/0011-a-lock-in-other-config.md).
//!
//! What it does: takes the lock, says whether its time is enough for one more command, lets go; tries again while others have it.
//! What it must not do: know what is changed, or write without the lock.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use backon::{ExponentialBuilder, Retryable};
use ovstunnel_ovs::{Xe, XeChange, XeError, XeObject};
use tokio::time::Instant;

use super::lock::{Locks, Ticket};

/// The lock is held for at most so many times the deadline of one command. A write begins only while one such time is left.
const LEASE: u32 = 3;

/// A change is given up after so many times that deadline: longer than a dead holder's lock stands.
pub(super) const PATIENCE: u32 = 4;

/// How often in a row the lock's key may be refused though nobody's stands there: who had it a moment ago has let go since. What is refused more
/// often is refused for another reason.
const REFUSALS: u32 = 5;

/// Between two looks at a lock that somebody else has.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum HoldError {
    /// Somebody else has the lock, or has taken it from us.
    #[error("other hosts kept the lock on it for too long")]
    Busy,
    /// Other edits of this host took too long.
    #[error("other edits of this host kept it waiting for too long")]
    Crowded,
    /// Whoever asked for it may not write any more.
    #[error("who asked for it may not write any more")]
    Forbidden,
    /// `xe` fails.
    #[error(transparent)]
    Xe(#[from] XeError),
    /// `xe` fails at a change, which may have been made.
    #[error(transparent)]
    Doubt(XeError),
}

/// Makes a change; of one that fails it is said whether it may have been made.
pub(super) async fn make_change(xe: &Xe, change: &XeChange) -> Result<(), HoldError> {
    xe.make_change(change).await.map(drop).map_err(change_error)
}

/// Why a change failed.
pub(super) fn change_error(error: XeError) -> HoldError {
    if error.leaves_doubt() { HoldError::Doubt(error) } else { HoldError::Xe(error) }
}

/// Whether whoever asked for a change may still write; looked at before each change.
#[derive(Clone)]
pub(crate) struct Permit(Arc<dyn Fn() -> bool + Send + Sync>);

impl Permit {
    pub fn new(may: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Permit(Arc::new(may))
    }

    pub(super) fn check_permit(&self) -> Result<(), HoldError> {
        if (self.0)() { Ok(()) } else { Err(HoldError::Forbidden) }
    }
}

impl Default for Permit {
    /// For good.
    fn default() -> Self {
        Permit::new(|| true)
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

pub(super) type Config = BTreeMap<String, String>;

/// A lock: where it stands, and how its keys begin.
#[derive(Clone, Debug)]
pub(super) struct Lock<'a> {
    pub xe: &'a Xe,
    pub on: XeObject,
    pub prefix: &'a str,
}

/// A lock that is ours.
#[derive(Debug)]
pub(super) struct Held {
    number: u64,
    passed_by: Locks,
    /// When it was asked for: others count its time from no earlier.
    since: Instant,
}

impl Lock<'_> {
    /// Takes the lock, where `before` is what stood there a moment ago; with it what stands there from then on.
    pub async fn take_lock(&self, before: &Config) -> Result<(Held, Config), HoldError> {
        let passed_by = Locks::with_prefix(before, self.prefix);
        let number = passed_by.free_number(SystemTime::now()).ok_or(HoldError::Busy)?;
        let held = Held { number, passed_by, since: Instant::now() };
        let ticket = Ticket::new(SystemTime::now(), self.lease_time());
        for again in (0..REFUSALS).rev() {
            let added = self.xe.make_change(&self.ticket_addition(number, &ticket.to_string())).await;
            let after = self.xe.other_config(self.on).await?;
            let there = Locks::with_prefix(&after, self.prefix);
            match added {
                Ok(_) if there.is_held(number, &ticket, &held.passed_by) => return Ok((held, after)),
                Ok(_) => {
                    self.remove_ticket(number).await;
                    break;
                }
                // Refused, for whatever reason it gives: somebody else has added the key meanwhile, or this is a real error.
                Err(XeError::Refused { .. }) if there != held.passed_by => break,
                Err(XeError::Refused { .. }) if again > 0 => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(HoldError::Busy)
    }

    /// That one more command ends before the lock does.
    pub fn in_time(&self, held: &Held) -> Result<(), HoldError> {
        if held.since.elapsed() + self.xe.timeout() < self.lease_time() { Ok(()) } else { Err(HoldError::Busy) }
    }

    /// Lets go of the lock. One whose time has passed may be somebody else's by now, and is left to be passed by.
    pub async fn release_lock(&self, held: &Held) {
        for number in held.passed_by.numbers().chain([held.number]) {
            if self.in_time(held).is_ok() {
                self.remove_ticket(number).await;
            }
        }
    }

    /// The commands around a change under this lock, where nobody has it: one that takes it, with `ticket` in place of its own, and
    /// one that lets go.
    pub fn lock_commands(&self, ticket: &str) -> (XeChange, XeChange) {
        (self.ticket_addition(1, ticket), self.ticket_removal(1))
    }

    async fn remove_ticket(&self, number: u64) {
        if let Err(error) = self.xe.make_change(&self.ticket_removal(number)).await {
            let key = self.ticket_key(number);
            tracing::warn!(on = ?self.on, key, %error, "a lock stays until its time has passed");
        }
    }

    fn ticket_addition(&self, number: u64, ticket: &str) -> XeChange {
        XeChange::Add(self.on, self.ticket_key(number), ticket.to_owned())
    }

    fn ticket_removal(&self, number: u64) -> XeChange {
        XeChange::Remove(self.on, self.ticket_key(number))
    }

    fn ticket_key(&self, number: u64) -> String {
        format!("{}{number}", self.prefix)
    }

    fn lease_time(&self) -> Duration {
        self.xe.timeout() * LEASE
    }
}

/// Tries until nobody else has the lock, for as long as there is patience. An `xe` that fails or hangs is not tried again.
pub(super) async fn retry_while_locked<T, F>(xe: &Xe, attempt: impl FnMut() -> F) -> Result<T, HoldError>
where
    F: Future<Output = Result<T, HoldError>>,
{
    let give_up = Instant::now() + xe.timeout() * PATIENCE;
    let pauses = ExponentialBuilder::new().with_min_delay(PAUSES.0).with_max_delay(PAUSES.1).with_jitter();
    let again = |error: &HoldError| matches!(error, HoldError::Busy) && Instant::now() < give_up;
    attempt.retry(pauses.without_max_times()).when(again).await
}
