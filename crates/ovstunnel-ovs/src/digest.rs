//! A sign of a bridge's flow tables: by two of them it is known whether the tables are still the same, without a dump by
//! `ovs-ofctl`, which costs a process.
//!
//! It is made from what `ovs-vswitchd` prints on its control socket. That has every flow, but no cookie in most versions; a flow that
//! took another's place under another cookie is told by its age. Must not say what the flows are (docs/adr/0017).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

/// The sign of a bridge's flow tables at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowDigest {
    /// Of all that is printed but counters and ages.
    digest: u64,
    /// Age of the youngest flow, in whole seconds.
    youngest: u64,
    /// When it was asked for, and when the answer was there: the switch has looked in between.
    at: (Instant, Instant),
}

impl FlowDigest {
    /// Reads lines that `bridge/dump-flows` prints, with the moments before and after it was asked; nothing where one is not
    /// understood.
    pub(crate) fn parse<'a>(lines: impl Iterator<Item = &'a str>, at: (Instant, Instant)) -> Option<Self> {
        let (mut digest, mut youngest) = (DefaultHasher::new(), u64::MAX);
        for line in lines {
            let mut age = None;
            for field in line.split(", ") {
                if let Some(seconds) = field.strip_prefix("duration=") {
                    age = Some(seconds.strip_suffix('s')?.parse::<u64>().ok()?);
                } else if !field.starts_with("n_packets=") && !field.starts_with("n_bytes=") {
                    field.hash(&mut digest);
                }
            }
            youngest = youngest.min(age?);
            '\n'.hash(&mut digest);
        }
        Some(FlowDigest { digest: digest.finish(), youngest, at })
    }

    /// Whether the tables are what they were at the time of `earlier`: they read the same, and no flow is younger than that.
    ///
    /// Ages are whole seconds, rounded down, so that a flow which was younger than a second at that time may be taken for one
    /// that came later, but never the other way round.
    pub fn same_as(&self, earlier: &FlowDigest) -> bool {
        let between = self.at.1.saturating_duration_since(earlier.at.0);
        self.digest == earlier.digest && Duration::from_secs(self.youngest) >= between
    }

    /// Whether some flow is so young that no later sign can be known to be the same.
    pub fn is_fresh(&self) -> bool {
        self.youngest < 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "\
duration=7s, n_packets=3, n_bytes=180, priority=1000,tun_id=0x3e9,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=drop
duration=9s, n_packets=0, n_bytes=0, priority=0,actions=NORMAL
table_id=254, duration=9s, n_packets=0, n_bytes=0, priority=0,reg0=0x2,actions=drop
";

    fn digest(printed: &str, at: Instant) -> FlowDigest {
        FlowDigest::parse(printed.lines(), (at, at + Duration::from_millis(1))).unwrap()
    }

    #[test]
    fn counters_and_ages_are_no_difference() {
        let (then, later) = (Instant::now(), Instant::now() + Duration::from_secs(5));
        let aged = PRINTED.replace("=7s", "=12s").replace("=9s", "=14s").replace("n_packets=3", "n_packets=4");
        assert!(digest(&aged, later).same_as(&digest(PRINTED, then)));
        assert!(digest(PRINTED, then).same_as(&digest(PRINTED, then)));
    }

    #[test]
    fn what_comes_goes_or_changes_is_a_difference() {
        let now = Instant::now();
        let before = digest(PRINTED, now);
        let without_last = PRINTED.lines().take(2).collect::<Vec<_>>().join("\n");
        for other in [
            PRINTED.replacen("drop", "NORMAL", 1),
            PRINTED.replace("priority=1000", "priority=1001"),
            PRINTED.replace("table_id=254, ", ""),
            format!("{PRINTED}duration=8s, n_packets=0, n_bytes=0, priority=1,ip,actions=drop\n"),
            without_last,
            String::new(),
        ] {
            assert!(!digest(&other, now).same_as(&before), "{other}");
        }
    }

    #[test]
    fn an_equal_flow_that_is_younger_than_the_look_is_a_difference() {
        let (then, later) = (Instant::now(), Instant::now() + Duration::from_secs(60));
        let replaced = PRINTED.replace("=7s", "=30s").replace("=9s", "=69s");
        assert!(!digest(&replaced, later).same_as(&digest(PRINTED, then)));
    }

    #[test]
    fn an_equal_flow_within_the_same_second_differs() {
        let then = Instant::now();
        // Replaced at any moment after the first look, however soon the second one comes.
        for (replaced, looked) in [(1, 2), (1, 990), (990, 999), (1, 1_000), (300, 1_400), (999, 60_001)] {
            let age = (looked - replaced) / 1_000;
            let printed = PRINTED.replace("=7s", &format!("={age}s")).replace("=9s", "=70s");
            let later = digest(&printed, then + Duration::from_millis(looked));
            assert!(!later.same_as(&digest(PRINTED, then)), "replaced after {replaced} ms, looked after {looked} ms");
        }
    }

    #[test]
    fn what_is_not_understood_is_no_sign() {
        for odd in ["priority=0,actions=NORMAL", "duration=1.5s, priority=0,actions=NORMAL", "duration=1, actions=drop"]
        {
            assert_eq!(FlowDigest::parse(odd.lines(), (Instant::now(), Instant::now())), None, "{odd}");
        }
    }
}
