//! The table `ovs_tunnel_network` as a program that reads it finds it: it follows what hosts say, and never precedes it.

use crate::common;

use std::path::Path;
use std::sync::Arc;

use crate::common::{bench_in, folder, host, physical, put, set_up, until};
use ovstunnel_api::{Bridge, Health};
use ovstunnel_manager::hosts::Picture;
use ovstunnel_manager::rows::Rows;
use ovstunnel_manager::zone::{Row, Told, Zone};
use ovstunnel_manager_api::{Isolation, Mode, PutNetwork};
use ovstunnel_store::{MemoryStore, OpenOptions, Store};
use ovstunnel_types::HostNumber;
use serde_json::json;
use sqlx::{Connection, SqliteConnection};

/// The number of the network with key 1001, while it is not recorded.
const UNRECORDED: u64 = 1_000_000_000_000_001_001;

fn number(n: u64) -> HostNumber {
    n.try_into().unwrap()
}

async fn open(folder: &Path) -> Store {
    let url = format!("sqlite://{}/manager.db", folder.display());
    Store::open(&url, "dc1", OpenOptions::default()).await.unwrap()
}

/// Another program that reads the file.
async fn reader(folder: &Path) -> SqliteConnection {
    SqliteConnection::connect(&format!("sqlite://{}/manager.db", folder.display())).await.unwrap()
}

/// All rows but the lock row.
async fn rows(file: &mut SqliteConnection) -> Vec<String> {
    let all = "SELECT concat_ws(' ', network_id, `from`, `to`, `key`, port_name, state) FROM ovs_tunnel_network \
               WHERE id > 1 ORDER BY network_id, `from`, `to`";
    sqlx::query_scalar(all).fetch_all(file).await.unwrap()
}

