//! One edit of a network's `other-config`, where several hosts edit the list of hosts at once.
//!
//! What it does: says what is missing there, and writes that under the lock, reading it back. What it must not do: write without
//! the lock, or when its time may have passed before the write is done.

use std::sync::{Mutex, PoisonError};

use ovstunnel_ovs::{Xe, XeChange, XeObject};
use ovstunnel_plan::{HostId, NetworkUuid};

use super::NetworkKind;
use super::hold::{Config, Held, HoldError, Lock, Permit, make_change, retry_while_locked};
use super::lock::{Locks, NETWORK};

/// The key of the list: host ids of the management server, with commas.
const HOSTS: &str = "ovs-host-setup";

/// xapi then starts VMs of an internal network on every host of the pool, and makes its bridge there: without it, only on the host
/// that has one running already.
const SHARED: &str = "assume_network_is_shared";

/// What a network is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// This host is in the list, and the network is marked as one of this kind.
    SetUp(NetworkKind, HostId),
    /// This host is not in the list. An empty list stays: without one the Python plugin fails to set the network up, on every host.
    Destroyed(HostId),
    /// Everything that a management server and the plugin write into a plain network; this host is in the list, if one is named.
    Ready(Option<HostId>),
}

impl Wanted {
    /// The pairs that are to be written, each with what it says now.
    pub fn missing_pairs(&self, config: &Config) -> Vec<Written> {
        let flags: &[(&str, &str)] = match self {
            Wanted::SetUp(kind, _) => &[(kind.config_flag(), "True")],
            Wanted::Destroyed(_) => &[],
            Wanted::Ready(_) => &[(NetworkKind::Plain.config_flag(), "True"), (SHARED, "true")],
        };
        let flags = flags.iter().filter(|(key, value)| config.get(*key).is_none_or(|there| there != value));
        let pair = |key: &str, after: String| Written { key: key.to_owned(), before: config.get(key).cloned(), after };
        let list = (!self.lists_right(config)).then(|| pair(HOSTS, self.host_list(config)));
        flags.map(|(key, value)| pair(key, (*value).to_owned())).chain(list).collect()
    }

    fn lists_right(&self, config: &Config) -> bool {
        let listed = |id: &HostId| listed_hosts(config).any(|host| host == id.as_str());
        match self {
            Wanted::SetUp(_, host) | Wanted::Ready(Some(host)) => listed(host),
            Wanted::Destroyed(host) => !listed(host) && config.contains_key(HOSTS),
            Wanted::Ready(None) => config.contains_key(HOSTS),
        }
    }

    /// The list as it is to be: every other host as it stands there.
    fn host_list(&self, config: &Config) -> String {
        let (own, id) = match self {
            Wanted::SetUp(_, host) | Wanted::Ready(Some(host)) => (Some(host.as_str()), Some(host)),
            Wanted::Destroyed(host) => (None, Some(host)),
            Wanted::Ready(None) => (None, None),
        };
        let others = listed_hosts(config).filter(|host| id.is_none_or(|id| *host != id.as_str()));
        others.chain(own).collect::<Vec<_>>().join(",")
    }
}

/// A pair of a network's `other-config` that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// Its key.
    pub key: String,
    /// What it said; nothing where it was not there.
    pub before: Option<String>,
    /// What it says now.
    pub after: String,
}

impl Written {
    /// The change that writes it.
    pub(super) fn write_change(&self, on: XeObject) -> XeChange {
        XeChange::Set(on, self.key.clone(), self.after.clone())
    }
}

/// An edit.
#[derive(Clone, Debug)]
pub(super) struct Edit {
    pub xe: Xe,
    pub network: NetworkUuid,
    pub wanted: Wanted,
    pub permit: Permit,
}

