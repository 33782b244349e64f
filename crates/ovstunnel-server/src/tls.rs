//! TLS of the HTTPS listener: the certificate files, and the settings that every connection gets.
//!
//! What it does: reads the PEM files, demands a client certificate of one of the configured authorities that none of their
//! lists revokes, and takes up changed files on request, keeping the old ones when the new ones are bad. What it must not
//! do: decide what a client may do, or let anyone in without a certificate, by whatever setting.

mod crl;
mod form;
pub mod judge;
pub(crate) mod seen;

use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio::sync::watch;

use crate::config::{Tls, TlsClient};
pub use form::{Certificate, Usage, read_der as read_certificate, unreadable_message};
use ovstunnel_types::text::{excerpt, foreign_message};
pub(crate) use seen::Shown;
use seen::Telling;
pub use seen::{Counts, Refused, Seen};

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
    /// What to do about it.
    pub remedy: &'static str,
}

/// What `[tls]` says, its files read and found good.
#[derive(Clone, Debug)]
pub struct Loaded {
    server: Arc<ServerConfig>,
    verifier: Arc<dyn ClientCertVerifier>,
    /// Who may do what.
    pub clients: Arc<[TlsClient]>,
    /// What was in the files, to see whether they are others now.
    print: Prints,
}

impl Loaded {
    /// Checks the certificate of a client whose connection is open already: since it was made, authorities, lists of
    /// revoked certificates and the date may have changed.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn check_chain(&self, chain: &[CertificateDer<'_>]) -> Result<(), String> {
        let (own, others) = chain.split_first().ok_or("there is none")?;
        let judged = self.verifier.verify_client_cert(own, others, UnixTime::now());
        judged.map(drop).map_err(|error| seen::describe_refused(own, &error).why)
    }
}

/// The TLS settings in force, which can be replaced while connections go on.
#[derive(Debug)]
pub struct TlsStore {
    current: watch::Sender<Loaded>,
    /// Whether a client without a certificate is let in, as a visitor.
    visitors: Visitors,
    /// Who has come since these settings are in force.
    seen: Mutex<Arc<Seen>>,
}

impl TlsStore {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read or used; names the file and the reason.
    pub fn open(tls: &Tls) -> Result<Self, TlsError> {
        Self::open_to(tls, Visitors::Refused)
    }

    /// The same, for a service that says what clients without a certificate may.
    ///
    /// # Errors
    /// As [`TlsStore::open`].
    pub fn open_to(tls: &Tls, visitors: Visitors) -> Result<Self, TlsError> {
        Ok(TlsStore { current: watch::Sender::new(load_for(tls, visitors)?), visitors, seen: Mutex::default() })
    }

    /// Whether a client without a certificate is let in.
    pub fn lets_visitors_in(&self) -> bool {
        self.visitors == Visitors::LetIn
    }

    /// Reads the files again, for the same clients.
    ///
    /// # Errors
    /// As [`TlsStore::open`].
    pub fn load_files(&self, files: &Tls) -> Result<Loaded, TlsError> {
        load_for(files, self.visitors)
    }

    /// Who has come since the files in force were read.
    pub fn seen_clients(&self) -> Arc<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys of `[tls]` whose files are not what is in force.
    pub fn changed_files(&self, files: &Tls) -> Vec<&'static str> {
        let (now, then) = (file_prints(files), self.current.borrow().print);
        now.into_iter().zip(then).filter(|(now, then)| now != then).map(|((key, _), _)| key).collect()
    }

    /// What is in force.
    pub fn loaded(&self) -> Loaded {
        self.current.borrow().clone()
    }

    /// What a new connection is to use.
    pub fn current_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.borrow().server)
    }

    /// Puts others in force. New connections use them; those that are open stay as they are, and each of their requests is
    /// judged by them.
    pub fn replace(&self, new: Loaded) {
        let old = self.current.send_replace(new.clone());
        if old.print != new.print {
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Arc::default();
        }
    }
}

/// What becomes of clients that show no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visitors {
    /// The handshake fails.
    Refused,
    /// They come in as visitors, who may what the service's rules let them.
    LetIn,
}

/// Each key of `[tls]` that names a file, with a sum of what is in it.
type Prints = [(&'static str, Option<u64>); 4];

/// What is in the files of `[tls]`, to be compared: no more than that can be told of it.
fn file_prints(files: &Tls) -> Prints {
    let of = |file: &Path| {
        let mut sum = DefaultHasher::new();
        sum.write(&std::fs::read(file).ok()?);
        Some(sum.finish())
    };
    let list = files.client_crl.as_deref().and_then(of);
    let Tls { certificate, key, client_ca, .. } = files;
    [("certificate", of(certificate)), ("key", of(key)), ("client_ca", of(client_ca)), ("client_crl", list)]
}

/// Reads and checks the files.
///
/// # Errors
/// As [`TlsStore::open`].
pub fn load_tls(files: &Tls) -> Result<Loaded, TlsError> {
    load_for(files, Visitors::Refused)
}

fn load_for(files: &Tls, visitors: Visitors) -> Result<Loaded, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    // Before the files are read: one that changes meanwhile is told as changed.
    let print = file_prints(files);
    let key = certified_key(files, &provider)?;
    let verifier = client_verifier(files, &provider, visitors)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| refuse_file("certificate", &files.certificate, &e))?
        .with_client_cert_verifier(Arc::new(Telling(Arc::clone(&verifier))))
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // No resumption: each connection's certificate is checked against today's date and today's authorities.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Loaded { server: Arc::new(config), verifier, clients: files.clients.as_slice().into(), print })
}

