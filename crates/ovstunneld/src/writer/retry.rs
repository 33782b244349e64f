//! When what could not be repaired is tried again. Must not know what that was.

use std::time::Duration;

use tokio::time::Instant;

/// The first wait: a switch that has just started needs a moment until its bridges answer.
const FIRST: Duration = Duration::from_millis(200);

/// The longest wait: a tool that hangs keeps the writer from its requests each time.
const LONGEST: Duration = Duration::from_secs(60);

/// The next try, if one is due, at growing distances.
#[derive(Debug)]
pub(super) struct Retry {
    at: Option<Instant>,
    wait: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Retry { at: None, wait: FIRST }
    }
}

impl Retry {
    /// Something could not be done: it is due again after a wait, unless it is already.
    pub(super) fn note_failure(&mut self) {
        if self.at.is_none() {
            self.at = Some(Instant::now() + self.wait);
            self.wait = (self.wait * 2).min(LONGEST);
        }
    }

    /// Everything was looked at and is as it must be.
    pub(super) fn note_success(&mut self) {
        *self = Retry::default();
    }

    /// Waits until a try is due; for ever where none is.
    pub(super) async fn wait_due(&self) {
        match self.at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Whether a try is due at some time.
    pub(super) fn is_waiting(&self) -> bool {
        self.at.is_some()
    }

    /// A try begins.
    pub(super) fn begin_try(&mut self) {
        self.at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_grow_until_there_is_a_success() {
        let mut retry = Retry::default();
        let mut waits = Vec::new();
        for _ in 0..12 {
            retry.note_failure();
            retry.note_failure();
            let start = Instant::now();
            retry.wait_due().await;
            waits.push(start.elapsed().as_millis());
            retry.begin_try();
        }
        assert_eq!(waits[..4], [200, 400, 800, 1600]);
        assert_eq!(waits.last(), Some(&60_000));
        retry.note_success();
        retry.note_failure();
        let start = Instant::now();
        retry.wait_due().await;
        assert_eq!(start.elapsed(), FIRST);
    }
}
