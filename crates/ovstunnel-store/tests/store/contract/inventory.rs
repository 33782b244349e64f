//! Zone, hosts, physical networks, networks, settings.

use std::collections::BTreeSet;

use ovstunnel_store::{HostMode, KeyRow, KeyState, NewHost, NewNetwork, Store, StoreError};
use ovstunnel_types::Ipv6Policy;

use super::tunnels::{interface, row};
use super::{gre, host, host_number, network, network_number, physical};

pub async fn zone_is_made_with_the_database(store: &Store) {
    let zone = store.zone().await.unwrap();
    assert_eq!(zone.name, "dc1");
    assert!(!zone.uuid.is_nil());
    assert_eq!(store.clone().zone().await.unwrap(), zone);
}

pub async fn it_says_what_it_is_and_how_much_it_has(store: &Store) {
    let said = store.inspect().await.unwrap();
    assert_eq!((said.zone.as_deref(), said.schema == said.known, said.damage), (Some("dc1"), true, None));
    let hosts = async || {
        let counts = store.count_rows().await.unwrap();
        counts.into_iter().find(|(table, _)| table == "ovstunnel_host").unwrap().1
    };
    assert_eq!(hosts().await, 0);
    store.put_host(&host("h1")).await.unwrap();
    assert_eq!(hosts().await, 1);
}

pub async fn hosts_are_kept_and_numbered(store: &Store) {
    let full = NewHost {
        number: Some(host_number(2)),
        rack: Some("r 1".into()),
        label: Some("cloud-guest".into()),
        mode: HostMode::Observe,
        ..host("given")
    };
    let given = store.put_host(&full).await.unwrap();
    assert_eq!(NewHost::from(given.clone()), full);
    // Numbers that others have are stepped over; names differ by case.
    for (name, number) in [("h1", 1), ("H1", 3), ("h4", 4)] {
        assert_eq!(store.put_host(&host(name)).await.unwrap().number, host_number(number), "{name}");
    }
    let highest = host_number(i64::MAX as u64);
    store.put_host(&NewHost { number: Some(highest), ..host("highest") }).await.unwrap();

    let changed = NewHost { api: "https://192.0.2.1".into(), mode: HostMode::Drain, registered: 5, ..host("h1") };
    let row = store.put_host(&changed).await.unwrap();
    assert_eq!((row.number, row.registered, row.mode), (host_number(1), 1_700_000_000, HostMode::Drain));
    assert_eq!(store.host("h1").await.unwrap(), Some(row));
    assert_eq!(store.host("h2").await.unwrap(), None);

    // The number of one that is gone is not given again.
    assert_eq!(store.delete_host("h4").await, Ok(true));
    assert_eq!(store.delete_host("h4").await, Ok(false));
    assert_eq!(store.put_host(&host("h5")).await.unwrap().number, host_number(5));
    let names: Vec<String> = store.hosts().await.unwrap().into_iter().map(|host| host.name).collect();
    assert_eq!(names, ["h1", "given", "H1", "h5", "highest"]);
    assert_eq!(store.host("given").await.unwrap(), Some(given));
}

pub async fn a_bad_host_is_refused_by_field_and_changes_nothing(store: &Store) {
    store.put_host(&host("h1")).await.unwrap();
    let before = store.hosts().await.unwrap();
    let bad = [
        (host("a/b"), "host.name must have 1 to 63 characters"),
        (NewHost { api: "x".repeat(513), ..host("h2") }, "host.api must have at most 512 characters"),
        (NewHost { rack: Some("r\0".into()), ..host("h2") }, "host.rack must have at most 63 characters"),
        (NewHost { label: Some("ä".repeat(46)), ..host("h2") }, "host.label must have at most 45 characters"),
        (NewHost { number: Some(host_number(1)), ..host("h2") }, "host.number \"1\" is already in use"),
        (NewHost { number: Some(host_number(9)), ..host("h1") }, "host.name \"h1, which is not number 9\" is already"),
    ];
    for (host, text) in bad {
        let error = store.put_host(&host).await.unwrap_err().to_string();
        assert!(error.starts_with(text), "{error}");
    }
    assert_eq!(store.hosts().await.unwrap(), before);
    // What is just short enough is kept to the letter, in characters and not in bytes.
    let long = NewHost { label: Some("ä".repeat(45)), rack: Some("🦀".repeat(63)), ..host("h2") };
    let row = store.put_host(&long).await.unwrap();
    assert_eq!((row.label, row.rack), (long.label, long.rack));
}

