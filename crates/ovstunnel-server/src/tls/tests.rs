//! What an operator sees of bad certificate files. Handshakes are tested in `tests/https.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedKey as Made, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, generate_simple_self_signed,
};
use tempfile::TempDir;

use super::*;

struct Files {
    dir: TempDir,
    tls: Tls,
}

fn made() -> Made<rcgen::KeyPair> {
    generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

/// The certificate of an authority and its list of revoked ones, which is empty.
fn authority() -> (String, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "CA");
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let list = CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2020, 1, 1),
        next_update: rcgen::date_time_ymd(2021, 1, 1),
        crl_number: 1.into(),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    (certificate, list.signed_by(&Issuer::new(params, key)).unwrap().pem().unwrap())
}

/// Files that are good.
fn good() -> Files {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let tls = Tls {
        certificate: at("c.pem"),
        key: at("k.pem"),
        client_ca: at("a.pem"),
        client_crl: Some(at("r.pem")),
        clients: Vec::new(),
    };
    let (made, (ca, list)) = (made(), authority());
    fs::write(&tls.certificate, made.cert.pem()).unwrap();
    fs::write(&tls.key, made.signing_key.serialize_pem()).unwrap();
    fs::write(&tls.client_ca, ca).unwrap();
    fs::write(tls.client_crl.as_ref().unwrap(), list).unwrap();
    Files { dir, tls }
}

#[test]
fn good_files_are_taken() {
    let files = good();
    assert_eq!(load_tls(&files.tls).unwrap().server.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    drop(files.dir);
}

#[test]
fn each_bad_file_is_named_with_its_key_and_the_reason() {
    type Spoil = fn(&Tls);
    let cases: [(Spoil, &str, &str); 13] = [
        (|t| fs::remove_file(&t.certificate).unwrap(), "certificate: ", "No such file"),
        (|t| fs::write(&t.certificate, "hello").unwrap(), "certificate: ", "no CERTIFICATE in it"),
        (|t| fs::write(&t.certificate, "-----BEGIN CERTIFICATE-----\n?\n").unwrap(), "certificate: ", "not PEM"),
        (
            |t| fs::write(&t.certificate, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap(),
            "certificate: ",
            "what is in it is damaged, or no X.509 certificate",
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
        (|t| fs::remove_file(t.client_crl.as_ref().unwrap()).unwrap(), "client_crl: ", "No such file"),
        (
            |t| fs::write(t.client_crl.as_ref().unwrap(), made().cert.pem()).unwrap(),
            "client_crl: ",
            "no X509 CRL in it",
        ),
        (
            |t| {
                fs::write(t.client_crl.as_ref().unwrap(), "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")
                    .unwrap()
            },
            "client_crl: ",
            "list 1: ",
        ),
        (
            |t| fs::write(t.client_crl.as_ref().unwrap(), authority().1).unwrap(),
            "client_crl: ",
            "is not signed by the authority CN=CA of client_ca, but by another of that name",
        ),
    ];
    for (spoil, key, reason) in cases {
        let files = good();
        spoil(&files.tls);
        let error = load_tls(&files.tls).unwrap_err().to_string();
        assert!(error.starts_with(&format!("[tls] {key}{}/", files.dir.path().display())), "{error}");
        assert!(error.contains(reason), "{error} lacks {reason}");
    }
}

#[test]
fn what_is_in_force_can_be_replaced() {
    let files = good();
    let store = TlsStore::open(&files.tls).unwrap();
    let before = store.current_config();
    fs::write(&files.tls.key, "garbage").unwrap();
    load_tls(&files.tls).unwrap_err();
    assert!(Arc::ptr_eq(&before, &store.current_config()));
    fs::write(&files.tls.certificate, {
        let made = made();
        fs::write(&files.tls.key, made.signing_key.serialize_pem()).unwrap();
        made.cert.pem()
    })
    .unwrap();
    store.replace(load_tls(&files.tls).unwrap());
    assert!(!Arc::ptr_eq(&before, &store.current_config()));
}
