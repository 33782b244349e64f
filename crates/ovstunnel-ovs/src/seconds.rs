//! One clock for all that is asked each second: what is asked at the same time is answered in one round of the main loop of
//! `ovs-vswitchd`, and the rounds are what costs (docs/ovs-facts.md). Must not be used for what is to happen after something else.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior};

const SECOND: Duration = Duration::from_secs(1);

/// When the first second began.
fn first_second() -> Instant {
    static BASE: OnceLock<Instant> = OnceLock::new();
    *BASE.get_or_init(Instant::now)
}

/// Ticks at the same moments for everybody: each second for 1, each quarter of a second for 4. A tick that was missed is left out.
pub fn aligned_ticks(parts: u32) -> Interval {
    let period = SECOND / parts.max(1);
    let (base, now) = (first_second(), Instant::now());
    let past = now.saturating_duration_since(base).as_nanos() % period.as_nanos();
    // Less than a second.
    let next = now + period - Duration::from_nanos(u64::try_from(past).unwrap_or_default());
    let mut interval = tokio::time::interval_at(next, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    interval
}

/// Whether a second begins within the quarter of a second that begins at this tick.
pub(crate) fn is_whole(tick: Instant) -> bool {
    // The clock has finer steps than the ticks.
    (tick.saturating_duration_since(first_second()) + SECOND / 8).subsec_millis() < 250
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_tick_at_the_same_moments() {
        let mut whole = aligned_ticks(1);
        let first = whole.tick().await;
        assert!(is_whole(first));
        tokio::time::advance(Duration::from_millis(2_400)).await;
        let mut quarters = aligned_ticks(4);
        let mut ticks = Vec::new();
        for _ in 0..6 {
            ticks.push(quarters.tick().await);
        }
        let wholes: Vec<_> = ticks.iter().filter(|tick| is_whole(**tick)).collect();
        assert_eq!(ticks[1] - ticks[0], Duration::from_millis(250));
        assert_eq!(wholes, [&(first + Duration::from_secs(3))], "{ticks:?}");
        // One was missed.
        assert_eq!(whole.tick().await, first + Duration::from_secs(1));
        assert_eq!(whole.tick().await, first + Duration::from_secs(4));
    }
}
