//! SIGHUP and the configuration: what is taken up, what needs a restart, and that a bad file changes nothing.

use crate::common;

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use crate::common::{Answer, Daemon, prepare, program, request};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

async fn send(daemon: &Daemon, line: &str, body: &Value) -> Answer {
    daemon.ask_socket(&request(line, &[("content-type", "application/json")], body.to_string().as_bytes())).await
}

async fn get(daemon: &Daemon, path: &str) -> Value {
    let answer = daemon.ask_socket(&request(&format!("GET {path}"), &[], b"")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test]
async fn a_reload_changes_what_it_can_and_names_the_rest() {
    let daemon = Daemon::simulated("level = \"info\"\n[network]\nipv6 = \"drop\"\n");
    assert_eq!(send(&daemon, "PUT /v1/bridges/one", &json!({"key": 1})).await.status, 201);
    daemon.edit("ipv6 = \"drop\"", "ipv6 = \"allow\"\nvif_prefixes = [\"p-\"]\n[reconcile]\ninterval = \"2s\"");
    daemon.edit("level = \"info\"", "level = \"debug\"\nformat = \"json\"");
    daemon.edit("listen = \"127.0.0.1:0\"", "listen = \"127.0.0.1:1\"");
    daemon.reload();
    daemon.wait_for_log("needs a restart", 1);
    let log = daemon.file("log");
    let told: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let with =
        |words: &str| told.iter().find(|line| line["message"].as_str().is_some_and(|m| m.contains(words))).unwrap();
    let changed = "log.format, log.level, network.ipv6, network.vif_prefixes, reconcile.interval";
    assert_eq!(with("read again")["changed"], changed);
    assert_eq!(with("needs a restart")["keys"], "api.listen");
    assert!(daemon.file("stderr").contains("needs a restart keys=\"api.listen\""), "{}", daemon.file("stderr"));

    assert_eq!(send(&daemon, "PUT /v1/bridges/two", &json!({"key": 2})).await.status, 201);
    let list = get(&daemon, "/v1/bridges").await;
    assert_eq!((&list["bridges"][0]["ipv6"], &list["bridges"][1]["ipv6"]), (&json!("drop"), &json!("allow")));
    daemon.wait_for_log("\"level\":\"DEBUG\"", 1);
    // Looks come every two seconds now, and not every minute.
    let look = async |before: &Value| {
        let end = std::time::Instant::now() + common::PATIENCE;
        loop {
            let look = get(&daemon, "/readyz").await["last_reconcile"].clone();
            if look["why"] == "the interval has passed" && look["at"] != before["at"] {
                return look;
            }
            assert!(std::time::Instant::now() < end, "{look}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let first = look(&Value::Null).await;
    look(&first).await;

    let moved = daemon.dir.path().join("moved");
    daemon.edit(&format!("{}/log\"", daemon.dir.path().display()), &format!("{}\"", moved.display()));
    daemon.signal(Signal::SIGHUP);
    common::wait_for("the new file", || std::fs::read_to_string(&moved).ok()?.contains("log.file").then_some(()));
    // The doctor and the support bundle look at the new file, too.
    let support = get(&daemon, "/v1/support").await;
    let part = support["parts"].as_array().unwrap().iter().find(|part| part["name"] == "log.txt").unwrap();
    assert!(part["text"].as_str().unwrap().contains("log.file"), "{part}");
}

#[tokio::test]
async fn a_bad_file_keeps_everything_and_says_what_check_says() {
    let roles = "[[tls.clients]]\nname = \"ops\"\nrole = \"operator\"\n";
    let daemon = Daemon::simulated(&format!("level = \"info\"\n{roles}"));
    let ops = daemon.ca.issue("ops");
    // What is good in it is not taken up either.
    daemon.edit("level = \"info\"", "level = \"debug\"\nlevle = \"x\"");
    daemon.edit("name = \"ops\"", "name = \"others\"");
    let check = program(daemon.dir.path()).arg("--check").status().unwrap();
    assert_eq!(check.code(), Some(1));
    let stderr = daemon.file("stderr");
    let words = stderr.trim().strip_prefix("ovstunneld: ").unwrap();
    assert!(words.contains("o.toml:") && words.contains("unknown field `levle`"), "{words}");
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_log(words, 1);
    daemon.wait_for_log("the new configuration is bad, and all stays as it was", 1);
    assert_eq!(daemon.file("stderr").matches(words).count(), 2, "the journal has it too");
    assert_eq!(daemon.ask(Some(&ops), &request("PUT /v1/log", &[], b"")).await.unwrap().status, 400);
    assert_eq!(get(&daemon, "/v1/log").await["level"], "info");

    daemon.edit("\nlevle = \"x\"", "");
    daemon.reload();
    assert_eq!(daemon.ask(Some(&ops), &request("PUT /v1/log", &[], b"")).await.unwrap().status, 403);
    assert_eq!(get(&daemon, "/v1/log").await["level"], "debug");
}

#[tokio::test]
async fn the_level_is_set_by_hand_until_the_next_sighup() {
    let daemon = Daemon::simulated("");
    let debug = || daemon.file("log").matches("DEBUG").count();
    let log = get(&daemon, "/v1/log").await;
    assert_eq!((&log["level"], &log["format"], &log["lines_lost"]), (&json!("info"), &json!("text"), &json!(0)));
    assert_eq!((debug(), &log["max_size"]), (0, &json!(50 << 20)));
    let level = "info,ovstunneld::middleware=debug";
    let set = send(&daemon, "PUT /v1/log", &json!({"level": level})).await;
    let set: Value = serde_json::from_str(&set.body).unwrap();
    assert_eq!((&set["level"], &set["configured_level"]), (&json!(level), &json!("info")));
    get(&daemon, "/v1/log").await;
    daemon.wait_for_log("DEBUG", 1);
    for bad in ["verbose", "info,debug", "info,=debug", ""] {
        let problem = send(&daemon, "PUT /v1/log", &json!({"level": bad})).await.problem();
        assert_eq!((&problem["field"], &problem["value"]), (&json!("level"), &json!(bad)), "{problem}");
        assert!(problem["rule"].as_str().unwrap().contains("MODULE=LEVEL"), "{problem}");
    }
    assert_eq!(send(&daemon, "PUT /v1/log?dry_run=true", &json!({"level": "off"})).await.status, 400);
    assert_eq!(get(&daemon, "/v1/log").await["level"], level);
    daemon.reload();
    assert_eq!(get(&daemon, "/v1/log").await["level"], "info");
}

#[test]
fn the_journal_gets_errors_with_their_priority() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let ca = prepare(dir.path(), "");
    let mut journal = program(dir.path());
    let opened = std::fs::metadata(dir.path().join("stderr")).unwrap();
    journal.arg("--simulate").env("JOURNAL_STREAM", format!("{}:{}", opened.dev(), opened.ino()));
    let daemon = Daemon::run(dir, ca, journal);
    daemon.edit("[log]", "[lgo]");
    daemon.signal(Signal::SIGHUP);
    let stderr = common::wait_for("it complains", || Some(daemon.file("stderr")).filter(|text| text.ends_with('\n')));
    assert!(
        stderr.starts_with("<3>") && stderr.contains("ERROR") && stderr.contains("unknown field `lgo`"),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}
