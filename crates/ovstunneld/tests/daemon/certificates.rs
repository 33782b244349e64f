//! What an operator is told of certificates: by `--check`, in the log at the start and on SIGHUP, and of clients that are refused.
//! Each is told in words of X.509, names the file or the client, and what helps.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::common::{Authority, Daemon, Identity, prepare, program, request};
use nix::sys::signal::Signal;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose};

/// Words of the Rust libraries that no operator should have to read.
const RUST: [&str; 8] =
    ["OtherError", "BadEncoding", "Other(", "NoItemsFound", "UnsupportedCert", "ASN1", "Context {", "Inconsistent"];

/// What is put into `[tls]`: a certificate and key for the host.
fn put(dir: &Path, identity: &Identity) {
    fs::write(dir.join("cert.pem"), &identity.certificate).unwrap();
    fs::write(dir.join("key.pem"), &identity.key).unwrap();
}

fn put_file(dir: &Path, name: &str, file: &str) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/daemon/certificates").join(file);
    fs::write(dir.join(name), fs::read(from).unwrap()).unwrap();
}

fn with(ca: &Authority, names: &[&str], usage: Vec<ExtendedKeyUsagePurpose>) -> Identity {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "host");
    params.extended_key_usages = usage;
    ca.sign(params)
}

/// Exit status and all that `--check` says.
fn check(dir: &Path) -> (i32, String) {
    let _ = fs::remove_file(dir.join("stderr"));
    let output = program(dir).arg("--check").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + &fs::read_to_string(dir.join("stderr")).unwrap();
    (output.status.code().unwrap(), said)
}

/// The files of `[tls]`, spoilt; whether it is more than a warning; and what is said of it.
type Case = (fn(&Path, &Authority), i32, &'static str, &'static str);

const CASES: [Case; 17] = [
    (
        |dir, ca| fs::write(dir.join("key.pem"), ca.issue("other").key).unwrap(),
        1,
        "key",
        "does not belong to the certificate in",
    ),
    (|dir, _| fs::remove_file(dir.join("key.pem")).unwrap(), 1, "key", "No such file"),
    (
        |dir, _| fs::set_permissions(dir.join("key.pem"), PermissionsExt::from_mode(0o644)).unwrap(),
        0,
        "key",
        "can be read or changed by others than its owner (mode 0644)",
    ),
    (
        |dir, ca| put(dir, &with(ca, &["127.0.0.1"], vec![ExtendedKeyUsagePurpose::ClientAuth])),
        1,
        "certificate",
        "it lacks serverAuth",
    ),
    (
        |dir, ca| put(dir, &with(ca, &["127.0.0.1"], vec![ExtendedKeyUsagePurpose::Any])),
        1,
        "certificate",
        "anyExtendedKeyUsage, which stands for no purpose: it lacks serverAuth",
    ),
    (|dir, ca| put(dir, &with(ca, &[], vec![])), 1, "certificate", "no alternative name (subjectAltName)"),
    (
        |dir, ca| put(dir, &with(ca, &["192.0.2.77", "elsewhere.example"], vec![])),
        0,
        "certificate",
        "is for elsewhere.example, 192.0.2.77, and neither the name of this host",
    ),
    (|dir, ca| put(dir, &ca.issue_for("host", 2000, 2001)), 1, "certificate", "expired on 2001-01-01"),
    (|dir, ca| put(dir, &ca.issue_for("host", 2090, 2091)), 1, "certificate", "is not valid before 2090-01-01"),
    (
        |dir, ca| {
            let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
            params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(9) + time::Duration::HOUR;
            put(dir, &ca.sign(params));
        },
        0,
        "certificate",
        "expires in 9 days",
    ),
    (
        |dir, _| {
            put_file(dir, "cert.pem", "v1.crt");
            put_file(dir, "key.pem", "v1.key");
        },
        1,
        "certificate",
        "an X.509 certificate of version 1",
    ),
    (
        |dir, _| {
            put_file(dir, "cert.pem", "p521.crt");
            put_file(dir, "key.pem", "p521.key");
        },
        1,
        "certificate",
        "its key is ECDSA P-521, which the TLS library does not take: use ECDSA P-256",
    ),
    (|dir, _| put_file(dir, "key.pem", "p521.key"), 1, "key", "a key of kind ECDSA P-521"),
    (|dir, _| put_file(dir, "key.pem", "encrypted.key"), 1, "key", "the private key is encrypted"),
    (|dir, _| put_file(dir, "key.pem", "legacy.key"), 1, "key", "the private key is encrypted"),
    (|dir, _| put_file(dir, "ca.pem", "p521.crt"), 1, "client_ca", "the key of CN=P-521 CA is ECDSA P-521"),
    (
        |dir, ca| fs::write(dir.join("ca.pem"), ca.issue("x").certificate).unwrap(),
        0,
        "client_ca",
        "is no CA's certificate",
    ),
];