async fn until_rows(file: &mut SqliteConnection, wanted: &[String]) {
    let end = tokio::time::Instant::now() + common::PATIENCE;
    loop {
        let found = rows(file).await;
        if found == wanted {
            return;
        }
        assert!(tokio::time::Instant::now() < end, "{found:?}, wanted {wanted:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn line(network: u64, from: u64, to: u64, state: &str) -> String {
    format!("{network} {from} {to} 1001 t1001-{from}-{to} {state}")
}

fn registered(zone: &Zone, n: u64) {
    let (api, mode) = (format!("https://192.0.2.{n}:8443"), Mode::Manage);
    zone.register_host(Row { number: number(n), name: format!("h{n}"), api, rack: None, label: None, mode });
}

/// A host says that it has the network with key 1001 and tunnels to these hosts, each in a state.
fn says(zone: &Zone, n: u64, to: &[(u64, &str)]) {
    let tunnel = |(to, state): &(u64, &str)| {
        json!({
            "port": format!("t1001-{n}-{to}"), "from": n.to_string(), "to": to.to_string(), "key": 1001,
            "remote_ip": format!("192.0.2.{to}"), "ofport": 10 + to, "state": state, "protected": true,
        })
    };
    let bridge: Bridge = serde_json::from_value(json!({
        "name": "xapi1", "key": 1001, "host_id": n.to_string(), "ipv6": "drop", "adopted": false,
        "tunnels": to.iter().map(tunnel).collect::<Vec<_>>(), "vifs": [], "other_ports": [],
        "flows": {"state": "in_sync", "expected": 4, "installed": 4}, "health": {"state": "ok", "reasons": []},
    }))
    .unwrap();
    let health: Health = serde_json::from_value(json!({"state": "ok", "reasons": []})).unwrap();
    let told = Told { daemon: None, capabilities: vec![], health, watched: true };
    zone.host_connected(
        number(n),
        told,
        Picture::new(&[bridge], time::OffsetDateTime::now_utc()).unwrap().snapshot_at("life", 1),
    );
}

/// A zone of three registered hosts, whose rows are kept.
fn zone(store: &Store) -> (Zone, tokio::task::JoinHandle<()>) {
    let (zone, _) = Zone::new("dc1");
    (1..=3).for_each(|n| registered(&zone, n));
    let kept = tokio::spawn(Rows::new(zone.clone(), store.clone()).keep_rows());
    (zone, kept)
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_what_hosts_have_been_seen_with() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let mut file = reader(folder.path()).await;
    let (zone, kept) = zone(&store);
    says(&zone, 1, &[(2, "up"), (3, "error"), (9, "up")]);
    says(&zone, 2, &[(1, "up"), (3, "pending")]);
    // Host 3 has said nothing, and nobody is host 9.
    let row = |from, to, state| line(UNRECORDED, from, to, state);
    let both = [row(1, 2, "SUCCESS"), row(1, 3, "FAILED"), row(2, 1, "SUCCESS"), row(2, 3, "FAILED")];
    until_rows(&mut file, &both).await;

    // A port that is gone takes its row with it; what is silent keeps its rows.
    zone.host_silent(number(2), "no sign of life".to_owned());
    says(&zone, 1, &[(2, "up")]);
    until_rows(&mut file, &[row(1, 2, "SUCCESS"), row(2, 1, "SUCCESS"), row(2, 3, "FAILED")]).await;
    says(&zone, 2, &[(1, "error")]);
    until_rows(&mut file, &[row(1, 2, "SUCCESS"), row(2, 1, "FAILED")]).await;
    kept.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_begins_anew_writes_what_differs_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let mut file = reader(folder.path()).await;
    let row = |from, to, state| line(UNRECORDED, from, to, state);
    let insert = "INSERT INTO ovs_tunnel_network VALUES (2, 1, 2, 1000000000000001001, 1001, 't1001-1-2', 'SUCCESS'), \
                  (3, 1, 3, 7, 99, 't99-1-3', 'SUCCESS'), (4, 3, 1, 7, 99, '[]', 'Created'), (5, 8, 1, 7, 99, '[]', 'FAILED')";
    sqlx::raw_sql(insert).execute(&mut file).await.unwrap();

    // Of host 1 one row is right and one is of a network that it has no more; host 3 does not speak; 8 is none of the zone's.
    let (first, kept) = zone(&store);
    says(&first, 1, &[(2, "up")]);
    until_rows(&mut file, &["7 3 1 99 [] Created".to_owned(), row(1, 2, "SUCCESS")]).await;
    says(&first, 3, &[]);
    until_rows(&mut file, &[row(1, 2, "SUCCESS")]).await;
    let ids: Vec<i64> = sqlx::query_scalar("SELECT id FROM ovs_tunnel_network").fetch_all(&mut file).await.unwrap();
    assert_eq!(ids, [1, 2], "a row that is right stays as it is");
    kept.abort();

    // Once more, with all as it must be: the file is as it was.
    let version = async |file: &mut SqliteConnection| {
        sqlx::query_scalar::<_, i64>("PRAGMA data_version").fetch_one(file).await.unwrap()
    };
    let before = version(&mut file).await;
    let (second, kept) = zone(&store);
    says(&second, 1, &[(2, "up")]);
    says(&second, 3, &[]);
    until("all hosts to be compared", async || (second.rows_waiting() == 0).then_some(())).await;
    assert_eq!(version(&mut file).await, before, "nothing is written");
    says(&second, 2, &[(1, "up")]);
    until_rows(&mut file, &[row(1, 2, "SUCCESS"), row(2, 1, "SUCCESS")]).await;
    assert_ne!(version(&mut file).await, before, "a change would have shown");
    kept.abort();
}

#[tokio::test]
async fn a_database_that_was_away_has_what_is_there_when_it_is_back() {
    let zone_row =
        ovstunnel_store::Zone { name: "dc1".into(), uuid: "00000000-0000-4000-8000-000000000001".parse().unwrap() };
    let memory = Arc::new(MemoryStore::new(zone_row, || 0));
    let store = Store::Memory(memory.clone());
    memory.set_away(Some("the test said so"));
    let (zone, kept) = zone(&store);
    for _ in 0..50 {
        says(&zone, 1, &[(2, "up")]);
        says(&zone, 1, &[(2, "up"), (3, "up")]);
    }
    // On this one thread it has then been tried.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(zone.rows_waiting() <= 3, "what waits is hosts, not changes");
    memory.set_away(None);
    let network = UNRECORDED.try_into().unwrap();
    let rows =
        until("the rows", async || Some(store.tunnel_rows(network).await.unwrap()).filter(|rows| !rows.is_empty()))
            .await;
    assert_eq!(rows.iter().map(|row| row.to.get()).collect::<Vec<_>>(), [2, 3]);
    kept.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_follow_real_daemons_through_locks_records_and_restarts() {
    let dir = folder();
    let store = open(dir.path()).await;
    let mut file = reader(dir.path()).await;
    let bench = bench_in(dir, "", store.clone()).await;
    let hosts = [host(bench.dir.path(), 1).await, host(bench.dir.path(), 2).await];
    set_up(&hosts[0], 1, &[2]).await;
    set_up(&hosts[1], 2, &[1]).await;
    for (n, host) in (1..).zip(&hosts) {
        bench.manager.put_host(&format!("h{n}"), &put(&host.url, Some(n)), false).await.unwrap();
    }
    let both = |network| [line(network, 1, 2, "SUCCESS"), line(network, 2, 1, "SUCCESS")];
    until_rows(&mut file, &both(UNRECORDED)).await;

    // Recorded, its rows have its number.
    let m = &bench.manager;
    m.put_physical_network("p1", &physical(Isolation::Gre, "1001-1010"), false).await.unwrap();
    let network = PutNetwork {
        physical_network: "p1".into(),
        number: Some(204),
        key: Some(1001),
        adopt: true,
        ipv6: None,
        mtu: None,
    };
    m.put_network("n1", &network, false).await.unwrap();
    until_rows(&mut file, &both(204)).await;

    // While another program has the file nothing can be written; then it is.
    let mut other = reader(bench.dir.path()).await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    hosts[0].client.delete_tunnel("xapi1", "t1001-1-2").await.unwrap();
    until("the fault", async || m.proof("n1").await.unwrap().reason).await;
    assert_eq!(rows(&mut file).await, both(204));
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    until_rows(&mut file, &both(204)[1..]).await;

    // What changes while no manager runs is written by the next one.
    let dir = bench.end().await;
    set_up(&hosts[0], 1, &[2]).await;
    hosts[1].client.delete_tunnel("xapi1", "t1001-2-1").await.unwrap();
    assert_eq!(rows(&mut file).await, both(204)[1..]);
    let bench = bench_in(dir, "", store).await;
    until_rows(&mut file, &both(204)[..1]).await;

    // A host that is registered no more has no rows, from it or to it.
    bench.manager.delete_host("h2", false).await.unwrap();
    until_rows(&mut file, &[]).await;
}
