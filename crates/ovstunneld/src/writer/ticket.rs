//! Requests that are answered within their own deadline, whatever else runs.
//!
//! What it does: one that is still waiting at its deadline is answered and never carried out; of one that has begun it is
//! said that its outcome is not known. What it must not do: let both happen.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use ovstunnel_plan::Epoch;
use tokio::sync::oneshot;

use super::asked_for::Unless;
use super::{Message, WriteError, Writer};
use crate::timing::Timing;

/// What a request may take beyond the deadline of one command: that command's end must have the time to be told.
pub const BEYOND: Duration = Duration::from_secs(1);

/// As long as it takes.
const PATIENT: Duration = Duration::from_secs(24 * 60 * 60);

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const GIVEN_UP: u8 = 2;

/// Whether a request is still to be carried out. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    state: Arc<AtomicU8>,
    asked: Instant,
    timing: Option<Arc<Timing>>,
    epoch: Option<Epoch>,
    unless: Option<Unless>,
}

impl Default for Ticket {
    fn default() -> Self {
        Ticket { state: Arc::default(), asked: Instant::now(), timing: Timing::of_request(), epoch: None, unless: None }
    }
}

impl Ticket {
    /// The epoch under which it is asked for, if any.
    pub fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// The same, which is not begun where this has been asked for by then.
    pub(super) fn unless_requested(self, unless: Unless) -> Self {
        Ticket { unless: Some(unless), ..self }
    }

    /// It is begun now; false where nobody waits for it any more, or wants it.
    pub fn try_begin(&self) -> bool {
        if self.unless.as_ref().is_some_and(Unless::is_forestalled) {
            return false;
        }
        let begun = self.state.compare_exchange(WAITING, BEGUN, Ordering::AcqRel, Ordering::Acquire).is_ok();
        self.timing.iter().for_each(|timing| timing.add_waited(self.asked.elapsed()));
        begun
    }

    /// Tells the request that the switch has been at work for it since then.
    pub fn report_work(&self, since: Instant) {
        self.timing.iter().for_each(|timing| timing.add_worked(since.elapsed()));
    }

    /// It is not to be carried out any more; false where it has begun.
    fn give_up(&self) -> bool {
        self.state.compare_exchange(WAITING, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl Writer {
    /// The same writer for a caller who waits for as long as it takes.
    pub fn with_patience(self) -> Self {
        Writer { deadline: PATIENT, ..self }
    }

    /// The same writer for a caller whose requests are carried out only while no newer epoch is recorded. Of plans it is not asked.
    pub fn under_epoch(&self, epoch: Epoch) -> Self {
        Writer { epoch: Some(epoch), ..self.clone() }
    }

    /// Asks the writer, and has an answer at the deadline.
    pub(super) async fn ask_writer<T>(
        &self,
        message: impl FnOnce(Ticket, oneshot::Sender<Result<T, WriteError>>) -> Message,
    ) -> Result<T, WriteError> {
        let ((reply, answer), ticket) = (oneshot::channel(), Ticket { epoch: self.epoch, ..Ticket::default() });
        let answered = async {
            self.send_message(message(ticket.clone(), reply)).await?;
            answer.await.unwrap_or(Err(WriteError::Ended))
        };
        match tokio::time::timeout(self.deadline, answered).await {
            Ok(answer) => answer,
            Err(_) if ticket.give_up() => Err(WriteError::Late(self.deadline)),
            Err(_) => Err(WriteError::Unknown(format!(
                "this was begun and is not finished after {}; it goes on, ask what has become of it",
                humantime_serde::re::humantime::format_duration(self.deadline)
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_carried_out_or_given_up_and_never_both() {
        let (begun, given_up) = (Ticket::default(), Ticket::default());
        assert!(begun.try_begin() && !begun.give_up());
        assert!(given_up.give_up() && !given_up.clone().try_begin());
        assert!(!begun.try_begin(), "not twice");
    }

    /// The plugin program's deadline, and any other caller's, follows from this one constant.
    #[test]
    fn the_daemon_answers_within_what_callers_count_on() {
        let config = crate::config::Config::default();
        let longest = config.ovs.timeout + BEYOND + crate::xapi::wait_budget(config.xapi.timeout);
        assert!(longest < ovstunnel_api::ANSWERED_WITHIN, "{longest:?}");
    }
}
