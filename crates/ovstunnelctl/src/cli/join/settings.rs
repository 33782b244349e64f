//! What a host that joins has in its daemon's configuration: where it listens, and its certificate. All else stays, comments too.
//!
//! What it does: judges before anything is asked, and writes the whole file at once, after `ovstunneld --check` has found it good.
//! What it must not do: replace a certificate or an address that somebody has set.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use toml_edit::{DocumentMut, Item, Table, value};

use super::programs;
use crate::cli::Failure;
use crate::pki::Name;

/// The mode of a configuration that was not there.
const MODE: u32 = 0o644;

/// A configuration as it is to be.
#[derive(Debug)]
pub(super) struct Settings {
    path: PathBuf,
    text: String,
    mode: u32,
    set: Vec<String>,
}

impl Settings {
    /// With the files of the host `name` in `dir`, listening on `port` of any address.
    pub(super) fn plan_settings(
        path: &Path,
        dir: &Path,
        name: &Name,
        address: IpAddr,
        port: u16,
    ) -> Result<Settings, Failure> {
        let (before, mode) = read_file(path)?;
        let bad = |what: String| Failure::Document(format!("{}: {what}; nothing was changed", path.display()));
        let mut document: DocumentMut = before.parse().map_err(|error: toml_edit::TomlError| {
            let line = error.span().map_or(1, |span| before[..span.start].matches('\n').count() + 1);
            bad(format!("line {line}: {}", error.message()))
        })?;
        let mut set = Vec::new();
        let (api, listen) = (section_table(&mut document, "api").map_err(&bad)?, listen_address(address, port));
        match api.get("listen").map(Item::as_str) {
            None | Some(Some("off")) => put_key(api, "api", "listen", &listen.to_string(), &mut set),
            Some(found) if found.and_then(|text| text.parse().ok()).is_none_or(|at: SocketAddr| at.port() != port) => {
                let found = found.unwrap_or("no text");
                return Err(bad(format!("`listen` in [api] is `{found}`, which is not port {port} of --port")));
            }
            Some(_) => {}
        }
        let tls = section_table(&mut document, "tls").map_err(&bad)?;
        let file = |ending: &str| dir.join(format!("{name}.{ending}"));
        for (key, file) in [("certificate", file("crt")), ("key", file("key")), ("client_ca", dir.join("ca.crt"))] {
            let file = file.to_str().ok_or_else(|| bad(format!("--dir {} is not UTF-8", dir.display())))?;
            match tls.get(key) {
                None => put_key(tls, "tls", key, file, &mut set),
                Some(found) if found.as_str() == Some(file) => {}
                Some(found) => {
                    let found = found.as_str().unwrap_or("no text");
                    return Err(bad(format!(
                        "`{key}` in [tls] is `{found}` already, and would be `{file}`: take it out first"
                    )));
                }
            }
        }
        Ok(Settings { path: path.to_owned(), text: document.to_string(), mode, set })
    }

    /// What is new in it, such as `[tls] key`.
    pub(super) fn new_settings(&self) -> &[String] {
        &self.set
    }

    /// Writes it where it is found good, or says what is in the way; then the file is as it was.
    pub(super) fn write_checked(&self) -> Result<(), String> {
        let failed = |e: io::Error| format!("cannot write {}, which is as it was: {e}", self.path.display());
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = NamedTempFile::with_suffix_in(".toml", folder).map_err(failed)?;
        let written = file.write_all(self.text.as_bytes()).and_then(|()| {
            file.as_file().set_permissions(Permissions::from_mode(self.mode))?;
            file.as_file().sync_all()
        });
        written.map_err(failed)?;
        programs::check_config(file.path())
            .map_err(|said| format!("{} would not be good, and is as it was: {said}", self.path.display()))?;
        file.persist(&self.path).map_err(|e| failed(e.error))?;
        Ok(())
    }
}

fn read_file(path: &Path) -> Result<(String, u32), Failure> {
    let failed = |source| Failure::File { action: "read", path: path.to_owned(), source };
    match fs::metadata(path) {
        Ok(found) => Ok((fs::read_to_string(path).map_err(failed)?, found.permissions().mode() & 0o7777)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok((String::new(), MODE)),
        Err(e) => Err(failed(e)),
    }
}

fn listen_address(address: IpAddr, port: u16) -> SocketAddr {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    (any, port).into()
}

fn section_table<'a>(document: &'a mut DocumentMut, name: &str) -> Result<&'a mut Table, String> {
    let item = document.entry(name).or_insert_with(|| Item::Table(Table::new()));
    item.as_table_mut().ok_or_else(|| format!("`{name}` must be a section: [{name}]"))
}

fn put_key(table: &mut Table, section: &str, key: &str, text: &str, set: &mut Vec<String>) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        // Its place and its comment stay.
        Some(old) => {
            let decor = old.decor().clone();
            *old = text.into();
            *old.decor_mut() = decor;
        }
        None => {
            table.insert(key, value(text));
        }
    }
    set.push(format!("[{section}] {key}"));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn plan(text: &str) -> Result<Settings, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.toml");
        fs::write(&path, text).unwrap();
        let planned =
            Settings::plan_settings(&path, Path::new("/k"), &"h1".parse().unwrap(), [192, 0, 2, 1].into(), 8443);
        planned.map_err(|failure| failure.to_string())
    }

    #[test]
    fn comments_and_other_settings_stay() {
        let packaged = "# The daemon.\n[api]\n# HTTPS needs certificates.\nlisten = \"off\" # until it has joined\n\n#[tls]\n[log]\nlevel = \"info\"\n";
        let planned = plan(packaged).unwrap();
        let files = "[tls]\ncertificate = \"/k/h1.crt\"\nkey = \"/k/h1.key\"\nclient_ca = \"/k/ca.crt\"\n";
        assert_eq!(planned.text, format!("{}\n{files}", packaged.replace("\"off\"", "\"0.0.0.0:8443\"")));
        assert_eq!(planned.set, ["[api] listen", "[tls] certificate", "[tls] key", "[tls] client_ca"]);
        // Again nothing is new.
        let again = plan(&planned.text).unwrap();
        assert_eq!((again.text, again.set), (planned.text, Vec::new()));
        assert_eq!(plan("").unwrap().text, format!("[api]\nlisten = \"0.0.0.0:8443\"\n\n{files}"));
        assert!(plan("[api]\nlisten = \"192.0.2.1:8443\"\n").unwrap().text.contains("192.0.2.1:8443"));
    }

    #[test]
    fn what_somebody_has_set_is_named_and_stays() {
        for (text, said) in [
            ("[tls]\nkey = \"/etc/own.key\"\n", "`key` in [tls] is `/etc/own.key` already, and would be `/k/h1.key`"),
            (
                "[api]\nlisten = \"0.0.0.0:9443\"\n",
                "`listen` in [api] is `0.0.0.0:9443`, which is not port 8443 of --port",
            ),
            ("[api]\nlisten = 8443\n", "`listen` in [api] is `no text`"),
            ("tls = 1\n", "`tls` must be a section: [tls]"),
            ("[api]\n\nlisten = \n", "line 3: "),
        ] {
            let found = plan(text).unwrap_err();
            assert!(found.contains(said) && found.ends_with("nothing was changed"), "{found}");
        }
    }
}
