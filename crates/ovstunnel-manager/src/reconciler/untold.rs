//! What hosts have carried out and not told yet: until they do, what is known of the network is older than what was done, and the next stage would
//! be planned by it.
//!
//! What it must not do: hold a network up for long: what was done may have been undone by somebody else since.

use std::collections::BTreeMap;

use ovstunnel_mesh::Request;
use ovstunnel_types::{GreKey, HostNumber};
use tokio::time::Instant;

use super::AGAIN;

/// By network and host, what was carried out, and until when it is waited for.
#[derive(Debug, Default)]
pub(super) struct Untold(BTreeMap<GreKey, BTreeMap<HostNumber, (Vec<Request>, Instant)>>);

impl Untold {
    /// A host has carried these out.
    pub fn carried_out(&mut self, key: GreKey, host: HostNumber, requests: Vec<Request>, now: Instant) {
        self.0.entry(key).or_default().insert(host, (requests, now + AGAIN));
    }

    /// Until when a network waits at the longest for hosts that have not told what they did; none where it does not. `shows` says whether a host has.
    pub fn waits_until(
        &mut self,
        key: GreKey,
        shows: impl Fn(HostNumber, &[Request]) -> bool,
        now: Instant,
    ) -> Option<Instant> {
        let hosts = self.0.get_mut(&key)?;
        hosts.retain(|host, (requests, until)| *until > now && !shows(*host, requests));
        let until = hosts.values().map(|(_, until)| *until).max();
        if until.is_none() {
            self.0.remove(&key);
        }
        until
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_network_waits_until_its_hosts_have_told_and_not_for_ever() {
        let (mut untold, now) = (Untold::default(), Instant::now());
        let (key, other) = (GreKey::try_from(7).unwrap(), GreKey::try_from(8).unwrap());
        let [one, two] = [1, 2].map(|n| HostNumber::try_from(n).unwrap());
        untold.carried_out(key, one, Vec::new(), now);
        untold.carried_out(key, two, Vec::new(), now);
        assert_eq!(untold.waits_until(other, |_, _| false, now), None);
        assert_eq!(untold.waits_until(key, |host, _| host == one, now), Some(now + AGAIN));
        assert_eq!(untold.waits_until(key, |host, _| host == two, now), None, "the other has told before");
        untold.carried_out(key, one, Vec::new(), now);
        assert_eq!(untold.waits_until(key, |_, _| false, now + AGAIN), None, "it was undone, or is not told");
        assert!(untold.0.is_empty());
    }
}
