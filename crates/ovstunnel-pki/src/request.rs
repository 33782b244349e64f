//! Requests for a host's certificate (PKCS #10): made where the host's key is, judged and signed where the CA is.
//!
//! What it must not do: sign anything but what the caller says; of a request the key counts, and that it asks for no other names.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, KeyPair, PublicKeyData, SanType, SubjectPublicKeyInfo};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::ParsedExtension;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer;

use crate::files::{CERTIFICATE_MODE, KEY_MODE, Pair, make_directory, read_text, write_new};
use crate::leaf::common_name;
use crate::subject::{name_of, to_hex};
use crate::{Authority, Leaf, Name, PkiError};

/// Longest request that is read, bytes.
const LONGEST: usize = 16 * 1024;

/// A host's new key, written for its owner only, and the request for its certificate. The key waits in `NAME.key.asked`, and is
/// taken away again unless [`Request::write_certificate`] writes what it was answered, or [`Request::keep_key`] has it wait on.
#[derive(Debug)]
pub struct Request {
    pair: Pair,
    asked: PathBuf,
    ca: PathBuf,
    ca_is_there: bool,
    text: String,
    stays: bool,
}

impl Request {
    /// Makes a key for the host `name` in `dir`, which is made where it is not there; where one waits there from a request whose answer
    /// was lost, it is that. `ca` is the CA's certificate, PEM, which is to be beside it.
    ///
    /// # Errors
    /// One of the files is there (a `ca.crt` of the same CA may be), or cannot be written.
    pub fn for_host(dir: &Path, name: &Name, addresses: &[IpAddr], ca: &str) -> Result<Request, PkiError> {
        make_directory(dir)?;
        let (pair, ca_file) = (Pair::in_dir(dir, name.as_str()), dir.join("ca.crt"));
        pair.must_be_absent()?;
        let ca_is_there = ca_file.symlink_metadata().is_ok();
        if ca_is_there && read_text(&ca_file)?.trim() != ca.trim() {
            return Err(PkiError::Exists(ca_file));
        }
        let asked = dir.join(format!("{name}.key.asked"));
        let stays = asked.symlink_metadata().is_ok();
        let key = if stays { KeyPair::from_pem(&read_text(&asked)?) } else { KeyPair::generate() };
        let made = key.and_then(|key| Ok((signing_request(name, addresses, &key)?, key.serialize_pem())));
        let (text, key) = made.map_err(|source| PkiError::Make { name: name.to_string(), source })?;
        if !stays {
            write_new(&asked, &key, KEY_MODE)?;
        }
        Ok(Request { pair, asked, ca: ca_file, ca_is_there, text, stays })
    }

    /// Leaves the key for the next request, where this one's answer was lost: who signs may have signed for it. Gives its file.
    pub fn keep_key(mut self) -> PathBuf {
        self.stays = true;
        self.asked.clone()
    }

    /// The request, PEM.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Writes certificate and CA beside the key; gives the three files: certificate, key, CA.
    ///
    /// # Errors
    /// They cannot be written; then none of them is there, and the key waits for the next request.
    pub fn write_certificate(mut self, certificate: &str, ca: &str) -> Result<[PathBuf; 3], PkiError> {
        self.stays = true;
        let files = [&self.pair.certificate, &self.pair.key, &self.ca];
        let key = read_text(&self.asked)?;
        let mut new = vec![(files[1], key.as_str(), KEY_MODE), (files[0], certificate, CERTIFICATE_MODE)];
        if !self.ca_is_there {
            new.push((files[2], ca, CERTIFICATE_MODE));
        }
        for (written, (file, text, mode)) in new.iter().enumerate() {
            write_new(file, text, *mode).inspect_err(|_| {
                // We made them a moment ago.
                new.iter().take(written).for_each(|(made, ..)| drop(fs::remove_file(made)));
            })?;
        }
        self.stays = false;
        Ok(files.map(Clone::clone))
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if !self.stays {
            // Nobody signed for it, or it has its place.
            let _ = fs::remove_file(&self.asked);
        }
    }
}

pub(super) fn signing_request(name: &Name, addresses: &[IpAddr], key: &KeyPair) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name.as_str());
    if name.address().is_none() {
        params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
    }
    params.subject_alt_names.extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
    params.serialize_request(key)?.pem()
}

/// The public key of a request that was found good.
#[derive(Debug)]
pub struct Requested(pub(super) SubjectPublicKeyInfo);

impl Requested {
    /// The SHA-256 of the key, as hexadecimal digits.
    pub fn sum(&self) -> String {
        sum_of(&self.0.subject_public_key_info())
    }
}

/// The SHA-256 of a public key in DER, as hexadecimal digits.
pub(super) fn sum_of(key: &[u8]) -> String {
    to_hex(&Sha256::digest(key), "")
}

