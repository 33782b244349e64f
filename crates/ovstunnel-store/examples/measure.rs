//! How long the reference zone takes: 2,000 hosts, 2,455 networks of 5 to 72 hosts with 355,806 directed tunnels, 10,000 events.
//!
//! What it does: `cargo run --release -p ovstunnel-store --example measure -- URL` (or `memory`) prints one line for each figure. What
//! it must not do: judge them. The database must be empty; it is left as it is.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ovstunnel_store::{
    EventFilter, HostMode, HostTunnels, NewEvent, NewHost, NewNetwork, OpenOptions, PhysicalNetworkRow, RowState,
    RowsWritten, Store, TunnelRow,
};
use ovstunnel_types::Isolation;

const HOSTS: u64 = 2000;
const NETWORKS: u64 = 2455;
const TUNNELS: u64 = 355_806;

/// Hosts of each network, so that there are as many tunnels as in the reference zone.
fn sizes() -> Vec<u64> {
    let mut left = TUNNELS;
    let mut sizes = Vec::new();
    for network in 0..NETWORKS {
        let rest = NETWORKS - network - 1;
        let most = [72, 40, 20, 12, 8, 5][usize::try_from(network % 6).unwrap_or_default()];
        // What is left must do for a pair on each network to come.
        let size = (2..=most).rev().find(|n| n * (n - 1) + 2 * rest <= left).unwrap_or(2);
        left -= size * (size - 1);
        sizes.push(size);
    }
    sizes
}

async fn hosts(store: &Store) {
    for n in 1..=HOSTS {
        let (name, api) = (format!("h{n}"), format!("https://h{n}.example:8443"));
        let (rack, mode) = (Some(format!("r{}", n / 40)), HostMode::Manage);
        store.put_host(&NewHost { number: None, name, api, rack, label: None, mode, registered: 0 }).await.unwrap();
    }
}

async fn networks(store: &Store) {
    let (isolation, vnet) = (Isolation::Gre, "1001-65535".into());
    let p1 = PhysicalNetworkRow { name: "p1".into(), isolation, vnet, label: None, label_xen: None, label_kvm: None };
    store.put_physical_network(&p1).await.unwrap();
    for n in 1..=NETWORKS {
        let (name, physical_network) = (format!("n{n}"), "p1".into());
        let key = i64::try_from(1000 + n).ok().and_then(|key| key.try_into().ok());
        let new = NewNetwork { number: None, name, physical_network, key, ipv6: None, mtu: None, created: 0 };
        store.put_network(&new).await.unwrap();
    }
}

fn rows(network: u64, size: u64, from: u64) -> Vec<TunnelRow> {
    let host = |place: u64| (network * 7 + place) % HOSTS + 1;
    let others = (0..size).filter(|place| *place != from);
    others
        .map(|to| TunnelRow {
            network: network.try_into().unwrap(),
            from: host(from).try_into().unwrap(),
            to: host(to).try_into().unwrap(),
            key: i64::try_from(1000 + network).unwrap().try_into().unwrap(),
            port_name: Some(format!("t{}-{}-{}", 1000 + network, host(from), host(to))),
            state: RowState::Success,
        })
        .collect()
}

async fn tunnels(store: &Store) -> u64 {
    let mut written = 0;
    for (network, size) in (1..).zip(sizes()) {
        for from in 0..size {
            let rows = rows(network, size, from);
            store.set_tunnel_rows(rows[0].network, rows[0].from, &rows).await.unwrap();
            written += rows.len() as u64;
        }
    }
    written
}

/// The same rows, by host, as whoever follows the hosts' words writes them: so many rows in a change that others do not wait long.
async fn by_host(store: &Store, hosts: &[HostTunnels]) -> (RowsWritten, Duration) {
    let (mut written, mut longest, mut next) = (RowsWritten::default(), Duration::ZERO, 0);
    while next < hosts.len() {
        let (first, mut rows) = (next, 0);
        while next < hosts.len() && rows < 2000 {
            rows += hosts[next].rows.len();
            next += 1;
        }
        let start = Instant::now();
        written += store.set_host_tunnels(&hosts[first..next]).await.unwrap();
        longest = longest.max(start.elapsed());
    }
    (written, longest)
}

