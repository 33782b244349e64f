//! The host's files, looked at under a root folder: `/`, or one that a test has made. Must not write.

use std::fs::{self, Metadata};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Longest text that is read of one file, in bytes.
const LONGEST: u64 = 256 * 1024;

/// The folder that stands for `/`.
#[derive(Clone, Debug)]
pub(crate) struct Root(PathBuf);

impl Root {
    /// This folder stands for `/`.
    pub(crate) fn at_folder(folder: impl Into<PathBuf>) -> Self {
        Root(folder.into())
    }

    /// Where a path of the host is looked for. What is in the root folder already stays as it is.
    pub(crate) fn host_path(&self, path: &Path) -> PathBuf {
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The beginning of a file as text; nothing where it is not there or cannot be read.
    pub(crate) fn read_beginning(&self, path: &str) -> Option<String> {
        let mut bytes = Vec::new();
        fs::File::open(self.host_path(path.as_ref())).ok()?.take(LONGEST).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// All of a file as text, however long.
    pub(crate) fn read_whole(&self, path: &str) -> Option<String> {
        fs::read(self.host_path(path.as_ref())).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether both files are there and not the same.
    pub(crate) fn files_differ(&self, one: &str, other: &str) -> bool {
        let read = |path: &str| fs::read(self.host_path(path.as_ref())).ok();
        read(one).zip(read(other)).is_some_and(|(one, other)| one != other)
    }

    /// Whether something of that name is there, be it a dangling link.
    pub(crate) fn has_path(&self, path: &str) -> bool {
        self.host_path(path.as_ref()).symlink_metadata().is_ok()
    }

    /// Whether a program is there and may be executed; else why not.
    pub(crate) fn check_executable(&self, path: &Path) -> Result<(), &'static str> {
        let may = |about: Metadata| about.is_file() && about.permissions().mode() & 0o111 != 0;
        match fs::metadata(self.host_path(path)).map(may) {
            Ok(true) => Ok(()),
            Ok(false) => Err("is not executable"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err("is missing"),
            Err(_) => Err("cannot be looked at"),
        }
    }

    /// The names in a folder, sorted; none where it is not there.
    pub(crate) fn folder_names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.host_path(folder.as_ref())).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}
