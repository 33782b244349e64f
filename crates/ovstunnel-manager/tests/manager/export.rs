//! `export` into a copy of CloudStack's tables in SQLite, and the program's command line; `export_mariadb` does the same with a server.

use crate::exporting;

use std::path::Path;

use crate::cloudstack_dump::{Layout, for_sqlite};
use crate::common::program;
use crate::exporting::{asked, round_trip, zone};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, Row};

async fn run(file: &Path, statements: &str) {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    options.connect().await.unwrap().execute(AssertSqlSafe(statements.to_owned())).await.unwrap();
}

async fn rows(file: &Path) -> String {
    let mut connection = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
    let mut text = String::new();
    for statement in [
        "SELECT quote(id) || quote(ip) || quote(netmask) || quote(mac) || quote(host_id) || quote(label) FROM ovs_tunnel_interface",
        "SELECT quote(id) || quote(\"from\") || quote(\"to\") || quote(network_id) || quote(\"key\") || quote(port_name) || quote(state) FROM ovs_tunnel_network",
        "SELECT quote(\"key\") || quote(mac) FROM op_lock",
    ] {
        for row in sqlx::query(statement).fetch_all(&mut connection).await.unwrap() {
            text = text + &row.get::<String, _>(0) + "\n";
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_does_not_differ_any_more() {
    for layout in [Layout::Before49, Layout::Since49] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cloud.db");
        run(&file, &for_sqlite(layout)).await;
        // A VPC's tier in which one host has a VM needs no tunnel, and a key that is taken for it is right.
        let (_bench, config) = zone(&format!("sqlite://{}", file.display())).await;
        round_trip(&config, async |statements: &str| run(&file, statements).await, async || rows(&file).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_where_it_cannot_be_known() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cloud.db");
    run(&file, &for_sqlite(Layout::Since49)).await;
    let url = format!("sqlite://{}", file.display());
    let (bench, config) = zone(&url).await;
    run(&file, exporting::PLANTED).await;
    // A server without the table of locks, and one of its tables missing.
    run(&file, "DROP TABLE op_lock").await;
    let said = asked(&config, true).await.unwrap_err().to_string();
    assert!(
        said.contains("table op_lock in CloudStack's database cannot be written: ")
            && said.ends_with("nothing was changed"),
        "{said}"
    );
    run(&file, "DROP TABLE vm_instance").await;
    let said = asked(&config, true).await.unwrap_err().to_string();
    assert_eq!(said, "CloudStack's database has no table vm_instance; nothing was changed");

    program::configure(bench.dir.path(), "");
    let said = |arguments: &[&str]| {
        let output = program::output(bench.dir.path(), arguments);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = said(&["export"]);
    assert_eq!((code, text.contains("database.cloudstack_url: is needed to export")), (Some(1), true), "{text}");
    let (code, text) = said(&["export", "--states", "good"]);
    assert_eq!((code, text.contains("invalid value 'good' for '--states <WORDS>'")), (Some(2), true), "{text}");
    let dir = bench.end().await;
    let said = asked(&config, false).await.unwrap_err().to_string();
    assert!(said.starts_with("the manager does not answer, and it alone says what the hosts have: "), "{said}");
    drop(dir);
}
