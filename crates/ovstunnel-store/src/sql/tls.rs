//! TLS with a database that is a server.
//!
//! What it does: says in an operator's words why a server was not trusted, and whether the file of authorities can be used. What it must not do:
//! decide who is trusted, which the driver does.

use std::path::Path;

use rustls::CertificateError as E;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::{Result, StoreError};

const CA_RULE: &str = "must be a file with certificates of authorities (PEM) that the manager can read";

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

fn words(error: &rustls::Error) -> String {
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