pub async fn a_host_takes_its_rows_with_it(store: &Store) {
    for name in ["h1", "h2", "h3"] {
        store.put_host(&host(name)).await.unwrap();
    }
    let net = network_number(204);
    for from in 1..=3 {
        store.put_interface(&interface(from, "guest", 10)).await.unwrap();
        let others = (1..=3).filter(|to| *to != from).map(|to| row(204, from, to)).collect::<Vec<_>>();
        store.set_tunnel_rows(net, host_number(from), &others).await.unwrap();
    }
    assert_eq!(store.delete_host("h2").await, Ok(true));
    assert_eq!(store.tunnel_rows(net).await.unwrap(), [row(204, 1, 3), row(204, 3, 1)]);
    let hosts: Vec<u64> = store.interfaces().await.unwrap().iter().map(|row| row.host.get()).collect();
    assert_eq!(hosts, [1, 3]);
}

pub async fn a_host_gets_another_name_and_another_number(store: &Store) {
    for name in ["h1", "h2"] {
        store.put_host(&host(name)).await.unwrap();
    }
    let quarantined = |hosts: &[u64]| KeyRow {
        key: gre(1001),
        state: KeyState::Quarantined,
        network: Some(network_number(1)),
        since: 1_700_000_000,
        hosts: hosts.iter().copied().map(host_number).collect(),
    };
    store.put_key(&quarantined(&[1, 2, 9])).await.unwrap();
    store.put_interface(&interface(1, "cloud-guest", 1)).await.unwrap();

    let row = store.rename_host("h1", "xen-1").await.unwrap();
    assert_eq!((row.name.as_str(), row.number), ("xen-1", host_number(1)));
    assert_eq!(store.host("xen-1").await.unwrap(), Some(row));
    assert_eq!(store.host("h1").await.unwrap(), None);
    assert_eq!(store.interfaces().await.unwrap().len(), 1);

    // What waits for both numbers waits for it once.
    let row = store.renumber_host("xen-1", host_number(9)).await.unwrap();
    assert_eq!((row.name.as_str(), row.number), ("xen-1", host_number(9)));
    assert_eq!(store.keys().await.unwrap(), [quarantined(&[2, 9])]);
    assert_eq!(store.interfaces().await.unwrap(), []);
    assert_eq!(store.renumber_host("xen-1", host_number(9)).await, Ok(row));

    let before = (store.hosts().await.unwrap(), store.keys().await.unwrap());
    let taken = |field: &str, value: &str| StoreError::Conflict { field: field.into(), value: value.into() };
    let missing = StoreError::NotFound { what: "host", name: "h7".into() };
    assert_eq!(store.rename_host("xen-1", "h2").await, Err(taken("host.name", "h2")));
    assert_eq!(store.renumber_host("xen-1", host_number(2)).await, Err(taken("host.number", "2")));
    assert_eq!(store.rename_host("h7", "h8").await, Err(missing.clone()));
    assert_eq!(store.renumber_host("h7", host_number(8)).await, Err(missing));
    let bad = store.rename_host("h2", "a/b").await.unwrap_err().to_string();
    assert!(bad.starts_with("host.name must have 1 to 63 characters"), "{bad}");
    assert_eq!((store.hosts().await.unwrap(), store.keys().await.unwrap()), before);
}

