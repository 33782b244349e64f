//! The CA gets another key: both CAs are trusted for a while, then the new one signs, then the one before goes.
//!
//! What it does: three steps, each repeatable, each of which leaves files that can be copied to hosts and clients. What it must not do: end the
//! CA before while a certificate of it is needed; lose a key.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::KeyPair;
use time::{Duration, OffsetDateTime};
use x509_parser::pem::parse_x509_pem;

use crate::authority::{NEXT_KEY, ca_params, split_certificates};
use crate::files::{CERTIFICATE_MODE, KEY_MODE, Replacement, read_text, set_aside, write_new};
use crate::renew::{is_signed_by, own_name};
use crate::{Authority, PkiError, SKEW};

/// How far the change of a CA's key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Succession {
    /// Whether this step changed anything.
    pub changed: bool,
    /// The certificates that are trusted now: the CA that signs, and the other one.
    pub certificate: PathBuf,
    /// Names of the CAs in it.
    pub names: Vec<String>,
}

/// What stands in a directory.
struct Found {
    dir: PathBuf,
    authority: Authority,
    /// Whether the one that signs has the new key.
    is_switched: bool,
}

impl Found {
    fn read(dir: &Path) -> Result<Found, PkiError> {
        let authority = Authority::open(dir)?;
        let next = dir.join(NEXT_KEY);
        let is_switched = next.exists() && is_of_key(&authority.trusted[0], &read_text(&next)?);
        Ok(Found { dir: dir.to_owned(), authority, is_switched })
    }

    fn certificate(&self) -> PathBuf {
        self.authority.certificate().to_owned()
    }

    fn replace_trusted(&self, certificates: &[String]) -> Result<PathBuf, PkiError> {
        Replacement::write_aside(&self.certificate(), &certificates.concat(), CERTIFICATE_MODE)?.put_in_place()
    }

    fn report(&self, changed: bool) -> Result<Succession, PkiError> {
        let certificate = self.certificate();
        let names = split_certificates(&read_text(&certificate)?).iter().filter_map(|pem| own_name(pem)).collect();
        Ok(Succession { changed, certificate, names })
    }
}

impl Succession {
    /// Makes a CA with another key, of this name or that of the one before with a number, which is trusted from now on and signs nothing yet: `ca.crt` has
    /// both certificates, `ca.key.next` the new key.
    ///
    /// # Errors
    /// It was begun before, the name is the same, or the files cannot be written; then all is as it was.
    pub fn begin(dir: &Path, name: Option<&str>, days: u32, now: OffsetDateTime) -> Result<Succession, PkiError> {
        let found = Found::read(dir)?;
        if found.authority.trusted.len() > 1 || found.is_switched {
            return Err(PkiError::Step("the CA's key is being changed already"));
        }
        let unfit = |expected| PkiError::Unfit { path: found.certificate(), expected };
        let before = own_name(&found.authority.trusted[0]).ok_or_else(|| unfit("a certificate with a common name"))?;
        let name = name.map_or_else(|| next_name(&before), str::to_owned);
        if name == before {
            // Lists of revoked certificates are told apart by the name of their CA.
            return Err(PkiError::Step("the new CA needs another name than the one before"));
        }
        let failed = |source| PkiError::Make { name: name.clone(), source };
        let key = KeyPair::generate().map_err(failed)?;
        let params = ca_params(&name, now - SKEW, now + Duration::days(days.into())).map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?.pem();
        let next = dir.join(NEXT_KEY);
        write_new(&next, &key.serialize_pem(), KEY_MODE)?;
        let both = found.replace_trusted(&[found.authority.trusted[0].clone(), certificate]);
        if let Err(error) = both {
            let _ = fs::remove_file(&next);
            return Err(error);
        }
        Authority::open(dir)?.renew_list(now)?;
        found.report(true)
    }

    /// Has the new CA sign from now on; the one before is trusted still.
    ///
    /// # Errors
    /// It was not begun, or the file cannot be written.
    pub fn switch(dir: &Path, now: OffsetDateTime) -> Result<Succession, PkiError> {
        let found = Found::read(dir)?;
        let [before, next] = &found.authority.trusted[..] else {
            return Err(PkiError::Step("no change of the CA's key was begun"));
        };
        if found.is_switched {
            return found.report(false);
        }
        found.replace_trusted(&[next.clone(), before.clone()])?;
        Authority::open(dir)?.renew_list(now)?;
        found.report(true)
    }

