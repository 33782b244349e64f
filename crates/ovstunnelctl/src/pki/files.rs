//! The directory of certificates: where each file is, and writing without ever overwriting.
//!
//! What it must not do: follow a link that somebody put in the place of a new file (`O_EXCL` does not), or leave half a
//! pair behind.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::PkiError;

const KEY_MODE: u32 = 0o600;
const CERTIFICATE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o700;

/// The two files of one certificate.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Pair {
    pub(super) fn of(dir: &Path, name: &str) -> Self {
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
    pub(super) fn write(&self, certificate: &str, key: &str) -> Result<(), PkiError> {
        write_new(&self.key, key, KEY_MODE)?;
        write_new(&self.certificate, certificate, CERTIFICATE_MODE).inspect_err(|_| {
            // We made it a moment ago; a key without its certificate would only be in the way of the next attempt.
            let _ = fs::remove_file(&self.key);
        })
    }
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), PkiError> {
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

/// Makes the directory, for its owner only. One that is there stays as it is.
pub(super) fn make_directory(dir: &Path) -> Result<(), PkiError> {
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(dir).map_err(|source| PkiError::File {
        action: "make the directory",
        path: dir.to_owned(),
        source,
    })
}

pub(super) fn read(path: &Path) -> Result<String, PkiError> {
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
        let pair = Pair::of(dir.path(), "host1");
        fs::write(&pair.certificate, "old").unwrap();
        assert!(matches!(pair.write("new", "key"), Err(PkiError::Exists(p)) if p == pair.certificate));
        assert!(!pair.key.exists());
        assert_eq!(fs::read_to_string(&pair.certificate).unwrap(), "old");
    }

    #[test]
    fn a_dangling_link_counts_as_there() {
        let dir = tempfile::tempdir().unwrap();
        let pair = Pair::of(dir.path(), "host1");
        std::os::unix::fs::symlink("/nonexistent/key", &pair.key).unwrap();
        assert!(matches!(pair.must_be_absent(), Err(PkiError::Exists(_))));
        assert!(matches!(pair.write("c", "k"), Err(PkiError::Exists(_))));
    }
}