/// Judges clients' certificates. A list of revoked ones counts beyond the date of its next update too: an old list is
/// better than none, and better than locking everybody out.
fn client_verifier(
    files: &Tls,
    provider: &Arc<CryptoProvider>,
    visitors: Visitors,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let roots = Arc::new(client_authorities(&files.client_ca)?);
    let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
    let builder = match visitors {
        Visitors::Refused => builder,
        Visitors::LetIn => builder.allow_unauthenticated(),
    };
    let Some(file) = &files.client_crl else {
        return builder.build().map_err(|e| refuse_file("client_ca", &files.client_ca, &e));
    };
    let lists = crl::read_crls(file, &read_certificates("client_ca", &files.client_ca)?)?;
    let builder = builder.with_crls(lists).allow_unknown_revocation_status();
    builder.build().map_err(|e| refuse_file("client_crl", file, &e))
}

fn refuse_file(key: &'static str, file: &Path, reason: &dyn std::fmt::Display) -> TlsError {
    let remedy = match key {
        "client_crl" => "put the list there that `ovstunnelctl pki revoke` makes, or another CRL of that CA in PEM",
        "client_ca" => "put the CA's certificate there, in PEM: `ovstunnelctl pki init` makes it as ca.crt",
        _ => "put a certificate for servers and its key there: `ovstunnelctl pki issue --host` makes both",
    };
    TlsError { key, file: file.to_owned(), reason: foreign_message(reason), remedy }
}

fn read_file(key: &'static str, file: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(file).map_err(|e| refuse_file(key, file, &e))
}

/// The certificates of a PEM file, at least one.
fn read_certificates(key: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read_file(key, file)?;
    let found = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| refuse_file(key, file, &not_pem(&e)))?;
    if found.is_empty() {
        let reason = if text.trim_ascii().is_empty() { "is empty" } else { "no CERTIFICATE in it; is it PEM?" };
        return Err(refuse_file(key, file, &reason));
    }
    Ok(found)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read_file("key", file)?;
    let shown = String::from_utf8_lossy(&text);
    if shown.contains("ENCRYPTED") {
        return Err(refuse_file("key", file, &"the private key is encrypted; the service cannot ask for a passphrase"));
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|e| match (e, pem_labels(&shown).as_slice()) {
        (pem::Error::NoItemsFound, []) => refuse_file("key", file, &"no PRIVATE KEY in it; is it PEM?"),
        (pem::Error::NoItemsFound, labels) => {
            refuse_file("key", file, &format!("no PRIVATE KEY in it, but {}", labels.join(", ")))
        }
        (e, _) => refuse_file("key", file, &not_pem(&e)),
    })
}

/// Why a file is not PEM. The library shows bytes as numbers.
fn not_pem(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            format!("not PEM: the line -----END {}----- is missing", excerpt(&String::from_utf8_lossy(end_marker)))
        }
        pem::Error::IllegalSectionStart { line } => {
            let line = String::from_utf8_lossy(line);
            format!("not PEM: the line `{}` does not end in -----", excerpt(line.trim_end()))
        }
        pem::Error::Base64Decode(_) => "not PEM: what is between BEGIN and END is not Base64".to_owned(),
        other => format!("not PEM: {other}"),
    }
}

/// What a PEM file says that is in it.
fn pem_labels(text: &str) -> Vec<String> {
    let all = text.lines().filter_map(|line| line.strip_prefix("-----BEGIN ")?.strip_suffix("-----"));
    all.take(3).map(excerpt).collect()
}

fn certified_key(files: &Tls, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = read_certificates("certificate", &files.certificate)?;
    for (n, der) in chain.iter().enumerate() {
        let read = form::read_der(der);
        if let Some(reason) = read.map_or_else(Some, |read| read.unusable_reason().filter(|_| n == 0)) {
            return Err(refuse_file("certificate", &files.certificate, &format!("certificate {}: {reason}", n + 1)));
        }
    }
    let key = private_key(&files.key)?;
    let strange = form::strange_private(key.secret_der());
    CertifiedKey::from_der(chain, key, provider).map_err(|e| match (e, strange) {
        (rustls::Error::InconsistentKeys(_), _) => refuse_file(
            "key",
            &files.key,
            &format!("does not belong to the certificate in {}", files.certificate.display()),
        ),
        (rustls::Error::InvalidCertificate(e), _) => {
            refuse_file("certificate", &files.certificate, &seen::refusal_reason(&e))
        }
        (_, Some(kind)) => refuse_file(
            "key",
            &files.key,
            &format!("a key of kind {kind}, which the TLS library does not take: use {}", form::TAKEN),
        ),
        (_, None) => refuse_file("key", &files.key, &format!("no key that the TLS library takes: use {}", form::TAKEN)),
    })
}

fn client_authorities(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for (n, certificate) in read_certificates("client_ca", file)?.into_iter().enumerate() {
        let at = |reason: String| refuse_file("client_ca", file, &format!("certificate {}: {reason}", n + 1));
        form::read_der(&certificate).map_err(at)?;
        roots.add(certificate).map_err(|e| match e {
            rustls::Error::InvalidCertificate(e) => at(seen::refusal_reason(&e)),
            _ => at("no certificate that the TLS library takes".to_owned()),
        })?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests;
