//! What the client of one connection reads of its answers.
//!
//! What it does: says when it has stopped to read, and ends answers that do not end by themselves. What it must not do: hold an
//! answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{LATE_LOOK, UNREAD_TIMEOUT};

/// Bytes that are handed to a connection at once; in [`UNREAD_TIMEOUT`] it must have read as many.
pub(super) const CHUNK: usize = 64 << 10;

/// What is read of one connection's answers.
#[derive(Debug)]
pub(super) struct Reading {
    under_way: Mutex<UnderWay>,
    begun: Notify,
    /// Answers under way that do not end by themselves.
    pub(super) endless: AtomicUsize,
    /// Ends those, when the daemon ends.
    pub(super) stop: CancellationToken,
    /// Ends the connection, when the reader of one is too far behind.
    pub(super) cut: CancellationToken,
}

#[derive(Debug)]
struct UnderWay {
    answers: usize,
    /// When the client last took a part of one.
    moved: Instant,
}

impl Reading {
    /// Nothing as yet. With `stop`, answers end that do not by themselves.
    pub(super) fn new(stop: CancellationToken) -> Self {
        let under_way = Mutex::new(UnderWay { answers: 0, moved: Instant::now() });
        Reading { under_way, begun: Notify::new(), endless: AtomicUsize::new(0), stop, cut: CancellationToken::new() }
    }

    /// There is one more that its client has to read.
    pub(super) fn begin_reading(&self) {
        let mut under_way = self.under_way();
        if under_way.answers == 0 {
            under_way.moved = Instant::now();
        }
        under_way.answers += 1;
        drop(under_way);
        self.begun.notify_one();
    }

    /// One of those was read.
    pub(super) fn end_reading(&self) {
        let mut under_way = self.under_way();
        under_way.answers = under_way.answers.saturating_sub(1);
        under_way.moved = Instant::now();
    }

    /// A part of one was taken.
    pub(super) fn note_progress(&self) {
        self.under_way().moved = Instant::now();
    }

    /// Ends a moment after the daemon is to end, where answers that do not end by themselves are still not read to their end.
    pub(super) async fn is_held_up(&self, moment: Duration) {
        self.stop.cancelled().await;
        tokio::time::sleep(moment).await;
        if self.endless.load(Ordering::Relaxed) == 0 {
            std::future::pending::<()>().await;
        }
    }

    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        // Nothing panics while it is held.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when the client has an answer to read and has read nothing for too long.
    pub(super) async fn is_stuck(&self) {
        let mut judged = None;
        loop {
            let moved = Some(self.under_way()).filter(|it| it.answers > 0).map(|it| it.moved);
            match moved {
                None => self.begun.notified().await,
                Some(moved) if moved.elapsed() < UNREAD_TIMEOUT => {
                    tokio::time::sleep_until(moved + UNREAD_TIMEOUT).await
                }
                Some(_) if judged == moved => return,
                Some(_) => {
                    judged = moved;
                    tokio::time::sleep(LATE_LOOK).await;
                }
            }
        }
    }
}
