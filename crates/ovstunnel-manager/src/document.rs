//! A proof as a document that can be shown to others: with its digest, and the manager's signature of that.
//!
//! What it does: signs the digest with the key by which the manager shows itself. What it must not do: change what is
//! proven.

use std::path::Path;
use std::sync::Arc;

use ovstunnel_manager_api::{Proof, Signature, hex};
use rustls::SignatureScheme;
use rustls::sign::SigningKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// In which order schemes are taken: of each kind of key one.
const SCHEMES: [SignatureScheme; 4] = [
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ED25519,
    SignatureScheme::RSA_PSS_SHA256,
];

/// The manager's key for documents.
#[derive(Clone, Debug)]
pub struct Signer {
    key: Arc<dyn SigningKey>,
    certificate: String,
}

/// Why documents cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// A file of no use.
    #[error("cannot use {file}: {what}")]
    File {
        /// The file.
        file: String,
        /// What is wrong.
        what: String,
    },
}

impl Signer {
    /// Reads certificate and key, both PEM.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn open(certificate: &Path, key: &Path) -> Result<Signer, SignerError> {
        let fail = |file: &Path, what: String| SignerError::File { file: file.display().to_string(), what };
        let der = PrivateKeyDer::from_pem_file(key).map_err(|error| fail(key, error.to_string()))?;
        let signing = rustls::crypto::ring::sign::any_supported_type(&der).map_err(|e| fail(key, e.to_string()))?;
        // The first one is the manager's own; those after it are not needed to check a signature.
        CertificateDer::from_pem_file(certificate).map_err(|error| fail(certificate, error.to_string()))?;
        let text = std::fs::read_to_string(certificate).map_err(|error| fail(certificate, error.to_string()))?;
        Ok(Signer { key: signing, certificate: first_certificate(&text) })
    }

    fn sign(&self, digest: &str) -> Option<Signature> {
        let signer = self.key.choose_scheme(&SCHEMES)?;
        let value = signer.sign(digest.as_bytes()).ok()?;
        let scheme = signer.scheme().as_str()?.to_ascii_lowercase();
        Some(Signature { scheme, certificate: self.certificate.clone(), value: hex(&value) })
    }
}

/// The first certificate of a PEM file, as it stands there.
fn first_certificate(text: &str) -> String {
    const END: &str = "-----END CERTIFICATE-----";
    let begin = text.find("-----BEGIN CERTIFICATE-----").unwrap_or_default();
    let end = text[begin..].find(END).map_or(text.len(), |at| begin + at + END.len());
    text[begin..end].to_owned() + "\n"
}

/// The same proof with its digest, and signed where there is a key.
pub fn complete(mut proof: Proof, signer: Option<&Signer>) -> Proof {
    proof.digest = proof.compute_digest();
    proof.signature = signer.and_then(|signer| signer.sign(&proof.digest));
    proof
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_certificate_of_a_chain_is_taken() {
        let one = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----";
        let two = "-----BEGIN CERTIFICATE-----\nBB==\n-----END CERTIFICATE-----";
        assert_eq!(first_certificate(&format!("subject\n{one}\n{two}\n")), format!("{one}\n"));
    }
}
