//! `ovstunnel-manager support-bundle` as an operator runs it: what is in the file, and what never is.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::common::program::{Program, configure, output};
use crate::common::{folder, host, put, set_up, until};

/// A password, which stands where an operator may have put one.
const PASSWORD: &str = "g3heim";

/// The texts of a bundle by the names of their files.
fn unpacked(file: &Path) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(File::open(file).unwrap()));
    let mut texts = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        texts.insert(name, text);
    }
    texts
}

/// That nothing of a key, nor the password, is in any of them.
fn has_no_secret(folder: &Path, texts: &BTreeMap<String, String>) {
    let mut secrets = vec![PASSWORD.to_owned()];
    for name in ["pki/zone.key", "pki/host.key", "pki/ca.key"] {
        let key = fs::read_to_string(folder.join(name)).unwrap();
        secrets.extend(key.lines().filter(|line| line.len() > 20 && !line.starts_with('-')).map(str::to_owned));
    }
    assert!(secrets.len() > 3, "{}", secrets.len());
    for (name, text) in texts {
        assert!(!secrets.iter().any(|secret| text.contains(secret)), "a secret is in {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_has_what_is_needed_and_no_secret() {
    let dir = folder();
    let at = dir.path();
    configure(at, "");
    let text = fs::read_to_string(at.join("manager.toml")).unwrap();
    let url = format!("mysql://reader:{PASSWORD}@127.0.0.1:1/cloud");
    fs::write(
        at.join("manager.toml"),
        text.replace("[database]\n", &format!("[database]\ncloudstack_url = \"{url}\"\n")),
    )
    .unwrap();
    let one = host(at, 1).await;
    set_up(&one, 1, &[2]).await;
    let program = Program::start(at).await;
    program.manager.put_host("h1", &put(&one.url, Some(1)), false).await.unwrap();
    until("a proof", async || program.manager.proof("key-1001").await.ok()).await;
    // A careless hand has written both into the log.
    let key = fs::read_to_string(at.join("pki/zone.key")).unwrap();
    let log = fs::read_to_string(at.join("log")).unwrap();
    fs::write(at.join("log"), format!("{log}cannot open {url}\n{key}the last line\n")).unwrap();

    let file = at.join("bundle.tar.gz");
    let arguments = ["support-bundle", "-o", file.to_str().unwrap()];
    let said = output(at, &arguments);
    assert!(said.status.success(), "{said:?}");
    assert!(String::from_utf8_lossy(&said.stdout).starts_with("Wrote "), "{said:?}");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let texts = unpacked(&file);
    for (name, words) in [
        ("README.txt", "The manager answered."),
        ("certificates.txt", "CN=zone"),
        ("configuration.json", "database.cloudstack_url is set"),
        ("database.txt", "ovstunnel_host: 1 rows"),
        ("doctor.json", "\"check\": \"database\""),
        ("events.json", "host_added"),
        ("host.txt", "/proc/version"),
        ("hosts.json", "\"name\": \"h1\""),
        ("log.txt", "the last line"),
        ("metrics.txt", "ovstunnel_manager_hosts"),
        ("networks-not-whole.json", "key-1001"),
        ("overview.json", "\"zone\": \"dc1\""),
        ("proofs-not-whole.json", "host_unknown"),
        ("versions.txt", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(texts[name].contains(words), "{name}: {}", texts[name]);
    }
    has_no_secret(at, &texts);

    // One that is there is not overwritten.
    let before = fs::read(&file).unwrap();
    let said = output(at, &arguments);
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    assert!(String::from_utf8_lossy(&said.stderr).contains("File exists"), "{said:?}");
    assert_eq!(fs::read(&file).unwrap(), before);

    drop(program);
    let file = at.join("without.tar.gz");
    let said = output(at, &["support-bundle", "-o", file.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&said.stdout).contains("The manager gave nothing (cannot reach"), "{said:?}");
    let texts = unpacked(&file);
    assert!(texts["log.txt"].contains("the last line") && texts["doctor.json"].contains("\"service\""));
    has_no_secret(at, &texts);
}
