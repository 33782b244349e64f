//! What a host keeps of its zone beside its certificate, in `zone.toml`: where to ask for another one; and that its daemon is still to read what
//! was written.
//!
//! What it must not do: keep a secret.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tempfile::NamedTempFile;
use toml_edit::{Array, DocumentMut, value};

use crate::cli::Failure;
use crate::client::{Endpoint, Url};

/// Its name, in the folder of the certificate.
pub(in crate::cli) const FILE: &str = "zone.toml";

/// There while the daemon has not read what was written.
const UNREAD: &str = "unread";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    managers: Vec<String>,
}

/// Keeps where the zone's managers are.
pub(in crate::cli) fn write(folder: &Path, managers: &[Url]) -> Result<(), String> {
    let path = folder.join(FILE);
    let failed = |e: io::Error| format!("cannot write {}: {e}", path.display());
    let mut document = DocumentMut::new();
    document.insert("managers", value(managers.iter().map(ToString::to_string).collect::<Array>()));
    let text = document.to_string();
    let mut file = NamedTempFile::new_in(folder).map_err(failed)?;
    let head = "# The zone's managers, the first that answers is asked: `ovstunnelctl renew`.\n";
    let written = file.write_all(head.as_bytes()).and_then(|()| {
        file.write_all(text.as_bytes())?;
        file.as_file().set_permissions(Permissions::from_mode(0o644))?;
        file.as_file().sync_all()
    });
    written.map_err(failed)?;
    file.persist(&path).map(drop).map_err(|e| failed(e.error))
}

/// Where the zone's managers are.
pub(in crate::cli) fn managers(folder: &Path) -> Result<Vec<Url>, Failure> {
    let path = folder.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let path = path.display();
            return Err(Failure::Usage(format!(
                "--manager is missing, and there is no {path}, where `join` keeps it: this host has its certificate from elsewhere, or from an \
                 earlier version"
            )));
        }
        Err(source) => return Err(Failure::File { action: "read", path, source }),
    };
    let bad = |what: String| Failure::Document(format!("{}: {what}; nothing was changed", path.display()));
    let kept: Kept = toml::from_str(&text).map_err(|e| bad(e.message().to_owned()))?;
    let read = |url: &String| Endpoint::parse_url(url).map_err(|rule| bad(format!("`{url}` in managers: {rule}")));
    let managers = kept.managers.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    if managers.is_empty() { Err(bad("`managers` must name one at least".to_owned())) } else { Ok(managers) }
}

/// Notes that the daemon is to read what is written from now on; gives the note, to be removed once it has.
pub(in crate::cli) fn note_unread(folder: &Path) -> Result<PathBuf, Failure> {
    let path = unread(folder);
    fs::write(&path, "").map_err(|source| Failure::File { action: "write", path: path.clone(), source })?;
    Ok(path)
}

/// The note that the daemon has not read what was written.
pub(in crate::cli) fn unread(folder: &Path) -> PathBuf {
    folder.join(UNREAD)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_what_is_bad_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let url = |text: &str| Endpoint::parse_url(text).unwrap();
        let said = managers(dir.path()).unwrap_err().to_string();
        assert!(said.starts_with("--manager is missing"), "{said}");
        write(dir.path(), &[url("https://m1:8444"), url("https://m2:8444")]).unwrap();
        assert_eq!(managers(dir.path()).unwrap(), [url("https://m1:8444"), url("https://m2:8444")]);
        for (text, word) in [
            ("managers = []", "`managers` must name one at least"),
            ("managers = [\"http://m1\"]", "`http://m1` in managers: "),
            ("manager = \"https://m1\"", "unknown field `manager`"),
        ] {
            fs::write(dir.path().join(FILE), text).unwrap();
            let said = managers(dir.path()).unwrap_err().to_string();
            assert!(said.contains(word) && said.ends_with("nothing was changed"), "{said}");
        }
    }
}
