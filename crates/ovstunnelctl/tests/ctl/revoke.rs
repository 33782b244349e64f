//! `pki revoke`: what is on the list, that TLS follows it, and what is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::common::{Ran, ctl, run};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use serde_json::Value;

fn pki(dir: &Path, args: &str) -> Ran {
    run(ctl().arg("pki").args(args.split(' ')).arg("--dir").arg(dir))
}

fn good(dir: &Path, args: &str) -> String {
    let ran = pki(dir, args);
    assert_eq!(ran.status, 0, "{args}: {}", ran.err);
    ran.out
}

fn revoke(dir: &Path, file: &str) -> Ran {
    run(ctl().args(["--json", "pki", "revoke", "--dir"]).arg(dir).arg(dir.join(file)))
}

/// What a server with the list says of a client's certificate.
fn judged(dir: &Path, name: &str) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(dir.join("ca.crt")).unwrap()).unwrap();
    let list = CertificateRevocationListDer::from_pem_file(dir.join("ca.crl")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots.into(), provider).with_crls([list]).build().unwrap();
    let certificate = CertificateDer::from_pem_file(dir.join(format!("{name}.crt"))).unwrap();
    verifier.verify_client_cert(&certificate, &[], UnixTime::now()).map(drop).map_err(|e| e.to_string())
}

fn made() -> (tempfile::TempDir, PathBuf) {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("pki");
    for args in ["init", "issue --client one", "issue --client two", "issue --client three"] {
        good(&dir, args);
    }
    (temporary, dir)
}

#[test]
fn each_one_is_added_and_none_is_forgotten() {
    let (_temporary, dir) = made();
    let page = run(ctl().args(["pki", "revoke", "--dir"]).arg(&dir).arg(dir.join("one.crt")));
    assert_eq!(page.status, 0, "{}", page.err);
    for words in ["Revoked: one, serial number ", "ca.crl (1 on it)", "client_crl = ", "systemctl reload ovstunneld"] {
        assert!(page.out.contains(words), "{words} is not in {}", page.out);
    }
    let answer: Value = serde_json::from_str(&revoke(&dir, "two.crt").out).unwrap();
    assert_eq!(
        (&answer["name"], &answer["revoked"], &answer["outcome"]),
        (&"two".into(), &2.into(), &"updated".into())
    );
    let before = fs::read(dir.join("ca.crl")).unwrap();
    let again: Value = serde_json::from_str(&revoke(&dir, "two.crt").out).unwrap();
    assert_eq!((&again["revoked"], &again["outcome"]), (&2.into(), &"unchanged".into()));
    assert_eq!(fs::read(dir.join("ca.crl")).unwrap(), before);
    for name in ["one", "two"] {
        assert!(judged(&dir, name).unwrap_err().contains("Revoked"), "{name}");
    }
    assert_eq!(judged(&dir, "three"), Ok(()));
}

#[test]
fn what_this_ca_has_not_issued_is_refused() {
    let (temporary, dir) = made();
    let other = temporary.path().join("other");
    good(&other, "init");
    good(&other, "issue --client stranger");
    fs::copy(other.join("stranger.crt"), dir.join("stranger.crt")).unwrap();
    for (file, words) in [
        ("stranger.crt", "is not a certificate that the CA in this directory has issued"),
        ("ca.crt", "is not a certificate that the CA in this directory has issued"),
        ("one.key", "is not a certificate (PEM)"),
        ("none.crt", "cannot read"),
    ] {
        let ran = revoke(&dir, file);
        assert!(ran.status == 1 && ran.err.contains(words), "{file}: {}", ran.err);
    }
    assert!(!dir.join("ca.crl").exists());
    fs::write(dir.join("ca.crl"), "garbage").unwrap();
    let ran = revoke(&dir, "one.crt");
    assert!(ran.status == 1 && ran.err.contains("is not a list of revoked certificates (PEM)"), "{}", ran.err);
    assert_eq!(fs::read_to_string(dir.join("ca.crl")).unwrap(), "garbage");
}