fn all_hosts() -> Vec<HostTunnels> {
    let mut hosts: BTreeMap<u64, Vec<TunnelRow>> = BTreeMap::new();
    for (network, size) in (1..).zip(sizes()) {
        let rows = (0..size).flat_map(|from| rows(network, size, from));
        rows.for_each(|row| hosts.entry(row.from.get()).or_default().push(row));
    }
    hosts.into_iter().map(|(host, rows)| HostTunnels { host: host.try_into().unwrap(), rows }).collect()
}

fn event(n: i64) -> NewEvent {
    let text = format!("host h{} does not answer", n % 2000);
    NewEvent { at: n, kind: "host_silent".into(), host: Some(format!("h{}", n % 2000)), text, ..NewEvent::default() }
}

async fn measured<T>(what: &str, work: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let done = work.await;
    println!("{what}: {:.1} ms", start.elapsed().as_secs_f64() * 1000.0);
    done
}

#[tokio::main]
async fn main() {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory".into());
    let open = async || match url.as_str() {
        "memory" => Store::in_memory("dc1"),
        url => Store::open(url, "dc1", OpenOptions::default()).await.unwrap(),
    };
    let store = measured("open, empty", open()).await;
    measured("2,000 hosts, one by one", hosts(&store)).await;
    measured("2,455 networks, one by one", networks(&store)).await;
    let written = measured("tunnels, a change for each network and host", tunnels(&store)).await;
    println!("tunnels written: {written}");
    measured("the same again, unchanged", tunnels(&store)).await;
    let mut hosts = all_hosts();
    let (written, longest) = measured("the same by host, unchanged", by_host(&store, &hosts)).await;
    println!("rows written: {}; the longest change {:.1} ms", written.total_written(), longest.as_secs_f64() * 1000.0);
    measured("one row of each of 100 hosts, a change each", async {
        for host in hosts.iter_mut().filter(|host| host.rows.len() > 100).take(100) {
            host.rows[7].state = RowState::Failed;
            store.set_host_tunnels(std::slice::from_ref(host)).await.unwrap();
        }
    })
    .await;
    let none: Vec<_> = hosts.iter().map(|host| HostTunnels { host: host.host, rows: Vec::new() }).collect();
    measured("all rows removed, by host", by_host(&store, &none)).await;
    let (written, longest) = measured("all rows added, by host", by_host(&store, &hosts)).await;
    println!("rows written: {}; the longest change {:.1} ms", written.total_written(), longest.as_secs_f64() * 1000.0);
    measured("1,000 events, one by one", async {
        for n in 0..1000 {
            store.append_event(event(n)).await.unwrap();
        }
    })
    .await;
    let events: Vec<_> = (1000..10_000).map(event).collect();
    measured("9,000 events at once", store.append_events(&events)).await.unwrap();
    let read = measured("read all hosts", store.hosts()).await.unwrap();
    println!("hosts read: {}", read.len());
    let network = 1.try_into().unwrap();
    let read = measured("read the tunnels of one network", store.tunnel_rows(network)).await.unwrap();
    println!("tunnels read: {}", read.len());
    measured("read all tunnels, network by network", async {
        for network in 1..=NETWORKS {
            store.tunnel_rows(network.try_into().unwrap()).await.unwrap();
        }
    })
    .await;
    let filter = EventFilter { host: Some("h7".into()), ..EventFilter::default() };
    measured("a page of 100 events of one host", store.events(&filter, None, 100)).await.unwrap();
    measured("a page of 1,000 events", store.events(&EventFilter::default(), None, 1000)).await.unwrap();
    measured("remove a host with its rows", store.delete_host("h9")).await.unwrap();
    measured("purge 5,000 events", store.purge_events(5000)).await.unwrap();
    measured("close", store.close()).await;
    drop(store);
    if url != "memory" {
        measured("open, full", open()).await;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
}
