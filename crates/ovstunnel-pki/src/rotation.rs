//! A host's certificate is renewed where its key is: when it is due, what is asked for, and that what was answered takes its place.
//!
//! What it must not do: make another key, or put anything in place that is not for this key and these names.

use std::path::{Path, PathBuf};

use rcgen::{KeyPair, PublicKeyData};
use time::OffsetDateTime;
use x509_parser::pem::{Pem, parse_x509_pem};
use x509_parser::prelude::X509Certificate;

use crate::files::{CERTIFICATE_MODE, Replacement, read_text};
use crate::request::signing_request;
use crate::show::{Details, read_details};
use crate::subject::{alternative_names, common_name_of};
use crate::{Name, PkiError, Purpose};

/// A certificate that may be renewed, and its key.
#[derive(Debug)]
pub struct Rotation {
    certificate: PathBuf,
    key: KeyPair,
    name: Name,
    now: Details,
}

impl Rotation {
    /// Reads a host's certificate and its key.
    ///
    /// # Errors
    /// They cannot be read, it is not a host's, or they do not belong together.
    pub fn of(certificate: &Path, key: &Path) -> Result<Rotation, PkiError> {
        let unfit = |path: &Path, expected| PkiError::Unfit { path: path.to_owned(), expected };
        let found = read_details(certificate)?.into_iter().next().filter(|one| one.purpose == Purpose::Host);
        let now = found.ok_or_else(|| unfit(certificate, "a certificate for a host"))?;
        let name = now.name.as_deref().and_then(|name| name.parse().ok());
        let name = name.ok_or_else(|| unfit(certificate, "a certificate with the name of a host"))?;
        let pair = KeyPair::from_pem(&read_text(key)?).map_err(|_| unfit(key, "a private key (PEM)"))?;
        let rotation = Rotation { certificate: certificate.to_owned(), key: pair, name, now };
        match first(&read_text(certificate)?, |found| rotation.is_of_key(found)) {
            Some(true) => Ok(rotation),
            _ => Err(unfit(certificate, "the certificate of the key beside it")),
        }
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The certificate as it is.
    pub fn details(&self) -> &Details {
        &self.now
    }

    /// From when on it is to be renewed: a third of its time is left then.
    pub fn due_from(&self) -> OffsetDateTime {
        self.now.not_after - (self.now.not_after - self.now.not_before) / 3
    }

    /// A request for another one, of the same key and names, PEM.
    ///
    /// # Errors
    /// The key cannot sign it.
    pub fn request(&self) -> Result<String, PkiError> {
        let addresses: Vec<_> = self.now.names.iter().filter_map(|name| name.parse().ok()).collect();
        let failed = |source| PkiError::Make { name: self.name.to_string(), source };
        signing_request(&self.name, &addresses, &self.key).map_err(failed)
    }

    /// Puts the answer in its place at once; gives where the old one is now, nothing where the answer is no newer than what is there. `ca` are the
    /// certificates of CAs that are trusted from now on, PEM.
    ///
    /// # Errors
    /// The answer is not for this key and these names or of no such CA, or it cannot be written; then all is as it was.
    pub fn finish(&self, answer: &str, ca: &str) -> Result<Option<PathBuf>, PkiError> {
        let unfit = |expected| PkiError::Unfit { path: "the manager's answer".into(), expected };
        let from = self.judge(answer, ca).map_err(unfit)?;
        if from < self.now.not_before || read_text(&self.certificate)?.trim() == answer.trim() {
            return Ok(None);
        }
        Replacement::write_aside(&self.certificate, answer, CERTIFICATE_MODE)?.put_in_place().map(Some)
    }

    /// That an answer fits; gives from when on it is valid.
    fn judge(&self, answer: &str, ca: &str) -> Result<OffsetDateTime, &'static str> {
        let fits = first(answer, |found| {
            let same = common_name_of(found).as_deref() == Some(self.name.as_str())
                && alternative_names(found) == self.now.names;
            (same && self.is_of_key(found), signed_by(found, ca), found.validity().not_before.to_datetime())
        });
        match fits {
            Some((true, true, from)) => Ok(from),
            Some((false, ..)) => Err("a certificate of this host's key, for its names"),
            Some((true, false, _)) => Err("a certificate of a CA that it names"),
            None => Err("a certificate (PEM)"),
        }
    }

    fn is_of_key(&self, certificate: &X509Certificate<'_>) -> bool {
        certificate.public_key().raw == self.key.subject_public_key_info()
    }
}

/// Puts other certificates of CAs, PEM, in a file's place; gives where the old file is now, nothing where they are the same.
///
/// # Errors
/// One of them is no certificate of a CA, or the file cannot be written; then it is as it was.
pub fn replace_ca(file: &Path, text: &str) -> Result<Option<PathBuf>, PkiError> {
    if read_text(file)?.trim() == text.trim() {
        return Ok(None);
    }
    let blocks: Result<Vec<Pem>, _> = Pem::iter_from_buffer(text.as_bytes()).collect();
    let is_ca = |block: &Pem| block.parse_x509().is_ok_and(|found| found.is_ca());
    if !blocks.is_ok_and(|blocks| !blocks.is_empty() && blocks.iter().all(is_ca)) {
        let expected = "certificates of CAs (PEM)";
        return Err(PkiError::Unfit { path: "the manager's answer".into(), expected });
    }
    Replacement::write_aside(file, text, CERTIFICATE_MODE)?.put_in_place().map(Some)
}

