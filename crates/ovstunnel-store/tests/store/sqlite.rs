//! The database in SQLite: the contract, and what is the file's alone.

use crate::contract;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::contract::tunnels_of;
use crate::contract::{host, host_number, network_number};
use ovstunnel_store::{HostTunnels, OpenOptions, RowsWritten, StateWords, Store, StoreError, TlsFiles};
use sqlx::{Connection, Row, SqliteConnection};
use tempfile::TempDir;

fn url(folder: &Path) -> String {
    format!("sqlite://{}/db/manager.db", folder.display())
}

async fn open(folder: &Path) -> Result<Store, StoreError> {
    Store::open(&url(folder), "dc1", OpenOptions::default()).await
}

/// The file, as another program would open it.
async fn other_program(folder: &Path) -> SqliteConnection {
    SqliteConnection::connect(&url(folder)).await.unwrap()
}

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    contract::all(|| async {
        let folder = TempDir::new().unwrap();
        (open(folder.path()).await.unwrap(), folder)
    })
    .await;
}

#[tokio::test]
async fn written_rows_survive_a_restart_for_the_owner_alone() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await.unwrap();
    let zone = store.zone().await.unwrap();
    let row = store.put_host(&host("h1")).await.unwrap();
    let mode = |name: &str| folder.path().join(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("db"), 0o700);
    for name in ["db/manager.db", "db/manager.db-wal", "db/manager.db.lock"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    drop(store);
    let store = open(folder.path()).await.unwrap();
    assert_eq!(store.zone().await.unwrap(), zone);
    assert_eq!(store.hosts().await.unwrap(), [row]);
}

#[tokio::test]
async fn a_second_manager_is_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await.unwrap();
    let error = open(folder.path()).await.unwrap_err();
    let StoreError::Locked { by } = &error else { panic!("{error}") };
    assert!(by.starts_with(&format!("process {}, since 20", std::process::id())), "{by}");
    assert!(error.to_string().contains("end that program first"), "{error}");
    store.put_host(&host("h1")).await.unwrap();
    store.close().await;
    drop(store);
    assert_eq!(open(folder.path()).await.unwrap().hosts().await.unwrap().len(), 1);
}

#[tokio::test]
async fn whoever_keeps_the_file_is_awaited_then_named() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await.unwrap();
    let mut other = other_program(folder.path()).await;
    let transaction = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let error = store.put_host(&host("h1")).await.unwrap_err();
    assert!(matches!(&error, StoreError::Locked { by } if by.contains("another program")), "{error}");
    // Reading goes on.
    assert_eq!(store.hosts().await.unwrap(), []);
    transaction.rollback().await.unwrap();
    store.put_host(&host("h1")).await.unwrap();
}

#[tokio::test]
async fn a_database_of_another_zone_or_version_is_refused() {
    let folder = TempDir::new().unwrap();
    drop(open(folder.path()).await.unwrap());
    let other = Store::open(&url(folder.path()), "dc2", OpenOptions::default()).await.unwrap_err();
    assert_eq!(other, StoreError::OtherZone { found: "dc1".into(), wanted: "dc2".into() });
    assert!(other.to_string().contains("of zone \"dc1\", not of \"dc2\""), "{other}");

    let mut file = other_program(folder.path()).await;
    sqlx::query("INSERT INTO ovstunnel_schema VALUES (7, 0)").execute(&mut file).await.unwrap();
    sqlx::query("DROP TABLE ovstunnel_host").execute(&mut file).await.unwrap();
    let newer = open(folder.path()).await.unwrap_err();
    assert_eq!(newer, StoreError::Newer { found: 7, known: 1 });
    assert!(newer.to_string().contains("has schema 7, this program knows 1"), "{newer}");
    let tables = "SELECT count(*) FROM sqlite_master WHERE name = 'ovstunnel_host'";
    assert_eq!(sqlx::query_scalar::<_, i64>(tables).fetch_one(&mut file).await.unwrap(), 0);
}

#[tokio::test]
async fn a_bad_address_is_refused_without_its_password() {
    for bad in ["manager.db", "sqlite://manager.db", "sqlite:///a?mode=ro", "oracle://u:secret@h/db"] {
        let error = Store::open(bad, "dc1", OpenOptions::default()).await.unwrap_err().to_string();
        assert!(error.starts_with("[database] url must be sqlite:///PATH"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    let zone = Store::open("sqlite:///nowhere/x", "a/b", OpenOptions::default()).await.unwrap_err();
    assert!(zone.to_string().starts_with("zone must have 1 to 63 characters"), "{zone}");
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("db"), "").unwrap();
    let error = open(folder.path()).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable { reason } if reason.contains("/db: ")), "{error}");
}

