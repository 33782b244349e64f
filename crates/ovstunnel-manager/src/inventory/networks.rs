//! Networks: recorded, changed, removed, and the keys that they are given by name.
//!
//! What it must not do: allocate a key that nobody named: a network's first NIC does.

use std::collections::BTreeSet;

use ovstunnel_api::{Changed, Outcome};
use ovstunnel_mesh::keys::{KeyState, Pool, Refused};
use ovstunnel_store::{KeyRow, NewNetwork, PhysicalNetworkRow, StoreError};
use ovstunnel_types::{GreKey, HostNumber, Ipv6Policy, NetworkNumber};

use super::begin::{allocated_row, had_nics, implemented_setting, requested_bridge_setting};
use super::kinds::{check_key, kind_setting};
use super::physical::ranges_of;
use super::{Asked, Inventory, InventoryError, changes_sentence, field_changes, unix_seconds};
use crate::zone::Recorded;

/// A network as somebody wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedNetwork {
    /// Its name.
    pub name: String,
    /// Its physical network.
    pub physical_network: String,
    /// Its number, where it is said.
    pub number: Option<NetworkNumber>,
    /// Its key, where it is said.
    pub key: Option<GreKey>,
    /// That bridges with the key which hosts have already are this network's.
    pub adopt: bool,
    /// What it does with IPv6.
    pub ipv6: Option<Ipv6Policy>,
    /// MTU of its guests, bytes.
    pub mtu: Option<u32>,
}

impl Inventory {
    /// Records a network, or changes what is recorded of it.
    ///
    /// # Errors
    /// Its physical network is not there, its key cannot be given to it, or its number or physical network is another one than it has.
    pub async fn put_network(
        &self,
        wanted: &WantedNetwork,
        by: Asked<'_>,
    ) -> Result<(Outcome, Vec<Changed>), InventoryError> {
        let _turn = self.turn.lock().await;
        let physical = self.physical_network(&wanted.physical_network).await?;
        let before = self.zone.recorded_network(&wanted.name);
        self.check_unchanged(wanted, before.as_ref())?;
        let had = before.as_ref().and_then(|before| before.row.key);
        if let Some(key) = wanted.key.filter(|key| had != Some(*key)) {
            before.as_ref().and_then(|before| before.kind).map_or(Ok(()), |kind| check_key(key, kind))?;
            self.end_quarantines().await?;
            self.may_be_given(key, wanted, before.as_ref(), &physical)?;
        }
        let key = wanted.key.or(had);
        let changes = differing_fields(wanted, before.as_ref(), key);
        let outcome = match (&before, changes.is_empty()) {
            (None, _) => Outcome::Created,
            (Some(_), true) => Outcome::Unchanged,
            (Some(_), false) => Outcome::Updated,
        };
        if by.dry_run || outcome == Outcome::Unchanged {
            return Ok((outcome, changes));
        }
        let WantedNetwork { name, physical_network, number, ipv6, mtu, .. } = wanted.clone();
        let new = NewNetwork { number, name, physical_network, key, ipv6, mtu, created: unix_seconds() };
        let row = self.store.put_network(&new).await?;
        if let Some(key) = key.filter(|key| had != Some(*key)) {
            self.put_key(allocated_row(key, row.number)).await?;
        }
        let (kind, verb) = match outcome {
            Outcome::Created => ("network_added", "recorded"),
            _ => ("network_changed", "changed"),
        };
        let text = format!("network {} {verb}: {}", row.name, changes_sentence(&changes));
        self.record_event(kind, Some(&row.name), None, Some(by.actor), text);
        self.zone.record_network(row);
        Ok((outcome, changes))
    }

    /// Forgets a network, and puts its key in quarantine until each host that may have it was seen without.
    ///
    /// # Errors
    /// It has NICs.
    pub async fn delete_network(&self, name: &str, by: Asked<'_>) -> Result<Outcome, InventoryError> {
        let _turn = self.turn.lock().await;
        let Some(network) = self.zone.recorded_network(name) else { return Ok(Outcome::Unchanged) };
        if let Some(nic) = network.nics.keys().next() {
            let detail = format!("network {name} has NICs, such as {nic}; release them first");
            return Err(InventoryError::conflict(nic, detail));
        }
        if by.dry_run {
            return Ok(Outcome::Removed);
        }
        let number = network.row.number;
        let of_key = match network.row.key {
            Some(key) => self.quarantine_key(key, number).await?,
            None => String::new(),
        };
        self.store.delete_network(name).await?;
        for host in network.asked.keys() {
            self.store.set_setting(&requested_bridge_setting(number, *host), None).await?;
        }
        self.store.set_setting(&had_nics(number), None).await?;
        self.store.set_setting(&implemented_setting(number), None).await?;
        self.store.set_setting(&kind_setting(number), None).await?;
        self.record_event(
            "network_removed",
            Some(name),
            None,
            Some(by.actor),
            format!("network {name} is no longer recorded{of_key}"),
        );
        self.zone.forget_network(number);
        Ok(Outcome::Removed)
    }

