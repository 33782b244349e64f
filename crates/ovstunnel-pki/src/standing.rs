//! Hosts' certificates as they lie in the CA's directory, found by name and key: renewed for who has the key, or ended with their host.
//!
//! What it must not do: sign for another key or another name than the certificate that is renewed has.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{PublicKeyData, SerialNumber, SubjectPublicKeyInfo};
use time::{Duration, OffsetDateTime};
use x509_parser::pem::parse_x509_pem;

use crate::files::{CERTIFICATE_MODE, Pair, Replacement, read_text, set_aside};
use crate::renew::is_signed_by;
use crate::request::{serial_of, sum_of};
use crate::subject::to_hex;
use crate::{Authority, Leaf, Name, PkiError, Role, Signed};

/// For how long after its end a certificate is still renewed, where it did not live shorter than that.
const GRACE: Duration = Duration::days(30);

/// A host's certificate in the CA's directory.
#[derive(Debug)]
pub struct Standing {
    leaf: Leaf,
    public: SubjectPublicKeyInfo,
    file: PathBuf,
    text: String,
    /// Its serial number, in hexadecimal digits.
    pub serial: String,
    /// When it begins to be valid.
    pub not_before: OffsetDateTime,
    /// When it expires.
    pub not_after: OffsetDateTime,
    /// Whether it is on the list of revoked ones.
    pub revoked: bool,
    /// Whether the CA before has signed it, which is trusted only for a while still.
    pub former: bool,
    /// Whether it is the one of its name; another one may have its place since.
    pub current: bool,
}

impl Standing {
    /// Whether more than two thirds of its time are left: then it is too early for another one.
    pub fn is_fresh(&self, now: OffsetDateTime) -> bool {
        !self.former && (self.not_after - now) * 3 > (self.not_after - self.not_before) * 2
    }

    /// Whether it is in its last third, or over, or the CA before has signed it.
    pub fn is_due(&self, now: OffsetDateTime) -> bool {
        self.former || (self.not_after - now) * 3 <= self.not_after - self.not_before
    }

    /// Whether it ended so long ago that its key alone gets no other one: 30 days, or as long as it lived where that is shorter.
    pub fn is_long_over(&self, now: OffsetDateTime) -> bool {
        now - self.not_after > GRACE.min(self.not_after - self.not_before)
    }

    /// That somebody asks for these names, no more and no fewer; else which they should be.
    ///
    /// # Errors
    /// The names that it has.
    pub fn has_names(&self, asked: &[String]) -> Result<(), Vec<String>> {
        let own = self.leaf.valid_names();
        let same = own.len() == asked.len() && own.iter().all(|name| asked.contains(name));
        if same { Ok(()) } else { Err(own) }
    }

    /// It, as it is answered to who asks for another one too early.
    pub fn again(self) -> Signed {
        Signed { serial: self.serial, text: self.text, file: self.file, not_after: self.not_after, kept: None }
    }

    /// The SHA-256 of its key, as hexadecimal digits.
    pub fn key_sum(&self) -> String {
        sum_of(&self.public.subject_public_key_info())
    }
}

impl Authority {
    /// The certificate of the host `name` in the CA's directory, of whatever key; nothing where there is none.
    ///
    /// # Errors
    /// The file is no certificate of this CA, or cannot be read.
    pub fn standing(&self, name: &Name) -> Result<Option<Standing>, PkiError> {
        let file = Pair::in_dir(self.dir(), name.as_str()).certificate;
        match file.symlink_metadata().is_ok() {
            true => self.stands(&file, name, true),
            false => Ok(None),
        }
    }

    /// The certificates of the host `name` that have this key: the one that stands first, then those whose place was taken.
    ///
    /// # Errors
    /// As [`standing`](Self::standing).
    pub fn of_key(&self, name: &Name, key: &str) -> Result<Vec<Standing>, PkiError> {
        let mut all: Vec<Standing> = self.standing(name)?.into_iter().collect();
        for old in self.old_files(name)? {
            // What lies beside as an old one may be anything by now.
            all.extend(self.stands(&old, name, false).ok().flatten());
        }
        all.retain(|one| one.key_sum() == key);
        Ok(all)
    }

