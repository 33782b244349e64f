//! `import` from a copy of CloudStack's tables, with a manager that answers and with none; and the program's command line.

use std::path::Path;
use std::process::{Command, Output};

use crate::cloudstack_dump::{Layout, for_sqlite};
use ovstunnel_manager::config::Config;
use ovstunnel_manager::import::{Answered, compare_zone};
use ovstunnel_manager::service::Service;
use ovstunnel_server::access::Access;
use ovstunnel_server::listen::Listeners;
use ovstunnel_store::{HostMode, NewHost, Store};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};

/// A manager's configuration in this folder, for a copy of CloudStack's tables.
async fn configured(folder: &Path, layout: Layout) -> Config {
    let copy = folder.join("cloud.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&copy).create_if_missing(true);
    options.connect().await.unwrap().execute(AssertSqlSafe(for_sqlite(layout))).await.unwrap();
    let socket = folder.join("m.sock");
    let text = format!("zone = \"dc1\"\n[api]\nlisten = \"off\"\nsocket = \"{}\"\n", socket.display());
    let mut config = Config::parse(&text, Path::new("manager.toml")).unwrap();
    config.database.cloudstack_url = Some(format!("sqlite://{}", copy.display()));
    config
}

fn words(report: &ovstunnel_manager::import::Report) -> Vec<&'static str> {
    report.findings.iter().map(|finding| finding.what.word()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_manager_the_tables_are_compared_with_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let config = configured(folder.path(), Layout::Before49).await;
    let before = std::fs::read(folder.path().join("cloud.db")).unwrap();
    let report = compare_zone(&config, None).await.unwrap();
    assert_eq!(words(&report), ["row_failed"]);
    let text = report.to_text();
    for part in ["true in CloudStack, false here", "does not answer (", "network 204 (web): host 2 (xen2)"] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    assert!(text.ends_with("1 difference. Nothing was changed.\n"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
    assert_eq!((json["zone"].as_str(), json["manager"]["answered"].as_str()), (Some("dc1"), Some("no")));
    assert_eq!(json["findings"][0]["what"], "row_failed");
    assert_eq!(std::fs::read(folder.path().join("cloud.db")).unwrap(), before, "nothing was written");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was made beside it");
    let other = compare_zone(&config, Some("dc9")).await.unwrap_err().to_string();
    assert_eq!(other, r#"CloudStack has no zone "dc9", but "dc1", "dc2"; name one of them with --zone"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_answers_says_which_hosts_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let config = configured(folder.path(), Layout::Since49).await;
    let store = Store::in_memory("dc1");
    for (number, name) in [(1u64, "xen1"), (7, "other")] {
        let host = NewHost {
            number: Some(number.try_into().unwrap()),
            name: name.into(),
            api: format!("https://127.0.0.1:{number}"),
            rack: None,
            label: Some("cloud-guest".into()),
            mode: HostMode::Observe,
            registered: 1_700_000_000,
        };
        store.put_host(&host).await.unwrap();
    }
    let (app, _service) = Service::start(&config, store, Some(Access::default())).await.unwrap();
    let _serving = Listeners::bind(&config.api, None).await.unwrap().serve(&app, |_| {});
    let report = compare_zone(&config, None).await.unwrap();
    assert_eq!(report.manager, Answered::Yes { hosts: 2, heard: 0 });
    let wanted = ["host_not_registered", "host_unknown", "host_silent", "host_silent", "endpoint_empty", "row_created"];
    assert_eq!(words(&report), wanted, "{}", report.to_text());
}

fn program(folder: &Path, configuration: &str, arguments: &[&str]) -> Output {
    let file = folder.join("manager.toml");
    std::fs::write(&file, configuration).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ovstunnel-manager"));
    command.args(arguments).arg("--config").arg(&file).output().unwrap()
}

#[test]
fn the_program_says_what_it_cannot_do() {
    let folder = tempfile::tempdir().unwrap();
    let said = |configuration: &str, arguments: &[&str]| {
        let output = program(folder.path(), configuration, arguments);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let url = "[database]\ncloudstack_url = \"mysql://u:geheim@127.0.0.1:1/cloud\"\n";
    let (code, text) = said(url, &["import"]);
    assert_eq!((code, text.contains("import writes nothing yet: say --dry-run")), (Some(1), true), "{text}");
    let (code, text) = said("", &["import", "--dry-run"]);
    assert_eq!((code, text.contains("database.cloudstack_url: is needed to import")), (Some(1), true), "{text}");
    let (code, text) = said(url, &["import", "--dry-run"]);
    assert_eq!((code, text.contains("CloudStack's database cannot be opened: ")), (Some(1), true), "{text}");
    assert!(!text.contains("geheim"), "{text}");
    let (code, text) = said(url, &["--check", "import", "--dry-run"]);
    assert_eq!((code, text.contains("--check and a command exclude each other")), (Some(1), true), "{text}");
    let (code, text) = said(url, &["import", "--wet"]);
    assert_eq!((code, text.contains("unexpected argument '--wet'")), (Some(2), true), "{text}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no log, no database");
}
