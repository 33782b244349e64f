//! One edit of the list of hosts in a network's `other-config`, which several hosts edit at once.
//!
//! What it does: takes the lock, edits, reads back, lets go. What it must not do: write without the lock, or when its time may
//! have passed before the write is done.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use backon::{ExponentialBuilder, Retryable};
use ovstunnel_ovs::{Xe, XeError};
use ovstunnel_plan::{HostId, NetworkUuid};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::NetworkKind;
use super::lock::{Locks, Ticket, key};

/// The key of the list: host ids of the management server, with commas.
const HOSTS: &str = "ovs-host-setup";

/// The lock is held for at most so many times the deadline of one command. A write begins only while one such time is left.
const LEASE: u32 = 3;

/// An edit is given up after so many times that deadline: longer than a dead holder's lock stands.
const PATIENCE: u32 = 4;

/// Between two looks at a lock that somebody else has.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// What the list is to say of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// It is there, and the network is marked as one of this kind.
    SetUp(NetworkKind),
    /// It is not there. An empty list stays: without one the Python plugin fails to set the network up, on every host.
    Destroyed,
}

/// Why an edit was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum EditError {
    /// Somebody else has the lock, or has taken it from us.
    #[error("other hosts kept the lock on it for too long")]
    Busy,
    /// Other edits of this host took too long.
    #[error("other edits of this host kept it waiting for too long")]
    Crowded,
    /// `xe` fails.
    #[error(transparent)]
    Xe(#[from] XeError),
}

/// An edit.
#[derive(Clone, Debug)]
pub(super) struct Edit {
    pub xe: Xe,
    pub network: NetworkUuid,
    pub wanted: Wanted,
    pub host: HostId,
}

type Config = BTreeMap<String, String>;

/// A lock that is ours.
struct Held {
    number: u64,
    passed_by: Locks,
    /// When it was asked for: others count its time from no earlier.
    since: Instant,
}

/// The longest that xapi can be waited for in one request, `timeout` being the deadline of one command: a question, the turn
/// among all edits, and an edit with its last command.
#[cfg(test)]
pub(crate) fn budget(timeout: Duration) -> Duration {
    timeout * (1 + PATIENCE + PATIENCE + 1)
}

impl Edit {
    /// Carries it out when its turn has come among all edits of this host; while `xe` hangs that may be never.
    pub async fn carry_out_among(&self, edits: &Semaphore) -> Result<(), EditError> {
        let turn = tokio::time::timeout(self.xe.timeout() * PATIENCE, edits.acquire()).await;
        let _turn = turn.map_err(|_| EditError::Crowded)?;
        self.carry_out().await
    }

    /// Has the list say what it is to say. An `xe` that fails or hangs is not tried again.
    async fn carry_out(&self) -> Result<(), EditError> {
        let give_up = Instant::now() + self.xe.timeout() * PATIENCE;
        let pauses = ExponentialBuilder::new().with_min_delay(PAUSES.0).with_max_delay(PAUSES.1).with_jitter();
        let again = |error: &EditError| matches!(error, EditError::Busy) && Instant::now() < give_up;
        (|| self.attempt()).retry(pauses.without_max_times()).when(again).await
    }

    async fn attempt(&self) -> Result<(), EditError> {
        let before = self.xe.other_config(self.network).await?;
        // While somebody writes, the list may seem empty for a moment.
        if self.is_done(&before) && Locks::of(&before).is_empty() {
            return Ok(());
        }
        let (held, config) = self.lock(&before).await?;
        let edited = self.write(&held, &config).await;
        self.unlock(&held).await;
        edited
    }

    /// Takes the lock; with it what the network says from then on.
    async fn lock(&self, before: &Config) -> Result<(Held, Config), EditError> {
        let passed_by = Locks::of(before);
        let number = passed_by.free_number(SystemTime::now()).ok_or(EditError::Busy)?;
        let held = Held { number, passed_by, since: Instant::now() };
        let ticket = Ticket::new(SystemTime::now(), self.lease());
        let added = self.xe.add_other_config(self.network, &key(number), &ticket.to_string()).await;
        let after = self.xe.other_config(self.network).await?;
        match added {
            Ok(()) if Locks::of(&after).is_held(number, &ticket, &held.passed_by) => Ok((held, after)),
            Ok(()) => {
                self.remove(&key(number)).await;
                Err(EditError::Busy)
            }
            // Refused, for whatever reason it gives: somebody else has added the key meanwhile, or this is a real error.
            Err(XeError::Refused { .. }) if Locks::of(&after) != held.passed_by => Err(EditError::Busy),
            Err(error) => Err(error.into()),
        }
    }

