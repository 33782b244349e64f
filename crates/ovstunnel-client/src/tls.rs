//! TLS of the client: its configuration from PEM files, and what a failed handshake means.
//!
//! What it does: trusts the given CA and no other, and shows the given certificate. What it must not do: use a crypto
//! provider installed for the whole process (a library must not depend on one), or trust everybody but for `joining.rs`, which asks
//! in that way for one certificate that it knows by its fingerprint.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WantsClientCert;
#[cfg(feature = "manager")]
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{AlertDescription, CertificateError, ClientConfig, ConfigBuilder, RootCertStore};
#[cfg(feature = "manager")]
use rustls::{DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
#[cfg(feature = "manager")]
use rustls_pki_types::{ServerName, UnixTime};

use crate::{Cause, ClientError, Identity, Service};

/// The configuration for `identity`.
pub(super) fn client_config(identity: &Identity) -> Result<ClientConfig, ClientError> {
    let mut roots = RootCertStore::empty();
    for ca in read_certificates("--ca", &identity.ca)? {
        roots.add(ca).map_err(|e| {
            ClientError::credentials("--ca", &identity.ca, PemFault(error_message(&e, Service::Daemon)))
        })?;
    }
    let chain = read_certificates("--cert", &identity.cert)?;
    let key = PrivateKeyDer::from_pem_file(&identity.key)
        .map_err(|e| ClientError::credentials("--client-key", &identity.key, PemFault::from(e)))?;
    trusting_roots(roots)?.with_client_auth_cert(chain, key).map_err(|e| {
        ClientError::credentials("--client-key", &identity.key, PemFault(error_message(&e, Service::Daemon)))
    })
}

/// The configuration of who has no certificate and trusts these CAs alone.
#[cfg(feature = "manager")]
pub(super) fn trusting_only(authorities: &[CertificateDer<'static>]) -> Result<ClientConfig, ClientError> {
    let mut roots = RootCertStore::empty();
    for certificate in authorities {
        roots.add(certificate.clone()).map_err(|e| ClientError::Setup { source: Cause::innermost_error(&e) })?;
    }
    Ok(trusting_roots(roots)?.with_no_client_auth())
}

/// The certificates in a text, PEM.
#[cfg(feature = "manager")]
pub(super) fn authorities(text: &str) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    found.map_err(|e| ClientError::Setup { source: Cause::innermost_error(&e) })
}

/// The configuration of who has no certificate and does not look at the other side's.
#[cfg(feature = "manager")]
pub(super) fn for_anybody() -> Result<ClientConfig, ClientError> {
    let mut config = trusting_roots(RootCertStore::empty())?.with_no_client_auth();
    let schemes = config.crypto_provider().signature_verification_algorithms;
    config.dangerous().set_certificate_verifier(Arc::new(Anybody(schemes)));
    Ok(config)
}

/// Takes each certificate, of whose key the other side has to show that it is its own.
#[cfg(feature = "manager")]
#[derive(Debug)]
struct Anybody(rustls::crypto::WebPkiSupportedAlgorithms);

#[cfg(feature = "manager")]
impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

fn trusting_roots(roots: RootCertStore) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, ClientError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| ClientError::Setup { source: Cause::innermost_error(&e) })?;
    Ok(builder.with_root_certificates(roots))
}

fn read_certificates(option: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let fail = |e: PemFault| ClientError::credentials(option, path, e);
    let found: Vec<_> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|e| fail(PemFault::from(e)))?;
    if found.is_empty() { Err(fail(PemFault("no certificate in it (expected PEM)".to_owned()))) } else { Ok(found) }
}

/// What is wrong with a PEM file, in an operator's words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct PemFault(String);

impl From<rustls_pki_types::pem::Error> for PemFault {
    fn from(error: rustls_pki_types::pem::Error) -> Self {
        use rustls_pki_types::pem::Error;
        PemFault(match error {
            Error::Io(e) => e.to_string(),
            Error::NoItemsFound => "no private key in it (expected PEM)".to_owned(),
            // The library shows bytes as numbers.
            Error::MissingSectionEnd { end_marker } => {
                format!("no PEM: the line -----END {}----- is missing", String::from_utf8_lossy(&end_marker))
            }
            Error::IllegalSectionStart { .. } => {
                "no PEM: a line that begins a section does not end in -----".to_owned()
            }
            Error::Base64Decode(_) => "no PEM: what is between BEGIN and END is not Base64".to_owned(),
            other => other.to_string(),
        })
    }
}

