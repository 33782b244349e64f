//! `ovstunnel-manager doctor` as an operator runs it: each thing is broken once, and is told with its remedy and exit status.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use crate::common::program::{Program, configure, output};
use crate::common::{folder, host, put, set_up, until};
use ovstunnel_api::{DoctorAnswer, Finding, Level};
use ovstunnel_pki::{Authority, Key};
use ovstunnel_store::{OpenOptions, Store};
use sqlx::{Connection, SqliteConnection};
use time::OffsetDateTime;

/// What it says, and how it exits.
fn doctor(folder: &Path) -> (i32, DoctorAnswer) {
    let said = output(folder, &["doctor", "--json"]);
    let answer = serde_json::from_slice(&said.stdout);
    (said.status.code().unwrap(), answer.unwrap_or_else(|error| panic!("{error}: {said:?}")))
}

/// The findings of a check that are not good.
fn bad(answer: &DoctorAnswer, check: &str) -> Vec<Finding> {
    answer.findings.iter().filter(|f| f.check == check && f.level != Level::Ok).cloned().collect()
}

/// That exactly this is found of a check, with a remedy.
#[track_caller]
fn expect(folder: &Path, check: &str, level: Level, words: &str) {
    let (code, answer) = doctor(folder);
    let found = bad(&answer, check);
    assert!(found.iter().any(|f| f.level == level && f.reason.contains(words)), "{check}, {words}: {answer:#?}");
    assert!(found.iter().all(|finding| finding.remedy.is_some()), "{found:?}");
    assert!(code >= if level == Level::Fail { 2 } else { 1 }, "{code}: {answer:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_zone_has_no_findings_until_something_is_broken() {
    let dir = folder();
    let at = dir.path();
    configure(at, "");
    let hosts = [host(at, 1).await, host(at, 2).await];
    set_up(&hosts[0], 1, &[2]).await;
    set_up(&hosts[1], 2, &[1]).await;
    let program = Program::start(at).await;
    for (name, one) in ["h1", "h2"].iter().zip(&hosts) {
        program.manager.put_host(name, &put(&one.url, None), false).await.unwrap();
    }
    until("the network to be whole", async || program.manager.proof("key-1001").await.ok().filter(|p| p.whole)).await;
    let (code, answer) = doctor(at);
    assert_eq!((code, answer.level), (0, Level::Ok), "{answer:#?}");
    let mut checks: Vec<_> = answer.findings.iter().map(|finding| finding.check.as_str()).collect();
    checks.sort_unstable();
    let all = [
        "certificate",
        "clock",
        "configuration",
        "database",
        "descriptors",
        "host",
        "log",
        "network",
        "service",
        "socket",
    ];
    assert_eq!(checks, all, "each check is made once");
    let text = String::from_utf8(output(at, &["doctor"]).stdout).unwrap();
    assert_eq!(text, format!("Nothing is wrong: {} checks made.\n", all.len()));

    // Files, while it runs.
    let file = |name: &str| at.join(name);
    let more = fs::read_to_string(file("manager.toml")).unwrap();
    fs::write(file("manager.toml"), format!("{more}level = \"debug\"\n")).unwrap();
    expect(at, "configuration", Level::Warn, "was changed in what needs a restart: log.level");
    fs::write(file("manager.toml"), format!("{more}level = 7\n")).unwrap();
    let said = output(at, &["doctor", "--json"]);
    assert_eq!(said.status.code(), Some(2), "{said:?}");
    fs::write(file("manager.toml"), &more).unwrap();
    fs::set_permissions(file("db/manager.db"), Permissions::from_mode(0o644)).unwrap();
    expect(at, "database", Level::Warn, "mode 0644");
    fs::set_permissions(file("db/manager.db"), Permissions::from_mode(0o600)).unwrap();
    fs::rename(file("db/manager.db"), file("db/away")).unwrap();
    expect(at, "database", Level::Fail, "moved or deleted while the manager runs");
    fs::rename(file("db/away"), file("db/manager.db")).unwrap();
    fs::set_permissions(file("pki/zone.key"), Permissions::from_mode(0o644)).unwrap();
    expect(at, "certificate", Level::Warn, "can be read or changed by others");
    fs::set_permissions(file("pki/zone.key"), Permissions::from_mode(0o600)).unwrap();
    assert_eq!(doctor(at).0, 0, "all is mended: {:#?}", doctor(at).1);
    let authority = Authority::open(&file("pki")).unwrap();
    authority.renew_certificate(&"zone".parse().unwrap(), Key::New, 90, OffsetDateTime::now_utc()).unwrap();
    expect(at, "configuration", Level::Warn, "files of [hosts] were replaced and not loaded: certificate");
    program.signal(nix::sys::signal::Signal::SIGHUP);
    until("the reload", async || (doctor(at).0 == 0).then_some(())).await;

    // The zone.
    hosts[0].client.delete_tunnel("xapi1", "t1001-1-2").await.unwrap();
    until("the tunnel to be missed", async || {
        let found = bad(&doctor(at).1, "network");
        found.into_iter().find(|f| f.level == Level::Fail && f.reason.contains("tunnel_missing on h1 to h2"))
    })
    .await;
    let [one, two] = hosts;
    two.serving.shutdown(Duration::ZERO).await;
    let silent = until("the host to be silent", async || {
        bad(&doctor(at).1, "host").into_iter().find(|f| f.level == Level::Fail)
    })
    .await;
    assert_eq!(silent.subject.as_deref(), Some("h2"));
    assert!(silent.reason.starts_with("host_silent: "), "{silent:?}");
    drop(one);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_manager_it_says_what_files_tell() {
    let dir = folder();
    let at = dir.path();
    configure(at, "");
    let (code, answer) = doctor(at);
    assert_eq!((code, bad(&answer, "service")[0].level), (2, Level::Fail));
    assert!(bad(&answer, "service")[0].reason.starts_with("cannot reach the manager at "), "{answer:#?}");
    assert_eq!(answer.findings.iter().filter(|f| f.level != Level::Ok).count(), 1, "all else is well: {answer:#?}");
    assert!(!at.join("db").exists() && !at.join("log").exists(), "nothing was made");

    fs::write(at.join("pki/zone.key"), fs::read(at.join("pki/host.key")).unwrap()).unwrap();
    expect(at, "certificate", Level::Fail, "does not belong to the certificate");
    fs::remove_file(at.join("pki/zone.key")).unwrap();
    expect(at, "certificate", Level::Fail, "[hosts] key = ");

    let url = format!("sqlite://{}/db/manager.db", at.display());
    drop(Store::open(&url, "dc2", OpenOptions::default()).await.unwrap());
    expect(at, "database", Level::Fail, "it is that of zone dc2, and the configuration says dc1");
    let mut file = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("INSERT INTO ovstunnel_schema VALUES (7, 0)").execute(&mut file).await.unwrap();
    file.close().await.unwrap();
    expect(at, "database", Level::Fail, "schema 7, which a newer program made");
    fs::write(at.join("db/manager.db"), vec![0x5a; 8192]).unwrap();
    expect(at, "database", Level::Fail, "the database is damaged");

    configure(at, "level = 7\n");
    expect(at, "configuration", Level::Fail, "the next start would fail: ");
    let said = output(at, &["doctor"]);
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(
        text.contains("FAIL  configuration (") && text.contains("      remedy: mend it: `ovstunnel-manager --check`"),
        "{text}"
    );
}
