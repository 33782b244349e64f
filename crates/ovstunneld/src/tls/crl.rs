//! Lists of revoked certificates.
//!
//! What it does: reads them, and refuses one that would lock out all clients of its authority because it is signed by
//! another of the same name. What it must not do: say who is revoked; TLS does.

use std::path::Path;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use time::OffsetDateTime;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use super::{TlsError, read as read_file, refuse};
use crate::problem::echo;

const KEY: &str = "client_crl";

/// The lists of a PEM file, at least one.
pub(super) fn read(
    file: &Path,
    authorities: &[CertificateDer<'_>],
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let text = read_file(KEY, file)?;
    let lists = CertificateRevocationListDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| refuse(KEY, file, &format!("not PEM: {e}")))?;
    if lists.is_empty() {
        let reason = if text.trim_ascii().is_empty() { "is empty" } else { "no X509 CRL in it; is it PEM?" };
        return Err(refuse(KEY, file, &reason));
    }
    for (n, list) in lists.iter().enumerate() {
        check(list, authorities).map_err(|reason| refuse(KEY, file, &format!("list {}: {reason}", n + 1)))?;
    }
    Ok(lists)
}

fn check(list: &[u8], authorities: &[CertificateDer<'_>]) -> Result<(), String> {
    let (_, list) = CertificateRevocationList::from_der(list).map_err(|e| e.to_string())?;
    let issuer = echo(&list.issuer().to_string());
    // rustls has read these already.
    let authorities = authorities.iter().filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1));
    let namesakes: Vec<_> = authorities.filter(|ca| ca.subject() == list.issuer()).collect();
    if !namesakes.is_empty() && !namesakes.iter().any(|ca| list.verify_signature(ca.public_key()).is_ok()) {
        return Err(format!("is not signed by the authority {issuer} of client_ca, but by another of that name"));
    }
    if namesakes.is_empty() {
        tracing::warn!(issuer, "a list of revoked certificates is of none of the authorities in client_ca");
    }
    if list.next_update().is_some_and(|at| at.to_datetime() < OffsetDateTime::now_utc()) {
        tracing::warn!(issuer, "a list of revoked certificates is past its next update; it still counts");
    }
    Ok(())
}
