//! CloudStack's database as it is read, from a copy of its tables in SQLite; tests/servers.rs reads it from MariaDB.

use std::path::Path;

use crate::cloudstack_dump::{Layout, check, for_sqlite};
use ovstunnel_store::cloudstack::{CloudStack, CloudStackError, TABLES};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};
use tempfile::TempDir;

async fn made(folder: &Path, statements: &str) -> String {
    let path = folder.join("cloud.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    connection.execute(AssertSqlSafe(statements.to_owned())).await.unwrap();
    format!("sqlite://{}", path.display())
}

#[tokio::test]
async fn both_layouts_are_read_with_all_that_concerns_tunnels() {
    for layout in [Layout::Before49, Layout::Since49] {
        let folder = TempDir::new().unwrap();
        let url = made(folder.path(), &for_sqlite(layout)).await;
        let cloud = CloudStack::open(&url).await.unwrap();
        check(&cloud.read_tables().await.unwrap(), layout);
        cloud.close().await;
    }
}

#[tokio::test]
async fn a_table_that_is_not_there_is_named_and_the_rest_is_read() {
    let folder = TempDir::new().unwrap();
    let dump = for_sqlite(Layout::Since49) + "\nDROP TABLE router_network_ref; DROP TABLE ovs_tunnel_network;";
    let url = made(folder.path(), &dump).await;
    let tables = CloudStack::open(&url).await.unwrap().read_tables().await.unwrap();
    assert_eq!(tables.missing, ["ovs_tunnel_network", "router_network_ref"]);
    assert_eq!((tables.tunnels.len(), tables.endpoints.len(), tables.hosts.len()), (0, 2, 3));
    let members: Vec<_> = tables.members.iter().map(|member| (member.network, member.host)).collect();
    assert_eq!(members, [(204, 1), (204, 2)]);

    let empty = TempDir::new().unwrap();
    let url = made(empty.path(), "CREATE TABLE other (id bigint)").await;
    let tables = CloudStack::open(&url).await.unwrap().read_tables().await.unwrap();
    assert_eq!(tables.missing, TABLES);
}

#[tokio::test]
async fn a_table_of_another_form_is_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let dump = for_sqlite(Layout::Since49) + "\nDROP TABLE nics; CREATE TABLE nics (id bigint);";
    let url = made(folder.path(), &dump).await;
    let error = CloudStack::open(&url).await.unwrap().read_tables().await.unwrap_err();
    assert!(
        matches!(&error, CloudStackError::Unreadable { table: "nics", reason } if reason.contains("no such column")),
        "{error}"
    );
}

#[tokio::test]
async fn an_address_that_is_none_never_shows_its_password() {
    for bad in
        ["cloud", "mysql://u:secret@h", "postgres://u:secret@h/cloud", "sqlite://cloud.db", "mysql://u:secret@h/"]
    {
        let error = CloudStack::open(bad).await.unwrap_err();
        assert_eq!(error, CloudStackError::Address);
        assert!(
            error.to_string().starts_with("must be mysql://") && !error.to_string().contains("u:secret"),
            "{error}"
        );
    }
    let nowhere = CloudStack::open("sqlite:///nowhere/cloud.db").await.unwrap_err();
    assert!(nowhere.to_string().starts_with("CloudStack's database cannot be opened: "), "{nowhere}");
    assert!(!Path::new("/nowhere").exists(), "nothing is made");
}
