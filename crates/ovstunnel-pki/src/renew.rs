//! A certificate's time is prolonged: a new certificate takes the old one's place, for the same names.
//!
//! What it does: keeps the key unless a new one is asked for. With the same key only the certificate changes, which is one
//! file that is replaced at once, and the key need not be here: it may have been handed over to its host. What it must
//! not do: lose the old files (they stay beside the new ones), or change whom a certificate is for.

use std::path::{Path, PathBuf};

use rcgen::{KeyPair, SubjectPublicKeyInfo};
use time::{Duration, OffsetDateTime};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::X509Certificate;

use crate::authority::ca_params;
use crate::files::{CERTIFICATE_MODE, KEY_MODE, Pair, Replacement, read_text};
use crate::subject::common_name_of;
use crate::{Authority, Leaf, Name, PkiError, SKEW, Written};

/// Whether a renewed certificate gets a new key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// It keeps its key.
    Same,
    /// It gets a new one: what to do where the old one may be known to others.
    New,
}

/// A certificate that was renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// The new certificate.
    pub written: Written,
    /// Whether its key is a new one, too.
    pub key: Key,
    /// Where the old files are now.
    pub kept: Vec<PathBuf>,
}

impl Authority {
    /// Renews the certificate of `name` in the CA's directory for `days` days from `now`.
    ///
    /// # Errors
    /// When there is none, it is not of this CA or not as [`Authority::issue_certificate`] makes them, the CA has expired, or the files
    /// cannot be written.
    pub fn renew_certificate(
        &self,
        name: &Name,
        key: Key,
        days: u32,
        now: OffsetDateTime,
    ) -> Result<Renewed, PkiError> {
        self.must_be_valid(now)?;
        let pair = Pair::in_dir(self.dir(), name.as_str());
        let old = read_text(&pair.certificate)?;
        let unfit = |expected| PkiError::Unfit { path: pair.certificate.clone(), expected };
        let failed = |source| PkiError::Make { name: name.to_string(), source };
        let (leaf, public) = self.identify_certificate(&old, name, days).map_err(unfit)?;
        let (not_after, shortened) = self.expiry_of(&leaf, now);
        let (certificate, new_key) = match key {
            Key::Same => (self.sign_public(&leaf, &public, now, not_after).map_err(failed)?, None),
            Key::New => {
                let (certificate, key) = self.sign_leaf(&leaf, now, not_after).map_err(failed)?;
                (certificate, Some(key))
            }
        };
        let kept = replace_files(&pair, &certificate, new_key.as_deref())?;
        let Pair { certificate, key: key_file } = pair;
        let names = leaf.valid_names();
        let written = Written { certificate, key: key_file, names, not_before: now - SKEW, not_after, shortened };
        Ok(Renewed { written, key, kept })
    }

    /// Whom a certificate of this CA is for, and its public key.
    pub(super) fn identify_certificate(
        &self,
        pem: &str,
        name: &Name,
        days: u32,
    ) -> Result<(Leaf, SubjectPublicKeyInfo), &'static str> {
        const CERTIFICATE: &str = "a certificate (PEM)";
        let (_, block) = parse_x509_pem(pem.as_bytes()).map_err(|_| CERTIFICATE)?;
        let certificate = block.parse_x509().map_err(|_| CERTIFICATE)?;
        if !self.trusted.iter().any(|ca| is_signed_by(&certificate, ca)) {
            return Err("a certificate of the CA beside it");
        }
        let leaf = Leaf::from_certificate(&certificate, name, days)
            .ok_or("as `pki issue` makes them: it has other names or uses")?;
        let public = SubjectPublicKeyInfo::from_der(certificate.public_key().raw);
        Ok((leaf, public.map_err(|_| "a certificate with a key that can be renewed")?))
    }

    /// Renews the CA in `dir` itself. Its key stays, so that all it has issued stays good; hosts and clients need the new
    /// certificate in the old one's place before that expires.
    ///
    /// # Errors
    /// As [`Authority::open`], and when the files cannot be written.
    pub fn renew_authority(dir: &Path, days: u32, now: OffsetDateTime) -> Result<Renewed, PkiError> {
        // That its files are a CA's and belong together.
        let authority = Authority::open(dir)?;
        if authority.trusted.len() > 1 {
            return Err(PkiError::Step("the CA's key is being changed: that is to be finished first"));
        }
        let pair = Pair::in_dir(dir, "ca");
        let unfit = |path: &Path, expected| PkiError::Unfit { path: path.to_owned(), expected };
        let (old, key) = (read_text(&pair.certificate)?, read_text(&pair.key)?);
        let name = own_name(&old).ok_or_else(|| unfit(&pair.certificate, "a certificate with a common name"))?;
        let (not_before, not_after) = (now - SKEW, now + Duration::days(days.into()));
        let made = KeyPair::from_pem(&key).and_then(|key| {
            let params = ca_params(&name, not_before, not_after)?;
            Ok(params.self_signed(&key)?.pem())
        });
        let certificate = made.map_err(|source| PkiError::Make { name: name.clone(), source })?;
        let kept = replace_files(&pair, &certificate, None)?;
        let Pair { certificate, key } = pair;
        let written = Written { certificate, key, names: vec![name], not_before, not_after, shortened: false };
        Ok(Renewed { written, key: Key::Same, kept })
    }
}

/// Whether the CA whose certificate this is, PEM, has signed a certificate.
pub(super) fn is_signed_by(certificate: &X509Certificate<'_>, ca: &str) -> bool {
    let Ok((_, block)) = parse_x509_pem(ca.as_bytes()) else { return false };
    block.parse_x509().is_ok_and(|ca| certificate.verify_signature(Some(ca.public_key())).is_ok())
}

pub(super) fn own_name(pem: &str) -> Option<String> {
    let (_, block) = parse_x509_pem(pem.as_bytes()).ok()?;
    common_name_of(&block.parse_x509().ok()?)
}

/// Puts the new files in the old ones' place; says where the old ones are.
fn replace_files(pair: &Pair, certificate: &str, key: Option<&str>) -> Result<Vec<PathBuf>, PkiError> {
    // All that can fail for want of space or rights is done before anything is replaced.
    let certificate = Replacement::write_aside(&pair.certificate, certificate, CERTIFICATE_MODE)?;
    let Some(key) = key else { return Ok(vec![certificate.put_in_place()?]) };
    let old_key = Replacement::write_aside(&pair.key, key, KEY_MODE)?.put_in_place()?;
    match certificate.put_in_place() {
        Ok(old_certificate) => Ok(vec![old_certificate, old_key]),
        Err(error) => {
            // A key must not stand beside a certificate that is not its own.
            let _ = std::fs::rename(&old_key, &pair.key);
            Err(error)
        }
    }
}