/// What went wrong, in words: some of the library's own are the names of its types.
pub(super) fn error_message(error: &rustls::Error, told_by: Service) -> String {
    use CertificateError as E;
    let text = match error {
        rustls::Error::General(told) => return told.clone(),
        rustls::Error::AlertReceived(alert) => {
            return format!("the {} says: {}", told_by.as_str(), spaced_words(&format!("{alert:?}")));
        }
        rustls::Error::InconsistentKeys(_) => "the key does not belong to the certificate",
        rustls::Error::InvalidCertificate(e) => match e {
            E::UnknownIssuer => "the certificate is of an authority that is not trusted",
            E::BadSignature => "the certificate was not signed by the authority that it names",
            E::BadEncoding => "the certificate cannot be read",
            E::Revoked => "the certificate was revoked",
            E::InvalidPurpose | E::InvalidPurposeContext { .. } => "the certificate is not one for servers",
            E::UnhandledCriticalExtension => "the certificate has a critical extension that is not known",
            E::NotValidForName => "the certificate is for other names",
            E::Expired => "the certificate has expired",
            E::NotValidYet => "the certificate is not valid yet",
            E::NotValidForNameContext { .. } => "the certificate is for other names",
            E::ExpiredContext { .. } => "the certificate has expired",
            E::NotValidYetContext { .. } => "the certificate is not valid yet",
            E::Other(cause) => return format!("the certificate cannot be used: {}", cause.0),
            _ => "the certificate cannot be used",
        },
        told => return told.to_string(),
    };
    text.to_owned()
}

/// A name of Rust's in words: `CertificateRequired` as `certificate required`.
fn spaced_words(name: &str) -> String {
    let mut text = String::new();
    for (n, letter) in name.char_indices() {
        let begins = letter.is_uppercase() && name[..n].ends_with(char::is_lowercase);
        if begins {
            text.push(' ');
        }
        let alone = name[n..].chars().nth(1).is_none_or(char::is_uppercase) || name[..n].ends_with(char::is_uppercase);
        text.push(if alone { letter } else { letter.to_ascii_lowercase() });
    }
    text
}

/// Why a handshake failed, as far as an operator can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// The daemon's certificate, or the manager's where that is asked, is not from the CA that we trust.
    UnknownDaemon,
    /// The daemon's certificate does not name the host in the URL.
    WrongName,
    /// The daemon's certificate has expired or is not valid yet, by this host's clock.
    DaemonOutOfTime,
    /// The daemon's certificate is not one for servers, or is broken.
    UnfitDaemon,
    /// The daemon does not accept our certificate.
    RefusedUs,
    /// The daemon says that our certificate has expired.
    WeOutOfTime,
    /// The other side does not speak TLS.
    NotTls,
    /// Anything else.
    Other,
}

impl TlsFault {
    /// Judges by the TLS library's error.
    pub fn from_error(error: &rustls::Error) -> Self {
        use rustls::Error as E;
        match error {
            E::InvalidCertificate(e) => Self::of_certificate(e),
            E::AlertReceived(AlertDescription::CertificateExpired) => TlsFault::WeOutOfTime,
            E::AlertReceived(
                AlertDescription::UnknownCA
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateUnknown
                | AlertDescription::CertificateRequired
                | AlertDescription::DecryptError
                | AlertDescription::AccessDenied,
            ) => TlsFault::RefusedUs,
            E::InvalidMessage(_) => TlsFault::NotTls,
            _ => TlsFault::Other,
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        use CertificateError as E;
        match error {
            E::UnknownIssuer | E::BadSignature => TlsFault::UnknownDaemon,
            E::NotValidForName | E::NotValidForNameContext { .. } => TlsFault::WrongName,
            E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. } => {
                TlsFault::DaemonOutOfTime
            }
            _ => TlsFault::UnfitDaemon,
        }
    }

