//! Lists of revoked certificates.
//!
//! What it does: reads them, and refuses one that would lock out all clients of its authority because it is signed by
//! another of the same name. What it must not do: say who is revoked; TLS does.

use std::path::Path;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use time::OffsetDateTime;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use super::{TlsError, not_pem, read_file, refuse_file};
use ovstunnel_types::text::excerpt;

const KEY: &str = "client_crl";

/// The lists of a PEM file, at least one.
pub(super) fn read_crls(
    file: &Path,
    authorities: &[CertificateDer<'_>],
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let text = read_file(KEY, file)?;
    let lists = CertificateRevocationListDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| refuse_file(KEY, file, &not_pem(&e)))?;
    if lists.is_empty() {
        let reason = if text.trim_ascii().is_empty() { "is empty" } else { "no X509 CRL in it; is it PEM?" };
        return Err(refuse_file(KEY, file, &reason));
    }
    for (n, list) in lists.iter().enumerate() {
        check_crl(list, authorities).map_err(|reason| refuse_file(KEY, file, &format!("list {}: {reason}", n + 1)))?;
    }
    Ok(lists)
}

fn check_crl(list: &[u8], authorities: &[CertificateDer<'_>]) -> Result<(), String> {
    let (_, list) = CertificateRevocationList::from_der(list)
        .map_err(|_| "it is no list of revoked certificates (X.509 CRL) that can be read".to_owned())?;
    let issuer = excerpt(&list.issuer().to_string());
    // rustls has read these already.
    let authorities = authorities.iter().filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1));
    let namesakes: Vec<_> = authorities.filter(|ca| ca.subject() == list.issuer()).collect();
    if !namesakes.is_empty() && !namesakes.iter().any(|ca| list.verify_signature(ca.public_key()).is_ok()) {
        return Err(format!("is not signed by the authority {issuer} of client_ca, but by another of that name"));
    }
    Ok(())
}

/// What does not keep a list from being used.
pub(super) fn crl_concerns(file: &Path, authorities: &[CertificateDer<'_>], now: OffsetDateTime) -> Vec<String> {
    // What cannot be read is told by whoever wants to use it.
    let text = std::fs::read(file).unwrap_or_default();
    let authorities: Vec<_> =
        authorities.iter().filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1)).collect();
    let mut concerns = Vec::new();
    for list in CertificateRevocationListDer::pem_slice_iter(&text).flatten() {
        let Ok((_, list)) = CertificateRevocationList::from_der(&list) else { continue };
        let issuer = excerpt(&list.issuer().to_string());
        if !authorities.iter().any(|ca| ca.subject() == list.issuer()) {
            concerns.push(format!(
                "the list of revoked certificates by {issuer} is of none of the authorities in client_ca"
            ));
        }
        if let Some(at) = list.next_update().map(|at| at.to_datetime()).filter(|at| *at < now) {
            let day = at.date();
            concerns.push(format!(
                "the list of revoked certificates by {issuer} is past its next update, {day}; it still counts"
            ));
        }
    }
    concerns
}