#[tokio::test]
async fn the_specifications_tables_have_all_columns_and_locks() {
    let folder = TempDir::new().unwrap();
    let options = OpenOptions { states: StateWords::CloudStack, ..OpenOptions::default() };
    let store = Store::open(&url(folder.path()), "dc1", options).await.unwrap();
    let mut file = other_program(folder.path()).await;
    for (table, wanted) in [
        ("ovs_tunnel_interface", "id ip netmask mac host_id label"),
        ("ovs_tunnel_network", "id from to network_id key port_name state"),
    ] {
        let rows = sqlx::query("SELECT name FROM pragma_table_info(?)").bind(table).fetch_all(&mut file).await.unwrap();
        let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(names.join(" "), wanted, "{table}");
    }
    let lock = "SELECT concat_ws(' ', id, ip, netmask, mac, host_id, label) FROM ovs_tunnel_interface";
    assert_eq!(sqlx::query_scalar::<_, String>(lock).fetch_one(&mut file).await.unwrap(), "1 0 0 0 0 lock");
    let all = "SELECT concat_ws(' ', id, `from`, `to`, network_id, `key`, port_name, state) FROM ovs_tunnel_network";
    assert_eq!(sqlx::query_scalar::<_, String>(all).fetch_all(&mut file).await.unwrap(), ["1 0 0 0 0 lock SUCCESS"]);

    // A lock row with another id, as after an upgrade of CloudStack, and rows of both families.
    sqlx::raw_sql(
        "UPDATE ovs_tunnel_interface SET id = 5; UPDATE ovs_tunnel_network SET id = 5;
         INSERT INTO ovs_tunnel_network VALUES (6, 1, 2, 204, 9, NULL, 'SUCCESS'), (7, 1, 3, 204, 9, '[]', 'Created');",
    )
    .execute(&mut file)
    .await
    .unwrap();
    assert_eq!(store.interfaces().await.unwrap(), []);
    let rows = store.tunnel_rows(network_number(204)).await.unwrap();
    let read: Vec<_> = rows.iter().map(|row| (row.to.get(), row.port_name.clone(), row.state)).collect();
    use ovstunnel_store::RowState::{Failed, Success};
    assert_eq!(read, [(2, None, Success), (3, None, Failed)]);
    let mut new = tunnels_of(204, 1, [2, 3]);
    new[1].state = Failed;
    store.set_tunnel_rows(network_number(204), host_number(1), &new).await.unwrap();
    let written = sqlx::query_scalar::<_, String>(all).fetch_all(&mut file).await.unwrap();
    let wanted = ["5 0 0 0 0 lock SUCCESS", "6 1 2 204 1234 t1234-1-2 Established", "7 1 3 204 1234 t1234-1-3 Failed"];
    assert_eq!(written, wanted);
}

#[tokio::test]
async fn other_words_for_states_are_written_to_rows_that_are_there() {
    let folder = TempDir::new().unwrap();
    let rows = vec![HostTunnels { host: host_number(1), rows: tunnels_of(204, 1, [2, 3]) }];
    let words = async |states| {
        let store =
            Store::open(&url(folder.path()), "dc1", OpenOptions { states, ..OpenOptions::default() }).await.unwrap();
        let written = store.set_host_tunnels(&rows).await.unwrap();
        store.close().await;
        drop(store);
        let mut file = other_program(folder.path()).await;
        let all = "SELECT DISTINCT state FROM ovs_tunnel_network WHERE network_id = 204";
        (written, sqlx::query_scalar::<_, String>(all).fetch_all(&mut file).await.unwrap())
    };
    let written = |added, changed| RowsWritten { added, changed, removed: 0 };
    assert_eq!(words(StateWords::Specification).await, (written(2, 0), vec!["SUCCESS".to_owned()]));
    assert_eq!(words(StateWords::CloudStack).await, (written(0, 2), vec!["Established".to_owned()]));
    assert_eq!(words(StateWords::CloudStack).await, (written(0, 0), vec!["Established".to_owned()]));
}

