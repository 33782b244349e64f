//! Implement and shutdown: a network gets a key with its first NIC, and gives it back when it has had none for a while.
//!
//! What it must not do: take a key away that somebody named, or give one that a host may still have.

use ovstunnel_store::{NetworkRow, NewNetwork, StoreError};
use ovstunnel_types::GreKey;

use super::begin::{allocated_row, implemented_setting};
use super::{Asked, Inventory, InventoryError, unix_seconds};
use crate::zone::{Recorded, Row};

fn with_key(row: &NetworkRow, key: Option<GreKey>) -> NewNetwork {
    let NetworkRow { number, name, physical_network, ipv6, mtu, .. } = row.clone();
    NewNetwork { number: Some(number), name, physical_network, key, ipv6, mtu, created: unix_seconds() }
}

impl Inventory {
    /// The network with a key, and with a bridge that can be had on this host.
    ///
    /// # Errors
    /// No key is free, or no bridge can be had.
    pub(super) async fn implement_network(
        &self,
        mut network: Recorded,
        host: &Row,
        is_named: bool,
        by: Asked<'_>,
    ) -> Result<Recorded, InventoryError> {
        let key = match network.row.key {
            Some(key) => key,
            None => {
                self.end_quarantines().await?;
                let physical = self.physical_network(&network.row.physical_network).await?;
                self.next_key(network.row.number, network.kind, &physical).map_err(InventoryError::KeysExhausted)?
            }
        };
        if !is_named && !self.zone.can_have_bridge(host.number, key, &network) {
            let network = network.row.name;
            return Err(InventoryError::BridgeMissing { network, host: host.name.clone() });
        }
        if by.dry_run || network.row.key.is_some() {
            return Ok(network);
        }
        let (number, name) = (network.row.number, network.row.name.clone());
        // First the mark: a key without it is never given back by itself, one with it and without NICs is.
        self.store.set_setting(&implemented_setting(number), Some("1")).await?;
        network.row = self.store.put_network(&with_key(&network.row, Some(key))).await?;
        self.put_key(allocated_row(key, number)).await?;
        self.zone.record_network(network.row.clone());
        self.zone.set_implemented(number, true);
        self.record_event("key_allocated", Some(&name), None, Some(by.actor), format!("network {name} has key {key}"));
        network.is_implemented = true;
        Ok(network)
    }

    /// Takes back the keys of networks that have had no NIC for a while, and of which no host has anything any more.
    pub(super) async fn shut_down(&self) -> Result<(), StoreError> {
        let now = self.zone.now();
        let is_idle = |network: &Recorded| {
            let last = network.last_change().unwrap_or_default();
            network.is_implemented
                && network.nics.is_empty()
                && network.row.key.is_some()
                && now.since(last) >= self.times.gc
        };
        for network in self.zone.recorded_where(is_idle) {
            let (Some(key), number, name) = (network.row.key, network.row.number, &network.row.name) else { continue };
            if self.zone.is_seen(key) {
                // Nobody has told of VMs, and something is there: what is known of NICs may be wrong, and the key is still its own.
                continue;
            }
            // First the key: until the row is written too, a killed manager takes it for the network's again.
            let of_key = self.quarantine_key(key, number).await?;
            let row = self.store.put_network(&with_key(&network.row, None)).await?;
            self.store.set_setting(&implemented_setting(number), None).await?;
            self.zone.set_implemented(number, false);
            self.zone.record_network(row);
            let text = format!("network {name} has had no NIC for {} s{of_key}", self.times.gc.as_secs());
            self.record_event("network_shut_down", Some(name), None, None, text);
        }
        Ok(())
    }
}
