//! NICs, keys, the lease.

use ovstunnel_store::{KeyRow, KeyState, NicRow, Store, StoreError};

use super::{gre, host, host_number, network, network_number, physical};

fn nic(id: &str, host: u64) -> NicRow {
    NicRow {
        network: network_number(1),
        id: id.into(),
        vm: None,
        mac: None,
        ip: None,
        host: host_number(host),
        moving_to: None,
    }
}

pub async fn nics_keep_their_hosts_and_network(store: &Store) {
    let missing = store.put_nic(&nic("a", 1)).await;
    assert_eq!(missing, Err(StoreError::NotFound { what: "network", name: "1".into() }));
    store.put_physical_network(&physical("p1")).await.unwrap();
    store.put_network(&network("n1", None)).await.unwrap();
    for name in ["h1", "h2"] {
        store.put_host(&host(name)).await.unwrap();
    }
    let moving = NicRow {
        vm: Some("vm ä".into()),
        mac: Some("52:54:00:12:34:56".parse().unwrap()),
        ip: Some("2001:db8::1".parse().unwrap()),
        moving_to: Some(host_number(2)),
        ..nic("b", 1)
    };
    store.put_nic(&moving).await.unwrap();
    store.put_nic(&nic("A", 1)).await.unwrap();
    let nowhere = store.put_nic(&NicRow { moving_to: Some(host_number(3)), ..nic("c", 1) }).await;
    assert_eq!(nowhere, Err(StoreError::NotFound { what: "host", name: "3".into() }));
    assert_eq!(store.nics(network_number(1)).await.unwrap(), [nic("A", 1), moving.clone()]);
    assert_eq!(store.every_nic().await.unwrap(), [nic("A", 1), moving.clone()]);
    assert_eq!(store.nics_on(host_number(2)).await.unwrap(), [moving]);

    let used = store.delete_host("h2").await.unwrap_err().to_string();
    assert_eq!(used, "host \"h2\" is used by NIC \"b\" of network 1; remove that first");
    assert!(matches!(store.delete_network("n1").await, Err(StoreError::InUse { what: "network", .. })));
    store.put_nic(&nic("b", 1)).await.unwrap();
    assert_eq!(store.delete_host("h2").await, Ok(true));
    for (id, there) in [("b", true), ("b", false), ("A", true)] {
        assert_eq!(store.delete_nic(network_number(1), id).await, Ok(there));
    }
    assert_eq!(store.delete_network("n1").await, Ok(true));
}

pub async fn keys_remember_who_may_have_them(store: &Store) {
    let row = |key, state, network: Option<u64>, hosts: &[u64]| KeyRow {
        key: gre(key),
        state,
        network: network.map(network_number),
        since: 1_700_000_000,
        hosts: hosts.iter().copied().map(host_number).collect(),
    };
    let many: Vec<u64> = (1..=1100).collect();
    let allocated = row(2000, KeyState::Allocated, Some(1), &many);
    store.put_key(&row(2000, KeyState::Allocated, Some(1), &[3, 1, 3])).await.unwrap();
    assert_eq!(store.keys().await.unwrap(), [row(2000, KeyState::Allocated, Some(1), &[1, 3])]);
    store.put_key(&allocated).await.unwrap();
    let second = store.put_key(&row(2001, KeyState::Allocated, Some(1), &[])).await;
    assert_eq!(second, Err(StoreError::Conflict { field: "key.network".into(), value: "1".into() }));
    let quarantined = row(1001, KeyState::Quarantined, Some(1), &[9]);
    store.put_key(&quarantined).await.unwrap();
    let withdrawn = row(1002, KeyState::Quarantined, None, &[]);
    store.put_key(&withdrawn).await.unwrap();
    assert_eq!(store.keys().await.unwrap(), [quarantined, withdrawn.clone(), allocated.clone()]);
    assert_eq!(store.delete_key(gre(1001)).await, Ok(true));
    assert_eq!(store.delete_key(gre(1001)).await, Ok(false));
    assert_eq!(store.keys().await.unwrap(), [withdrawn, allocated]);
}

pub async fn one_leads_and_each_new_one_has_a_new_epoch(store: &Store) {
    assert_eq!(store.lease().await.unwrap(), None);
    assert_eq!(store.release_lease("m1").await, Ok(false));
    let hour = 3_600_000;
    let first = store.take_lease("m1", hour, 41).await.unwrap();
    assert_eq!((first.leader.as_str(), first.epoch), ("m1", 42));
    let renewed = store.take_lease("m1", hour, 0).await.unwrap();
    assert!(renewed.epoch == 42 && renewed.until >= first.until);
    // Another one does not get it, and does not lengthen it.
    assert_eq!(store.take_lease("m2", hour, 100).await.unwrap(), renewed);
    assert_eq!(store.living_lease().await.unwrap(), Some(renewed.clone()));
    assert_eq!(store.lease().await.unwrap(), Some(renewed));
    assert_eq!(store.release_lease("m2").await, Ok(false));
    assert_eq!(store.release_lease("m1").await, Ok(true));
    assert_eq!(store.release_lease("m1").await, Ok(false));
    assert_eq!(store.living_lease().await.unwrap(), None);
    let second = store.take_lease("m2", 0, 0).await.unwrap();
    assert_eq!((second.leader.as_str(), second.epoch), ("m2", 43));
    // One that has run out is a new epoch, for its own holder too.
    assert_eq!(store.take_lease("m2", hour, 0).await.unwrap().epoch, 44);
    let epoch = store.take_lease("m2", hour, 0).await.unwrap().epoch;
    assert_eq!(epoch, 44);
}
