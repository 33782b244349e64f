//! NICs: prepared on a host, migrated, released.
//!
//! What it must not do: write to a host: what is prepared is recorded, and what it leads to, or would lead to, is said.

use std::net::IpAddr;

use ovstunnel_api::Outcome;
use ovstunnel_manager_api::Mode;
use ovstunnel_store::NicRow;
use ovstunnel_types::{BridgeName, GreKey, HostNumber, Mac};

use super::begin::{had_nics, requested_bridge_setting};
use super::placement::{self, Move};
use super::{Asked, Inventory, InventoryError};
use crate::zone::{Prepared, Recorded, Row};

/// A NIC as somebody wants it prepared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedNic {
    /// Name of the host.
    pub host: String,
    /// The VM.
    pub vm: Option<String>,
    /// Its MAC.
    pub mac: Option<Mac>,
    /// Its address.
    pub ip: Option<IpAddr>,
    /// The bridge on the host, where it is said.
    pub bridge: Option<BridgeName>,
    /// How it gets there from another host.
    pub how: Move,
}

/// What a preparation did, and what it would lead to.
#[derive(Clone, Debug)]
pub struct Preparation {
    /// What became of the record.
    pub outcome: Outcome,
    /// The NIC.
    pub nic: NicRow,
    /// The network's key, where it has one.
    pub key: Option<GreKey>,
    /// What it would lead to; where no key can be given, why not.
    pub prepared: Result<Prepared, String>,
}

impl Inventory {
    fn require_network(&self, name: &str) -> Result<Recorded, InventoryError> {
        let missing = || InventoryError::NotFound(format!("no network {name} is recorded; record it first"));
        self.zone.recorded_network(name).ok_or_else(missing)
    }

    fn require_host(&self, name: &str) -> Result<Row, InventoryError> {
        let missing = || InventoryError::NotFound(format!("no host {name} is registered"));
        self.zone.find_registered(|row| row.name == name).ok_or_else(missing)
    }

    fn host_name(&self, number: HostNumber) -> String {
        self.zone.find_registered(|row| row.number == number).map_or_else(|| number.to_string(), |row| row.name)
    }

    /// Records that a NIC is, or is going to be, on a host.
    ///
    /// # Errors
    /// Network or host are not there, the host is being drained, or the NIC is moving between two other hosts.
    pub async fn prepare_nic(
        &self,
        name: &str,
        id: &str,
        wanted: &WantedNic,
        by: Asked<'_>,
    ) -> Result<Preparation, InventoryError> {
        let _turn = self.turn.lock().await;
        let mut network = self.require_network(name)?;
        let host = self.require_host(&wanted.host)?;
        let before = network.nics.get(id).cloned();
        let is_there = before.as_ref().is_some_and(|nic| nic.is_on(host.number));
        if host.mode == Mode::Drain && !is_there {
            return Err(InventoryError::Draining { host: host.name });
        }
        let WantedNic { vm, mac, ip, bridge, how, .. } = wanted.clone();
        let new =
            NicRow { network: network.row.number, id: id.to_owned(), vm, mac, ip, host: host.number, moving_to: None };
        let nic = placement::place_nic(before.as_ref(), new, how).map_err(|moving| InventoryError::Migrating {
            nic: id.to_owned(),
            from: self.host_name(moving.from),
            to: self.host_name(moving.to),
        })?;
        let bridge = bridge.map(|bridge| (host.number, bridge));
        if self.zone.is_acting() {
            network = self.implement_network(network, &host, bridge.is_some(), by).await?;
        }
        let outcome = match &before {
            None => Outcome::Created,
            Some(before) if *before == nic && bridge.as_ref().is_none_or(|(h, b)| network.asked.get(h) == Some(b)) => {
                Outcome::Unchanged
            }
            Some(_) => Outcome::Updated,
        };
        if !by.dry_run && outcome != Outcome::Unchanged {
            self.keep_nic(&network, &nic, bridge.as_ref()).await?;
            self.zone.place_nic(network.row.number, id, Some(nic.clone()), bridge);
            self.record_event(
                "nic_prepared",
                Some(name),
                Some(&host.name),
                Some(by.actor),
                self.nic_sentence(&nic, &host.name),
            );
            network = self.require_network(name)?;
        } else {
            network.place_nic(id, Some(nic.clone()), self.zone.now());
            network.asked.extend(bridge);
        }
        let prepared = self.would_lead_to(&network, host.number).await?;
        Ok(Preparation { outcome, nic, key: network.row.key, prepared })
    }

    fn nic_sentence(&self, nic: &NicRow, host: &str) -> String {
        let vm = nic.vm.as_ref().map(|vm| format!(" of {vm}")).unwrap_or_default();
        match nic.moving_to {
            Some(to) => format!(
                "NIC {}{vm} is moving from host {} to host {}",
                nic.id,
                self.host_name(nic.host),
                self.host_name(to)
            ),
            None => format!("NIC {}{vm} is on host {host}", nic.id),
        }
    }

    async fn keep_nic(
        &self,
        network: &Recorded,
        nic: &NicRow,
        bridge: Option<&(HostNumber, BridgeName)>,
    ) -> Result<(), InventoryError> {
        let number = network.row.number;
        self.store.put_nic(nic).await?;
        if !network.had_nics {
            self.store.set_setting(&had_nics(number), Some("1")).await?;
        }
        if let Some((host, bridge)) = bridge {
            self.store.set_setting(&requested_bridge_setting(number, *host), Some(bridge.as_str())).await?;
        }
        Ok(())
    }

