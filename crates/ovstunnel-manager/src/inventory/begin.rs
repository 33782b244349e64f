//! The beginning: what the database has is taken in, and what a killed manager left half done is completed.
//!
//! What it must not do: change what is recorded of a network or a NIC.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ovstunnel_store::{KeyRow, KeyState, NetworkRow, NicRow, Store, StoreError};
use ovstunnel_types::{BridgeName, HostNumber, NetworkNumber, TunnelKind};

use super::kinds::kind_setting;
use super::{Inventory, Times, unix_seconds};
use crate::zone::{Recorded, Zone};

/// The setting that says that a network has had NICs.
pub(super) fn had_nics(network: NetworkNumber) -> String {
    format!("nics.{network}")
}

/// The setting that says that a network's key was allocated to it, and is its own only as long as it has NICs.
pub(super) fn implemented_setting(network: NetworkNumber) -> String {
    format!("implemented.{network}")
}

/// The setting with the bridge that was asked for by name.
pub(super) fn requested_bridge_setting(network: NetworkNumber, host: HostNumber) -> String {
    format!("bridge.{network}.{host}")
}

impl Inventory {
    /// Takes in all that is recorded, and tells the zone of it.
    ///
    /// # Errors
    /// The database cannot be used.
    pub async fn load_from(store: Store, zone: Zone, times: Times) -> Result<Inventory, StoreError> {
        let rows = store.keys().await?.into_iter().map(|row| (row.key, row)).collect::<BTreeMap<_, _>>();
        let keys = Arc::new(std::sync::Mutex::new(rows));
        let inventory = Inventory { store, zone, keys, turn: Arc::default(), times };
        inventory.tell_quarantined();
        let settings: BTreeMap<String, String> = inventory.store.settings().await?.into_iter().collect();
        let released = inventory.lately_released().await?;
        let may_change = inventory.store.may_change();
        for row in inventory.store.networks().await? {
            if may_change {
                inventory.complete_key(&row).await?;
            }
            let mut network = inventory.read_network(row, &settings).await?;
            let (hosts, of_network) = (network.hosts(), released.get(&network.row.name));
            network.released.extend(of_network.into_iter().flatten().filter(|host| !hosts.contains(host)));
            inventory.zone.restore_network(network);
        }
        Ok(inventory)
    }

    /// Takes in what others have recorded since. With `completes` this manager is the one that writes from now on, and completes what is half done.
    ///
    /// # Errors
    /// The database cannot be used.
    pub async fn reload_records(&self, completes: bool) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let keys = self.store.keys().await?.into_iter().map(|row| (row.key, row)).collect();
        *self.lock_keys() = keys;
        self.tell_quarantined();
        let settings: BTreeMap<String, String> = self.store.settings().await?.into_iter().collect();
        let mut nics: BTreeMap<NetworkNumber, Vec<NicRow>> = BTreeMap::new();
        for nic in self.store.every_nic().await? {
            nics.entry(nic.network).or_default().push(nic);
        }
        let rows = self.store.networks().await?;
        let there: BTreeSet<NetworkNumber> = rows.iter().map(|row| row.number).collect();
        for gone in self.zone.recorded_names().into_keys().filter(|number| !there.contains(number)) {
            self.zone.forget_network(gone);
        }
        for row in rows {
            if completes {
                self.complete_key(&row).await?;
            }
            let nics = nics.remove(&row.number).unwrap_or_default();
            self.zone.renew_network(&self.put_together(row, nics, &settings));
        }
        Ok(())
    }

    async fn read_network(&self, row: NetworkRow, settings: &BTreeMap<String, String>) -> Result<Recorded, StoreError> {
        let nics = self.store.nics(row.number).await?;
        Ok(self.put_together(row, nics, settings))
    }

    fn put_together(&self, row: NetworkRow, nics: Vec<NicRow>, settings: &BTreeMap<String, String>) -> Recorded {
        let number = row.number;
        let mut network = Recorded::new(row);
        for nic in nics {
            network.place_nic(&nic.id.clone(), Some(nic), self.zone.now());
        }
        network.had_nics |= settings.contains_key(&had_nics(number));
        network.is_implemented = settings.contains_key(&implemented_setting(number));
        network.kind = settings.get(&kind_setting(number)).and_then(|word| TunnelKind::of_interface_type(word));
        for host in network.hosts() {
            let bridge =
                settings.get(&requested_bridge_setting(number, host)).and_then(|name| name.parse::<BridgeName>().ok());
            network.asked.extend(bridge.map(|bridge| (host, bridge)));
        }
        network
    }

    /// A network's key is allocated to it: the network was written, and then the manager was killed.
    async fn complete_key(&self, row: &NetworkRow) -> Result<(), StoreError> {
        let Some(key) = row.key else { return Ok(()) };
        // One that another network has is shown, and not changed.
        let is_complete = self.lock_keys().get(&key).is_some_and(|known| known.state == KeyState::Allocated);
        match is_complete {
            true => Ok(()),
            false => self.put_key(allocated_row(key, row.number)).await,
        }
    }
}

/// A key that a network has from now on.
pub(super) fn allocated_row(key: ovstunnel_types::GreKey, network: NetworkNumber) -> KeyRow {
    KeyRow { key, state: KeyState::Allocated, network: Some(network), since: unix_seconds(), hosts: Vec::new() }
}
