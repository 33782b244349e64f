//! The list of revoked certificates, `ca.crl`: read, extended by one certificate, signed anew and replaced as a whole.
//!
//! What it must not do: forget a certificate that is on it, or leave half a list behind.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};
use time::OffsetDateTime;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

use crate::files::read_text;
use crate::renew::is_signed_by;
use crate::{Authority, PkiError};

/// Name of the list: in the file is one for each CA in `ca.crt`, and on each are all that are revoked.
const LIST: &str = "ca.crl";

/// Mode of the list: it is no secret.
const MODE: u32 = 0o644;

/// A certificate that is on the list now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// The list, PEM.
    pub list: PathBuf,
    /// The certificate's common name.
    pub name: String,
    /// Its serial number, in hexadecimal digits.
    pub serial: String,
    /// Certificates on the list.
    pub count: usize,
    /// True when it was on the list before.
    pub already: bool,
}

impl Authority {
    /// Puts the certificate in a file on the list of revoked ones, which is made where there is none. The list is valid for
    /// as long as the CA.
    ///
    /// # Errors
    /// When the file is no certificate of this CA, or the list cannot be read or written.
    pub fn revoke_certificate(&self, certificate: &Path, now: OffsetDateTime) -> Result<Revoked, PkiError> {
        let (serial, name) = self.issued_serial(certificate)?;
        let shown = to_hex(serial.as_ref());
        let (list, count, new) = self.extend_list(vec![serial], now)?;
        Ok(Revoked { list, name, serial: shown, count, already: new == 0 })
    }

    /// Puts these on the list, those that are not there; gives the list, how many are on it, and how many of them are new.
    pub(super) fn extend_list(
        &self,
        serials: Vec<SerialNumber>,
        now: OffsetDateTime,
    ) -> Result<(PathBuf, usize, usize), PkiError> {
        let list = self.dir.join(LIST);
        let (number, mut revoked) = if list.exists() { read_crl(&list)? } else { (0, Vec::new()) };
        let before = revoked.len();
        for serial in serials {
            if !revoked.iter().any(|entry| entry.serial_number == serial) {
                revoked.push(revoked_entry(serial, now));
            }
        }
        let count = revoked.len();
        if count > before {
            self.write_list(&list, number + 1, revoked, now)?;
        }
        Ok((list, count, count - before))
    }

    /// Whether a certificate of this CA is on its list of revoked ones.
    pub(super) fn is_revoked(&self, certificate: &Path) -> Result<bool, PkiError> {
        let (serial, _) = self.issued_serial(certificate)?;
        let list = self.dir.join(LIST);
        Ok(list.exists() && read_crl(&list)?.1.iter().any(|entry| entry.serial_number == serial))
    }

    /// Serial number and common name of a certificate that this CA has issued.
    fn issued_serial(&self, path: &Path) -> Result<(SerialNumber, String), PkiError> {
        let unfit = |expected| PkiError::Unfit { path: path.to_owned(), expected };
        let pem = read_text(path)?;
        let (_, block) = parse_x509_pem(pem.as_bytes()).map_err(|_| unfit("a certificate (PEM)"))?;
        let (_, found) = X509Certificate::from_der(&block.contents).map_err(|_| unfit("a certificate (PEM)"))?;
        if !self.trusted.iter().any(|ca| is_signed_by(&found, ca)) || found.is_ca() {
            return Err(unfit("a certificate that the CA in this directory has issued"));
        }
        let name = found.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).unwrap_or_default();
        Ok((SerialNumber::from_slice(found.raw_serial()), name.to_owned()))
    }

    fn write_list(
        &self,
        path: &Path,
        number: u64,
        revoked_certs: Vec<RevokedCertParams>,
        now: OffsetDateTime,
    ) -> Result<(), PkiError> {
        self.must_be_valid(now)?;
        let mut text = self.sign_list(path, number, revoked_certs.clone(), now)?;
        for other in self.trusted.iter().skip(1) {
            let other = Authority::of_certificate(&self.dir, other, self.trusted.clone())?;
            text += &other.sign_list(path, number, revoked_certs.clone(), now)?;
        }
        replace_file(path, &text)
    }

    /// The list of this CA alone, PEM.
    fn sign_list(
        &self,
        path: &Path,
        number: u64,
        revoked_certs: Vec<RevokedCertParams>,
        now: OffsetDateTime,
    ) -> Result<String, PkiError> {
        let list = CertificateRevocationListParams {
            this_update: now,
            // One that is over has to have a list still: its certificates are refused for their time.
            next_update: self.not_after.max(now + time::Duration::days(1)),
            crl_number: number.into(),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let pem = list.signed_by(&self.issuer).and_then(|list| list.pem());
        pem.map_err(|source| PkiError::Make { name: path.display().to_string(), source })
    }

    /// Signs the list anew, where there is one, by the CAs that there are now.
    pub(super) fn renew_list(&self, now: OffsetDateTime) -> Result<(), PkiError> {
        let list = self.dir.join(LIST);
        if !list.exists() {
            return Ok(());
        }
        let (number, revoked) = read_crl(&list)?;
        self.write_list(&list, number + 1, revoked, now)
    }
}

fn revoked_entry(serial_number: SerialNumber, revocation_time: OffsetDateTime) -> RevokedCertParams {
    RevokedCertParams { serial_number, revocation_time, reason_code: None, invalidity_date: None }
}

/// Number and certificates of a list.
fn read_crl(path: &Path) -> Result<(u64, Vec<RevokedCertParams>), PkiError> {
    let unfit = || PkiError::Unfit { path: path.to_owned(), expected: "a list of revoked certificates (PEM)" };
    let pem = read_text(path)?;
    let (_, block) = parse_x509_pem(pem.as_bytes()).map_err(|_| unfit())?;
    let (_, list) = CertificateRevocationList::from_der(&block.contents).map_err(|_| unfit())?;
    let number = list.crl_number().and_then(|number| u64::try_from(number).ok()).unwrap_or(0);
    let one = |it: &x509_parser::revocation_list::RevokedCertificate<'_>| {
        revoked_entry(SerialNumber::from_slice(it.raw_serial()), it.revocation_date.to_datetime())
    };
    Ok((number, list.iter_revoked_certificates().map(one).collect()))
}

/// Puts a new file in the place of the old one, at once.
fn replace_file(path: &Path, text: &str) -> Result<(), PkiError> {
    let new = path.with_extension("crl.new");
    let mut options = OpenOptions::new();
    let written = options.write(true).create(true).truncate(true).mode(MODE).open(&new).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    });
    written.map_err(|source| PkiError::File { action: "write", path: path.to_owned(), source })
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