    /// Ends the CA before: its certificate goes out of `ca.crt`, its key becomes `ca.key.oldN`.
    ///
    /// # Errors
    /// The new one does not sign yet, a certificate in the directory is of the one before and neither over nor revoked, or a file cannot be written.
    pub fn finish(dir: &Path, now: OffsetDateTime) -> Result<Succession, PkiError> {
        let found = Found::read(dir)?;
        if !found.is_switched {
            return Err(PkiError::Step("the new CA does not sign yet"));
        }
        let still = still_used(&found, now)?;
        if !still.is_empty() {
            return Err(PkiError::StillUsed(still));
        }
        if found.authority.trusted.len() > 1 {
            found.replace_trusted(&found.authority.trusted[..1])?;
        }
        // Whoever is stopped from here on does the rest when it is called again: the new key is found where it is.
        let (key, next) = (dir.join("ca.key"), dir.join(NEXT_KEY));
        if !is_of_key(&found.authority.trusted[0], &read_text(&key).unwrap_or_default()) && key.exists() {
            set_aside(&key)?;
        }
        fs::rename(&next, &key).map_err(|source| PkiError::File { action: "rename", path: next.clone(), source })?;
        Authority::open(dir)?.renew_list(now)?;
        found.report(true)
    }
}

/// The names of certificates in the directory that the CA before has signed and that are good still.
fn still_used(found: &Found, now: OffsetDateTime) -> Result<Vec<String>, PkiError> {
    let failed = |source| PkiError::File { action: "read", path: found.dir.clone(), source };
    let entries = fs::read_dir(&found.dir).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(failed)?;
    let mut names = Vec::new();
    for entry in entries {
        let file = entry.path();
        let name = file.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".crt"));
        let Some(name) = name.filter(|name| *name != "ca") else { continue };
        let text = read_text(&file)?;
        let Ok((_, block)) = parse_x509_pem(text.as_bytes()) else { continue };
        let is_former = block.parse_x509().is_ok_and(|one| {
            let is_of = |ca: &String| is_signed_by(&one, ca);
            one.validity().not_after.to_datetime() > now && found.authority.trusted.iter().skip(1).any(is_of)
        });
        if is_former && !found.authority.is_revoked(&file)? {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Whether a certificate, PEM, is of this key, PEM.
fn is_of_key(certificate: &str, key: &str) -> bool {
    use rcgen::PublicKeyData;
    let (Ok(key), Ok((_, block))) = (KeyPair::from_pem(key), parse_x509_pem(certificate.as_bytes())) else {
        return false;
    };
    block.parse_x509().is_ok_and(|found| found.public_key().raw == key.subject_public_key_info())
}

/// `ovstunnel CA` is followed by `ovstunnel CA 2`, that by `ovstunnel CA 3`.
fn next_name(name: &str) -> String {
    let (stem, number) = match name.rsplit_once(' ').map(|(stem, number)| (stem, number.parse::<u32>())) {
        Some((stem, Ok(number))) => (stem, number.saturating_add(1)),
        _ => (name, 2),
    };
    // A common name has 64 characters at most.
    let stem: String = stem.chars().take(53).collect();
    format!("{stem} {number}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Asking, Leaf, Role, Rotation};

    fn issue(dir: &Path, name: &str, now: OffsetDateTime) {
        let role = match name {
            "op" => Role::Client,
            _ => Role::Host { addresses: vec!["192.0.2.1".parse().unwrap()] },
        };
        let leaf = Leaf { name: name.parse().unwrap(), role, days: 90 };
        Authority::open(dir).unwrap().issue_certificate(&leaf, now).unwrap();
    }

    /// How many lists of revoked certificates there are, and how many are on each.
    fn lists(dir: &Path) -> Vec<usize> {
        let text = fs::read(dir.join("ca.crl")).unwrap_or_default();
        let blocks = x509_parser::pem::Pem::iter_from_buffer(&text).map(Result::unwrap);
        let count = |block: x509_parser::pem::Pem| {
            use x509_parser::prelude::FromDer;
            let (_, list) = x509_parser::revocation_list::CertificateRevocationList::from_der(&block.contents).unwrap();
            list.iter_revoked_certificates().count()
        };
        blocks.map(count).collect()
    }

    #[test]
    fn hosts_of_both_cas_are_good_until_the_old_one_is_taken_out() {
        let (folder, now) = (tempfile::tempdir().unwrap(), OffsetDateTime::now_utc());
        let dir = folder.path();
        Authority::create(dir, "test CA", 900, now).unwrap();
        ["h1", "h2", "op"].iter().for_each(|name| issue(dir, name, now));
        let revoke = |name: &str| {
            Authority::open(dir).unwrap().revoke_certificate(&dir.join(format!("{name}.crt")), now).unwrap()
        };
        revoke("op");
        assert!(matches!(Succession::switch(dir, now), Err(PkiError::Step(_))));
        assert!(matches!(Succession::finish(dir, now), Err(PkiError::Step(_))));
        assert!(matches!(Succession::begin(dir, Some("test CA"), 900, now), Err(PkiError::Step(_))));

        let begun = Succession::begin(dir, None, 900, now).unwrap();
        assert_eq!((begun.names, lists(dir)), (vec!["test CA".to_owned(), "test CA 2".to_owned()], vec![1, 1]));
        assert!(matches!(Succession::begin(dir, None, 900, now), Err(PkiError::Step(_))));
        assert!(matches!(Authority::renew_authority(dir, 900, now), Err(PkiError::Step(_))));
        assert!(matches!(Succession::finish(dir, now), Err(PkiError::Step(_))));
        // The one before signs still, and nothing is due for that.
        issue(dir, "h3", now);
        let stands = |name: &str| Authority::open(dir).unwrap().standing(&name.parse().unwrap()).unwrap().unwrap();
        assert!(!stands("h3").former && !stands("h1").is_due(now));

        assert!(Succession::switch(dir, now).unwrap().changed && !Succession::switch(dir, now).unwrap().changed);
        issue(dir, "h4", now);
        assert!(stands("h1").former && stands("h1").is_due(now) && !stands("h1").is_fresh(now));
        assert!(!stands("h4").former && stands("h4").is_fresh(now));
        // A host renews by its key, trusting both.
        let ca = fs::read_to_string(dir.join("ca.crt")).unwrap();
        let own = tempfile::tempdir().unwrap();
        for file in ["h1.crt", "h1.key"] {
            fs::copy(dir.join(file), own.path().join(file)).unwrap();
        }
        let rotation = Rotation::of(&own.path().join("h1.crt"), &own.path().join("h1.key")).unwrap();
        let sum = Asking::read(&rotation.request().unwrap()).unwrap().key.sum();
        let authority = Authority::open(dir).unwrap();
        let found = authority.of_key(&"h1".parse().unwrap(), &sum).unwrap().remove(0);
        let signed = authority.renew_standing(&found, 90, now + Duration::seconds(2)).unwrap();
        assert!(rotation.finish(&signed.text, &ca).unwrap().is_some() && !stands("h1").former);

        // A revoked one is on the list of both, whoever signed it.
        revoke("h2");
        revoke("h4");
        assert_eq!(lists(dir), [3, 3]);
        let Err(PkiError::StillUsed(names)) = Succession::finish(dir, now) else { panic!("h3 is used") };
        assert_eq!(names, ["h3"]);
        let authority = Authority::open(dir).unwrap();
        authority.renew_certificate(&"h3".parse().unwrap(), crate::Key::Same, 90, now).unwrap();
        let ended = Succession::finish(dir, now).unwrap();
        assert_eq!((ended.names, lists(dir)), (vec!["test CA 2".to_owned()], vec![3]));
        assert!(dir.join("ca.key.old1").exists() && !dir.join(NEXT_KEY).exists());
        issue(dir, "h5", now);
        // And once more.
        assert_eq!(Succession::begin(dir, None, 900, now).unwrap().names[1], "test CA 3");
    }

    #[test]
    fn a_finish_that_was_interrupted_is_finished_by_the_next_one() {
        let (folder, now) = (tempfile::tempdir().unwrap(), OffsetDateTime::now_utc());
        let dir = folder.path();
        Authority::create(dir, "test CA", 900, now).unwrap();
        Succession::begin(dir, Some("other CA"), 900, now).unwrap();
        Succession::switch(dir, now).unwrap();
        let both = Found::read(dir).unwrap();
        both.replace_trusted(&both.authority.trusted[..1]).unwrap();
        issue(dir, "h1", now);
        assert_eq!(Succession::finish(dir, now).unwrap().names, ["other CA"]);
        issue(dir, "h2", now);
        // What was stopped before anything stood in ca.crt is told by the file's name.
        fs::write(dir.join(NEXT_KEY), "").unwrap();
        let error = Succession::begin(dir, None, 900, now).unwrap_err();
        assert!(matches!(&error, PkiError::Exists(file) if *file == dir.join(NEXT_KEY)), "{error}");
    }

    #[test]
    fn the_next_name_has_the_next_number() {
        for (name, next) in [("ovstunnel CA", "ovstunnel CA 2"), ("ovstunnel CA 9", "ovstunnel CA 10"), ("a", "a 2")] {
            assert_eq!(next_name(name), next);
        }
        assert_eq!(next_name(&"x".repeat(64)).len(), 55);
    }
}