#[test]
fn check_names_each_bad_file_in_words_and_what_helps() {
    for (spoil, status, key, words) in CASES {
        let dir = tempfile::tempdir().unwrap();
        let ca = prepare(dir.path(), "");
        assert_eq!(check(dir.path()).0, 0);
        assert!(!check(dir.path()).1.contains("warning"), "{}", check(dir.path()).1);
        spoil(dir.path(), &ca);
        let (found, said) = check(dir.path());
        assert_eq!(found, status, "{words}: {said}");
        assert!(said.contains(&format!("[tls] {key}: ")) && said.contains(words), "{words}: {said}");
        assert_eq!(said.matches("[tls]").count(), 1, "one fault, one line of it: {said}");
        assert!(said.lines().last().unwrap().starts_with("  "), "the remedy: {said}");
        assert!(RUST.iter().all(|word| !said.contains(word)), "{said}");
    }
}

#[test]
fn a_start_tells_of_what_clients_will_not_take_and_goes_on() {
    let dir = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let ca = prepare(dir.path(), "");
    put(dir.path(), &ca.issue_for("host", 2000, 2001));
    let daemon = Daemon::start_in(std::sync::Arc::clone(&dir), ca);
    daemon.wait_for_log("CN=host expired on 2001-01-01", 1);
    assert!(daemon.file("log").contains(" ERROR "), "{}", daemon.file("log"));
    // Others that are bad do not take its place; good ones do.
    put(dir.path(), &with(&daemon.ca, &["127.0.0.1"], vec![ExtendedKeyUsagePurpose::ClientAuth]));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_log("the new configuration is bad, and all stays as it was", 1);
    assert!(daemon.file("log").contains("it lacks serverAuth"));
    put(dir.path(), &daemon.ca.issue("host"));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_log("certificates read again", 1);
}

/// A client's certificate that is refused, and what the log says of it.
#[tokio::test]
async fn a_refused_client_gets_an_alert_and_is_logged_by_name() {
    let dir = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let ca = prepare(dir.path(), "");
    let file = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/daemon/certificates").join(name);
        fs::read_to_string(path).unwrap()
    };
    fs::write(dir.path().join("ca.pem"), ca.pem.clone() + &file("p521.crt")).unwrap();
    let daemon = Daemon::start_in(dir, ca);
    let of_file = |name: &str| Identity::new(file(&format!("{name}.crt")), file(&format!("{name}.key")));
    let any = with(&daemon.ca, &["client"], vec![ExtendedKeyUsagePurpose::Any]);
    let server = with(&daemon.ca, &["client"], vec![ExtendedKeyUsagePurpose::ServerAuth]);
    let stranger = Authority::new("elsewhere CA").issue("stranger");
    let expired = daemon.ca.issue_for("late", 2000, 2001);
    let cases = [
        (
            any,
            "CN=host",
            "anyExtendedKeyUsage, which stands for no purpose: it needs clientAuth",
            "UnsupportedCertificate",
        ),
        (server, "CN=host", "its extended key usage lacks clientAuth", "UnsupportedCertificate"),
        (stranger, "CN=stranger", "its issuer is CN=elsewhere CA", "UnknownCA"),
        (expired, "CN=late", "the certificate expired on 2001-01-01", "CertificateExpired"),
        (of_file("by-p521"), "CN=client", "issuer's key is of a kind that the TLS library does not take", ""),
    ];
    for (identity, name, words, alert) in cases {
        let error = daemon.ask(Some(&identity), &request("GET /healthz", &[], b"")).await.expect_err(words).to_string();
        assert!(error.contains("fatal alert") && error.contains(alert), "{words}: {error}");
        daemon.wait_for_log(words, 1);
        let log = daemon.file("log");
        let line = log.lines().find(|line| line.contains(words)).unwrap();
        assert!(line.contains("refused a TLS client") && line.contains(name), "{line}");
        assert!(RUST.iter().all(|word| !line.contains(word)), "{line}");
    }
}
