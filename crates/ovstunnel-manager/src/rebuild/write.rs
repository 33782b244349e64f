//! The database filled. Must not change one in which something stands.

use ovstunnel_store::{HostMode, KeyRow, KeyState, NewEvent, NewHost, NewNetwork, OpenOptions, Store, StoreError};
use ovstunnel_types::HostNumber;
use time::OffsetDateTime;

use super::{Listed, Plan, RebuildError};
use crate::config::Config;
use crate::inventory::{kind_setting, physical};
use crate::store;

/// As whom the lease is taken for a moment.
const REBUILD: &str = "rebuild";

pub(super) async fn write_plan(config: &Config, plan: &Plan) -> Result<(), RebuildError> {
    let options = OpenOptions { uuid: plan.zone, ..store::open_options(config) };
    let opened = Store::open(config.database.url.as_str(), &config.zone, options).await?;
    let filled = fill_store(&opened, config, plan).await;
    opened.close().await;
    filled
}

async fn fill_store(store: &Store, config: &Config, plan: &Plan) -> Result<(), RebuildError> {
    if let Some(found) = first_record(store).await? {
        return Err(RebuildError::NotEmpty(found));
    }
    let now = OffsetDateTime::now_utc();
    let seconds = now.unix_timestamp();
    physical::seed_physical(store, &config.physical_networks).await?;
    for (number, host, _) in &plan.hosts {
        store.put_host(&host_row(*number, host, seconds)).await?;
    }
    // Those with a number first: the others must not be given it.
    let mut networks: Vec<_> = plan.networks.iter().collect();
    networks.sort_by_key(|network| network.number.is_none());
    for network in networks {
        let super::NewNetwork { name, number, key, physical_network, ipv6, kind, .. } = network.clone();
        let new = NewNetwork { number, name, physical_network, key: Some(key), ipv6, mtu: None, created: seconds };
        let number = store.put_network(&new).await?.number;
        store.set_setting(&kind_setting(number), Some(&kind.to_string())).await?;
        let network = Some(number);
        let allocated = KeyRow { key, state: KeyState::Allocated, network, since: seconds, hosts: Vec::new() };
        store.put_key(&allocated).await?;
    }
    if let Some(epoch) = plan.epoch {
        // The next leader's epoch is above it: a host takes one that it knows already for that of the same leader.
        store.take_lease(REBUILD, 1000, epoch).await?;
        store.release_lease(REBUILD).await?;
    }
    let text = format!("rebuilt from what {} hosts record: {} networks", plan.hosts.len(), plan.networks.len());
    let at = seconds.saturating_mul(1000);
    store.append_event(NewEvent { at, kind: "rebuilt".to_owned(), text, ..NewEvent::default() }).await?;
    Ok(())
}

/// The first thing that stands in the database.
async fn first_record(store: &Store) -> Result<Option<String>, StoreError> {
    let counts = [
        (store.hosts().await?.len(), "hosts"),
        (store.networks().await?.len(), "networks"),
        (store.keys().await?.len(), "keys"),
    ];
    Ok(counts.into_iter().find(|(many, _)| *many > 0).map(|(many, what)| format!("{many} {what}")))
}

fn host_row(number: HostNumber, host: &Listed, registered: i64) -> NewHost {
    let Listed { name, api, rack, label, mode, .. } = host.clone();
    let mode = match mode {
        ovstunnel_manager_api::Mode::Manage => HostMode::Manage,
        ovstunnel_manager_api::Mode::Observe => HostMode::Observe,
        ovstunnel_manager_api::Mode::Drain => HostMode::Drain,
    };
    NewHost { number: Some(number), name, api, rack, label, mode, registered }
}
