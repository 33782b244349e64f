//! TLS with a database that is a server.
//!
//! What it does: says in an operator's words why a server was not trusted, and whether the file of authorities can be used. What it must not do:
//! decide who is trusted, which the driver does.

use std::path::Path;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, CertificateError as E};

use super::{OwnFiles, TlsFiles};
use crate::{Result, StoreError};

const CA_RULE: &str = "must be a file with certificates of authorities (PEM) that the manager can read";

const CERTIFICATE_RULE: &str = "must be a file with a certificate for clients (PEM) that the manager can read";

const KEY_RULE: &str = "must be a file with a private key (PEM), unencrypted, that the manager can read";

const PAIR_RULE: &str = "must be the key of [database] certificate";

/// Refuses a file of authorities of which nobody could be trusted, however long one waits.
pub(super) fn check_authorities(ca: &Path) -> Result<()> {
    let has_some = CertificateDer::pem_file_iter(ca).and_then(|mut all| match all.next() {
        Some(first) => first.map(|_| true),
        None => Ok(false),
    });
    if matches!(has_some, Ok(true)) {
        return Ok(());
    }
    Err(StoreError::invalid("[database] ca", CA_RULE, &ca.display().to_string()))
}

/// Refuses files with which no connection can come about, however long one waits.
pub(super) fn check_files(files: &TlsFiles) -> Result<()> {
    files.ca.as_deref().map_or(Ok(()), check_authorities)?;
    files.own.as_ref().map_or(Ok(()), check_own)
}

/// Refuses a certificate that cannot be shown.
fn check_own(own: &OwnFiles) -> Result<()> {
    let invalid = |field, rule, path: &Path| StoreError::invalid(field, rule, &path.display().to_string());
    let chain: Vec<CertificateDer<'_>> = CertificateDer::pem_file_iter(&own.certificate)
        .and_then(Iterator::collect)
        .ok()
        .filter(|all: &Vec<_>| !all.is_empty())
        .ok_or_else(|| invalid("[database] certificate", CERTIFICATE_RULE, &own.certificate))?;
    let key = PrivateKeyDer::from_pem_file(&own.key);
    let key = key.map_err(|_| invalid("[database] key", KEY_RULE, &own.key))?;
    match CertifiedKey::from_der(chain, key, &ring::default_provider()) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => Err(invalid("[database] key", PAIR_RULE, &own.key)),
        Err(_) => Err(invalid("[database] key", KEY_RULE, &own.key)),
    }
}

/// Why there is no connection by TLS; none where the error is of something else.
pub(super) fn reason_in_words(error: &sqlx::Error) -> Option<String> {
    match error {
        sqlx::Error::Io(error) => error.get_ref()?.downcast_ref().map(words),
        sqlx::Error::Tls(error) => Some(match error.downcast_ref() {
            Some(error) => words(error),
            // The driver's own text: the server does not know TLS. Nothing but the question was sent to it.
            None => format!("TLS is asked for and was not possible: {error}; nothing is sent in clear text"),
        }),
        _ => None,
    }
}

/// What the server itself says of the certificate that it was shown, or was not.
fn alert_words(alert: AlertDescription) -> Option<String> {
    use AlertDescription as A;
    let why = match alert {
        A::CertificateRequired => {
            return Some(
                "the database server asks for a certificate: name certificate and key under [database]".to_owned(),
            );
        }
        A::UnknownCA => "it is of an authority that the server does not trust",
        A::CertificateExpired => "it has expired",
        A::CertificateRevoked => "it is revoked",
        A::BadCertificate | A::UnsupportedCertificate | A::CertificateUnknown | A::DecryptError => {
            "the log of the server may say more"
        }
        _ => return None,
    };
    Some(format!("the database server does not take the certificate of [database] certificate: {why}"))
}

fn words(error: &rustls::Error) -> String {
    if let rustls::Error::AlertReceived(alert) = error
        && let Some(words) = alert_words(*alert)
    {
        return words;
    }
    let rustls::Error::InvalidCertificate(error) = error else { return format!("TLS with the server failed: {error}") };
    let why = match error {
        E::UnknownIssuer | E::BadSignature => {
            "is of an authority that neither [database] ca has nor the system trusts".to_owned()
        }
        E::NotValidForNameContext { expected, .. } => {
            format!("is for other names than {:?}, which the address of the database has", expected.to_str())
        }
        E::NotValidForName => "is for other names than the address of the database has".to_owned(),
        E::Expired | E::ExpiredContext { .. } => "has expired".to_owned(),
        E::NotValidYet | E::NotValidYetContext { .. } => {
            "is not valid yet by the clock of the manager's machine".to_owned()
        }
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => "is not one for servers".to_owned(),
        E::Other(cause) => format!("cannot be used: {}", cause.0),
        // The library's own names of what is left say nothing to an operator.
        _ => "cannot be used".to_owned(),
    };
    format!("the certificate of the database server {why}; no password was sent")
}
