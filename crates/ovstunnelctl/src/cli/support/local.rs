//! What can be read without the daemon: its configuration file, the end of its log, the host's versions.
//!
//! What it must not do: show a value of the configuration that it does not know. A comment or an unknown key can hold anything.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// So much of the log's end is taken, in bytes.
const LOG: u64 = 4 << 20;

/// Keys of the configuration whose values are no secrets.
const SHOWN: [&str; 45] = [
    "listen",
    "socket",
    "certificate",
    "key",
    "client_ca",
    "client_crl",
    "crl",
    "rundir",
    "bin_dir",
    "timeout",
    "datapath_type",
    "writes",
    "ipv6",
    "ipv6_drop_opaque",
    "answer_neighbours",
    "vif_prefixes",
    "vif_broadcast_pps",
    "bridge_mtu",
    "local_ip",
    "kind",
    "dst_port",
    "csum",
    "tos",
    "df",
    "ipsec",
    "ipsec_psk_file",
    "ipsec_certificate",
    "ipsec_private_key",
    "ipsec_ca_cert",
    "forget_after",
    "create_tunnel_exit",
    "enabled",
    "xe",
    "inventory",
    "file",
    "audit_file",
    "level",
    "format",
    "max_size",
    "interval",
    "role",
    "name",
    "clients",
    "limit",
    "mode",
];

/// The configuration file without comments and without the values of keys that are not known.
pub(super) fn redacted_config(file: &Path) -> String {
    match fs::read_to_string(file) {
        Ok(text) => text.lines().filter_map(shown_line).map(|line| format!("{line}\n")).collect(),
        Err(error) => format!("{} cannot be read: {error}\n", file.display()),
    }
}

/// A line as it is shown; none where there is nothing on it.
fn shown_line(line: &str) -> Option<String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "[]._- ".contains(c));
    if line.starts_with('[') && plain(line) && line.len() < 40 {
        return Some(line.to_owned());
    }
    let (key, value) = line.split_once('=')?;
    let key = key.trim();
    match SHOWN.contains(&key) && value.len() < 200 {
        // A comment may stand behind a value.
        true => Some(format!("{key} ={}", value.split(" #").next().unwrap_or_default())),
        false if plain(key) && key.len() < 40 => Some(format!("{key} = (left out)")),
        false => Some("(a line is left out)".to_owned()),
    }
}

/// The end of the log, or why there is none.
pub(super) fn log_end(file: &Path) -> String {
    read_end(file).unwrap_or_else(|error| format!("{} cannot be read: {error}\n", file.display()))
}

/// Where the audit is unless the configuration names another file.
pub(super) fn audit_beside(log: &Path) -> PathBuf {
    let part = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let ending = log.extension().map(|ending| format!(".{}", ending.to_string_lossy())).unwrap_or_default();
    log.with_file_name(format!("{}-audit{ending}", part(log.file_stem())))
}

fn read_end(file: &Path) -> io::Result<String> {
    let mut open = File::open(file)?;
    let skipped = open.metadata()?.len().saturating_sub(LOG);
    open.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    open.take(LOG).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(if skipped == 0 { text.into_owned() } else { format!("[{skipped} bytes are left out here]\n{text}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_is_beside_the_log() {
        assert_eq!(audit_beside(Path::new("/var/log/ovstunnel.log")), Path::new("/var/log/ovstunnel-audit.log"));
        assert_eq!(audit_beside(Path::new("/x/log")), Path::new("/x/log-audit"));
    }

    #[test]
    fn no_key_of_the_reference_is_left_out() {
        let page = include_str!("../../../../../docs/operators-guide/configuration.md");
        let keys = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let missing: Vec<&str> = keys.filter(|key| !SHOWN.contains(key)).collect();
        assert_eq!(missing, Vec::<&str>::new(), "keys for SHOWN, above; a secret is named here instead");
    }

    #[test]
    fn only_what_is_known_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("o.toml");
        let text = "# token abc\n[api]\nlisten = \"off\" # token abc\nsocket = \"/run/x\"\npassword = \"abc\"\n\n[[tls.clients]]\nname = \"ops\"\n\
                    abc\nweird \"abc\" = 1\n";
        fs::write(&file, text).unwrap();
        let shown = redacted_config(&file);
        assert_eq!(
            shown,
            "[api]\nlisten = \"off\"\nsocket = \"/run/x\"\npassword = (left out)\n[[tls.clients]]\nname = \"ops\"\n(a line is left out)\n"
        );
        assert!(redacted_config(&dir.path().join("none")).contains("cannot be read"));
    }
}