/// Judges a request for the certificate `leaf`, PEM.
///
/// # Errors
/// What is wrong with it, as it reads on after "the request".
pub fn judge_request(text: &str, leaf: &Leaf) -> Result<Requested, String> {
    let asking = Asking::read(text)?;
    if asking.name != leaf.name.as_str() {
        return Err(format!("must have the common name {}", leaf.name));
    }
    let allowed = leaf.valid_names();
    if let Some(other) = asking.names.iter().find(|name| !allowed.contains(name)) {
        return Err(format!("must name {} only, and names {other:?}", allowed.join(" and ")));
    }
    Ok(asking.key)
}

/// What a request asks for, whose signature shows that who made it has the key.
#[derive(Debug)]
pub struct Asking {
    /// Its common name; empty where it has none or more than one.
    pub name: String,
    /// Its alternative names.
    pub names: Vec<String>,
    /// Its key.
    pub key: Requested,
}

impl Asking {
    /// Reads a request, PEM.
    ///
    /// # Errors
    /// What is wrong with it, as it reads on after "the request".
    pub fn read(text: &str) -> Result<Asking, String> {
        if text.len() > LONGEST {
            return Err(format!("must have at most {LONGEST} bytes"));
        }
        let unreadable = || "must be a PKCS #10 request in PEM (CERTIFICATE REQUEST)".to_owned();
        let (_, block) = parse_x509_pem(text.as_bytes()).map_err(|_| unreadable())?;
        let (rest, found) = X509CertificationRequest::from_der(&block.contents).map_err(|_| unreadable())?;
        if !rest.is_empty() {
            return Err(unreadable());
        }
        found.verify_signature().map_err(|_| {
            "must be signed by its own key: ECDSA P-256 or P-384, RSA of 2048 to 8192 bits, or Ed25519".to_owned()
        })?;
        let info = &found.certification_request_info;
        let mut common = info.subject.iter_common_name();
        let name = match (common.next(), common.next()) {
            (Some(name), None) => name.as_str().unwrap_or_default().to_owned(),
            _ => String::new(),
        };
        let mut names = Vec::new();
        for extension in found.requested_extensions().into_iter().flatten() {
            let ParsedExtension::SubjectAlternativeName(more) = extension else { continue };
            names.extend(more.general_names.iter().map(name_of));
        }
        let key = SubjectPublicKeyInfo::from_der(info.subject_pki.raw);
        Ok(Asking { name, names, key: Requested(key.map_err(|_| "has a key that cannot be signed")?) })
    }
}

/// A certificate that was signed on request.
#[derive(Debug)]
pub struct Signed {
    /// It, PEM.
    pub text: String,
    /// The copy in the CA's directory, by which it is renewed and revoked.
    pub file: PathBuf,
    /// When it expires.
    pub not_after: OffsetDateTime,
    /// Its serial number, in hexadecimal digits.
    pub serial: String,
    /// Where the one is now whose place it took.
    pub(super) kept: Option<PathBuf>,
}

/// The serial number of a certificate, PEM.
pub(super) fn serial_of(text: &str) -> String {
    let serial = parse_x509_pem(text.as_bytes()).ok().and_then(|(_, block)| {
        let found = block.parse_x509().ok()?;
        Some(to_hex(found.raw_serial(), ""))
    });
    serial.unwrap_or_default()
}

impl Signed {
    /// Takes the copy away again, where nobody got the certificate; the one whose place it took gets that back.
    pub fn withdraw(self) {
        let _ = match &self.kept {
            Some(kept) => fs::rename(kept, &self.file),
            None => fs::remove_file(&self.file),
        };
    }
}

impl Authority {
    /// That no certificate or key of this name is in the CA's directory.
    ///
    /// # Errors
    /// There is one.
    pub fn has_none_of(&self, name: &Name) -> Result<(), PkiError> {
        Pair::in_dir(self.dir(), name.as_str()).must_be_absent()
    }

    /// That certificates can be written to the CA's directory now.
    ///
    /// # Errors
    /// They cannot.
    pub fn can_write(&self) -> Result<(), PkiError> {
        let file = self.dir().join(format!(".probe{}", std::process::id()));
        write_new(&file, "", CERTIFICATE_MODE)?;
        fs::remove_file(&file).map_err(|source| PkiError::File { action: "write", path: file, source })
    }

    /// The certificate in the CA's directory that is for `leaf`, of this key, not revoked, and not over at `now`; nothing where there is none.
    pub fn signed_before(&self, leaf: &Leaf, key: &Requested, now: OffsetDateTime) -> Option<Signed> {
        let file = Pair::in_dir(self.dir(), leaf.name.as_str()).certificate;
        let text = read_text(&file).ok()?;
        let (found, public) = self.identify_certificate(&text, &leaf.name, leaf.days).ok()?;
        let not_after = crate::read_details(&file).ok()?.first()?.not_after;
        if self.is_revoked(&file).ok()? {
            return None;
        }
        let same = found.valid_names() == leaf.valid_names() && public == key.0 && now < not_after;
        same.then(|| Signed { serial: serial_of(&text), text, file, not_after, kept: None })
    }

