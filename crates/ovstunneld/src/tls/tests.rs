//! What an operator sees of bad certificate files. Handshakes are tested in `tests/https.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;

use rcgen::{CertifiedKey as Made, generate_simple_self_signed};
use tempfile::TempDir;

use super::*;

struct Files {
    dir: TempDir,
    tls: Tls,
}

fn made() -> Made<rcgen::KeyPair> {
    generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

/// Three files that are good.
fn good() -> Files {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let tls = Tls { certificate: at("c.pem"), key: at("k.pem"), client_ca: at("a.pem") };
    let made = made();
    fs::write(&tls.certificate, made.cert.pem()).unwrap();
    fs::write(&tls.key, made.signing_key.serialize_pem()).unwrap();
    fs::write(&tls.client_ca, made.cert.pem()).unwrap();
    Files { dir, tls }
}

#[test]
fn good_files_are_taken() {
    let files = good();
    assert_eq!(load(&files.tls).unwrap().alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    drop(files.dir);
}

#[test]
fn each_bad_file_is_named_with_its_key_and_the_reason() {
    type Spoil = fn(&Tls);
    let cases: [(Spoil, &str, &str); 9] = [
        (|t| fs::remove_file(&t.certificate).unwrap(), "certificate: ", "No such file"),
        (|t| fs::write(&t.certificate, "hello").unwrap(), "certificate: ", "no CERTIFICATE in it"),
        (|t| fs::write(&t.certificate, "-----BEGIN CERTIFICATE-----\n?\n").unwrap(), "certificate: ", "not PEM"),
        (
            |t| fs::write(&t.certificate, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap(),
            "certificate: ",
            "BadEncoding",
        ),
        (|t| fs::copy(&t.certificate, &t.key).map(drop).unwrap(), "key: ", "no PRIVATE KEY in it"),
        (
            |t| {
                fs::write(&t.key, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
                    .unwrap()
            },
            "key: ",
            "encrypted",
        ),
        (
            |t| fs::write(&t.key, made().signing_key.serialize_pem()).unwrap(),
            "key: ",
            "does not belong to the certificate",
        ),
        (|t| fs::write(&t.client_ca, "\n").unwrap(), "client_ca: ", "is empty"),
        (
            |t| fs::write(&t.client_ca, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap(),
            "client_ca: ",
            "certificate 1: ",
        ),
    ];
    for (spoil, key, reason) in cases {
        let files = good();
        spoil(&files.tls);
        let error = load(&files.tls).unwrap_err().to_string();
        assert!(error.starts_with(&format!("[tls] {key}{}/", files.dir.path().display())), "{error}");
        assert!(error.contains(reason), "{error} lacks {reason}");
    }
}

#[test]
fn bad_new_files_leave_the_old_ones_in_force() {
    let files = good();
    let store = TlsStore::open(&files.tls).unwrap();
    let before = store.current();
    fs::write(&files.tls.key, "garbage").unwrap();
    store.reload().unwrap_err();
    assert!(Arc::ptr_eq(&before, &store.current()));
    fs::write(&files.tls.certificate, {
        let made = made();
        fs::write(&files.tls.key, made.signing_key.serialize_pem()).unwrap();
        made.cert.pem()
    })
    .unwrap();
    store.reload().unwrap();
    assert!(!Arc::ptr_eq(&before, &store.current()));
}
