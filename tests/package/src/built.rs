//! Finds what `./scripts/package` has built. Must not build it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// For a run of one of the scripts.
const PATIENCE: Duration = Duration::from_secs(600);

/// The top of the repository.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Runs a script of the repository's to its end; what it prints.
///
/// # Errors
/// When it ends with anything but 0.
pub fn script<A: AsRef<OsStr>>(name: &str, arguments: impl IntoIterator<Item = A>) -> Result<String> {
    let mut command = Command::new(repository().join("scripts").join(name));
    command.args(arguments);
    ovstunnel_lab::run(command, PATIENCE)
}

/// A file of the repository's.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &str) -> Result<String> {
    fs::read_to_string(repository().join(path)).with_context(|| path.to_owned())
}

/// A set of packages.
#[derive(Clone, Debug)]
pub struct Built {
    /// The folder that they are in.
    pub folder: PathBuf,
    /// File name of the `.deb`.
    pub deb: String,
    /// File name of the `.rpm`.
    pub rpm: String,
    /// File name of the archive.
    pub archive: String,
}

impl Built {
    /// The packages in the build's folder, `target/package`.
    ///
    /// # Errors
    /// When there are none.
    pub fn find() -> Result<Self> {
        Built::in_folder(&target().join("package"))
            .context("no packages: build them with ./scripts/package --profile quick")
    }

    /// The packages in a folder.
    ///
    /// # Errors
    /// Unless there is one of each kind.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        let [deb, rpm, archive] = [".deb", ".rpm", ".tar.xz"].map(|ending| only(folder, ending));
        Ok(Built { folder: folder.to_owned(), deb: deb?, rpm: rpm?, archive: archive? })
    }

    /// The same programs packed again, in another folder, as a later revision: what a user would upgrade to.
    ///
    /// # Errors
    /// When they cannot be packed.
    pub fn next(folder: &Path) -> Result<Self> {
        let out: &OsStr = folder.as_os_str();
        let options = ["--no-build", "--profile", "quick", "--revision", "2", "--out"].map(OsStr::new);
        script("package", options.into_iter().chain([out]))?;
        Built::in_folder(folder)
    }

    /// Path of the `.deb`, `.rpm` or archive.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The programs as they are packed.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("tree/bin").join(name)
    }
}

/// Where cargo builds: the folder that has this test's own program somewhere in it.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}

fn only(folder: &Path, ending: &str) -> Result<String> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut found: Vec<String> = names.filter(|name| name.ends_with(ending)).collect();
    match (found.pop(), found.is_empty()) {
        (Some(name), true) => Ok(name),
        _ => bail!("{}: not exactly one file *{ending}", folder.display()),
    }
}
