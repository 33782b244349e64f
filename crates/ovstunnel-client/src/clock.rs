//! The clock of who was asked, as far as an answer tells: its `Date` is of some moment between request and answer. Must not judge it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::HeaderMap;
use http::header::DATE;

/// How far the clock at the other end is ahead of the one here: seconds, negative where it is behind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clock {
    /// At least so far.
    pub least: f64,
    /// At most so far.
    pub most: f64,
}

/// A `Date` has whole seconds: it may be so much later.
const RESOLUTION: Duration = Duration::from_secs(1);

impl Clock {
    /// By a date that was written at some moment of a round trip of this length, which has ended now.
    fn new(date: SystemTime, now: SystemTime, round_trip: Duration) -> Clock {
        let seconds = |time: SystemTime| match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => since.as_secs_f64(),
            Err(before) => -before.duration().as_secs_f64(),
        };
        let least = seconds(date) - seconds(now);
        Clock { least, most: least + RESOLUTION.as_secs_f64() + round_trip.as_secs_f64() }
    }
}

/// What the last answer said. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clocks(Arc<Mutex<Option<Clock>>>);

impl Clocks {
    /// An answer has these headers, to a request that was sent then.
    pub(crate) fn record_answer(&self, headers: &HeaderMap, sent: Instant) {
        let now = SystemTime::now();
        let date = headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        let clock = date.map(|date| Clock::new(date, now, sent.elapsed()));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = clock;
    }

    pub(crate) fn last_clock(&self) -> Option<Clock> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds)
    }

    #[test]
    fn the_longer_the_way_the_less_is_known() {
        // The clocks agree: the date was written at 100.2 s, and is told as 100.
        let quick = Clock::new(at(100_000), at(100_250), Duration::from_millis(100));
        assert!(quick.least <= 0.0 && quick.most >= 0.0 && quick.most - quick.least < 1.2, "{quick:?}");
        let slow = Clock::new(at(100_000), at(139_000), Duration::from_secs(39));
        assert!(
            slow.least <= 0.0 && slow.most >= 0.0,
            "{slow:?}: an answer that takes long is no clock that is behind"
        );
        let ahead = Clock::new(at(200_000), at(100_250), Duration::from_millis(100));
        assert!(ahead.least > 99.0 && ahead.most < 101.0, "{ahead:?}");
        let behind = Clock::new(at(0), at(100_250), Duration::from_millis(100));
        assert!(behind.least < -100.0 && behind.most < -99.0, "{behind:?}");
    }
}
