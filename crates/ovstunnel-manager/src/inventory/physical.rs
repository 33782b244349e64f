//! Physical networks: where networks get their keys from.
//!
//! What it does: fills an empty table from the configuration, and says where the two differ later. What it must not do: change what is
//! recorded because the configuration says otherwise.

use ovstunnel_manager_api::Isolation;
use ovstunnel_store::{PhysicalNetworkRow, Store, StoreError};

use crate::config::{PhysicalNetwork, ranges};

/// Writes down the physical networks of the configuration where none is recorded yet. Gives how many were written.
///
/// # Errors
/// The database cannot be used.
pub async fn seed(store: &Store, configured: &[PhysicalNetwork]) -> Result<usize, StoreError> {
    if configured.is_empty() || !store.physical_networks().await?.is_empty() {
        return Ok(0);
    }
    for network in configured {
        store.put_physical_network(&row(network)).await?;
    }
    Ok(configured.len())
}

/// Where the configuration says otherwise than what is recorded, a sentence for each. What is recorded counts.
pub fn differences(configured: &[PhysicalNetwork], recorded: &[PhysicalNetworkRow]) -> Vec<String> {
    let text = |label: &Option<String>| label.clone().unwrap_or_else(|| "none".to_owned());
    let mut found = Vec::new();
    for network in configured {
        let name = &network.name;
        let Some(known) = recorded.iter().find(|known| known.name == *name) else {
            found.push(format!("the physical network {name} is in the configuration and not in the database"));
            continue;
        };
        let wanted = row(network);
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

fn row(network: &PhysicalNetwork) -> PhysicalNetworkRow {
    let PhysicalNetwork { name, isolation, vnet, label, label_xen, label_kvm } = network.clone();
    // It was checked when it was read; written the same however it was typed.
    let vnet = ranges(&vnet, isolation).map_or(vnet, |ranges| ranges.to_string());
    PhysicalNetworkRow { name, isolation: to_store(isolation), vnet, label, label_xen, label_kvm }
}

/// As the database has it.
pub(super) fn to_store(isolation: Isolation) -> ovstunnel_store::Isolation {
    match isolation {
        Isolation::Gre => ovstunnel_store::Isolation::Gre,
        Isolation::Vlan => ovstunnel_store::Isolation::Vlan,
    }
}

/// As the API has it.
pub(super) fn to_wire(isolation: ovstunnel_store::Isolation) -> Isolation {
    match isolation {
        ovstunnel_store::Isolation::Gre => Isolation::Gre,
        ovstunnel_store::Isolation::Vlan => Isolation::Vlan,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
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
        let store = Store::memory("dc1");
        let first = [configured("p1", "20-30,1-10"), configured("p2", "40")];
        assert_eq!(seed(&store, &first).await, Ok(2));
        let rows = store.physical_networks().await.unwrap();
        assert_eq!(rows.iter().map(|row| row.vnet.as_str()).collect::<Vec<_>>(), ["1-10,20-30", "40"]);
        assert_eq!(differences(&first, &rows), [""; 0], "the same ranges, however they are typed");

        let later = [configured("p1", "1-10"), configured("p3", "50")];
        assert_eq!(seed(&store, &later).await, Ok(0));
        assert_eq!(store.physical_networks().await.unwrap(), rows, "what is recorded stays");
        assert_eq!(
            differences(&later, &rows),
            [
                "vnet of the physical network p1 is 1-10 in the configuration and 1-10,20-30 in the database, which counts",
                "the physical network p3 is in the configuration and not in the database",
            ]
        );
    }
}
