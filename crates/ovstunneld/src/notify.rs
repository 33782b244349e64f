//! Tells systemd how the daemon is: started, ending, alive. Without systemd nothing happens.
//!
//! What it does: readiness, the state shown by `systemctl status`, and the watchdog, which is fed only while the writer gets
//! on. What it must not do: fail; a daemon that cannot be watched still works.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio::task::JoinHandle;

use crate::writer::Progress;

/// Beyond what one piece of the writer's work may take at most: a batch is two commands' deadlines and a read-back.
const STUCK: Duration = Duration::from_secs(30);

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd could not be told");
    }
}

/// The daemon serves requests, and has looked at the switch where it could.
pub fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// The daemon reads its configuration again; [`ready`] says that it has.
pub fn reloading() {
    // Without the time systemd would take the reload for failed.
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// The daemon finishes what it has.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("finishing the requests in flight")]);
}

/// Feeds the watchdog, where there is one, for as long as the writer gets on; `timeout` is the deadline of one command.
pub fn watchdog(progress: Progress, timeout: Duration) -> Option<JoinHandle<()>> {
    let period = sd_notify::watchdog_enabled()?;
    let limit = 4 * timeout + STUCK;
    Some(tokio::spawn(async move {
        let mut tick = tokio::time::interval(period / 3);
        loop {
            tick.tick().await;
            match progress.busy_since() {
                Some(since) if is_stuck(since, limit) => {
                    tracing::error!(limit_s = limit.as_secs(), "the writer does not get on; the watchdog is not fed");
                }
                _ => tell(&[NotifyState::Watchdog]),
            }
        }
    }))
}

fn is_stuck(since: Instant, limit: Duration) -> bool {
    since.elapsed() > limit
}
