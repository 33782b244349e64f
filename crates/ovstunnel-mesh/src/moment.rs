//! A point in time that the caller names. Must not read a clock.

use std::time::Duration;

/// A point in time, as long after the caller's own origin as it holds. Only moments of one origin can be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub Duration);

impl Moment {
    /// How long ago the earlier moment was; nothing where it is the later one.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Moment;

    /// Saturates at the end of time.
    fn add(self, later: Duration) -> Moment {
        Moment(self.0.saturating_add(later))
    }
}