    /// What the operator can do, where this service was asked.
    pub fn hint(self, asked: Service) -> String {
        let (what, config, log, issue) = match asked {
            Service::Daemon => ("daemon", "ovstunneld.toml", "/var/log/ovstunnel.log", "--host NAME"),
            Service::Manager => ("manager", "manager.toml", "/var/log/ovstunnel-manager.log", "--manager NAME"),
        };
        match self {
            TlsFault::UnknownDaemon => format!(
                "the {what}'s certificate was not issued by the CA in --ca: compare it with the CA that issued \
                 `certificate` in [tls] of its /etc/ovstunnel/{config}"
            ),
            TlsFault::WrongName => format!(
                "use a name or address in --url that the {what}'s certificate has, or issue one that has it: \
                 `ovstunnelctl pki issue {issue} --address IP`"
            ),
            TlsFault::DaemonOutOfTime => format!(
                "compare the clocks of both hosts; where they agree, the {what} needs a new certificate: \
                 `ovstunnelctl pki issue {issue}`"
            ),
            TlsFault::UnfitDaemon => {
                format!("the {what} needs a certificate for servers: `ovstunnelctl pki issue {issue}` makes one")
            }
            TlsFault::RefusedUs => format!(
                "the certificate in --cert must be one for clients, from the CA that `client_ca` in [tls] of the \
                 {what}'s /etc/ovstunnel/{config} names: `ovstunnelctl pki issue --client NAME`"
            ),
            TlsFault::WeOutOfTime => {
                "compare the clocks of both hosts; where they agree, a new certificate is needed: \
                 `ovstunnelctl pki issue --client NAME`"
                    .to_owned()
            }
            TlsFault::NotTls => format!("is this the {what}'s HTTPS port? See `listen` in [api] of its configuration"),
            TlsFault::Other => format!("the {what}'s log says what it saw: {log}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn no_names_of_types_are_told() {
        for (error, told) in [
            (
                rustls::Error::AlertReceived(AlertDescription::CertificateRequired),
                "the daemon says: certificate required",
            ),
            (rustls::Error::AlertReceived(AlertDescription::UnknownCA), "the daemon says: unknown CA"),
            (rustls::Error::General("no key".into()), "no key"),
            (CertificateError::UnknownRevocationStatus.into(), "the certificate cannot be used"),
        ] {
            assert_eq!(error_message(&error, Service::Daemon), told);
        }
        for (pem, told) in [
            ("-----BEGIN CERTIFICATE-----\nMIIB\n", "the line -----END CERTIFICATE----- is missing"),
            ("-----BEGIN CERTIFICATE---\nMIIB\n", "does not end in -----"),
            ("-----BEGIN CERTIFICATE-----\nM!IB\n-----END CERTIFICATE-----\n", "is not Base64"),
        ] {
            let error = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap_err();
            let fault = PemFault::from(error).to_string();
            assert!(fault.starts_with("no PEM: ") && fault.ends_with(told), "{fault}");
        }
    }

    #[test]
    fn faults_are_told_apart() {
        use rustls::Error as E;
        let alert = E::AlertReceived;
        assert_eq!(
            TlsFault::from_error(&E::InvalidCertificate(CertificateError::UnknownIssuer)),
            TlsFault::UnknownDaemon
        );
        assert_eq!(
            TlsFault::from_error(&E::InvalidCertificate(CertificateError::NotValidForName)),
            TlsFault::WrongName
        );
        assert_eq!(TlsFault::from_error(&E::InvalidCertificate(CertificateError::Expired)), TlsFault::DaemonOutOfTime);
        assert_eq!(TlsFault::from_error(&E::InvalidCertificate(CertificateError::BadEncoding)), TlsFault::UnfitDaemon);
        assert_eq!(TlsFault::from_error(&alert(AlertDescription::CertificateRequired)), TlsFault::RefusedUs);
        assert_eq!(TlsFault::from_error(&alert(AlertDescription::UnknownCA)), TlsFault::RefusedUs);
        assert_eq!(TlsFault::from_error(&alert(AlertDescription::CertificateExpired)), TlsFault::WeOutOfTime);
        assert_eq!(TlsFault::from_error(&alert(AlertDescription::ProtocolVersion)), TlsFault::Other);
    }
}
