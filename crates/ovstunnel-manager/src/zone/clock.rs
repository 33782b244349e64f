//! Hosts' clocks against the manager's. What claims and events say of when something was is only as good as they are.
//!
//! What it must not do: decide anything by them. What was first, and how old something is, is known by a clock that nobody sets.

use ovstunnel_manager_api::Trouble;
use ovstunnel_types::HostNumber;

use super::Zone;

/// The word for a clock that is wrong.
pub const CLOCK_SKEW: &str = "clock_skew";

/// So many seconds may a host's clock differ from the manager's.
const MOST: f64 = 30.0;

/// One that has differed by more is right again below so many.
const AGAIN: f64 = 20.0;

/// A difference that is no further from the one that was told is the same: it is never measured twice alike.
const SAME: i64 = 5;

/// A host's clock, by how many seconds it was told to be ahead of the manager's; nothing where it is right.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HostClock(Option<i64>);

impl HostClock {
    /// It is ahead of the manager's by so many seconds at least and at most. Whether it is news that it is wrong.
    fn take_measure(&mut self, least: f64, most: f64) -> bool {
        let before = self.0;
        let allowed = if before.is_some() { AGAIN } else { MOST };
        // Where both are possible, it is taken for right.
        let differs = least > allowed || most < -allowed;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a difference of more seconds than i64 has is told as the most there are"
        )]
        let now = differs.then(|| ((least + most) / 2.0).round() as i64);
        self.0 = match (before, now) {
            (Some(before), Some(now)) if before.abs_diff(now) <= SAME.unsigned_abs() => Some(before),
            _ => now,
        };
        before.is_none() && now.is_some()
    }

    /// What is wrong with it.
    pub fn trouble(self) -> Option<Trouble> {
        let ahead = self.0?;
        let by = if ahead > 0 { "ahead of" } else { "behind" };
        let evidence = format!("its clock is {} s {by} the manager's", ahead.unsigned_abs());
        let remedy = "keep both clocks right by NTP: `timedatectl set-ntp true`, or `chronyc makestep` on XenServer and XCP-ng; where most hosts \
                      have this trouble, it is the manager's clock";
        Some(Trouble { kind: CLOCK_SKEW.to_owned(), evidence, remedy: remedy.to_owned() })
    }
}

impl Zone {
    /// A host's clock is ahead of the manager's by so many seconds at least and at most; they are negative where it is behind.
    pub fn record_clock(&self, number: HostNumber, least: f64, most: f64) {
        let told = {
            let mut state = self.lock_state();
            let Some(host) = state.hosts.get_mut(&number) else { return };
            let is_news = host.clock.take_measure(least, most);
            host.clock.trouble().filter(|_| is_news).map(|trouble| (host.row.name.clone(), trouble.evidence))
        };
        if let Some((name, evidence)) = told {
            self.record_event(CLOCK_SKEW, &name, format!("host {name}: {evidence}"));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn evidence(clock: HostClock) -> Option<String> {
        clock.trouble().map(|trouble| trouble.evidence)
    }

    #[test]
    fn a_clock_is_wrong_when_that_is_certain_and_until_it_is_right() {
        let mut clock = HostClock::default();
        assert!(!clock.take_measure(-0.3, 0.9) && evidence(clock).is_none());
        assert!(!clock.take_measure(29.0, 45.0) && evidence(clock).is_none(), "it may be 30 s");
        assert!(!clock.take_measure(-45.0, -29.0) && evidence(clock).is_none());
        assert!(clock.take_measure(89.4, 90.5), "news");
        assert_eq!(evidence(clock).unwrap(), "its clock is 90 s ahead of the manager's");
        assert!(!clock.take_measure(86.0, 87.0), "no news");
        assert_eq!(evidence(clock).unwrap(), "its clock is 90 s ahead of the manager's", "as good as the same");
        assert!(!clock.take_measure(24.0, 25.0));
        assert_eq!(evidence(clock).unwrap(), "its clock is 25 s ahead of the manager's", "not right yet");
        assert!(!clock.take_measure(18.0, 19.0) && evidence(clock).is_none());
        assert!(clock.take_measure(-4000.2, -3999.0));
        assert_eq!(evidence(clock).unwrap(), "its clock is 4000 s behind the manager's");
        assert!(!clock.take_measure(f64::NAN, f64::NAN) && evidence(clock).is_none());
    }
}
