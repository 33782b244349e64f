//! The directory of certificates: where each file is, and writing without ever overwriting. What is renewed is replaced at
//! once, and the old file stays beside it.
//!
//! What it must not do: follow a link that somebody put in the place of a new file (`O_EXCL` does not), or leave half a
//! pair behind.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::PkiError;

pub(super) const KEY_MODE: u32 = 0o600;
pub(super) const CERTIFICATE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o700;

/// The two files of one certificate.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Pair {
    pub(super) fn in_dir(dir: &Path, name: &str) -> Self {
        Pair { certificate: dir.join(format!("{name}.crt")), key: dir.join(format!("{name}.key")) }
    }

    /// Refuses early, before a key is made. The writing itself refuses too.
    pub(super) fn must_be_absent(&self) -> Result<(), PkiError> {
        match [&self.certificate, &self.key].into_iter().find(|p| p.symlink_metadata().is_ok()) {
            Some(there) => Err(PkiError::Exists(there.clone())),
            None => Ok(()),
        }
    }

    /// Writes both, or none.
    pub(super) fn write_both(&self, certificate: &str, key: &str) -> Result<(), PkiError> {
        write_new(&self.key, key, KEY_MODE)?;
        write_new(&self.certificate, certificate, CERTIFICATE_MODE).inspect_err(|_| {
            // We made it a moment ago; a key without its certificate would only be in the way of the next attempt.
            let _ = fs::remove_file(&self.key);
        })
    }
}

pub(super) fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), PkiError> {
    let failed = |source: io::Error| match source.kind() {
        ErrorKind::AlreadyExists => PkiError::Exists(path.to_owned()),
        _ => PkiError::File { action: "write", path: path.to_owned(), source },
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|e| {
        let _ = fs::remove_file(path);
        failed(e)
    })
}

/// A new file that waits beside the one whose place it is to take. Taken away again unless it gets there.
#[derive(Debug)]
pub(super) struct Replacement<'a> {
    path: &'a Path,
    new: PathBuf,
}

impl<'a> Replacement<'a> {
    /// Writes the new file, under another name.
    pub(super) fn write_aside(path: &'a Path, text: &str, mode: u32) -> Result<Self, PkiError> {
        let new = path_beside(path, &format!("new{}", std::process::id()));
        write_new(&new, text, mode)?;
        Ok(Replacement { path, new })
    }

    /// Puts it in its place at once. The old file gets the name that is returned, which nobody else had.
    pub(super) fn put_in_place(self) -> Result<PathBuf, PkiError> {
        let failed = |source| PkiError::File { action: "replace", path: self.path.to_owned(), source };
        let kept = keep_old(self.path).map_err(failed)?;
        fs::rename(&self.new, self.path).map_err(|error| {
            let _ = fs::remove_file(&kept);
            failed(error)
        })?;
        Ok(kept)
    }
}

impl Drop for Replacement<'_> {
    fn drop(&mut self) {
        // Where it is in its place this finds nothing.
        let _ = fs::remove_file(&self.new);
    }
}

/// Moves a file out of the way; gives its new name, which nobody else had.
pub(super) fn set_aside(path: &Path) -> Result<PathBuf, PkiError> {
    let kept = keep_old(path).and_then(|kept| fs::remove_file(path).map(|()| kept));
    kept.map_err(|source| PkiError::File { action: "rename", path: path.to_owned(), source })
}

/// Gives the file a second name, the first of `FILE.old1`, `FILE.old2`, … that is free.
fn keep_old(path: &Path) -> io::Result<PathBuf> {
    let mut number = 1u32;
    loop {
        let kept = path_beside(path, &format!("old{number}"));
        match fs::hard_link(path, &kept) {
            Ok(()) => return Ok(kept),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}

fn path_beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{ending}"));
    name.into()
}

/// Makes the directory, for its owner only. One that is there stays as it is.
pub(super) fn make_directory(dir: &Path) -> Result<(), PkiError> {
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(dir).map_err(|source| PkiError::File {
        action: "make the directory",
        path: dir.to_owned(),
        source,
    })
}

pub(super) fn read_text(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(|source| PkiError::File { action: "read", path: path.to_owned(), source })
}

/// True when others than the owner can look into `dir` or write there. The keys are closed either way.
pub fn readable_by_others(dir: &Path) -> bool {
    fs::metadata(dir).is_ok_and(|m| m.permissions().mode() & 0o077 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_pair_is_taken_away_again() {
        let dir = tempfile::tempdir().unwrap();
        let pair = Pair::in_dir(dir.path(), "host1");
        fs::write(&pair.certificate, "old").unwrap();
        assert!(matches!(pair.write_both("new", "key"), Err(PkiError::Exists(p)) if p == pair.certificate));
        assert!(!pair.key.exists());
        assert_eq!(fs::read_to_string(&pair.certificate).unwrap(), "old");
    }

    #[test]
    fn a_dangling_link_counts_as_there() {
        let dir = tempfile::tempdir().unwrap();
        let pair = Pair::in_dir(dir.path(), "host1");
        std::os::unix::fs::symlink("/nonexistent/key", &pair.key).unwrap();
        assert!(matches!(pair.must_be_absent(), Err(PkiError::Exists(_))));
        assert!(matches!(pair.write_both("c", "k"), Err(PkiError::Exists(_))));
    }

    #[test]
    fn what_is_replaced_stays_beside_under_a_name_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host1.key");
        fs::write(&path, "one").unwrap();
        fs::write(dir.path().join("host1.key.old1"), "somebody's").unwrap();
        let kept = Replacement::write_aside(&path, "two", KEY_MODE).unwrap().put_in_place().unwrap();
        assert_eq!(kept, dir.path().join("host1.key.old2"));
        drop(Replacement::write_aside(&path, "given up", KEY_MODE).unwrap());
        let mut all: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        all.sort();
        let texts: Vec<_> = all.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
        assert_eq!(texts, ["two", "somebody's", "one"]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, KEY_MODE);
    }
}