    async fn would_lead_to(
        &self,
        network: &Recorded,
        host: HostNumber,
    ) -> Result<Result<Prepared, String>, InventoryError> {
        let key = match network.row.key {
            Some(key) => {
                // Its generation is the one with the NIC.
                self.zone.proof(key);
                Ok(key)
            }
            None => self.next_key(
                network.row.number,
                network.kind,
                &self.physical_network(&network.row.physical_network).await?,
            ),
        };
        let prepared = key.and_then(|key| {
            // A key is a number, so there is always a mesh.
            self.zone
                .prepared_on(network, key, host, self.times.dead_after)
                .ok_or_else(|| "the network has no mesh".to_owned())
        });
        Ok(prepared)
    }

    /// What would be sent for a network that has no key yet, with the one that it would get; why not where none is free.
    ///
    /// # Errors
    /// It is not recorded, or the database cannot be used.
    pub async fn plan_without_key(&self, name: &str) -> Result<Result<crate::zone::Planned, String>, InventoryError> {
        let network = self.require_network(name)?;
        let key = self.next_key(
            network.row.number,
            network.kind,
            &self.physical_network(&network.row.physical_network).await?,
        );
        Ok(key.and_then(|key| {
            self.zone
                .plan_with(&network, key, self.times.dead_after)
                .ok_or_else(|| "the network has no mesh".to_owned())
        }))
    }

    /// Records that a NIC is gone: from one host, or from all.
    ///
    /// # Errors
    /// The network or the host are not there.
    pub async fn release_nic(
        &self,
        name: &str,
        id: &str,
        on: Option<&str>,
        by: Asked<'_>,
    ) -> Result<(Outcome, Option<NicRow>), InventoryError> {
        let _turn = self.turn.lock().await;
        let network = self.require_network(name)?;
        let on = on.map(|host| self.require_host(host)).transpose()?;
        let Some(before) = network.nics.get(id) else { return Ok((Outcome::Unchanged, None)) };
        let after = placement::after_release(before, on.as_ref().map(|host| host.number));
        if after.as_ref() == Some(before) {
            return Ok((Outcome::Unchanged, after));
        }
        if !by.dry_run {
            match &after {
                Some(nic) => self.store.put_nic(nic).await?,
                None => drop(self.store.delete_nic(network.row.number, id).await?),
            }
            self.forget_asked(&network, id, after.as_ref()).await?;
            self.zone.place_nic(network.row.number, id, after.clone(), None);
            let host = on.map_or_else(|| self.host_name(before.host), |host| host.name);
            let text = match &after {
                None => format!("NIC {id} is released on host {host}"),
                Some(nic) => {
                    format!("NIC {id} is released on host {host} and stays on host {}", self.host_name(nic.host))
                }
            };
            self.record_event("nic_released", Some(name), Some(&host), Some(by.actor), text);
        }
        Ok((if after.is_some() { Outcome::Updated } else { Outcome::Removed }, after))
    }

    /// Records how a migration ended.
    ///
    /// # Errors
    /// Network or NIC are not there.
    pub async fn end_migration(
        &self,
        name: &str,
        id: &str,
        well: bool,
        by: Asked<'_>,
    ) -> Result<(Outcome, NicRow), InventoryError> {
        let _turn = self.turn.lock().await;
        self.settle_migration(name, id, well, by).await
    }

    /// The same within a turn.
    pub(super) async fn settle_migration(
        &self,
        name: &str,
        id: &str,
        well: bool,
        by: Asked<'_>,
    ) -> Result<(Outcome, NicRow), InventoryError> {
        let network = self.require_network(name)?;
        let missing = || InventoryError::NotFound(format!("network {name} has no NIC {id}"));
        let before = network.nics.get(id).ok_or_else(missing)?;
        let after = if well { placement::after_migration(before) } else { placement::rolled_back(before) };
        if after == *before {
            return Ok((Outcome::Unchanged, after));
        }
        if !by.dry_run {
            self.store.put_nic(&after).await?;
            self.forget_asked(&network, id, Some(&after)).await?;
            self.zone.place_nic(network.row.number, id, Some(after.clone()), None);
            let host = self.host_name(after.host);
            let (kind, text) = match well {
                true => ("nic_migrated", format!("NIC {id} has migrated to host {host}")),
                false => ("nic_rolled_back", format!("the migration of NIC {id} was given up; it is on host {host}")),
            };
            self.record_event(kind, Some(name), Some(&host), Some(by.actor), text);
        }
        Ok((Outcome::Updated, after))
    }

    /// A bridge that was asked for by name is forgotten with the last NIC on its host.
    async fn forget_asked(&self, network: &Recorded, id: &str, after: Option<&NicRow>) -> Result<(), InventoryError> {
        let mut later = network.clone();
        later.place_nic(id, after.cloned(), self.zone.now());
        for host in network.asked.keys().filter(|host| !later.asked.contains_key(host)) {
            self.store.set_setting(&requested_bridge_setting(network.row.number, *host), None).await?;
        }
        Ok(())
    }
}
