//! `[tunnel] ipsec` and the keys beside it: what must be given together, and the files that are read.
//!
//! What it does: reads the pre-shared key, and looks at files that others will read. What it must not do: show the key, or say a word of
//! what is in a file.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ovstunnel_ovs::Writes;
use ovstunnel_server::config::values;
use ovstunnel_types::{Encap, Ipsec, IpsecFiles, Psk};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Config, Tunnel};

/// More than any key has.
const FILE_MAX: u64 = 4096;

/// How tunnels are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpsecMode {
    /// They are not.
    #[default]
    Off,
    /// By one key for all hosts.
    Psk,
    /// By certificates.
    Certificates,
}

impl fmt::Display for IpsecMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IpsecMode::Off => "off",
            IpsecMode::Psk => "psk",
            IpsecMode::Certificates => "certificates",
        })
    }
}

/// The file that has the pre-shared key, and what was read from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PskFile {
    path: PathBuf,
    #[serde(skip)]
    psk: Option<Psk>,
}

impl<'de> Deserialize<'de> for PskFile {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(PskFile { path: values::path(from)?, psk: None })
    }
}

impl PskFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

pub(super) fn some_path<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    values::path(from).map(Some)
}

impl Tunnel {
    /// How tunnels are encrypted, once [`Config::load`] has read the key.
    pub(super) fn encryption(&self) -> Ipsec {
        match self.ipsec {
            IpsecMode::Off => None,
            IpsecMode::Psk => self.ipsec_psk_file.as_ref().and_then(|file| file.psk.clone()).map(Ipsec::Psk),
            IpsecMode::Certificates => self.certificate_files().map(|files| Ipsec::Certificates(files.into())),
        }
        .unwrap_or_default()
    }

    fn certificate_files(&self) -> Option<IpsecFiles> {
        let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        Some(IpsecFiles {
            certificate: text(&self.ipsec_certificate)?,
            private_key: text(&self.ipsec_private_key)?,
            ca_cert: text(&self.ipsec_ca_cert)?,
        })
    }

    /// The keys that go with each way, each with whether it is given.
    fn ipsec_keys(&self) -> [(&'static str, IpsecMode, bool); 4] {
        let with = IpsecMode::Certificates;
        [
            ("tunnel.ipsec_psk_file", IpsecMode::Psk, self.ipsec_psk_file.is_some()),
            ("tunnel.ipsec_certificate", with, self.ipsec_certificate.is_some()),
            ("tunnel.ipsec_private_key", with, self.ipsec_private_key.is_some()),
            ("tunnel.ipsec_ca_cert", with, self.ipsec_ca_cert.is_some()),
        ]
    }
}

impl Config {
    /// That encryption can be what is configured. Also of what a reload would put together.
    ///
    /// # Errors
    /// The key, the rule and the value.
    pub(crate) fn check_encryption(&self) -> Result<(), String> {
        let Tunnel { kind, dst_port, ipsec, .. } = self.tunnel;
        if ipsec == IpsecMode::Off {
            return Ok(());
        }
        let missing = self.tunnel.ipsec_keys().into_iter().find(|(_, with, given)| *with == ipsec && !given);
        if let Some((key, ..)) = missing {
            return Err(format!("{key} must be given where tunnel.ipsec is \"{ipsec}\""));
        }
        if let Some(port) = dst_port.filter(|port| Encap::to_port(kind, *port) != Some(Encap::of_kind(kind))) {
            return Err(format!(
                "tunnel.dst_port must not be given where tunnel.ipsec is \"{ipsec}\", which encrypts what goes to the usual port of {kind} \
                 and nothing else; got {port}"
            ));
        }
        if self.ovs.datapath_type == "netdev" {
            return Err(format!(
                "ovs.datapath_type must not be \"netdev\" where tunnel.ipsec is \"{ipsec}\": a userspace datapath sends past the kernel, which \
                 encrypts"
            ));
        }
        if ipsec == IpsecMode::Psk && self.ovs.writes != Writes::Native {
            return Err("ovs.writes must be \"native\" where tunnel.ipsec is \"psk\": every user of the host can read the arguments of \
                        `ovs-vsctl`, and the key would be one; it needs a restart"
                .to_owned());
        }
        Ok(())
    }

