//! `zone proof --verify FILE`: whether a proof is as the manager signed it. Must not ask anybody.

use std::path::{Path, PathBuf};

use ovstunnel_manager_api::{Proof, Signature, to_hex};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use serde::Serialize;
use sha2::{Digest, Sha256};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert, ring};

use crate::cli::show::{Page, Tone};
use crate::cli::{Failure, Report};

/// The schemes by which a manager signs, as RFC 8446 names them.
const SCHEMES: [(&str, &dyn SignatureVerificationAlgorithm); 4] = [
    ("ecdsa_nistp256_sha256", ring::ECDSA_P256_SHA256),
    ("ecdsa_nistp384_sha384", ring::ECDSA_P384_SHA384),
    ("ed25519", ring::ED25519),
    ("rsa_pss_sha256", ring::RSA_PSS_2048_8192_SHA256_LEGACY_KEY),
];

/// What was found out of a proof in a file.
#[derive(Debug, Serialize)]
struct Verified {
    /// The digest is that of the document.
    digest_matches: bool,
    /// The signature is that of the digest, by the key of the certificate that is with it. Null where there is none.
    signature_matches: Option<bool>,
    /// The certificate comes from an authority of `--ca`. Null where there is no signature, or no authority was named.
    certificate_is_trusted: Option<bool>,
    /// SHA-256 of the certificate.
    fingerprint: Option<String>,
    /// What the proof says.
    whole: bool,
    /// The network that it is of.
    network: String,
    /// When it was made.
    at: String,
}

/// Checks a file.
pub(in crate::cli) fn verify_proof(file: &Path, ca: Option<&PathBuf>, json: bool) -> Result<Report, Failure> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Failure::File { action: "read", path, source }
    };
    let text = std::fs::read(file).map_err(failed(file))?;
    let proof: Proof = serde_json::from_slice(&text)
        .map_err(|error| Failure::Document(format!("{} is no proof as --json writes it: {error}", file.display())))?;
    let anchors = ca.map(|path| read_authorities(path)).transpose()?;
    let digest_matches = proof.compute_digest() == proof.digest;
    let signature = proof.signature.as_ref();
    let certificate = signature.and_then(|signature| parse_certificate(&signature.certificate));
    let signature_matches =
        signature.map(|signature| certificate.as_ref().is_some_and(|own| is_of(signature, own, &proof.digest)));
    let certificate_is_trusted =
        signature.and(anchors.as_ref()).map(|anchors| certificate.as_ref().is_some_and(|own| is_trusted(own, anchors)));
    let fingerprint = certificate.as_ref().map(|own| to_hex(&Sha256::digest(own.as_ref())));
    let verified = Verified {
        digest_matches,
        signature_matches,
        certificate_is_trusted,
        fingerprint,
        whole: proof.whole,
        network: proof.network,
        at: proof.at,
    };
    let good = digest_matches && signature_matches == Some(true) && certificate_is_trusted != Some(false);
    Ok(Report::new(json, &verified, verified_page)?.wrong_if(!good))
}

fn parse_certificate(pem: &str) -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem.as_bytes()).ok()
}

fn read_authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let bad = |what: String| Failure::Document(format!("--ca {}: {what}", path.display()));
    match read {
        Ok(found) if found.is_empty() => Err(bad("no certificate in it (expected PEM)".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(bad(error.to_string())),
    }
}

fn is_of(signature: &Signature, certificate: &CertificateDer<'_>, digest: &str) -> bool {
    let algorithm = SCHEMES.iter().find(|(name, _)| *name == signature.scheme).map(|(_, algorithm)| *algorithm);
    let (Some(algorithm), Some(value)) = (algorithm, from_hex(&signature.value)) else { return false };
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return false };
    certificate.verify_signature(algorithm, digest.as_bytes(), &value).is_ok()
}

fn is_trusted(certificate: &CertificateDer<'_>, authorities: &[CertificateDer<'_>]) -> bool {
    let anchors: Vec<_> = authorities.iter().filter_map(|ca| anchor_from_trusted_cert(ca).ok()).collect();
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return false };
    let for_usage = |usage| {
        certificate.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &anchors, &[], UnixTime::now(), usage, None, None)
    };
    for_usage(KeyUsage::client_auth()).is_ok() || for_usage(KeyUsage::server_auth()).is_ok()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    if rest.is_empty() { pairs.iter().map(pair).collect() } else { None }
}

fn verified_page(verified: &Verified) -> Page {
    let mut page = Page::new();
    let word = |good: bool| if good { (Tone::Plain, "good") } else { (Tone::Bad, "bad") };
    let (tone, digest) = word(verified.digest_matches);
    page.verdict(tone, digest, ": the digest");
    match verified.signature_matches {
        Some(matches) => {
            let (tone, signature) = word(matches);
            page.verdict(tone, signature, ": the signature");
        }
        None => page.verdict(Tone::Bad, "missing", ": the proof is not signed"),
    }
    if let Some(fingerprint) = &verified.fingerprint {
        match verified.certificate_is_trusted {
            Some(true) => page.line(format!("good: the certificate {fingerprint} comes from an authority of --ca")),
            Some(false) => {
                page.verdict(
                    Tone::Bad,
                    "bad",
                    &format!(": the certificate {fingerprint} does not come from an authority of --ca"),
                );
            }
            None => page
                .line(format!("signed by the certificate {fingerprint}; give --ca to have it checked whose that is")),
        }
    }
    let says = if verified.whole { "is whole" } else { "is not whole" };
    let at = page.time(&verified.at);
    page.line(format!("It says: network {} {says}, as of {at}", verified.network));
    page
}
