//! TLS of the HTTPS listener: the certificate files, and the settings that every connection gets.
//!
//! What it does: reads the PEM files, demands a client certificate of one of the configured authorities, and takes up
//! changed files on request, keeping the old ones when the new ones are bad. What it must not do: decide what a client
//! may do, or let anyone in without a certificate, by whatever setting.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;

use crate::config::Tls;

/// Why a certificate or key file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("[tls] {key}: {}: {reason}", file.display())]
pub struct TlsError {
    /// Key of the configuration that names the file.
    pub key: &'static str,
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// The TLS settings in force, which can be replaced while connections go on.
#[derive(Debug)]
pub struct TlsStore {
    files: Tls,
    current: watch::Sender<Arc<ServerConfig>>,
}

impl TlsStore {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read or used; names the file and the reason.
    pub fn open(files: &Tls) -> Result<Self, TlsError> {
        Ok(TlsStore { files: files.clone(), current: watch::Sender::new(Arc::new(load(files)?)) })
    }

    /// What a new connection is to use.
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.borrow())
    }

    /// Reads the files again. New connections use them; those that are open stay as they are.
    ///
    /// # Errors
    /// As [`TlsStore::open`]; what was in force stays in force.
    pub fn reload(&self) -> Result<(), TlsError> {
        let new = load(&self.files)?;
        self.current.send_replace(Arc::new(new));
        Ok(())
    }
}

/// Reads and checks the three files.
///
/// # Errors
/// As [`TlsStore::open`].
pub fn load(files: &Tls) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = certified_key(files, &provider)?;
    let roots = Arc::new(client_authorities(&files.client_ca)?);
    let refuse_ca = |e: &dyn std::fmt::Display| refuse("client_ca", &files.client_ca, e);
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build().map_err(|e| refuse_ca(&e))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| refuse("certificate", &files.certificate, &e))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // No resumption: each connection's certificate is checked against today's date and today's authorities.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn refuse(key: &'static str, file: &Path, reason: &dyn std::fmt::Display) -> TlsError {
    TlsError { key, file: file.to_owned(), reason: reason.to_string() }
}

fn read(key: &'static str, file: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(file).map_err(|e| refuse(key, file, &e))
}

/// The certificates of a PEM file, at least one.
fn certificates(key: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(key, file)?;
    let found = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| refuse(key, file, &format!("not PEM: {e}")))?;
    if found.is_empty() {
        let reason = if text.trim_ascii().is_empty() { "is empty" } else { "no CERTIFICATE in it; is it PEM?" };
        return Err(refuse(key, file, &reason));
    }
    Ok(found)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read("key", file)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|e| match e {
        pem::Error::NoItemsFound if String::from_utf8_lossy(&text).contains("ENCRYPTED") => {
            refuse("key", file, &"the private key is encrypted; the daemon cannot ask for a passphrase")
        }
        pem::Error::NoItemsFound => refuse("key", file, &"no PRIVATE KEY in it; is it PEM?"),
        e => refuse("key", file, &format!("not PEM: {e}")),
    })
}

fn certified_key(files: &Tls, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = certificates("certificate", &files.certificate)?;
    let key = private_key(&files.key)?;
    CertifiedKey::from_der(chain, key, provider).map_err(|e| match e {
        rustls::Error::InconsistentKeys(_) => {
            refuse("key", &files.key, &format!("does not belong to the certificate in {}", files.certificate.display()))
        }
        rustls::Error::InvalidCertificate(e) => refuse("certificate", &files.certificate, &format!("{e:?}")),
        e => refuse("key", &files.key, &e),
    })
}

fn client_authorities(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for (n, certificate) in certificates("client_ca", file)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|e| refuse("client_ca", file, &format!("certificate {}: {e}", n + 1)))?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests;