    /// Reads the pre-shared key, and sees that the other files can be read, and by whom.
    ///
    /// # Errors
    /// The key, the rule and what is there.
    pub(super) fn read_encryption(&mut self) -> Result<(), String> {
        match self.tunnel.ipsec {
            IpsecMode::Off => Ok(()),
            IpsecMode::Psk => self.tunnel.ipsec_psk_file.iter_mut().try_for_each(|file| {
                let key = "tunnel.ipsec_psk_file";
                let text = read_private(key, &file.path)?;
                let rule = || format!("{key}: the first line of {} must be {}", file.path.display(), Psk::RULE);
                file.psk = Some(Psk::from_text(text.lines().next().unwrap_or_default()).ok_or_else(rule)?);
                Ok(())
            }),
            IpsecMode::Certificates => {
                let Tunnel { ipsec_certificate, ipsec_private_key, ipsec_ca_cert, .. } = &self.tunnel;
                let public = [("tunnel.ipsec_certificate", ipsec_certificate), ("tunnel.ipsec_ca_cert", ipsec_ca_cert)];
                for (key, path) in public.into_iter().filter_map(|(key, path)| Some((key, path.as_ref()?))) {
                    open_file(key, path)?;
                }
                ipsec_private_key.iter().try_for_each(|path| read_private("tunnel.ipsec_private_key", path).map(drop))
            }
        }
    }
}

fn open_file(key: &str, path: &Path) -> Result<File, String> {
    File::open(path).map_err(|error| format!("{key}: {} cannot be read: {error}", path.display()))
}

/// What is in a file that nobody but root, or who the daemon runs as, can read.
fn read_private(key: &str, path: &Path) -> Result<String, String> {
    let file = open_file(key, path)?;
    let failed = |error| format!("{key}: {} cannot be read: {error}", path.display());
    let about = file.metadata().map_err(failed)?;
    let (mode, owner) = (about.mode() & 0o777, about.uid());
    let mine = nix::unistd::geteuid().as_raw();
    if !about.is_file() || mode & 0o077 != 0 || (owner != 0 && owner != mine) {
        let shown = path.display();
        return Err(format!(
            "{key}: {shown} must be a file that root alone can read: `chown root {shown} && chmod 600 {shown}`; it has mode {mode:04o} and owner {owner}"
        ));
    }
    let mut text = String::new();
    file.take(FILE_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const KEY: &str = "swordfish-of-this-zone";

    /// What comes of a configuration with these lines, `{}` standing for a folder.
    fn load_config(folder: &Path, ovs: &str, tunnel: &str) -> Result<Config, String> {
        let file = folder.join("o.toml");
        let tunnel = tunnel.replace("{}", &folder.display().to_string());
        fs::write(&file, format!("[api]\nlisten = \"off\"\n[ovs]\n{ovs}\n[tunnel]\n{tunnel}\n")).unwrap();
        Config::load(Some(&file)).map_err(|error| error.to_string())
    }

    fn put_file(folder: &Path, name: &str, mode: u32, text: &str) {
        let file = folder.join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(file, Permissions::from_mode(mode)).unwrap();
    }

    const NATIVE: &str = "writes = \"native\"";
    const PSK: &str = "ipsec = \"psk\"\nipsec_psk_file = \"{}/psk\"";
    const FILES: &str = "ipsec = \"certificates\"\nipsec_certificate = \"{}/c\"\nipsec_private_key = \"{}/k\"\nipsec_ca_cert = \"{}/a\"";

    #[test]
    fn a_key_is_read_and_no_word_of_it_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        put_file(folder, "psk", 0o600, &format!("{KEY}\nmore\n"));
        let config = load_config(folder, NATIVE, PSK).unwrap();
        assert_eq!(config.tunnel.options().ipsec, Ipsec::Psk(Psk::from_text(KEY).unwrap()));
        assert!(!format!("{config:?}").contains(KEY), "{config:?}");
        assert!(!serde_json::to_string(&config).unwrap().contains(KEY));
        put_file(folder, "psk", 0o600, "another-swordfish-here");
        let other = load_config(folder, NATIVE, PSK).unwrap();
        assert_eq!(config.difference(&other).taken_up, ["tunnel.ipsec_psk_file"], "the same file, and another key");
    }

    #[test]
    fn what_would_be_in_clear_or_shown_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        put_file(folder, "psk", 0o600, KEY);
        let refused = |ovs: &str, tunnel: &str| load_config(folder, ovs, tunnel).unwrap_err();
        let starts = |ovs: &str, tunnel: &str, words: &str| {
            let error = refused(ovs, tunnel);
            assert!(error.contains(&format!("/o.toml: {words}")), "{error}");
        };
        starts(NATIVE, "ipsec = \"psk\"", "tunnel.ipsec_psk_file must be given where tunnel.ipsec is \"psk\"");
        starts("", "ipsec = \"certificates\"", "tunnel.ipsec_certificate must be given where");
        starts("", PSK, "ovs.writes must be \"native\" where tunnel.ipsec is \"psk\"");
        starts(&format!("{NATIVE}\ndatapath_type = \"netdev\""), PSK, "ovs.datapath_type must not be \"netdev\"");
        let port = |port: u16| format!("kind = \"vxlan\"\ndst_port = {port}\n{PSK}");
        starts(NATIVE, &port(8472), "tunnel.dst_port must not be given where tunnel.ipsec is \"psk\"");
        assert!(refused(NATIVE, &port(8472)).ends_with("got 8472"));
        assert!(load_config(folder, NATIVE, &port(4789)).is_ok(), "that is the usual one");
        assert!(
            refused("", "ipsec = \"on\"")
                .contains("unknown variant `on`, expected one of `off`, `psk`, `certificates`")
        );
        assert!(refused("", "ipsec_psk_file = \"psk\"").contains("expected an absolute path"));
        // What is configured for a way that is not taken is left alone.
        assert!(load_config(folder, "", "ipsec_psk_file = \"/nowhere\"").is_ok());
    }

    #[test]
    fn files_that_others_can_read_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        let refused = |tunnel: &str| load_config(folder, NATIVE, tunnel).unwrap_err();
        assert!(refused(PSK).contains("tunnel.ipsec_psk_file: ") && refused(PSK).contains("No such file"));
        for mode in [0o640, 0o604, 0o660] {
            put_file(folder, "psk", mode, KEY);
            let error = refused(PSK);
            assert!(
                error.contains("must be a file that root alone can read")
                    && error.contains(&format!("mode {mode:04o}")),
                "{error}"
            );
        }
        put_file(folder, "psk", 0o600, "short-swordfish");
        let error = refused(PSK);
        assert!(error.contains("must be 20 to 255 characters") && !error.contains("swordfish"), "{error}");
        for name in ["c", "a"] {
            put_file(folder, name, 0o644, "-");
        }
        assert!(refused(FILES).contains("tunnel.ipsec_private_key: "));
        put_file(folder, "k", 0o644, "-");
        assert!(refused(FILES).contains("must be a file that root alone can read"));
        put_file(folder, "k", 0o600, "-");
        let files = load_config(folder, "", FILES).unwrap().tunnel.options().ipsec;
        assert!(matches!(files, Ipsec::Certificates(files) if files.ca_cert.ends_with("/a")));
    }
}
