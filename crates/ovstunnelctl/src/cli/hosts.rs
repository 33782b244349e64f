//! The file of hosts, from which `--host NAME` takes address and certificates.
//!
//! ```toml
//! ca = "ca.crt"              # for all hosts; paths are those beside the file
//! cert = "admin.crt"
//! key = "admin.key"
//!
//! [hosts.host2]
//! address = "192.0.2.12"     # the name itself when left out
//! port = 8443
//! ```
//!
//! What it must not do: choose a host that nobody has named.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};

use crate::client::Url;
use clap_complete::engine::CompletionCandidate;
use serde::Deserialize;

use crate::client::Endpoint;

/// The daemon's port where neither file nor URL says another one.
const PORT: u16 = 8443;

/// The file for all users of this machine.
const FOR_ALL: &str = "/etc/ovstunnel/hosts.toml";

/// What HTTPS needs, as far as a file says it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Host {
    address: Option<String>,
    port: Option<u16>,
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hosts {
    port: Option<u16>,
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    #[serde(default)]
    hosts: BTreeMap<String, Host>,
}

/// What the file says of one host: its URL, and the files of HTTPS as far as they are known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) url: Url,
    pub(super) ca: Option<PathBuf>,
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

impl Hosts {
    /// Reads the user's file, or that of all users; empty where there is none. `env` looks a variable up.
    ///
    /// # Errors
    /// Names the file, and what is wrong with it.
    pub(super) fn load(env: &impl Fn(&str) -> Option<OsString>) -> Result<Self, String> {
        let Some(file) = hosts_file(env) else { return Ok(Hosts::default()) };
        let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let mut hosts: Hosts = toml::from_str(&text)
            .map_err(|error| format!("{}: {}", file.display(), error.to_string().trim_end().replace('\n', " ")))?;
        hosts.stand_in(file.parent().unwrap_or(Path::new(".")));
        Ok(hosts)
    }

    /// Paths are those beside the file.
    fn stand_in(&mut self, folder: &Path) {
        let own = [&mut self.ca, &mut self.cert, &mut self.key];
        let of_hosts = self.hosts.values_mut().flat_map(|host| [&mut host.ca, &mut host.cert, &mut host.key]);
        own.into_iter().chain(of_hosts).flatten().for_each(|path| *path = folder.join(&*path));
    }

    /// A host of the file, or one that is called by its own name.
    ///
    /// # Errors
    /// When name or address can be no host of a URL.
    pub(super) fn find_host(&self, name: &str) -> Result<Known, String> {
        let host = self.hosts.get(name).cloned().unwrap_or_default();
        let address = host.address.as_deref().unwrap_or(name);
        let port = host.port.or(self.port).unwrap_or(PORT);
        let url = match address.parse::<Ipv6Addr>() {
            Ok(address) => format!("https://[{address}]:{port}"),
            Err(_) => format!("https://{address}:{port}"),
        };
        let url = Endpoint::parse_url(&url).map_err(|error| format!("--host {name}: {error}"))?;
        let (ca, cert, key) = (host.ca, host.cert, host.key);
        Ok(Known {
            url,
            ca: ca.or_else(|| self.ca.clone()),
            cert: cert.or_else(|| self.cert.clone()),
            key: key.or_else(|| self.key.clone()),
        })
    }

    /// The names in the file.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.hosts.keys().map(String::as_str)
    }
}

/// The file that counts: the one that is named, which has to be there, else the user's, else that of all users.
fn hosts_file(env: &impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(named) = set("OVSTUNNEL_HOSTS") {
        return Some(named);
    }
    let folder = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    let own = folder.map(|folder| folder.join("ovstunnel/hosts.toml"));
    own.into_iter().chain([PathBuf::from(FOR_ALL)]).find(|file| file.exists())
}

/// The names in the file, for a shell that completes a line.
pub(super) fn host_candidates() -> Vec<CompletionCandidate> {
    let hosts = Hosts::load(&|name: &str| std::env::var_os(name)).unwrap_or_default();
    hosts.names().map(CompletionCandidate::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(text: &str) -> Hosts {
        let mut hosts: Hosts = toml::from_str(text).unwrap();
        hosts.stand_in(Path::new("/f"));
        hosts
    }

    #[test]
    fn a_host_has_what_the_file_says_and_else_what_all_have() {
        let hosts = hosts(
            "ca = 'ca.crt'\ncert = '/abs/a.crt'\n[hosts.host2]\naddress = '2001:db8::2'\ncert = 'b.crt'\n[hosts.h3]\nport = 1",
        );
        let known = |name: &str| hosts.find_host(name).unwrap();
        assert_eq!(known("host2").url.as_str(), "https://[2001:db8::2]:8443/");
        assert_eq!((known("host2").ca, known("host2").cert), (Some("/f/ca.crt".into()), Some("/f/b.crt".into())));
        assert_eq!((known("h3").url.as_str(), known("h3").key), ("https://h3:1/", None));
        assert_eq!(known("other.example").url.as_str(), "https://other.example:8443/");
        assert_eq!(known("other.example").cert, Some("/abs/a.crt".into()));
        assert!(hosts.find_host("a/b").unwrap_err().contains("--host a/b"));
        assert_eq!(hosts.names().collect::<Vec<_>>(), ["h3", "host2"]);
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(toml::from_str::<Hosts>("where = 'x'").is_err());
        assert!(toml::from_str::<Hosts>("[hosts.a]\nwhere = 'x'").is_err());
    }
}