/// What there is to say of the first certificate in a text, PEM; nothing where there is none.
fn first<T>(text: &str, say: impl FnOnce(&X509Certificate<'_>) -> T) -> Option<T> {
    let (_, block) = parse_x509_pem(text.as_bytes()).ok()?;
    Some(say(&block.parse_x509().ok()?))
}

fn signed_by(certificate: &X509Certificate<'_>, ca: &str) -> bool {
    Pem::iter_from_buffer(ca.as_bytes()).flatten().any(|block| {
        let by = |ca: X509Certificate<'_>| certificate.verify_signature(Some(ca.public_key())).is_ok();
        block.parse_x509().is_ok_and(by)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use time::Duration;

    use super::*;
    use crate::{Asking, Authority, Leaf, Role};

    const DAYS: u32 = 30;

    /// A CA, and a host's certificate that it made so many days ago.
    fn made(dir: &Path, age: i64) -> (Authority, Name, OffsetDateTime) {
        let (now, name): (_, Name) = (OffsetDateTime::now_utc(), "h1".parse().unwrap());
        let then = now - Duration::days(age);
        Authority::create(dir, "test", 900, then).unwrap();
        let authority = Authority::open(dir).unwrap();
        let role = Role::Host { addresses: vec!["192.0.2.1".parse().unwrap()] };
        authority.issue_certificate(&Leaf { name: name.clone(), role, days: DAYS }, then).unwrap();
        (authority, name, now)
    }

    fn rotation(dir: &Path) -> Rotation {
        Rotation::of(&dir.join("h1.crt"), &dir.join("h1.key")).unwrap()
    }

    #[test]
    fn due_with_a_third_left_and_renewed_with_its_key_and_names() {
        let dir = tempfile::tempdir().unwrap();
        let (authority, name, now) = made(dir.path(), 25);
        let rotation = rotation(dir.path());
        assert!(rotation.due_from() < now && rotation.due_from() > now - Duration::days(6));
        let asking = Asking::read(&rotation.request().unwrap()).unwrap();
        let sum = asking.key.sum();
        assert_eq!((asking.name.as_str(), asking.names), ("h1", vec!["h1".to_owned(), "192.0.2.1".to_owned()]));
        let found = authority.of_key(&name, &sum).unwrap().remove(0);
        assert!(found.current && !found.revoked && !found.is_fresh(now) && !found.is_long_over(now));
        assert!(found.is_long_over(now + Duration::days(36)) && !found.is_long_over(now + Duration::days(34)));
        assert_eq!(found.has_names(&["h1".to_owned()]).unwrap_err(), ["h1", "192.0.2.1"]);

        // The CA's folder stands for the host's own here: the answer is there before the host has it.
        let ca = fs::read_to_string(dir.path().join("ca.crt")).unwrap();
        let own = tempfile::tempdir().unwrap();
        for file in ["h1.crt", "h1.key"] {
            fs::copy(dir.path().join(file), own.path().join(file)).unwrap();
        }
        let rotation = self::rotation(own.path());
        let signed = authority.renew_standing(&found, DAYS, now).unwrap();
        for (answer, ca) in [("garbage", ca.as_str()), (&ca, &ca), (&signed.text, "")] {
            assert!(matches!(rotation.finish(answer, ca), Err(PkiError::Unfit { .. })), "{answer}");
        }
        assert_eq!(rotation.finish(&signed.text, &ca).unwrap(), Some(own.path().join("h1.crt.old1")));
        assert_eq!(self::rotation(own.path()).finish(&signed.text, &ca).unwrap(), None);
        assert!(self::rotation(own.path()).due_from() > now);
        assert!(authority.standing(&name).unwrap().unwrap().is_fresh(now));

        // Both are ended with the host, and one that nobody has a file of.
        let serials = authority.retire(&name, &sum, &["40ff".to_owned()], now).unwrap();
        assert_eq!(serials.len(), 3);
        let ended = authority.of_key(&name, &sum).unwrap();
        assert!(ended.len() == 2 && ended.iter().all(|one| one.revoked && !one.current), "{ended:?}");
        let again = authority.retire(&name, &sum, &["40ff".to_owned()], now).unwrap();
        assert_eq!(again, serials);
    }

    #[test]
    fn a_certificate_that_nobody_got_gives_its_place_back() {
        let dir = tempfile::tempdir().unwrap();
        let (authority, name, now) = made(dir.path(), 25);
        let before = fs::read_to_string(dir.path().join("h1.crt")).unwrap();
        let old = authority.standing(&name).unwrap().unwrap();
        authority.renew_standing(&old, DAYS, now).unwrap().withdraw();
        assert_eq!(fs::read_to_string(dir.path().join("h1.crt")).unwrap(), before);
    }

    #[test]
    fn another_certificates_key_and_a_clients_certificate_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let (authority, name, now) = made(dir.path(), 1);
        authority.issue_certificate(&Leaf { name: "op".parse().unwrap(), role: Role::Client, days: 9 }, now).unwrap();
        let file = |name: &str| dir.path().join(name);
        for (certificate, key) in [("h1.crt", "op.key"), ("op.crt", "op.key"), ("h1.crt", "h1.crt")] {
            assert!(
                matches!(Rotation::of(&file(certificate), &file(key)), Err(PkiError::Unfit { .. })),
                "{certificate}"
            );
        }
        assert!(authority.standing(&"op".parse().unwrap()).unwrap().is_none());
        assert!(authority.of_key(&name, "00").unwrap().is_empty());
        let same = fs::read_to_string(file("ca.crt")).unwrap();
        assert_eq!(replace_ca(&file("ca.crt"), &same).unwrap(), None);
        for bad in ["", "garbage", &fs::read_to_string(file("h1.crt")).unwrap()] {
            assert!(matches!(replace_ca(&file("ca.crt"), bad), Err(PkiError::Unfit { .. })));
        }
        assert_eq!(replace_ca(&file("ca.crt"), &format!("{same}{same}")).unwrap(), Some(file("ca.crt.old1")));
    }
}
