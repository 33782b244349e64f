//! Whatever is done in whatever order: the database in memory and SQLite say the same.

use crate::contract;

use crate::contract::{gre, host, host_number, interface_of, network, network_number, physical, tunnels_of};
use ovstunnel_store::{
    EventFilter, HostMode, HostTunnels, KeyRow, KeyState, NewHost, NewNetwork, NicRow, OpenOptions, RowState, Store,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

#[derive(Clone, Debug)]
enum Call {
    PutHost { name: u8, number: Option<u64>, drain: bool },
    DeleteHost(u8),
    PutInterface { host: u64, last: u8 },
    DeleteInterfaces(u64),
    PutPhysical(u8),
    DeletePhysical(u8),
    PutNetwork { name: u8, number: Option<u64>, physical: u8, key: Option<i64> },
    DeleteNetwork(u8),
    SetTunnels { network: u64, from: u64, to: Vec<u64>, failed: bool },
    SetHostTunnels { from: u64, to: Vec<(u64, u64)> },
    DeleteTunnels(u64),
    PutNic { network: u64, id: u8, host: u64, moving_to: Option<u64> },
    DeleteNic { network: u64, id: u8 },
    PutKey { key: i64, allocated: bool, network: Option<u64>, hosts: Vec<u64> },
    DeleteKey(i64),
    Append { at: i64, kind: u8, many: usize },
    Purge(i64),
    Set { name: u8, value: Option<String> },
}

fn call() -> impl Strategy<Value = Call> {
    let small = || 1..5u64;
    let name = || 0..4u8;
    let maybe = || prop::option::of(1..5u64);
    prop_oneof![
        4 => (name(), maybe(), any::<bool>()).prop_map(|(name, number, drain)| Call::PutHost { name, number, drain }),
        1 => name().prop_map(Call::DeleteHost),
        2 => (small(), any::<u8>()).prop_map(|(host, last)| Call::PutInterface { host, last }),
        1 => small().prop_map(Call::DeleteInterfaces),
        2 => (0..2u8).prop_map(Call::PutPhysical),
        1 => (0..2u8).prop_map(Call::DeletePhysical),
        4 => (name(), maybe(), 0..2u8, prop::option::of(1..4i64))
            .prop_map(|(name, number, physical, key)| Call::PutNetwork { name, number, physical, key }),
        1 => name().prop_map(Call::DeleteNetwork),
        4 => (small(), small(), prop::collection::vec(small(), 0..4), any::<bool>())
            .prop_map(|(network, from, to, failed)| Call::SetTunnels { network, from, to, failed }),
        3 => (small(), prop::collection::vec((small(), small()), 0..5))
            .prop_map(|(from, to)| Call::SetHostTunnels { from, to }),
        1 => small().prop_map(Call::DeleteTunnels),
        4 => (small(), name(), small(), maybe())
            .prop_map(|(network, id, host, moving_to)| Call::PutNic { network, id, host, moving_to }),
        1 => (small(), name()).prop_map(|(network, id)| Call::DeleteNic { network, id }),
        2 => (1..5i64, any::<bool>(), maybe(), prop::collection::vec(small(), 0..4))
            .prop_map(|(key, allocated, network, hosts)| Call::PutKey { key, allocated, network, hosts }),
        1 => (1..5i64).prop_map(Call::DeleteKey),
        2 => (-3..10i64, name(), 0..4usize).prop_map(|(at, kind, many)| Call::Append { at, kind, many }),
        1 => (-3..10i64).prop_map(Call::Purge),
        1 => (name(), prop::option::of(any::<String>())).prop_map(|(name, value)| Call::Set { name, value }),
    ]
}

/// What a call answers, as text.
async fn made(store: &Store, call: &Call) -> String {
    macro_rules! said {
        ($call:expr) => {
            format!("{:?}", $call.await)
        };
    }
    match call.clone() {
        Call::PutHost { name, number, drain } => {
            let mode = if drain { HostMode::Drain } else { HostMode::Manage };
            let new = NewHost { number: number.map(host_number), mode, ..host(&format!("h{name}")) };
            said!(store.put_host(&new))
        }
        Call::DeleteHost(name) => said!(store.delete_host(&format!("h{name}"))),
        Call::PutInterface { host, last } => said!(store.put_interface(&interface_of(host, last))),
        Call::DeleteInterfaces(host) => said!(store.delete_interfaces(host_number(host))),
        Call::PutPhysical(name) => said!(store.put_physical_network(&physical(&format!("p{name}")))),
        Call::DeletePhysical(name) => said!(store.delete_physical_network(&format!("p{name}"))),
        Call::PutNetwork { name, number, physical, key } => {
            let on = format!("p{physical}");
            let number = number.map(network_number);
            said!(store.put_network(&NewNetwork { number, physical_network: on, ..network(&format!("n{name}"), key) }))
        }
        Call::DeleteNetwork(name) => said!(store.delete_network(&format!("n{name}"))),
        Call::SetTunnels { network, from, to, failed } => {
            let mut rows = tunnels_of(network, from, to);
            rows.iter_mut().filter(|_| failed).for_each(|row| row.state = RowState::Failed);
            said!(store.set_tunnel_rows(network_number(network), host_number(from), &rows))
        }
        Call::SetHostTunnels { from, to } => {
            let rows = to.into_iter().flat_map(|(network, to)| tunnels_of(network, from, [to])).collect();
            said!(store.set_host_tunnels(&[HostTunnels { host: host_number(from), rows }]))
        }
        Call::DeleteTunnels(network) => said!(store.delete_tunnel_rows(network_number(network))),
        Call::PutNic { network, id, host, moving_to } => {
            let (network, id, host) = (network_number(network), format!("i{id}"), host_number(host));
            let moving_to = moving_to.map(host_number);
            said!(store.put_nic(&NicRow { network, id, vm: None, mac: None, ip: None, host, moving_to }))
        }
        Call::DeleteNic { network, id } => said!(store.delete_nic(network_number(network), &format!("i{id}"))),
        Call::PutKey { key, allocated, network, hosts } => {
            let state = if allocated { KeyState::Allocated } else { KeyState::Quarantined };
            let hosts = hosts.into_iter().map(host_number).collect();
            said!(store.put_key(&KeyRow {
                key: gre(key),
                state,
                network: network.map(network_number),
                since: 0,
                hosts
            }))
        }
        Call::DeleteKey(key) => said!(store.delete_key(gre(key))),
        Call::Append { at, kind, many } => {
            let events = vec![contract::event_of(at, &format!("k{kind}")); many];
            said!(store.append_events(&events))
        }
        Call::Purge(older) => said!(store.purge_events(older)),
        Call::Set { name, value } => said!(store.set_setting(&format!("s{name}"), value.as_deref())),
    }
}

/// All that there is.
async fn all(store: &Store) -> String {
    let mut tunnels = Vec::new();
    let mut nics = Vec::new();
    for number in 1..5 {
        tunnels.push(store.tunnel_rows(network_number(number)).await.unwrap());
        tunnels.push(store.tunnel_rows_from(network_number(1), host_number(number)).await.unwrap());
        nics.push(store.nics(network_number(number)).await.unwrap());
        nics.push(store.nics_on(host_number(number)).await.unwrap());
    }
    let filter = EventFilter { kind: Some("k1".into()), since: Some(0), ..EventFilter::default() };
    format!(
        "{:#?}",
        (
            (store.hosts().await, store.interfaces().await, store.physical_networks().await, store.networks().await),
            (tunnels, store.hosts_with_tunnel_rows().await, nics, store.keys().await, store.settings().await),
            (store.events(&EventFilter::default(), None, 5).await, store.events(&filter, Some(9), 3).await),
        )
    )
}

fn same(what: &str, memory: String, sqlite: String) -> Result<(), TestCaseError> {
    prop_assert_eq!(memory, sqlite, "{}", what);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn memory_and_sqlite_are_alike(calls in prop::collection::vec(call(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::TempDir::new().unwrap();
            let url = format!("sqlite://{}/manager.db", folder.path().display());
            let sqlite = Store::open(&url, "dc1", OpenOptions::default()).await.unwrap();
            let memory = Store::in_memory("dc1");
            for call in &calls {
                same(&format!("{call:?}"), made(&memory, call).await, made(&sqlite, call).await)?;
            }
            let result = same("at the end", all(&memory).await, all(&sqlite).await);
            sqlite.close().await;
            result
        })?;
    }
}