    async fn write(&self, held: &Held, config: &Config) -> Result<(), EditError> {
        if let Wanted::SetUp(kind) = self.wanted
            && config.get(kind.flag()).is_none_or(|value| value != "True")
        {
            self.set(held, kind.flag(), "True").await?;
        }
        let hosts = self.edited(config);
        if config.get(HOSTS) != Some(&hosts) {
            self.set(held, HOSTS, &hosts).await?;
        }
        let after = self.xe.other_config(self.network).await?;
        if self.is_done(&after) { Ok(()) } else { Err(EditError::Busy) }
    }

    async fn set(&self, held: &Held, key: &str, value: &str) -> Result<(), EditError> {
        self.in_time(held)?;
        Ok(self.xe.set_other_config(self.network, key, value).await?)
    }

    fn lease(&self) -> Duration {
        self.xe.timeout() * LEASE
    }

    /// That one more command ends before the lock does.
    fn in_time(&self, held: &Held) -> Result<(), EditError> {
        if held.since.elapsed() + self.xe.timeout() < self.lease() { Ok(()) } else { Err(EditError::Busy) }
    }

    /// Lets go of the lock. One whose time has passed may be somebody else's by now, and is left to be passed by.
    async fn unlock(&self, held: &Held) {
        let numbers = held.passed_by.numbers().chain([held.number]);
        for number in numbers {
            if self.in_time(held).is_ok() {
                self.remove(&key(number)).await;
            }
        }
    }

    async fn remove(&self, key: &str) {
        if let Err(error) = self.xe.remove_other_config(self.network, key).await {
            tracing::warn!(network = %self.network, key, %error, "a lock stays until its time has passed");
        }
    }

    /// Whether the network says what it is to say.
    fn is_done(&self, config: &Config) -> bool {
        let listed = hosts(config).any(|host| host == self.host.as_str());
        match self.wanted {
            Wanted::SetUp(kind) => listed && config.get(kind.flag()).is_some_and(|value| value == "True"),
            Wanted::Destroyed => !listed && config.contains_key(HOSTS),
        }
    }

    /// The list as it is to be: every other host as it stands there.
    fn edited(&self, config: &Config) -> String {
        let others = hosts(config).filter(|host| *host != self.host.as_str());
        let own = matches!(self.wanted, Wanted::SetUp(_)).then_some(self.host.as_str());
        others.chain(own).collect::<Vec<_>>().join(",")
    }
}

/// The hosts that a network says it is set up on.
fn hosts(config: &Config) -> impl Iterator<Item = &str> {
    let list = config.get(HOSTS).map(String::as_str).unwrap_or_default();
    list.split(',').map(str::trim).filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use ovstunnel_ovs::CommandHook;

    use super::*;

    /// Stands for no list at all.
    const NONE: &str = "-";

    fn edit(wanted: Wanted, list: &str) -> (bool, String) {
        let xe = Xe::new("/nonexistent/xe".into(), Duration::from_secs(1), CommandHook::new(|_, _, _| ()));
        let network = "6f1a9c3e-0b7d-4c58-9c11-3d0f2a5b7e90".parse().unwrap();
        let edit = Edit { xe, network, wanted, host: "7".parse().unwrap() };
        let mut config: Config = [("is-ovs-tun-network".to_owned(), "True".to_owned())].into();
        config.extend((list != NONE).then(|| (HOSTS.to_owned(), list.to_owned())));
        (edit.is_done(&config), edit.edited(&config))
    }

    #[test]
    fn every_other_host_stays_as_it_is() {
        let (up, down) = (Wanted::SetUp(NetworkKind::Plain), Wanted::Destroyed);
        for (wanted, list, done, edited) in [
            (up, "", false, "7"),
            (up, "1,2", false, "1,2,7"),
            (up, "17,77", false, "17,77,7"),
            (up, "7", true, "7"),
            (up, "1, 7 ,,7", true, "1,7"),
            (up, "what is this", false, "what is this,7"),
            (Wanted::SetUp(NetworkKind::Vpc), "7", false, "7"),
            (up, NONE, false, "7"),
            (down, NONE, false, ""),
            (down, "", true, ""),
            (down, "17,77", true, "17,77"),
            (down, "1,7,2", false, "1,2"),
            (down, "7", false, ""),
        ] {
            assert_eq!(edit(wanted, list), (done, edited.to_owned()), "{wanted:?} {list:?}");
        }
    }
}
