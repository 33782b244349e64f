//! Physical networks: where networks get their keys from.
//!
//! What it does: fills an empty table from the configuration, says where the two differ later, and has them changed. What it must not do:
//! change what is recorded because the configuration says otherwise, or take a key out of the ranges that a network has.

use ovstunnel_api::{Changed, Outcome};
use ovstunnel_mesh::keys::Ranges;
use ovstunnel_store::{PhysicalNetworkRow, Store, StoreError};

use super::{Asked, Inventory, InventoryError, changes_sentence, field_changes};
use crate::config::PhysicalNetwork;

/// Writes down the physical networks of the configuration where none is recorded yet. Gives how many were written.
///
/// # Errors
/// The database cannot be used.
pub async fn seed_physical(store: &Store, configured: &[PhysicalNetwork]) -> Result<usize, StoreError> {
    if configured.is_empty() || !store.physical_networks().await?.is_empty() {
        return Ok(0);
    }
    for network in configured {
        store.put_physical_network(&physical_row(network)).await?;
    }
    Ok(configured.len())
}

/// Fills an empty table from the configuration, and says in the log where the two differ.
///
/// # Errors
/// The database cannot be used.
pub async fn sync_physical(store: &Store, configured: &[PhysicalNetwork]) -> Result<(), StoreError> {
    let written = seed_physical(store, configured).await?;
    if written > 0 {
        tracing::info!(
            written,
            "the physical networks of the configuration are recorded; from now on the API changes them"
        );
    }
    for difference in physical_differences(configured, &store.physical_networks().await?) {
        tracing::warn!(
            difference,
            "the configuration and the database have different physical networks; the database counts"
        );
    }
    Ok(())
}

/// Where the configuration says otherwise than what is recorded, a sentence for each. What is recorded counts.
pub fn physical_differences(configured: &[PhysicalNetwork], recorded: &[PhysicalNetworkRow]) -> Vec<String> {
    let text = |label: &Option<String>| label.clone().unwrap_or_else(|| "none".to_owned());
    let mut found = Vec::new();
    for network in configured {
        let name = &network.name;
        let Some(known) = recorded.iter().find(|known| known.name == *name) else {
            found.push(format!("the physical network {name} is in the configuration and not in the database"));
            continue;
        };
        let wanted = physical_row(network);
        let fields = [
            ("isolation", wanted.isolation.as_str().to_owned(), known.isolation.as_str().to_owned()),
            ("vnet", wanted.vnet.clone(), known.vnet.clone()),
            ("label", text(&wanted.label), text(&known.label)),
            ("label_xen", text(&wanted.label_xen), text(&known.label_xen)),
            ("label_kvm", text(&wanted.label_kvm), text(&known.label_kvm)),
        ];
        let differing = fields.into_iter().filter(|(_, wanted, known)| wanted != known);
        found.extend(differing.map(|(field, wanted, known)| {
            format!("{field} of the physical network {name} is {wanted} in the configuration and {known} in the database, which counts")
        }));
    }
    found
}

fn physical_row(network: &PhysicalNetwork) -> PhysicalNetworkRow {
    let PhysicalNetwork { name, isolation, vnet, label, label_xen, label_kvm } = network.clone();
    // It was checked when it was read; written the same however it was typed.
    let vnet = Ranges::parse(&vnet, isolation).map_or(vnet, |ranges| ranges.to_string());
    PhysicalNetworkRow { name, isolation, vnet, label, label_xen, label_kvm }
}

/// The ranges of a physical network; none where what is recorded cannot be read, which only another program can have written.
pub(super) fn ranges_of(row: &PhysicalNetworkRow) -> Ranges {
    Ranges::parse(&row.vnet, row.isolation).unwrap_or_default()
}

fn differing_fields(before: Option<&PhysicalNetworkRow>, after: &PhysicalNetworkRow) -> Vec<Changed> {
    let fields = |row: &PhysicalNetworkRow| {
        let PhysicalNetworkRow { isolation, vnet, label, label_xen, label_kvm, .. } = row.clone();
        [Some(isolation.as_str().to_owned()), Some(vnet), label, label_xen, label_kvm]
    };
    let [isolation, vnet, label, label_xen, label_kvm] = fields(after);
    let new = [
        ("isolation", isolation),
        ("vnet", vnet),
        ("label", label),
        ("label_xen", label_xen),
        ("label_kvm", label_kvm),
    ];
    field_changes(&after.name, before.map(fields), new)
}

impl Inventory {
    /// All physical networks.
    ///
    /// # Errors
    /// The database cannot be used; this holds for each of these.
    pub async fn physical_networks(&self) -> Result<Vec<PhysicalNetworkRow>, StoreError> {
        self.store.physical_networks().await
    }

