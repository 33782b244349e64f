//! What was tried on which host for which network, and when it may be tried again.
//!
//! What it does: keeps an answered request from being sent again before the host has told what came of it, and a refused one from being
//! repeated at once. What it must not do: keep anything of a host that has connected anew: what it refused before is asked again.

use std::collections::BTreeMap;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use ovstunnel_mesh::Request;
use ovstunnel_types::{GreKey, HostId, HostNumber};
use tokio::time::Instant;

/// Within this time a host has told what came of a request that it carried out.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

/// The pauses between tries of what a host refuses: longer each time, and of a random length.
fn retry_backoff() -> ExponentialBackoff {
    let (least, most) = (Duration::from_secs(1), Duration::from_secs(60));
    ExponentialBuilder::default().with_min_delay(least).with_max_delay(most).with_jitter().without_max_times().build()
}

/// Why something that a host was asked for is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The host that was asked.
    pub on: HostNumber,
    /// The other end, where one tunnel alone was refused.
    pub to: Option<HostId>,
    /// Why.
    pub reason: String,
    /// When it is tried again.
    pub again: Instant,
}

/// What came of requests to one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Result {
    /// Why not all was carried out.
    pub failed: Option<String>,
    /// Tunnels that were left out, each with the reason.
    pub left_out: BTreeMap<HostId, String>,
}

impl Result {
    /// Nothing was carried out, or it is not known.
    pub fn all_failed(why: impl Into<String>) -> Result {
        Result { failed: Some(why.into()), left_out: BTreeMap::new() }
    }

    /// Whether all was carried out.
    pub fn is_good(&self) -> bool {
        self.failed.is_none() && self.left_out.is_empty()
    }

    /// All reasons in a sentence; none where all was carried out.
    pub fn failure_reasons(&self) -> Option<String> {
        let each = self.left_out.iter().map(|(to, why)| format!("the tunnel to host {to}: {why}"));
        let all: Vec<String> = self.failed.iter().cloned().chain(each).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

#[derive(Debug)]
struct Attempt {
    requests: Vec<Request>,
    connection: u64,
    result: Result,
    pauses: ExponentialBackoff,
    next: Instant,
}

/// All attempts that still count.
#[derive(Debug, Default)]
pub struct Attempts(BTreeMap<(GreKey, HostNumber), Attempt>);

impl Attempts {
    /// When these requests may be sent to a host, where that is not now.
    pub fn next_attempt(
        &self,
        key: GreKey,
        host: HostNumber,
        requests: &[Request],
        connection: u64,
        now: Instant,
    ) -> Option<Instant> {
        let attempt = self.0.get(&(key, host)).filter(|attempt| attempt.connection == connection)?;
        // What was carried out keeps only its own repetition waiting.
        let counts = !attempt.result.is_good() || attempt.requests == requests;
        Some(attempt.next).filter(|next| counts && *next > now)
    }

    /// Takes in what came of requests. Whether that is news: another reason than before, or none any more.
    pub fn record_result(
        &mut self,
        key: GreKey,
        host: HostNumber,
        requests: Vec<Request>,
        connection: u64,
        result: Result,
    ) -> bool {
        let before = self.0.remove(&(key, host)).filter(|attempt| attempt.connection == connection);
        let was = before.as_ref().and_then(|before| before.result.failure_reasons());
        let mut pauses = match before {
            Some(before) if !before.result.is_good() => before.pauses,
            _ => retry_backoff(),
        };
        let pause = match result.is_good() {
            true => TOLD_WITHIN,
            // It never ends; a minute is what it would be by then.
            false => pauses.next().unwrap_or(Duration::from_secs(60)),
        };
        let is_news = result.is_good() || was != result.failure_reasons();
        self.0.insert((key, host), Attempt { requests, connection, result, pauses, next: Instant::now() + pause });
        is_news
    }

    /// Forgets what was tried for a network: somebody asks for it now.
    pub fn forget_network(&mut self, key: GreKey) {
        self.0.retain(|(of, _), _| *of != key);
    }

    /// Forgets what is settled: a network of which nothing differs any more.
    pub fn forget_settled(&mut self, key: GreKey) {
        self.0.retain(|(of, _), attempt| *of != key || !attempt.result.is_good());
    }

    /// What failed of a network and is tried again.
    pub fn failures(&self, key: GreKey) -> Vec<Failed> {
        let of_key = self.0.iter().filter(|((of, _), _)| *of == key);
        let each = of_key.flat_map(|((_, on), Attempt { result, next, .. })| {
            let whole = result.failed.iter().map(|why| (None, why));
            let tunnels = result.left_out.iter().map(|(to, why)| (Some(to.clone()), why));
            whole.chain(tunnels).map(|(to, why)| Failed { on: *on, to, reason: why.clone(), again: *next })
        });
        each.collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn key() -> GreKey {
        "1001".parse().unwrap()
    }

    fn host() -> HostNumber {
        HostNumber::try_from(1).unwrap()
    }

    fn requests(bridge: &str) -> Vec<Request> {
        vec![Request::DeleteBridge { bridge: bridge.parse().unwrap() }]
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_carried_out_is_not_repeated_before_a_host_reports() {
        let mut attempts = Attempts::default();
        attempts.record_result(key(), host(), requests("a"), 1, Result::default());
        let wait = |requests: &[Request], connection| {
            attempts.next_attempt(key(), host(), requests, connection, Instant::now())
        };
        assert!(wait(&requests("a"), 1).is_some());
        assert_eq!(wait(&requests("b"), 1), None, "something else is sent at once");
        assert_eq!(wait(&requests("a"), 2), None, "and all of it where the host has connected anew");
        tokio::time::advance(TOLD_WITHIN).await;
        assert_eq!(wait(&requests("a"), 1), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_is_tried_at_growing_pauses_and_told_once() {
        let mut attempts = Attempts::default();
        let mut paused = Vec::new();
        for n in 0..12 {
            let is_news = attempts.record_result(key(), host(), requests("a"), 1, Result::all_failed("no"));
            assert_eq!(is_news, n == 0);
            let until = attempts.next_attempt(key(), host(), &requests("b"), 1, Instant::now()).unwrap();
            paused.push(until - Instant::now());
            tokio::time::advance(until - Instant::now()).await;
            assert_eq!(attempts.next_attempt(key(), host(), &requests("a"), 1, Instant::now()), None);
        }
        assert!(paused[0] >= Duration::from_secs(1) && paused[0] < Duration::from_secs(3), "{paused:?}");
        assert!(paused[11] >= Duration::from_secs(60) && paused[11] <= Duration::from_secs(120), "{paused:?}");
        assert_eq!(attempts.failures(key())[0].reason, "no");
        assert!(
            attempts.record_result(key(), host(), requests("a"), 1, Result::default()),
            "that it goes well now is news"
        );
        assert_eq!(attempts.failures(key()), []);
    }
}
