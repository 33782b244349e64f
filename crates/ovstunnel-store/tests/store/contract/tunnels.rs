//! The specification's two tables.

use std::net::Ipv4Addr;

use ovstunnel_store::{HostTunnels, NewInterface, RowState, RowsWritten, Store, StoreError, TunnelRow};

use super::{gre, host_number, network_number};

pub fn interface(host: u64, label: &str, last: u8) -> NewInterface {
    NewInterface {
        host: host_number(host),
        label: label.into(),
        ip: Ipv4Addr::new(192, 0, 2, last),
        netmask: Ipv4Addr::new(255, 255, 255, 0),
        mac: Some("52:54:00:12:34:56".parse().unwrap()),
    }
}

pub fn row(network: u64, from: u64, to: u64) -> TunnelRow {
    TunnelRow {
        network: network_number(network),
        from: host_number(from),
        to: host_number(to),
        key: gre(1234),
        port_name: Some(format!("t1234-{from}-{to}")),
        state: RowState::Success,
    }
}

pub async fn interfaces_are_one_for_host_and_label(store: &Store) {
    assert_eq!(store.interfaces().await.unwrap(), []);
    let first = store.put_interface(&interface(7, "guest", 1)).await.unwrap();
    let second = store.put_interface(&NewInterface { mac: None, ..interface(7, "other", 2) }).await.unwrap();
    let third = store.put_interface(&interface(8, "guest", 3)).await.unwrap();
    let changed = store.put_interface(&interface(7, "guest", 4)).await.unwrap();
    assert_eq!((changed.id, changed.ip), (first.id, Ipv4Addr::new(192, 0, 2, 4)));
    assert_eq!(second.mac, None);
    assert_eq!(store.interfaces().await.unwrap(), [changed, second, third.clone()]);
    assert_eq!(store.delete_interfaces(host_number(7)).await, Ok(2));
    assert_eq!(store.delete_interfaces(host_number(7)).await, Ok(0));
    assert_eq!(store.interfaces().await.unwrap(), [third]);
    for label in ["", "lock", "x\r"] {
        let error = store.put_interface(&interface(9, label, 1)).await.unwrap_err();
        assert!(error.to_string().starts_with("ovs_tunnel_interface.label must have 1 to 45"), "{error}");
    }
}

pub async fn rows_become_exactly_what_is_given(store: &Store) {
    let (net, from) = (network_number(204), host_number(2));
    assert_eq!(store.tunnel_rows(net).await.unwrap(), []);
    let failed = |row: TunnelRow| TunnelRow { port_name: None, state: RowState::Failed, ..row };
    store.set_tunnel_rows(net, from, &[row(204, 2, 9), failed(row(204, 2, 3)), row(204, 2, 1)]).await.unwrap();
    store.set_tunnel_rows(net, host_number(1), &[row(204, 1, 2)]).await.unwrap();
    store.set_tunnel_rows(network_number(205), from, &[row(205, 2, 1)]).await.unwrap();
    let all = [row(204, 1, 2), row(204, 2, 1), failed(row(204, 2, 3)), row(204, 2, 9)];
    assert_eq!(store.tunnel_rows(net).await.unwrap(), all);
    assert_eq!(store.tunnel_rows_from(net, from).await.unwrap(), all[1..]);

    // One goes, one comes, one changes, one stays.
    let other_key = TunnelRow { key: gre(99), ..failed(row(204, 2, 9)) };
    let now = [row(204, 2, 3), row(204, 2, 4), other_key];
    for _ in 0..2 {
        store.set_tunnel_rows(net, from, &now).await.unwrap();
        assert_eq!(store.tunnel_rows_from(net, from).await.unwrap(), now);
    }
    store.set_tunnel_rows(net, from, &[]).await.unwrap();
    assert_eq!(store.tunnel_rows(net).await.unwrap(), [row(204, 1, 2)]);
    assert_eq!(store.tunnel_rows(network_number(205)).await.unwrap(), [row(205, 2, 1)]);
    assert_eq!(store.delete_tunnel_rows(net).await, Ok(1));
    assert_eq!(store.delete_tunnel_rows(net).await, Ok(0));
}

