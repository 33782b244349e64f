//! Who has come to HTTPS with which certificate, and why not all were let in.
//!
//! What it does: has the verifier leave word of a certificate that it refuses with the connection that showed it, and counts
//! those that were let in and those that no authority had signed. What it must not do: decide anything: rustls does.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::form;
use ovstunnel_types::text::foreign_message;

tokio::task_local! {
    /// Where the verifier leaves word, for the connection whose handshake it is.
    static REFUSED: Shown;
}

/// The certificate that a connection was refused for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown(Arc<Mutex<Option<Refused>>>);

/// A certificate that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Whose it is.
    pub certificate: String,
    /// Whose signature is on it.
    pub issuer: String,
    /// Why, in words.
    pub why: String,
    /// None of the authorities has signed it.
    pub of_no_authority: bool,
}

impl Shown {
    /// Has a handshake leave word here.
    pub(crate) async fn during_handshake<F: Future>(&self, handshake: F) -> F::Output {
        REFUSED.scope(self.clone(), handshake).await
    }

    /// The certificate that was refused.
    pub(crate) fn refused_certificate(&self) -> Option<Refused> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Clients since the files in force were read.
#[derive(Debug, Default)]
pub struct Seen(Mutex<Counts>);

/// How many there were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that were let in.
    pub let_in: u64,
    /// Those whose certificate no authority has signed.
    pub of_no_authority: u64,
    /// The last one of those: its issuer, and where it came from.
    pub last: Option<(String, IpAddr)>,
}

impl Seen {
    /// One was let in.
    pub(crate) fn let_in(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).let_in += 1;
    }

    /// One was refused.
    pub(crate) fn note_refused(&self, refused: &Refused, from: IpAddr) {
        if refused.of_no_authority {
            let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            counts.of_no_authority += 1;
            counts.last = Some((refused.issuer.clone(), from));
        }
    }

    /// How many there were.
    pub fn counts(&self) -> Counts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A verifier that leaves word of what it refuses.
#[derive(Debug)]
pub(super) struct Telling(pub(super) Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Telling {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0.verify_client_cert(own, others, now).inspect_err(|error| {
            let refused = describe_refused(own, error);
            // Outside a handshake nobody asks for it.
            let _ = REFUSED.try_with(|shown| {
                *shown.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused);
            });
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// What is told of a certificate that was refused.
pub(super) fn describe_refused(own: &CertificateDer<'_>, error: &Error) -> Refused {
    let read = form::read_der(own);
    let error = match error {
        Error::InvalidCertificate(error) => error,
        other => {
            let (certificate, issuer) = ("?".to_owned(), "?".to_owned());
            return Refused { certificate, issuer, why: foreign_message(other), of_no_authority: false };
        }
    };
    let of_no_authority = matches!(error, CertificateError::UnknownIssuer | CertificateError::BadSignature);
    match read {
        Err(why) => Refused { certificate: "?".into(), issuer: "?".into(), why, of_no_authority },
        Ok(read) => {
            let why = match error {
                _ if read.version_1 => read.unusable_reason(),
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. }
                    if !read.usage.asks() && read.usage.allows_any() =>
                {
                    Some("its extended key usage is anyExtendedKeyUsage, which stands for no purpose: it needs clientAuth".into())
                }
                CertificateError::UnknownIssuer => {
                    Some(format!("none of the authorities in client_ca has signed it; its issuer is {}", read.issuer))
                }
                _ if read.strange_key.is_some() => read.unusable_reason(),
                _ => None,
            };
            let why = why.unwrap_or_else(|| why_of(error, &read));
            Refused { certificate: read.subject, issuer: read.issuer, why, of_no_authority }
        }
    }
}

fn why_of(error: &CertificateError, read: &form::Certificate) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. }
            if read.not_after < time::OffsetDateTime::now_utc() =>
        {
            format!("the certificate expired on {}", read.not_after.date())
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the certificate is not valid before {}", read.not_before)
        }
        other => refusal_reason(other),
    }
}

/// Why a certificate is refused, in words.
pub(super) fn refusal_reason(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the certificate, or that of an authority, expired".into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet".into()
        }
        CertificateError::Revoked => "the certificate is revoked (client_crl)".into(),
        CertificateError::BadSignature => {
            "its signature is not that of the authority of that name in client_ca: another CA has the same name".into()
        }
        CertificateError::BadEncoding => "it is damaged, or no X.509 certificate".into(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not for clients: its extended key usage lacks clientAuth".into()
        }
        CertificateError::UnhandledCriticalExtension => {
            "it has a critical extension that the TLS library does not know".into()
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. } => {
            format!(
                "it is signed in a way that the TLS library does not take: sign with SHA-256 or better and a key of {}",
                form::TAKEN
            )
        }
        CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            format!("its issuer's key is of a kind that the TLS library does not take: use {}", form::TAKEN)
        }
        CertificateError::UnknownIssuer => "it is of an authority that is not in client_ca".into(),
        CertificateError::UnknownRevocationStatus => "no list in client_crl says whether it is revoked".into(),
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            "the list of its authority in client_crl is past its next update".into()
        }
        // The library's own names of what is left say nothing to an operator.
        _ => "it cannot be used".into(),
    }
}