    /// Records physical networks, or changes what is recorded of them: all, or none where one of them cannot be.
    ///
    /// # Errors
    /// One has networks and would get another isolation, or a network has a key that would be out of range.
    pub async fn put_physical(
        &self,
        wanted: &[PhysicalNetworkRow],
        by: Asked<'_>,
    ) -> Result<(Outcome, Vec<Changed>), InventoryError> {
        let _turn = self.turn.lock().await;
        let known = self.store.physical_networks().await?;
        let before = |row: &PhysicalNetworkRow| known.iter().find(|known| known.name == row.name);
        for row in wanted {
            self.keeps_networks(before(row), row)?;
        }
        let changes: Vec<Changed> = wanted.iter().flat_map(|row| differing_fields(before(row), row)).collect();
        let outcome = match (wanted.iter().all(|row| before(row).is_some()), changes.is_empty()) {
            (false, _) => Outcome::Created,
            (true, false) => Outcome::Updated,
            (true, true) => Outcome::Unchanged,
        };
        if by.dry_run {
            return Ok((outcome, changes));
        }
        for row in wanted {
            let changes = differing_fields(before(row), row);
            if changes.is_empty() {
                continue;
            }
            self.store.put_physical_network(row).await?;
            let (kind, verb) = match before(row) {
                None => ("physical_network_added", "recorded"),
                Some(_) => ("physical_network_changed", "changed"),
            };
            let text = format!("physical network {} {verb}: {}", row.name, changes_sentence(&changes));
            self.record_event(kind, None, None, Some(by.actor), text);
        }
        Ok((outcome, changes))
    }

    /// The rows of these physical networks with other ranges.
    ///
    /// # Errors
    /// One of them is not there.
    pub async fn with_ranges(&self, wanted: Vec<(String, String)>) -> Result<Vec<PhysicalNetworkRow>, InventoryError> {
        let mut rows = Vec::new();
        for (name, vnet) in wanted {
            rows.push(PhysicalNetworkRow { vnet, ..self.physical_network(&name).await? });
        }
        Ok(rows)
    }

    fn keeps_networks(
        &self,
        before: Option<&PhysicalNetworkRow>,
        after: &PhysicalNetworkRow,
    ) -> Result<(), InventoryError> {
        let name = &after.name;
        let other_isolation = before.is_some_and(|before| before.isolation != after.isolation);
        if let Some(network) = self.zone.network_on(name, |_| other_isolation) {
            let detail = format!(
                "the physical network {name} has networks, such as {}, so its isolation cannot change",
                network.name
            );
            return Err(InventoryError::conflict(network.name, detail));
        }
        let ranges = ranges_of(after);
        match self.zone.network_on(name, |row| row.key.is_some_and(|key| !ranges.contains(key))) {
            Some(network) => {
                let key = network.key.map(|key| key.to_string()).unwrap_or_default();
                let detail = format!("network {} has key {key}, which is not in {ranges}", network.name);
                Err(InventoryError::conflict(network.name, detail))
            }
            None => Ok(()),
        }
    }

    /// Forgets a physical network.
    ///
    /// # Errors
    /// It has networks.
    pub async fn delete_physical(&self, name: &str, by: Asked<'_>) -> Result<Outcome, InventoryError> {
        let _turn = self.turn.lock().await;
        if self.physical_network(name).await.is_err_and(|error| matches!(error, InventoryError::NotFound(_))) {
            return Ok(Outcome::Unchanged);
        }
        if let Some(network) = self.zone.network_on(name, |_| true) {
            let detail =
                format!("the physical network {name} has networks, such as {}; remove them first", network.name);
            return Err(InventoryError::conflict(network.name, detail));
        }
        if !by.dry_run {
            self.store.delete_physical_network(name).await?;
            let text = format!("physical network {name} is no longer recorded");
            self.record_event("physical_network_removed", None, None, Some(by.actor), text);
        }
        Ok(Outcome::Removed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use ovstunnel_types::Isolation;

    use super::*;

    fn configured(name: &str, vnet: &str) -> PhysicalNetwork {
        let isolation = Isolation::Gre;
        PhysicalNetwork {
            name: name.into(),
            isolation,
            vnet: vnet.into(),
            label: None,
            label_xen: None,
            label_kvm: None,
        }
    }

    #[tokio::test]
    async fn the_configuration_fills_an_empty_table_and_is_compared_later() {
        let store = Store::in_memory("dc1");
        let first = [configured("p1", "20-30,1-10"), configured("p2", "40")];
        assert_eq!(seed_physical(&store, &first).await, Ok(2));
        let rows = store.physical_networks().await.unwrap();
        assert_eq!(rows.iter().map(|row| row.vnet.as_str()).collect::<Vec<_>>(), ["1-10,20-30", "40"]);
        assert_eq!(physical_differences(&first, &rows), [""; 0], "the same ranges, however they are typed");

        let later = [configured("p1", "1-10"), configured("p3", "50")];
        assert_eq!(seed_physical(&store, &later).await, Ok(0));
        assert_eq!(store.physical_networks().await.unwrap(), rows, "what is recorded stays");
        assert_eq!(
            physical_differences(&later, &rows),
            [
                "vnet of the physical network p1 is 1-10 in the configuration and 1-10,20-30 in the database, which counts",
                "the physical network p3 is in the configuration and not in the database",
            ]
        );
    }
}