impl Edit {
    /// Has the network say what it is to say; what was written for that.
    pub async fn carry_out(&self) -> Result<Vec<Written>, HoldError> {
        let written = Mutex::default();
        retry_while_locked(&self.xe, || self.attempt_edit(&written)).await?;
        Ok(written.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// The lock that it is made under.
    pub fn network_lock(xe: &Xe, network: XeObject) -> Lock<'_> {
        Lock { xe, on: network, prefix: NETWORK }
    }

    fn network_object(&self) -> XeObject {
        XeObject::Network(self.network)
    }

    async fn attempt_edit(&self, written: &Mutex<Vec<Written>>) -> Result<(), HoldError> {
        let before = self.xe.other_config(self.network_object()).await?;
        // While somebody writes, the list may seem empty for a moment.
        if self.wanted.missing_pairs(&before).is_empty() && Locks::with_prefix(&before, NETWORK).is_empty() {
            return Ok(());
        }
        self.permit.check_permit()?;
        let lock = Edit::network_lock(&self.xe, self.network_object());
        let (held, config) = lock.take_lock(&before).await?;
        let edited = self.write_pairs(&lock, &held, &config, written).await;
        lock.release_lock(&held).await;
        edited
    }

    async fn write_pairs(
        &self,
        lock: &Lock<'_>,
        held: &Held,
        config: &Config,
        written: &Mutex<Vec<Written>>,
    ) -> Result<(), HoldError> {
        for pair in self.wanted.missing_pairs(config) {
            lock.in_time(held)?;
            self.permit.check_permit()?;
            make_change(&self.xe, &pair.write_change(self.network_object())).await?;
            written.lock().unwrap_or_else(PoisonError::into_inner).push(pair);
        }
        let after = self.xe.other_config(self.network_object()).await?;
        if self.wanted.missing_pairs(&after).is_empty() { Ok(()) } else { Err(HoldError::Busy) }
    }
}

/// The hosts that a network says it is set up on.
pub(super) fn listed_hosts(config: &Config) -> impl Iterator<Item = &str> {
    let list = config.get(HOSTS).map(String::as_str).unwrap_or_default();
    list.split(',').map(str::trim).filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stands for no list at all.
    const NONE: &str = "-";

    /// What is to be written into the list, if anything, and whether anything else is.
    fn edit(wanted: &Wanted, list: &str) -> (Option<String>, bool) {
        let mut config: Config = [("is-ovs-tun-network".to_owned(), "True".to_owned())].into();
        config.extend((list != NONE).then(|| (HOSTS.to_owned(), list.to_owned())));
        let missing = wanted.missing_pairs(&config);
        let of_list = missing.iter().find(|pair| pair.key == HOSTS);
        (of_list.map(|pair| pair.after.clone()), missing.iter().any(|pair| pair.key != HOSTS))
    }

    #[test]
    fn every_other_host_stays_as_it_is() {
        let seven: HostId = "7".parse().unwrap();
        let (up, down) = (Wanted::SetUp(NetworkKind::Plain, seven.clone()), Wanted::Destroyed(seven.clone()));
        for (wanted, list, edited) in [
            (&up, "", Some("7")),
            (&up, "1,2", Some("1,2,7")),
            (&up, "17,77", Some("17,77,7")),
            (&up, "7", None),
            (&up, "1, 7 ,,7", None),
            (&up, "what is this", Some("what is this,7")),
            (&up, NONE, Some("7")),
            (&down, NONE, Some("")),
            (&down, "", None),
            (&down, "17,77", None),
            (&down, "1,7,2", Some("1,2")),
            (&down, "7", Some("")),
        ] {
            assert_eq!(edit(wanted, list), (edited.map(str::to_owned), false), "{wanted:?} {list:?}");
        }
        assert_eq!(edit(&Wanted::SetUp(NetworkKind::Vpc, seven), "7"), (None, true));
    }

    #[test]
    fn a_network_that_is_ready_has_all_marks_and_a_list() {
        let ready = |host: Option<&str>| Wanted::Ready(host.map(|host| host.parse().unwrap()));
        for (wanted, list, edited) in [
            (ready(None), NONE, Some("")),
            (ready(None), "1,2", None),
            (ready(Some("7")), NONE, Some("7")),
            (ready(Some("7")), "1,2", Some("1,2,7")),
            (ready(Some("7")), "7", None),
        ] {
            assert_eq!(edit(&wanted, list), (edited.map(str::to_owned), true), "{wanted:?} {list:?}");
        }
        let whole = [(HOSTS, "7"), ("is-ovs-tun-network", "True"), (SHARED, "true"), ("other", "x")];
        let whole: Config = whole.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        assert_eq!(ready(Some("7")).missing_pairs(&whole), []);
        let mut wrong = whole.clone();
        wrong.insert(SHARED.to_owned(), "false".to_owned());
        let pair = Written { key: SHARED.to_owned(), before: Some("false".to_owned()), after: "true".to_owned() };
        assert_eq!(ready(None).missing_pairs(&wrong), [pair]);
    }
}
