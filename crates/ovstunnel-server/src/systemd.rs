//! Tells systemd how a service is: started, ending, alive. Without systemd nothing happens.
//!
//! What it does: readiness, the state shown by `systemctl status`, and the watchdog, which is fed only while the work gets
//! on. What it must not do: fail, or know what the work is; a service that cannot be watched still works.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio::task::JoinHandle;

fn notify_systemd(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd could not be told");
    }
}

/// It serves requests, and has done what comes before the first of them.
pub fn notify_ready() {
    notify_systemd(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// It reads its configuration again; [`notify_ready`] says that it has.
pub fn notify_reloading() {
    // Without the time systemd would take the reload for failed.
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        notify_systemd(&[NotifyState::Reloading, now]);
    }
}

/// It finishes what it has.
pub fn notify_stopping() {
    notify_systemd(&[NotifyState::Stopping, NotifyState::Status("finishing the requests in flight")]);
}

/// Feeds the watchdog, where there is one, for as long as the work gets on. `busy_since` tells since when whoever does it has
/// been at one piece of work, which may take `limit` at most; where it takes longer, `stuck` is called, again and again.
pub fn feed_watchdog(
    busy_since: impl Fn() -> Option<Instant> + Send + 'static,
    limit: Duration,
    stuck: impl Fn() + Send + 'static,
) -> Option<JoinHandle<()>> {
    let period = sd_notify::watchdog_enabled()?;
    Some(tokio::spawn(async move {
        let mut tick = tokio::time::interval(period / 3);
        loop {
            tick.tick().await;
            match busy_since() {
                Some(since) if is_stuck(since, limit) => stuck(),
                _ => notify_systemd(&[NotifyState::Watchdog]),
            }
        }
    }))
}

fn is_stuck(since: Instant, limit: Duration) -> bool {
    since.elapsed() > limit
}