pub async fn networks_need_what_they_refer_to(store: &Store) {
    let missing = store.put_network(&network("n1", None)).await;
    assert_eq!(missing, Err(StoreError::NotFound { what: "physical network", name: "p1".into() }));
    for name in ["p2", "P1", "p1"] {
        store.put_physical_network(&physical(name)).await.unwrap();
    }
    let labelled = ovstunnel_store::PhysicalNetworkRow {
        label: Some("l".into()),
        label_xen: Some("x".into()),
        label_kvm: Some("k".into()),
        vnet: "5".into(),
        isolation: ovstunnel_types::Isolation::Vlan,
        ..physical("p2")
    };
    store.put_physical_network(&labelled).await.unwrap();
    assert_eq!(store.physical_networks().await.unwrap(), [physical("P1"), physical("p1"), labelled]);

    let made = store.put_network(&network("n1", None)).await.unwrap();
    assert_eq!(made.number, network_number(1));
    let used = store.delete_physical_network("p1").await.unwrap_err();
    assert_eq!(used.to_string(), "physical network \"p1\" is used by network \"n1\"; remove that first");
    let moved = store.put_network(&NewNetwork { physical_network: "p2".into(), ..network("n1", None) }).await;
    assert!(matches!(moved, Err(StoreError::Conflict { ref field, .. }) if field == "network.name"), "{moved:?}");

    let changed =
        NewNetwork { ipv6: Some(Ipv6Policy::Allow), mtu: Some(1450), created: 0, ..network("n1", Some(2000)) };
    let row = store.put_network(&changed).await.unwrap();
    assert_eq!((row.number, row.created), (made.number, made.created));
    assert_eq!((row.key, row.ipv6, row.mtu), (Some(gre(2000)), Some(Ipv6Policy::Allow), Some(1450)));
    assert_eq!(store.network("n1").await.unwrap(), Some(row.clone()));
    assert_eq!(store.networks().await.unwrap(), [row]);

    store.set_tunnel_rows(made.number, host_number(1), &[self::row(made.number.get(), 1, 2)]).await.unwrap();
    assert_eq!(store.delete_network("n1").await, Ok(true));
    assert_eq!(store.delete_network("n1").await, Ok(false));
    assert_eq!(store.tunnel_rows(made.number).await.unwrap(), []);
    assert_eq!(store.delete_physical_network("p1").await, Ok(true));
    assert_eq!(store.delete_physical_network("p1").await, Ok(false));
}

pub async fn keys_of_networks_are_unique(store: &Store) {
    store.put_physical_network(&physical("p1")).await.unwrap();
    store.put_network(&network("n1", Some(i64::from(i32::MAX)))).await.unwrap();
    let taken = store.put_network(&network("n2", Some(i64::from(i32::MAX)))).await.unwrap_err();
    assert_eq!(taken.to_string(), "network.key \"2147483647\" is already in use; choose another one");
    // Its own key is no other's, several have none, and a key that was given up is free.
    store.put_network(&network("n1", Some(i64::from(i32::MAX)))).await.unwrap();
    store.put_network(&network("n1", None)).await.unwrap();
    store.put_network(&network("n3", None)).await.unwrap();
    store.put_network(&network("n2", Some(i64::from(i32::MAX)))).await.unwrap();
    let number = Some(network_number(1));
    let taken = store.put_network(&NewNetwork { number, ..network("n4", None) }).await.unwrap_err();
    assert_eq!(taken.to_string(), "network.number \"1\" is already in use; choose another one");
}

pub async fn changes_at_the_same_time_do_not_meet(store: &Store) {
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let host = store.put_host(&host(&format!("h{n}"))).await.unwrap();
                store.append_event(super::events::event(0, "host", "h")).await.unwrap();
                host.number
            })
        })
        .collect();
    let mut numbers = BTreeSet::new();
    for task in tasks {
        numbers.insert(task.await.unwrap().get());
    }
    assert_eq!(numbers, (1..=20).collect());
    let page = store.events(&Default::default(), None, 100).await.unwrap();
    assert_eq!(page.events.iter().map(|row| row.id).collect::<Vec<_>>(), (1..=20).rev().collect::<Vec<_>>());
}

pub async fn settings_hold_any_text(store: &Store) {
    let odd = "';\\ \" -- DROP TABLE x; 🦀\n\tä".to_owned();
    let long = "🦀".repeat(16383);
    store.set_setting("odd", Some(&odd)).await.unwrap();
    store.set_setting("long", Some("short")).await.unwrap();
    store.set_setting("long", Some(&long)).await.unwrap();
    store.set_setting("Empty", Some("")).await.unwrap();
    assert_eq!(store.setting("odd").await.unwrap(), Some(odd.clone()));
    assert_eq!(store.setting("none").await.unwrap(), None);
    let all = [("Empty".to_owned(), String::new()), ("long".to_owned(), long), ("odd".to_owned(), odd)];
    assert_eq!(store.settings().await.unwrap(), all);
    store.set_setting("odd", None).await.unwrap();
    store.set_setting("odd", None).await.unwrap();
    assert_eq!(store.setting("odd").await.unwrap(), None);
    let error = store.set_setting("long", Some(&"x".repeat(16384))).await.unwrap_err().to_string();
    assert!(error.starts_with("setting.value must have at most 16383 characters") && error.len() < 300, "{error}");
}
