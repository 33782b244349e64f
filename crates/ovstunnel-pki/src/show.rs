//! What a certificate says, for people and programs. Must not judge whether it is trusted, and reads no key.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use x509_parser::pem::Pem;
use x509_parser::prelude::X509Certificate;
use x509_parser::public_key::PublicKey;

use crate::PkiError;
use crate::subject::{alternative_names, common_name_of, to_hex};

/// Whom a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It issues others.
    Ca,
    /// A daemon's.
    Host,
    /// A client's.
    Client,
    /// A manager's: both.
    Manager,
    /// Neither.
    Other,
}

impl Purpose {
    /// As a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Purpose::Ca => "ca",
            Purpose::Host => "host",
            Purpose::Client => "client",
            Purpose::Manager => "manager",
            Purpose::Other => "other",
        }
    }
}

/// What stands in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// Where it was read.
    pub file: PathBuf,
    /// Whom it is for.
    pub purpose: Purpose,
    /// Its common name: by which a daemon knows a client.
    pub name: Option<String>,
    /// The whole subject.
    pub subject: String,
    /// DNS names and addresses.
    pub names: Vec<String>,
    /// Who issued it.
    pub issuer: String,
    /// Serial number, hexadecimal, as a list of revoked ones has it.
    pub serial: String,
    /// When it begins to be valid.
    pub not_before: OffsetDateTime,
    /// When it expires.
    pub not_after: OffsetDateTime,
    /// Kind of its key: `ECDSA P-256`.
    pub key: String,
    /// SHA-256 over all of it.
    pub fingerprint: String,
}

impl Details {
    /// Whole days until it expires; negative where it has.
    pub fn days_left(&self, now: OffsetDateTime) -> i64 {
        (self.not_after - now).whole_days()
    }

    /// `valid`, `expired` or `not yet valid`.
    pub fn validity_state(&self, now: OffsetDateTime) -> &'static str {
        match now {
            now if now > self.not_after => "expired",
            now if now < self.not_before => "not yet valid",
            _ => "valid",
        }
    }
}

/// Every certificate in a file, or in the `.crt` and `.pem` files of a directory, by file name.
///
/// # Errors
/// When the path cannot be read, a file that was named has no certificate in it, or one of them is none.
pub fn read_details(path: &Path) -> Result<Vec<Details>, PkiError> {
    if !path.is_dir() {
        let found = of_file(path)?;
        let none = || PkiError::Unfit { path: path.to_owned(), expected: "a file with a certificate (PEM)" };
        return if found.is_empty() { Err(none()) } else { Ok(found) };
    }
    let failed = |source| PkiError::File { action: "read", path: path.to_owned(), source };
    let entries = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(failed)?;
    let fits = |file: &PathBuf| file.extension().is_some_and(|ending| ending == "crt" || ending == "pem");
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(fits).collect();
    files.sort();
    let found = files.iter().map(|file| of_file(file)).collect::<Result<Vec<_>, _>>()?;
    Ok(found.into_iter().flatten().collect())
}

/// The SHA-256 over the first certificate in a text, PEM, as 64 hexadecimal digits; nothing where there is none.
pub fn sha256_fingerprint(pem: &str) -> Option<String> {
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).ok()?;
    block.parse_x509().ok()?;
    Some(to_hex(&Sha256::digest(&block.contents), ""))
}

fn of_file(file: &Path) -> Result<Vec<Details>, PkiError> {
    let unfit = || PkiError::Unfit { path: file.to_owned(), expected: "a certificate (PEM)" };
    let text = fs::read(file).map_err(|source| PkiError::File { action: "read", path: file.to_owned(), source })?;
    let blocks = Pem::iter_from_buffer(&text).collect::<Result<Vec<_>, _>>().map_err(|_| unfit())?;
    let certificates = blocks.iter().filter(|block| block.label == "CERTIFICATE");
    certificates
        .map(|block| Ok(certificate_details(file, &block.parse_x509().map_err(|_| unfit())?, &block.contents)))
        .collect()
}

fn certificate_details(file: &Path, certificate: &X509Certificate<'_>, der: &[u8]) -> Details {
    let validity = certificate.validity();
    Details {
        file: file.to_owned(),
        purpose: certificate_purpose(certificate),
        name: common_name_of(certificate),
        subject: certificate.subject().to_string(),
        names: alternative_names(certificate),
        issuer: certificate.issuer().to_string(),
        serial: to_hex(certificate.raw_serial(), ":"),
        not_before: validity.not_before.to_datetime(),
        not_after: validity.not_after.to_datetime(),
        key: key_description(certificate),
        fingerprint: to_hex(&Sha256::digest(der), ":"),
    }
}

fn certificate_purpose(certificate: &X509Certificate<'_>) -> Purpose {
    let usage = certificate.extended_key_usage().ok().flatten();
    match usage.map(|usage| (usage.value.server_auth, usage.value.client_auth)) {
        _ if certificate.is_ca() => Purpose::Ca,
        Some((true, false)) => Purpose::Host,
        Some((false, true)) => Purpose::Client,
        Some((true, true)) => Purpose::Manager,
        _ => Purpose::Other,
    }
}

fn key_description(certificate: &X509Certificate<'_>) -> String {
    match certificate.public_key().parsed() {
        Ok(PublicKey::EC(point)) => format!("ECDSA P-{}", point.key_size()),
        Ok(PublicKey::RSA(rsa)) => format!("RSA {}", rsa.key_size()),
        // X.509 knows it by number only: 1.3.101.112 is Ed25519.
        _ => match certificate.public_key().algorithm.algorithm.to_id_string() {
            id if id == "1.3.101.112" => "Ed25519".to_owned(),
            id => id,
        },
    }
}
