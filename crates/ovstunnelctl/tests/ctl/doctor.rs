//! `doctor` and `support-bundle` of the built command: with a daemon of canned answers, and without one.

use crate::common;

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::common::{FakeDaemon, canned, ctl, problem, run, unavailable};
use serde_json::{Value, json};

fn answer(level: &str) -> Value {
    let finding =
        json!({"check": "stp", "level": level, "subject": "xapi12", "reason": "STP is on", "remedy": "off with it"});
    json!({"level": level, "version": env!("CARGO_PKG_VERSION"), "findings": [finding]})
}

fn daemon(answer: Value) -> FakeDaemon {
    FakeDaemon::answering(vec![canned("GET /v1/doctor", 200, answer)])
}

#[test]
fn the_exit_status_is_what_monitoring_takes() {
    for (level, status) in [("ok", 0), ("warn", 1), ("fail", 2)] {
        let daemon = daemon(answer(level));
        assert_eq!(run(&mut daemon.ctl("doctor")).status, status, "{level}");
        let ran = run(&mut daemon.ctl("--json doctor"));
        assert_eq!((ran.status, serde_json::from_str::<Value>(&ran.out).unwrap()), (status, answer(level)));
    }
    let daemon = daemon(answer("fail"));
    let ran = run(&mut daemon.ctl("doctor --probe-peers"));
    assert!(ran.out.starts_with("FAIL  stp (xapi12): STP is on\n      remedy: off with it\n"), "{}", ran.out);
    assert_eq!(daemon.asked()[0].line, "GET /v1/doctor?probe_peers=true");
}

#[test]
fn a_daemon_of_another_version_is_told_of() {
    let mut old = answer("ok");
    old["version"] = json!("0.0.9");
    let ran = run(&mut daemon(old).ctl("--json doctor"));
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.status, &json["findings"][0]["check"]), (1, &json!("version")));
    // One that knows no doctor at all.
    let mut unknown = problem();
    (unknown["status"], unknown["code"]) = (json!(404), json!("not_found"));
    let ran = run(&mut FakeDaemon::answering(vec![canned("GET /v1/doctor", 404, unknown)]).ctl("doctor"));
    assert!(ran.status == 2 && ran.out.contains("FAIL  version: "), "{}{}", ran.out, ran.err);
}

#[test]
fn an_error_of_the_daemon_is_an_error() {
    let ran = run(&mut FakeDaemon::answering(vec![canned("GET /v1/doctor", 503, unavailable())]).ctl("doctor"));
    assert!(ran.status == 1 && ran.err.contains("ovs-vswitchd does not answer"), "{}", ran.err);
}

/// `doctor` on a socket of `dir`, without a daemon, with these of its files.
fn without_daemon(dir: &Path, args: &[&str]) -> common::Ran {
    let file = |name: &str| dir.join(name).display().to_string();
    let files = ["--config", &file("o.toml"), "--log", &file("log"), "--socket", &file("o.sock")];
    run(ctl().args(args).args(files))
}

#[test]
fn without_a_daemon_it_says_what_it_can() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("log"), "INFO fine\n2026-01-01 ERROR the port is in use\n").unwrap();
    let ran = without_daemon(dir.path(), &["doctor"]);
    assert_eq!(ran.status, 2);
    // Which daemon runs, if any, is this machine's own business.
    for words in ["FAIL  daemon: ", "FAIL  configuration: ", "the port is in use"] {
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
    // Left over by one that was killed.
    let socket = dir.path().join("o.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let ran = without_daemon(dir.path(), &["--json", "doctor"]);
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.status, &json["level"], &json["version"]), (2, &json!("fail"), &json!("unknown")));
    assert!(json["findings"].as_array().unwrap().iter().any(|f| f["check"] == "daemon"), "{json}");
}

/// The names and texts of an archive.
fn unpack(file: &Path) -> Vec<(String, String)> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(file).unwrap()));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        assert_eq!(entry.header().mode().unwrap(), 0o600);
        let path = entry.path().unwrap().into_owned();
        assert_eq!(path.components().count(), 2, "all is in one folder");
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), text)
    });
    entries.collect()
}

const KEY: &str =
    "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49\nAwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----\n";
const TOKEN: &str = "tok-5f2c9a7e";

/// No line of the key and no token is anywhere in it.
fn assert_no_secret(parts: &[(String, String)]) {
    let secrets = KEY.lines().filter(|line| !line.starts_with('-')).chain([TOKEN]);
    for secret in secrets {
        for (name, text) in parts {
            assert!(!text.contains(secret), "{name} has {secret}");
        }
    }
}

#[test]
fn a_bundle_has_all_parts_and_no_secret() {
    let parts = json!({"parts": [
        {"name": "bridges.json", "text": "{\"a\": 1}"},
        {"name": "log.txt", "text": format!("line\n{KEY}password={TOKEN}\nlast\n")},
        {"name": "../evil", "text": "x"},
    ]});
    let daemon = FakeDaemon::answering(vec![canned("GET /v1/support", 200, parts)]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("b.tar.gz");
    let make = || run(daemon.ctl("support-bundle -o").arg(&file));
    let ran = make();
    assert!(ran.status == 0 && ran.out.contains("Wrote "), "{}", ran.err);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let parts = unpack(&file);
    let names: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["README.txt", "_evil", "bridges.json", "configuration-file.txt", "host.txt", "log.txt"]);
    assert!(parts.iter().any(|(_, text)| text.starts_with("line\n") && text.ends_with("last\n")));
    assert_no_secret(&parts);
    let before = fs::read(&file).unwrap();
    let again = make();
    assert!(again.status == 1 && again.err.contains("cannot write"), "{}", again.err);
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn a_bundle_without_a_daemon_has_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("o.toml", &format!("# {TOKEN}\n[tls]\nkey = \"/k\"\napi_token = \"{TOKEN}\"\n"));
    write("host.key", KEY);
    write("token", TOKEN);
    write("log", &format!("ERROR it ended\n{KEY}"));
    let file = dir.path().join("out.tar.gz");
    let ran = without_daemon(dir.path(), &["--json", "support-bundle", "-o", &file.display().to_string()]);
    assert_eq!(ran.status, 0, "{}", ran.err);
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert!(json["without_daemon"].as_str().unwrap().contains("cannot reach"), "{json}");
    let parts = unpack(&file);
    let text = |name: &str| &parts.iter().find(|(there, _)| there == name).unwrap().1;
    assert_eq!(text("configuration-file.txt"), "[tls]\nkey = \"/k\"\napi_token (left out)\n");
    assert!(text("log.txt").contains("ERROR it ended") && text("doctor.json").contains("\"check\": \"daemon\""));
    assert_no_secret(&parts);
}

#[test]
fn a_bundle_is_not_made_over_the_network() {
    let dir = tempfile::tempdir().unwrap();
    let pki = dir.path().join("pki");
    let file = |name: &str| pki.join(name).display().to_string();
    let now = time::OffsetDateTime::now_utc();
    ovstunnel_pki::Authority::create(&pki, "ca", 1, now).unwrap();
    let (crt, key) = (file("ca.crt"), file("ca.key"));
    let https = ["--url", "https://localhost:1", "--ca", &crt, "--cert", &crt, "--key", &key, "support-bundle"];
    let ran = run(ctl().args(https).current_dir(dir.path()));
    assert!(ran.status == 2 && ran.err.contains("on the host itself"), "{}", ran.err);
}
