//! The CA: made once, read back from its files for each certificate that it issues.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SubjectPublicKeyInfo,
};
use time::{Duration, OffsetDateTime};
use x509_parser::pem::parse_x509_pem;

use crate::files::{Pair, make_directory, read_text};
use crate::leaf::{common_name, new_serial};
use crate::{Leaf, PkiError, SKEW, Written};

/// Name of the CA's own files.
const CA: &str = "ca";

/// The key of the CA that takes the place of the one before, while both are trusted.
pub(super) const NEXT_KEY: &str = "ca.key.next";

const OTHER_KEY: &str = "the certificate of the key in ca.key";

/// A CA whose key is at hand.
#[derive(Debug)]
pub struct Authority {
    pub(super) dir: PathBuf,
    certificate: PathBuf,
    pub(super) issuer: Issuer<'static, KeyPair>,
    pub(super) not_after: OffsetDateTime,
    /// The certificates of CAs in `ca.crt`, PEM: its own first, and while its key changes the other one.
    pub(super) trusted: Vec<String>,
}

impl Authority {
    /// Makes a CA named `common_name` (1 to 64 characters) that lives for `days` days from `now`, and writes it into
    /// `dir`, which is made for its owner only where it is not there.
    ///
    /// # Errors
    /// When there is a CA already, or the files cannot be written.
    pub fn create(dir: &Path, name: &str, days: u32, now: OffsetDateTime) -> Result<Written, PkiError> {
        make_directory(dir)?;
        let pair = Pair::in_dir(dir, CA);
        pair.must_be_absent()?;
        let (not_before, not_after) = (now - SKEW, now + Duration::days(days.into()));
        let made = KeyPair::generate().and_then(|key| {
            let params = ca_params(name, not_before, not_after)?;
            Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
        });
        let (certificate, key) = made.map_err(|source| PkiError::Make { name: name.to_owned(), source })?;
        pair.write_both(&certificate, &key)?;
        let names = vec![name.to_owned()];
        Ok(Written { certificate: pair.certificate, key: pair.key, names, not_before, not_after, shortened: false })
    }

    /// Reads the CA in `dir`.
    ///
    /// # Errors
    /// When there is none, its files are not a CA's certificate and key, or they do not belong together.
    pub fn open(dir: &Path) -> Result<Self, PkiError> {
        let Pair { certificate, key } = Pair::in_dir(dir, CA);
        if !certificate.exists() && !key.exists() {
            return Err(PkiError::NoAuthority(dir.to_owned()));
        }
        let trusted = split_certificates(&read_text(&certificate)?);
        let own = trusted.first().cloned().unwrap_or_default();
        Authority::of_certificate(dir, &own, trusted)
    }

    /// The CA of one of the certificates in `ca.crt`, by the key that belongs to it.
    pub(super) fn of_certificate(dir: &Path, own: &str, trusted: Vec<String>) -> Result<Self, PkiError> {
        let Pair { certificate, key } = Pair::in_dir(dir, CA);
        let (mut key_pair, next) = (read_key(&key)?, dir.join(NEXT_KEY));
        if next.exists() && check_ca(own, &key_pair) == Err(OTHER_KEY) {
            key_pair = read_key(&next)?;
        }
        let not_after =
            check_ca(own, &key_pair).map_err(|expected| PkiError::Unfit { path: certificate.clone(), expected })?;
        let issuer =
            Issuer::from_ca_cert_pem(own, key_pair).map_err(|source| PkiError::Make { name: CA.to_owned(), source })?;
        Ok(Authority { dir: dir.to_owned(), certificate, issuer, not_after, trusted })
    }

    /// The CA's certificate.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// Makes a key and a certificate for `leaf`, valid from `now`, and writes both beside the CA's.
    ///
    /// # Errors
    /// When files of that name are there, the CA has expired, or the files cannot be written.
    pub fn issue_certificate(&self, leaf: &Leaf, now: OffsetDateTime) -> Result<Written, PkiError> {
        self.must_be_valid(now)?;
        let pair = Pair::in_dir(&self.dir, leaf.name.as_str());
        pair.must_be_absent()?;
        let (not_after, shortened) = self.expiry_of(leaf, now);
        let (certificate, key) = self
            .sign_leaf(leaf, now, not_after)
            .map_err(|source| PkiError::Make { name: leaf.name.to_string(), source })?;
        pair.write_both(&certificate, &key)?;
        let Pair { certificate, key } = pair;
        Ok(Written { certificate, key, names: leaf.valid_names(), not_before: now - SKEW, not_after, shortened })
    }

    /// Directory of its files.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// That its time is not over.
    pub(super) fn must_be_valid(&self, now: OffsetDateTime) -> Result<(), PkiError> {
        match self.not_after <= now {
            true => Err(PkiError::AuthorityExpired { path: self.certificate.clone(), on: self.not_after.date() }),
            false => Ok(()),
        }
    }

    /// When a certificate expires, and whether that is earlier than asked for: no later than its CA.
    pub(super) fn expiry_of(&self, leaf: &Leaf, now: OffsetDateTime) -> (OffsetDateTime, bool) {
        let wanted = now + Duration::days(leaf.days.into());
        (wanted.min(self.not_after), self.not_after < wanted)
    }

    /// A certificate for a key of which only the public half is known, PEM.
    pub(super) fn sign_public(
        &self,
        leaf: &Leaf,
        public: &SubjectPublicKeyInfo,
        now: OffsetDateTime,
        not_after: OffsetDateTime,
    ) -> Result<String, rcgen::Error> {
        Ok(leaf.certificate_params(now, not_after)?.signed_by(public, &self.issuer)?.pem())
    }

    /// A certificate and its new key, PEM.
    pub(super) fn sign_leaf(
        &self,
        leaf: &Leaf,
        now: OffsetDateTime,
        not_after: OffsetDateTime,
    ) -> Result<(String, String), rcgen::Error> {
        let key = KeyPair::generate()?;
        let certificate = leaf.certificate_params(now, not_after)?.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}

/// What the certificate of a CA says.
pub(super) fn ca_params(
    name: &str,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.serial_number = Some(new_serial()?);
    params.distinguished_name = common_name(name);
    params.not_before = not_before;
    params.not_after = not_after;
    // No CA below this one; it signs hosts, clients and, one day, a list of revoked ones.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// That `pem` is a CA's certificate and `key` its key; answers when it expires, or what it should have been.
fn check_ca(pem: &str, key: &KeyPair) -> Result<OffsetDateTime, &'static str> {
    const CERTIFICATE: &str = "a certificate (PEM)";
    let (_, block) = parse_x509_pem(pem.as_bytes()).map_err(|_| CERTIFICATE)?;
    let certificate = block.parse_x509().map_err(|_| CERTIFICATE)?;
    if !certificate.is_ca() {
        return Err("the certificate of a CA");
    }
    if certificate.public_key().raw != key.subject_public_key_info() {
        return Err(OTHER_KEY);
    }
    Ok(certificate.validity().not_after.to_datetime())
}

fn read_key(path: &Path) -> Result<KeyPair, PkiError> {
    let unfit = |_| PkiError::Unfit { path: path.to_owned(), expected: "a private key (PEM)" };
    KeyPair::from_pem(&read_text(path)?).map_err(unfit)
}

/// The certificates in a text one by one; all of it where there is none.
pub(super) fn split_certificates(text: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let whole = text.split_inclusive(END).filter(|part| part.ends_with(END));
    let found: Vec<String> = whole.map(|part| format!("{}\n", part.trim_start())).collect();
    if found.is_empty() { vec![text.to_owned()] } else { found }
}