    /// Signs a key for `leaf`, valid from `now`, and writes the certificate to `NAME.crt` in the CA's directory.
    ///
    /// # Errors
    /// There is a file of that name, the CA has expired, or the file cannot be written.
    pub fn sign_requested(&self, leaf: &Leaf, key: &Requested, now: OffsetDateTime) -> Result<Signed, PkiError> {
        self.must_be_valid(now)?;
        self.has_none_of(&leaf.name)?;
        let (not_after, _) = self.expiry_of(leaf, now);
        let text = self
            .sign_public(leaf, &key.0, now, not_after)
            .map_err(|source| PkiError::Make { name: leaf.name.to_string(), source })?;
        let file = Pair::in_dir(self.dir(), leaf.name.as_str()).certificate;
        write_new(&file, &text, CERTIFICATE_MODE)?;
        Ok(Signed { serial: serial_of(&text), text, file, not_after, kept: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;

    fn leaf(name: &str) -> Leaf {
        Leaf {
            name: name.parse().unwrap(),
            role: Role::Host { addresses: vec!["192.0.2.1".parse().unwrap()] },
            days: 9,
        }
    }

    fn asked(name: &str, addresses: &[&str]) -> String {
        let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        signing_request(&name.parse().unwrap(), &addresses, &KeyPair::generate().unwrap()).unwrap()
    }

    #[test]
    fn a_request_asks_for_its_own_names_only() {
        assert!(judge_request(&asked("h1", &["192.0.2.1"]), &leaf("h1")).is_ok());
        assert!(judge_request(&asked("h1", &[]), &leaf("h1")).is_ok());
        for (text, why) in [
            (asked("h2", &[]), "must have the common name h1"),
            (asked("h1", &["192.0.2.9"]), "must name h1 and 192.0.2.1 only, and names \"192.0.2.9\""),
            ("garbage".to_owned(), "must be a PKCS #10 request in PEM (CERTIFICATE REQUEST)"),
            ("x".repeat(LONGEST + 1), "must have at most 16384 bytes"),
        ] {
            assert_eq!(judge_request(&text, &leaf("h1")).unwrap_err(), why);
        }
        // Another key's signature.
        let mut broken = asked("h1", &[]);
        let at = broken.rfind("\n-----END").unwrap() - 8;
        let other = if &broken[at..=at] == "A" { "B" } else { "A" };
        broken.replace_range(at..=at, other);
        assert!(judge_request(&broken, &leaf("h1")).is_err());
    }

    #[test]
    fn a_key_that_is_kept_is_asked_for_again() {
        let dir = tempfile::tempdir().unwrap();
        let name: Name = "h1".parse().unwrap();
        let key = |text: &str| judge_request(text, &leaf("h1")).unwrap().0;
        let first = Request::for_host(dir.path(), &name, &[], "ca").unwrap();
        let public = key(first.text());
        let file = first.keep_key();
        let again = Request::for_host(dir.path(), &name, &[], "ca").unwrap();
        assert!(key(again.text()) == public);
        // A refusal of the second says nothing of the first.
        drop(again);
        assert!(file.exists());
        let files =
            Request::for_host(dir.path(), &name, &[], "ca").unwrap().write_certificate("certificate", "ca").unwrap();
        assert!(files.iter().all(|file| file.exists()) && !file.exists());
    }

    #[test]
    fn an_unfinished_request_leaves_no_key_and_no_name_signs_twice() {
        let dir = tempfile::tempdir().unwrap();
        let (ca, own) = (dir.path().join("ca"), dir.path().join("own"));
        let now = OffsetDateTime::now_utc();
        Authority::create(&ca, "test", 90, now).unwrap();
        let authority = Authority::open(&ca).unwrap();
        let (leaf, ca_text) = (leaf("h1"), read_text(&ca.join("ca.crt")).unwrap());
        drop(Request::for_host(&own, &leaf.name, &[], &ca_text).unwrap());
        assert_eq!(fs::read_dir(&own).unwrap().count(), 0);
        let request = Request::for_host(&own, &leaf.name, &[], &ca_text).unwrap();
        let key = judge_request(request.text(), &leaf).unwrap();
        let signed = authority.sign_requested(&leaf, &key, now).unwrap();
        let files = request.write_certificate(&signed.text, &ca_text).unwrap();
        assert!(files.iter().all(|file| file.exists()));
        assert_eq!(fs::read_dir(&own).unwrap().count(), 3);
        assert_eq!(authority.signed_before(&leaf, &key, now).unwrap().text, signed.text);
        let other = judge_request(&asked("h1", &[]), &leaf).unwrap();
        assert!(authority.signed_before(&leaf, &other, now).is_none());
        assert!(authority.signed_before(&leaf, &key, signed.not_after).is_none());
        assert!(matches!(authority.sign_requested(&leaf, &key, now), Err(PkiError::Exists(_))));
        assert!(matches!(Request::for_host(&own, &leaf.name, &[], &ca_text), Err(PkiError::Exists(_))));
        // The CA renews it as one that it has issued itself.
        authority.renew_certificate(&leaf.name, crate::Key::Same, 9, now).unwrap();
        authority.revoke_certificate(&signed.file, now).unwrap();
        assert!(authority.signed_before(&leaf, &key, now).is_none());
    }
}
