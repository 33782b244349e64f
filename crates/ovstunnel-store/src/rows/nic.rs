//! NICs, keys and the lease of the leader: what a manager that acts remembers.
//!
//! What it does: their rows. What it must not do: allocate a key; decide who leads.

use std::net::IpAddr;
use std::str::FromStr;

use ovstunnel_types::{GreKey, HostNumber, Mac, NetworkNumber};

use super::check::{Text, check_path_name};
use crate::{Result, StoreError};

/// A NIC of a VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NicRow {
    /// The network.
    pub network: NetworkNumber,
    /// Its id, unique in the network.
    pub id: String,
    /// The VM; at most 255 characters.
    pub vm: Option<String>,
    /// Its MAC.
    pub mac: Option<Mac>,
    /// Its address.
    pub ip: Option<IpAddr>,
    /// The host that it is on.
    pub host: HostNumber,
    /// The host that it is moving to.
    pub moving_to: Option<HostNumber>,
}

const VM: Text = Text { field: "nic.vm", rule: "must have at most 255 characters, none of control", max: 255 };

impl NicRow {
    pub(crate) fn check_fields(&self) -> Result<()> {
        check_path_name("nic.id", &self.id)?;
        VM.check_some(self.vm.as_deref())
    }

    /// Whether it is on a host or moving to it.
    pub fn is_on(&self, host: HostNumber) -> bool {
        self.host == host || self.moving_to == Some(host)
    }

    /// As an error names it.
    pub(crate) fn describe_nic(&self) -> String {
        format!("NIC {:?} of network {}", self.id, self.network)
    }
}

/// What a key is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// A network has it.
    Allocated,
    /// No network has it any more, and hosts may have it still.
    Quarantined,
}

impl KeyState {
    /// The word for it, in the database and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            KeyState::Allocated => "allocated",
            KeyState::Quarantined => "quarantined",
        }
    }
}

impl FromStr for KeyState {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "allocated" => Ok(KeyState::Allocated),
            "quarantined" => Ok(KeyState::Quarantined),
            _ => Err(StoreError::invalid("vnet_key.state", "must be allocated or quarantined", text)),
        }
    }
}

/// A key that is not free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The key.
    pub key: GreKey,
    /// What it is used for.
    pub state: KeyState,
    /// The network that has or had it.
    pub network: Option<NetworkNumber>,
    /// Since when, in seconds since 1970.
    pub since: i64,
    /// Hosts that may have it, ascending, each once.
    pub hosts: Vec<HostNumber>,
}

impl KeyRow {
    /// With its hosts in order, each once.
    pub(crate) fn with_sorted_hosts(&self) -> KeyRow {
        let mut row = self.clone();
        row.hosts.sort_unstable();
        row.hosts.dedup();
        row
    }
}

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRow {
    /// The manager that leads or led.
    pub leader: String,
    /// Counts the leaders.
    pub epoch: u64,
    /// Until when, in milliseconds since 1970 by the database's clock.
    pub until: i64,
}

impl LeaseRow {
    /// What stands there after somebody asked for the lease.
    pub(crate) fn after_request(
        known: Option<&LeaseRow>,
        leader: &str,
        now: i64,
        milliseconds: u32,
        at_least: u64,
    ) -> Result<LeaseRow> {
        let epoch = match known {
            Some(known) if known.until > now && known.leader != leader => return Ok(known.clone()),
            Some(known) if known.until > now => known.epoch,
            known => known.map_or(0, |known| known.epoch).max(at_least).saturating_add(1),
        };
        if i64::try_from(epoch).is_err() {
            return Err(StoreError::invalid("lease.epoch", "must be below 2^63", &epoch.to_string()));
        }
        Ok(LeaseRow { leader: leader.to_owned(), epoch, until: now.saturating_add(i64::from(milliseconds)) })
    }
}