    fn old_files(&self, name: &Name) -> Result<Vec<PathBuf>, PkiError> {
        let failed = |source| PkiError::File { action: "read", path: self.dir().to_owned(), source };
        let begin = format!("{name}.crt.old");
        let entries = fs::read_dir(self.dir()).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(failed)?;
        let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
        files.retain(|file| {
            file.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(&begin))
        });
        files.sort();
        Ok(files)
    }

    /// What lies in a file, where it is a host's certificate.
    fn stands(&self, file: &Path, name: &Name, current: bool) -> Result<Option<Standing>, PkiError> {
        let text = read_text(file)?;
        let unfit = |expected| PkiError::Unfit { path: file.to_owned(), expected };
        let (leaf, public) = self.identify_certificate(&text, name, crate::LEAF_DAYS).map_err(unfit)?;
        if !matches!(leaf.role, Role::Host { .. }) {
            return Ok(None);
        }
        let (_, block) = parse_x509_pem(text.as_bytes()).map_err(|_| unfit("a certificate (PEM)"))?;
        let found = block.parse_x509().map_err(|_| unfit("a certificate (PEM)"))?;
        let (serial, validity) = (to_hex(found.raw_serial(), ""), found.validity().clone());
        let (not_before, not_after) = (validity.not_before.to_datetime(), validity.not_after.to_datetime());
        let (revoked, former) = (self.is_revoked(file)?, !is_signed_by(&found, &self.trusted[0]));
        let file = file.to_owned();
        Ok(Some(Standing { leaf, public, file, text, serial, not_before, not_after, revoked, former, current }))
    }

    /// Signs the key of a certificate anew, for the same names and so many days, and puts the new one in its place.
    ///
    /// # Errors
    /// The CA has expired, or the file cannot be written.
    pub fn renew_standing(&self, old: &Standing, days: u32, now: OffsetDateTime) -> Result<Signed, PkiError> {
        self.must_be_valid(now)?;
        let leaf = Leaf { days, ..old.leaf.clone() };
        let (not_after, _) = self.expiry_of(&leaf, now);
        let failed = |source| PkiError::Make { name: leaf.name.to_string(), source };
        let text = self.sign_public(&leaf, &old.public, now, not_after).map_err(failed)?;
        let kept = Replacement::write_aside(&old.file, &text, CERTIFICATE_MODE)?.put_in_place()?;
        Ok(Signed { serial: serial_of(&text), text, file: old.file.clone(), not_after, kept: Some(kept) })
    }

    /// Ends all certificates of a host that has left, which have this name and key, and those of these serial numbers: puts them on the list
    /// of revoked ones, and moves `NAME.crt` to `NAME.crt.oldN`, so that a host may get this name again. Gives all serial numbers.
    ///
    /// # Errors
    /// The list cannot be read or written, or the file not moved; then the certificates may be on the list.
    pub fn retire(
        &self,
        name: &Name,
        key: &str,
        serials: &[String],
        now: OffsetDateTime,
    ) -> Result<Vec<String>, PkiError> {
        let found = self.of_key(name, key)?;
        let mut all: Vec<String> = serials.to_vec();
        all.extend(found.iter().filter(|one| one.current || one.not_after > now).map(|one| one.serial.clone()));
        all.sort();
        all.dedup();
        self.extend_list(all.iter().filter_map(|digits| number(digits)).collect(), now)?;
        for one in found.iter().filter(|one| one.current) {
            set_aside(&one.file)?;
        }
        Ok(all)
    }
}

/// A serial number by its digits; nothing where they are none.
fn number(digits: &str) -> Option<SerialNumber> {
    let pairs = (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok());
    pairs.collect::<Option<Vec<u8>>>().map(SerialNumber::from)
}
