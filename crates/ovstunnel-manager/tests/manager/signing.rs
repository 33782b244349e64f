//! By which key the running program signs its proofs, before and after its certificate was renewed.

use std::path::Path;

use crate::common::program::{Program, configure};
use crate::common::{folder, host, put, set_up, until};
use nix::sys::signal::Signal;
use ovstunnel_manager_api::Proof;
use ovstunnel_pki::{Authority, Key};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::OffsetDateTime;
use webpki::EndEntityCert;

/// That a proof is signed by the certificate in this file, as whoever checks it offline finds.
fn is_signed_by(proof: &Proof, file: &Path) -> bool {
    let (signature, own) = (proof.signature.as_ref().unwrap(), CertificateDer::from_pem_file(file).unwrap());
    let shown = CertificateDer::from_pem_slice(signature.certificate.as_bytes()).unwrap();
    let value: Vec<u8> = (0..signature.value.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&signature.value[at..at + 2], 16).unwrap())
        .collect();
    let certificate = EndEntityCert::try_from(&own).unwrap();
    let matches =
        certificate.verify_signature(webpki::ring::ECDSA_P256_SHA256, proof.digest.as_bytes(), &value).is_ok();
    proof.digest == proof.compute_digest() && shown == own && matches
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_signs_with_the_renewed_key_and_ignores_a_bad_one() {
    let dir = folder();
    let (pki, own) = (dir.path().join("pki"), dir.path().join("pki/zone.crt"));
    configure(dir.path(), "");
    let one = host(dir.path(), 1).await;
    set_up(&one, 1, &[2]).await;
    let program = Program::start(dir.path()).await;
    program.manager.put_host("h1", &put(&one.url, Some(1)), false).await.unwrap();
    let proof = async || until("a proof", async || program.manager.proof("key-1001").await.ok()).await;
    assert!(is_signed_by(&proof().await, &own));

    let before = std::fs::read(&own).unwrap();
    let authority = Authority::open(&pki).unwrap();
    authority.renew_certificate(&"zone".parse().unwrap(), Key::New, 90, OffsetDateTime::now_utc()).unwrap();
    let old = dir.path().join("old.crt");
    std::fs::write(&old, &before).unwrap();
    assert_ne!(before, std::fs::read(&own).unwrap());
    assert!(is_signed_by(&proof().await, &old), "what was read at the start is in force until it is told otherwise");
    program.signal(Signal::SIGHUP);
    program.until_log("SIGHUP: log reopened").await;
    let renewed = until("a proof by the new key", async || Some(proof().await).filter(|p| is_signed_by(p, &own))).await;
    assert!(!is_signed_by(&renewed, &old));

    // A certificate to which the key does not belong.
    let good = std::fs::read(&own).unwrap();
    std::fs::write(&own, &before).unwrap();
    program.signal(Signal::SIGHUP);
    program.until_log("proofs are signed with the key from before").await;
    std::fs::write(&own, &good).unwrap();
    assert!(is_signed_by(&proof().await, &own), "the good one stays");
}
