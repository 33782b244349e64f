//! What was begun and nobody has ended: migrations whose end nobody told, and releases before the manager was started anew.
//!
//! What it must not do: take a VM for gone because nobody can tell.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ovstunnel_mesh::membership::Says;
use ovstunnel_store::{EventFilter, PAGE_MAX, StoreError};
use ovstunnel_types::HostNumber;
use time::OffsetDateTime;

use super::{Asked, Inventory, InventoryError};

/// Releases of longer ago are not looked for at a start: what followed from them is gone, or was asked for.
const LATELY: Duration = Duration::from_secs(3600);

/// Who settles a migration, where nobody else does.
const MANAGER: Asked<'static> = Asked { actor: "manager", dry_run: false };

impl Inventory {
    /// Ends migrations that have lasted for too long, where the VIFs of both hosts say where the VM is: some on one host, and none on the other.
    pub(super) async fn settle_migrations(&self) -> Result<(), StoreError> {
        let (now, longest) = (self.zone.now(), self.times.migration);
        let moves = |network: &crate::zone::Recorded| network.moving_for(longest, now).next().is_some();
        for network in self.zone.recorded_where(moves) {
            let Some(key) = network.row.key else { continue };
            for nic in network.moving_for(longest, now) {
                let Some(to) = nic.moving_to else { continue };
                let well = match (self.zone.vifs_say(key, nic.host), self.zone.vifs_say(key, to)) {
                    (Says::Out, Says::In) => true,
                    (Says::In, Says::Out) => false,
                    _ => continue,
                };
                // Whoever has taken it away in between has settled it; only the database is a reason to stop.
                let settled = self.settle_migration(&network.row.name, &nic.id, well, MANAGER).await;
                if let Err(InventoryError::Store(error)) = settled {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// The hosts on which NICs were released lately, by the name of the network: what goes because of that has been asked for by name.
    pub(super) async fn lately_released(&self) -> Result<BTreeMap<String, BTreeSet<HostNumber>>, StoreError> {
        let since = (OffsetDateTime::now_utc() - LATELY).unix_timestamp_nanos() / 1_000_000;
        let since = i64::try_from(since).ok();
        let hosts: BTreeMap<String, HostNumber> =
            self.store.hosts().await?.into_iter().map(|host| (host.name, host.number)).collect();
        let filter = EventFilter { kind: Some("nic_released".to_owned()), since, ..EventFilter::default() };
        let (mut found, mut cursor) = (BTreeMap::<String, BTreeSet<HostNumber>>::new(), None);
        loop {
            let page = self.store.events(&filter, cursor, PAGE_MAX).await?;
            for row in &page.events {
                let of = (row.event.network.clone(), row.event.host.as_ref().and_then(|host| hosts.get(host)));
                if let (Some(network), Some(host)) = of {
                    found.entry(network).or_default().insert(*host);
                }
            }
            cursor = match page.next {
                Some(next) => Some(next),
                None => return Ok(found),
            };
        }
    }
}
