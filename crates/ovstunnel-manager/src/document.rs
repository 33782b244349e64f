//! A proof as a document that can be shown to others: with its digest, and the manager's signature of that.
//!
//! What it does: signs the digest with the key by which the manager shows itself, and reads that again when it is told to. What it must not do:
//! change what is proven, or sign with a key that does not belong to the certificate beside the signature.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use ovstunnel_manager_api::{Proof, Signature, to_hex};
use rustls::SignatureScheme;
use rustls::sign::CertifiedKey;
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
#[derive(Debug)]
pub struct Signer {
    certificate: PathBuf,
    key: PathBuf,
    in_force: RwLock<Arc<InForce>>,
}

/// Key and certificate as they were read last.
#[derive(Debug)]
struct InForce {
    key: CertifiedKey,
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
        let in_force = RwLock::new(Arc::new(InForce::read_key_pair(certificate, key)?));
        Ok(Signer { certificate: certificate.to_owned(), key: key.to_owned(), in_force })
    }

    /// Reads both files again. Where they cannot be used, the key stays that was read before.
    ///
    /// # Errors
    /// As [`Signer::open`].
    pub fn reload(&self) -> Result<(), SignerError> {
        let new = Arc::new(InForce::read_key_pair(&self.certificate, &self.key)?);
        // Nobody panics between taking the lock and letting go of it; what is behind it is whole in any case.
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// Whether the files hold another certificate, or cannot be used any more.
    pub fn is_stale(&self) -> bool {
        let now = std::fs::read_to_string(&self.certificate).ok().map(|text| first_certificate(&text));
        now.as_ref() != Some(&self.in_force().certificate)
    }

    fn in_force(&self) -> Arc<InForce> {
        self.in_force.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn sign_digest(&self, digest: &str) -> Option<Signature> {
        let in_force = self.in_force();
        let signer = in_force.key.key.choose_scheme(&SCHEMES)?;
        let value = signer.sign(digest.as_bytes()).ok()?;
        let scheme = signer.scheme().as_str()?.to_ascii_lowercase();
        Some(Signature { scheme, certificate: in_force.certificate.clone(), value: to_hex(&value) })
    }
}

impl InForce {
    fn read_key_pair(certificate: &Path, key: &Path) -> Result<InForce, SignerError> {
        let fail = |file: &Path, what: String| SignerError::File { file: file.display().to_string(), what };
        let der = PrivateKeyDer::from_pem_file(key).map_err(|error| fail(key, error.to_string()))?;
        let text = std::fs::read_to_string(certificate).map_err(|error| fail(certificate, error.to_string()))?;
        // The first one is the manager's own; those after it are not needed to check a signature.
        let own = CertificateDer::from_pem_slice(text.as_bytes()).map_err(|e| fail(certificate, e.to_string()))?;
        let provider = rustls::crypto::ring::default_provider();
        let certified = CertifiedKey::from_der(vec![own], der, &provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                fail(key, format!("does not belong to the certificate in {}", certificate.display()))
            }
            error => fail(key, error.to_string()),
        })?;
        Ok(InForce { key: certified, certificate: first_certificate(&text) })
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
pub fn complete_proof(mut proof: Proof, signer: Option<&Signer>) -> Proof {
    proof.digest = proof.compute_digest();
    proof.signature = signer.and_then(|signer| signer.sign_digest(&proof.digest));
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