pub async fn rows_that_are_not_a_set_are_refused(store: &Store) {
    let (net, from) = (network_number(204), host_number(2));
    store.set_tunnel_rows(net, from, &[row(204, 2, 1)]).await.unwrap();
    let bad = [
        (row(205, 2, 3), "ovs_tunnel_network.network_id must be that of the call"),
        (row(204, 3, 4), "ovs_tunnel_network.from must be the host of the call"),
        (row(204, 2, 2), "ovs_tunnel_network.from must be the host of the call"),
        (
            TunnelRow { port_name: Some("x".repeat(33)), ..row(204, 2, 3) },
            "ovs_tunnel_network.port_name must have 1 to 32",
        ),
        (
            TunnelRow { port_name: Some("[]".into()), ..row(204, 2, 3) },
            "ovs_tunnel_network.port_name must have 1 to 32",
        ),
    ];
    for (bad, text) in bad {
        let error = store.set_tunnel_rows(net, from, &[row(204, 2, 8), bad]).await.unwrap_err().to_string();
        assert!(error.starts_with(text), "{error}");
    }
    let twice = store.set_tunnel_rows(net, from, &[row(204, 2, 8), row(204, 2, 9), row(204, 2, 8)]).await;
    assert_eq!(twice, Err(StoreError::Conflict { field: "ovs_tunnel_network.to".into(), value: "8".into() }));
    assert_eq!(store.tunnel_rows(net).await.unwrap(), [row(204, 2, 1)]);
}

pub async fn a_big_set_is_written_whole(store: &Store) {
    let (net, from) = (network_number(i64::MAX as u64), host_number(i64::MAX as u64));
    let rows = |range: std::ops::Range<u64>| {
        range.map(|to| TunnelRow { port_name: None, ..row(net.get(), from.get(), to) }).collect::<Vec<_>>()
    };
    store.set_tunnel_rows(net, from, &rows(1..1202)).await.unwrap();
    assert_eq!(store.tunnel_rows_from(net, from).await.unwrap(), rows(1..1202));
    store.set_tunnel_rows(net, from, &rows(1000..2100)).await.unwrap();
    assert_eq!(store.tunnel_rows(net).await.unwrap(), rows(1000..2100));
}

pub async fn all_rows_of_hosts_become_what_is_given(store: &Store) {
    let of = |host: u64, rows: Vec<TunnelRow>| HostTunnels { host: host_number(host), rows };
    let written = |added, changed, removed| Ok(RowsWritten { added, changed, removed });
    assert_eq!(store.hosts_with_tunnel_rows().await.unwrap(), []);
    let first = [of(2, vec![row(204, 2, 9), row(205, 2, 9), row(204, 2, 1)]), of(1, vec![row(204, 1, 2)])];
    assert_eq!(store.set_host_tunnels(&first).await, written(4, 0, 0));
    assert_eq!(store.hosts_with_tunnel_rows().await.unwrap(), [host_number(1), host_number(2)]);
    assert_eq!(store.set_host_tunnels(&first).await, written(0, 0, 0), "all is as given");

    // One goes, one comes, one fails, one has another port; another host's stay.
    let failed = TunnelRow { state: RowState::Failed, ..row(205, 2, 9) };
    let other = TunnelRow { port_name: Some("tabc".into()), ..row(204, 2, 9) };
    let second = of(2, vec![failed.clone(), other.clone(), row(206, 2, 1)]);
    assert_eq!(store.set_host_tunnels(std::slice::from_ref(&second)).await, written(1, 2, 1));
    assert_eq!(store.tunnel_rows(network_number(204)).await.unwrap(), [row(204, 1, 2), other]);
    assert_eq!(store.tunnel_rows(network_number(205)).await.unwrap(), [failed]);
    assert_eq!(store.set_host_tunnels(&[of(1, vec![]), second]).await, written(0, 0, 1));
    assert_eq!(store.hosts_with_tunnel_rows().await.unwrap(), [host_number(2)]);

    let twice = store.set_host_tunnels(&[of(1, vec![row(204, 1, 2)]), of(3, vec![row(7, 3, 1), row(7, 3, 1)])]).await;
    assert_eq!(twice, Err(StoreError::Conflict { field: "ovs_tunnel_network.to".into(), value: "1".into() }));
    let others = store.set_host_tunnels(&[of(1, vec![row(204, 2, 3)])]).await.unwrap_err().to_string();
    assert!(others.starts_with("ovs_tunnel_network.from must be the host of the call"), "{others}");
    assert_eq!(
        store.hosts_with_tunnel_rows().await.unwrap(),
        [host_number(2)],
        "nothing of what is refused is written"
    );
}