    /// What becomes of a key that its network leaves, as it reads on.
    pub(super) async fn quarantine_key(&self, key: GreKey, network: NetworkNumber) -> Result<String, StoreError> {
        let seen = self.zone.keys_seen().remove(&key).unwrap_or_default();
        let speaking = self.zone.reporting_hosts();
        // Who cannot tell now may have it.
        let silent = self.zone.registered_numbers().into_iter().filter(|host| !speaking.contains(host));
        let hosts: BTreeSet<HostNumber> = seen.into_keys().chain(silent).collect();
        if hosts.is_empty() {
            self.delete_key(key).await?;
            return Ok(format!("; its key {key} is free"));
        }
        let text = format!("; its key {key} is given again once {} hosts were seen without it", hosts.len());
        let (state, hosts) = (ovstunnel_store::KeyState::Quarantined, hosts.into_iter().collect());
        self.put_key(KeyRow { key, state, network: Some(network), since: unix_seconds(), hosts }).await?;
        Ok(text)
    }

    /// The physical network of this name.
    pub(super) async fn physical_network(&self, name: &str) -> Result<PhysicalNetworkRow, InventoryError> {
        let known = self.store.physical_networks().await?.into_iter().find(|known| known.name == name);
        known.ok_or_else(|| InventoryError::NotFound(format!("no physical network {name} is recorded")))
    }

    /// What never changes is as it was, and the number is nobody else's.
    fn check_unchanged(&self, wanted: &WantedNetwork, before: Option<&Recorded>) -> Result<(), InventoryError> {
        let name = &wanted.name;
        if let Some(row) = before.map(|before| &before.row) {
            if wanted.number.is_some_and(|number| number != row.number) {
                let detail =
                    format!("network {name} has the number {}; delete it and record it anew for another", row.number);
                return Err(InventoryError::conflict(name, detail));
            }
            if wanted.physical_network != row.physical_network {
                let detail = format!(
                    "network {name} is on the physical network {}; delete it and record it anew for another",
                    row.physical_network
                );
                return Err(InventoryError::conflict(&row.physical_network, detail));
            }
            if let Some(key) = row.key.filter(|key| wanted.key.is_some_and(|wanted| wanted != *key)) {
                let detail = format!("network {name} has key {key}; delete it and record it anew for another");
                return Err(InventoryError::conflict(key, detail));
            }
        }
        let taken = wanted.number.and_then(|number| self.zone.recorded_names().remove(&number));
        match taken.filter(|other| other != name) {
            Some(other) => Err(InventoryError::conflict(&other, format!("network {other} has this number already"))),
            None => Ok(()),
        }
    }

    /// That a key is in range and free: no network has or had it, and no host has it unless that is said to be this network's.
    fn may_be_given(
        &self,
        key: GreKey,
        wanted: &WantedNetwork,
        before: Option<&Recorded>,
        physical: &PhysicalNetworkRow,
    ) -> Result<(), InventoryError> {
        let mut keys = self.key_register();
        let pool = Pool::new(&physical.name, ranges_of(physical));
        // A new network's number is given with its row; no network has the largest one.
        let stand_in = || NetworkNumber::try_from(i64::MAX as u64).ok();
        let number = before.map(|before| before.row.number).or(wanted.number).or_else(stand_in);
        let Some(number) = number else { return Ok(()) };
        match keys.claim_key(number, key, &pool) {
            Ok(()) => Ok(()),
            Err(Refused::NotFree { state: KeyState::Withdrawn(_), .. }) if wanted.adopt => Ok(()),
            Err(refused) => {
                let (networks, hosts) = (self.zone.recorded_names(), self.zone.host_names());
                let network =
                    |number: &NetworkNumber| networks.get(number).cloned().unwrap_or_else(|| number.to_string());
                let list = |on: &BTreeSet<HostNumber>| {
                    let name = |host: &HostNumber| hosts.get(host).cloned().unwrap_or_else(|| host.to_string());
                    on.iter().map(name).collect::<Vec<_>>().join(", ")
                };
                let detail = match &refused {
                    Refused::NotFree { state: KeyState::InUse(of), .. } => {
                        format!("key {key} is not free: network {} has it", network(of))
                    }
                    Refused::NotFree { state: KeyState::Quarantined { waits_for, .. }, .. } => format!(
                        "key {key} is not free: it was released, and these hosts were not seen without it since: {}",
                        list(waits_for)
                    ),
                    Refused::NotFree { state: KeyState::Withdrawn(on), .. } => format!(
                        "key {key} is not free: these hosts have bridges with it: {}; with `adopt` they are taken for this network's",
                        list(on)
                    ),
                    other => other.to_string(),
                };
                Err(InventoryError::conflict(key, detail))
            }
        }
    }
}

/// The fields that would be others than before.
fn differing_fields(wanted: &WantedNetwork, before: Option<&Recorded>, key: Option<GreKey>) -> Vec<Changed> {
    let text = |value: Option<u32>| value.map(|value| value.to_string());
    let ipv6 = |policy: Option<Ipv6Policy>| policy.map(|policy| policy.as_str().to_owned());
    let old = before.map(|before| {
        let row = &before.row;
        [Some(row.physical_network.clone()), text(row.key.map(GreKey::get)), ipv6(row.ipv6), text(row.mtu)]
    });
    let new = [
        ("physical_network", Some(wanted.physical_network.clone())),
        ("key", text(key.map(GreKey::get))),
        ("ipv6", ipv6(wanted.ipv6)),
        ("mtu", text(wanted.mtu)),
    ];
    field_changes(&wanted.name, old, new)
}