#[tokio::test]
async fn a_file_is_inspected_beside_a_manager_and_nothing_is_created() {
    let folder = TempDir::new().unwrap();
    let missing = ovstunnel_store::inspect(&url(folder.path()), &TlsFiles::default()).await.unwrap_err();
    assert!(matches!(missing, StoreError::Unavailable { .. }), "{missing}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was made");
    let store = open(folder.path()).await.unwrap();
    store.put_host(&host("h1")).await.unwrap();
    let said = ovstunnel_store::inspect(&url(folder.path()), &TlsFiles::default()).await.unwrap();
    assert_eq!(said, store.inspect().await.unwrap());
    assert_eq!((said.engine, said.schema, said.zone.as_deref()), ("SQLite", 1, Some("dc1")));
    let mut file = other_program(folder.path()).await;
    sqlx::query("INSERT INTO ovstunnel_schema VALUES (7, 0)").execute(&mut file).await.unwrap();
    let newer = ovstunnel_store::inspect(&url(folder.path()), &TlsFiles::default()).await.unwrap();
    assert_eq!((newer.schema, newer.known, newer.zone), (7, 1, None));
}

#[tokio::test]
async fn doubles_of_an_interface_go_when_it_is_written() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await.unwrap();
    let mut file = other_program(folder.path()).await;
    let double = "INSERT INTO ovs_tunnel_interface (ip, netmask, mac, host_id, label) \
                  VALUES ('192.0.2.1', '255.255.255.0', NULL, 7, 'guest')";
    for _ in 0..2 {
        sqlx::query(double).execute(&mut file).await.unwrap();
    }
    assert_eq!(store.interfaces().await.unwrap().len(), 2);
    let row = store.put_interface(&contract::interface_of(7, 9)).await.unwrap();
    assert_eq!(store.interfaces().await.unwrap(), [row]);
}

#[tokio::test]
async fn a_backup_beside_a_running_manager_is_restored_after_it_ends() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await.unwrap();
    store.put_host(&host("h1")).await.unwrap();
    for name in ["keep", "forget", "some.1", "some.2"] {
        store.set_setting(name, Some("on")).await.unwrap();
    }
    let (url, copy) = (url(folder.path()), folder.path().join("copy.db"));
    ovstunnel_store::backup(&url, &copy, &["forget", "some.%"]).await.unwrap();
    assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let error = ovstunnel_store::backup(&url, &copy, &[]).await.unwrap_err();
    assert!(matches!(&error, StoreError::Conflict { .. }), "{error}");
    store.put_host(&host("h2")).await.unwrap();
    let restored = async |from: &Path, zone: &str| ovstunnel_store::restore(&url, from, zone, &["forget"]).await;
    assert!(matches!(restored(&copy, "dc1").await, Err(StoreError::Locked { .. })));
    store.close().await;
    drop(store);

    let damaged = folder.path().join("damaged.db");
    let bytes = std::fs::read(&copy).unwrap();
    std::fs::write(&damaged, &bytes[..bytes.len() / 2]).unwrap();
    assert!(restored(&damaged, "dc1").await.is_err());
    assert!(matches!(restored(&copy, "dc2").await, Err(StoreError::OtherZone { .. })));
    assert!(restored(&folder.path().join("nothing"), "dc1").await.is_err());
    let names = async |store: &Store| {
        let hosts = store.hosts().await.unwrap();
        hosts.into_iter().map(|host| host.name).collect::<Vec<_>>()
    };
    let store = open(folder.path()).await.unwrap();
    assert_eq!(names(&store).await, ["h1", "h2"], "what was refused has changed nothing");
    store.close().await;
    drop(store);
    // Left by one that was killed.
    std::fs::write(folder.path().join("db/manager.db.restoring"), "half").unwrap();

    let aside = restored(&copy, "dc1").await.unwrap().unwrap();
    let store = open(folder.path()).await.unwrap();
    assert_eq!(names(&store).await, ["h1"]);
    assert_eq!(store.setting("keep").await.unwrap().as_deref(), Some("on"));
    for name in ["forget", "some.1", "some.2"] {
        assert_eq!(store.setting(name).await.unwrap(), None, "{name}");
    }
    store.close().await;
    drop(store);
    let before = Store::open(&format!("sqlite://{}", aside.display()), "dc1", OpenOptions::default()).await.unwrap();
    assert_eq!(names(&before).await, ["h1", "h2"]);
}
