//! The configuration file, `/etc/ovstunnel/manager.toml`.
//!
//! What it does: has the file read ([`ovstunnel_server::config`], where `[api]`, `[tls]` and `[log]` are), gives every key but those
//! of certificates a default, and says what else there is to configure. What it must not do: look at the host or the database, or
//! accept two spellings of the same thing.

mod cloudstack;
mod database;
mod enrolment;
mod networks;
mod probes;
mod replica;
mod url;
mod values;
mod web;
mod webhooks;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ovstunnel_server::config::{self, Api, ConfigError, Log, Tls};
use serde::{Deserialize, Deserializer, Serialize};

pub use cloudstack::{CloudStack, Signature};
pub use database::{Database, States};
pub use enrolment::Enrolment;
pub use networks::{Brakes, Family, Membership, NetworkRules, OnFailure, PhysicalNetwork};
pub use probes::Probes;
pub use replica::{REPLICA_MAX, Replica};
pub use url::Url;
pub use values::{LABEL_MAX, NAME_MAX, is_label};
pub use web::Web;
pub use webhooks::Webhook;

/// Where the configuration is looked for when `--config` does not say otherwise. Only this file may be missing.
pub const DEFAULT_PATH: &str = "/etc/ovstunnel/manager.toml";

/// The log file where the configuration names none.
pub const DEFAULT_LOG: &str = "/var/log/ovstunnel-manager.log";

/// The manager's Unix socket where the configuration names none.
pub const DEFAULT_SOCKET: &str = "/run/ovstunnel/manager.sock";

/// The whole file. Every section may be left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The zone's name: 1 to 63 characters of A-Z, a-z, 0-9, `.`, `_` and `-`.
    #[serde(deserialize_with = "values::name")]
    pub zone: String,
    /// The specification's own keys.
    pub sdn: Sdn,
    /// Where it is kept which hosts there are, and what has happened.
    pub database: Database,
    /// What this manager is for the others of its zone, where several share one database.
    pub replica: Replica,
    /// Where requests come in.
    #[serde(deserialize_with = "api")]
    pub api: Api,
    /// Certificates of the HTTPS listener. Without this section the three files of `[hosts]` are used, and where these are not there
    /// either, the Unix socket alone is served.
    pub tls: Option<Tls>,
    /// The daemons of the hosts, and how the manager shows itself to them.
    pub hosts: Hosts,
    /// Where networks get their keys from, as tables `[[physical_networks]]`: what a database without any begins with.
    #[serde(deserialize_with = "networks::physical_networks", skip_serializing_if = "Vec::is_empty")]
    pub physical_networks: Vec<PhysicalNetwork>,
    /// Who says that a host has VMs of a network.
    pub membership: Membership,
    /// CloudStack's API, which is read beside the zone.
    pub cloudstack: CloudStack,
    /// What holds for each network.
    pub network: NetworkRules,
    /// How much may be removed without a question.
    pub brakes: Brakes,
    /// What hosts send each other to see whether tunnels carry frames.
    pub probes: Probes,
    /// The page for browsers.
    pub web: Web,
    /// Hosts that join by a token.
    pub enrolment: Enrolment,
    /// When something that has happened is forgotten.
    pub events: Events,
    /// Who is told of what happens, as tables `[[webhooks]]`.
    #[serde(deserialize_with = "webhooks::webhooks", skip_serializing_if = "Vec::is_empty")]
    pub webhooks: Vec<Webhook>,
    /// The log file.
    #[serde(deserialize_with = "log")]
    pub log: Log,
}

/// `[sdn]`: the specification's own keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sdn {
    /// `[sdn.ovs]`.
    pub ovs: Ovs,
}

/// `[sdn.ovs]`: what the specification has in its global configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ovs {
    /// Whether the manager changes hosts, so that each network is whole. Off, it only looks, and says what it would do.
    pub controller: bool,
    /// The device, bridge or network of a host whose address its tunnels end at, where the host has no label of its own.
    #[serde(deserialize_with = "values::label")]
    pub default_label: String,
}

/// `[hosts]`: the daemons of the hosts. The three files are PEM, absolute paths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hosts {
    /// The manager's certificate, followed by any intermediate ones.
    #[serde(deserialize_with = "values::some_path")]
    pub certificate: Option<PathBuf>,
    /// Private key of that certificate, unencrypted.
    #[serde(deserialize_with = "values::some_path")]
    pub key: Option<PathBuf>,
    /// Certificates of the authorities that the daemons' certificates come from; no other one is trusted.
    #[serde(deserialize_with = "values::some_path")]
    pub ca: Option<PathBuf>,
    /// How many hosts are connected to, or written to, at the same time: 1 to 1024.
    #[serde(deserialize_with = "values::concurrency")]
    pub concurrency: usize,
    /// After how long a silent host is taken for dead: from `"10s"` to `"1d"`.
    #[serde(deserialize_with = "values::dead_after", serialize_with = "humantime_serde::serialize")]
    pub dead_after: Duration,
}

/// `[events]`: when something that has happened is forgotten.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Events {
    /// For how long events are kept: from `"1h"` to `"10years"`.
    #[serde(deserialize_with = "values::keep", serialize_with = "humantime_serde::serialize")]
    pub keep: Duration,
    /// How many are kept at most, whatever their age, 1000 to 100000000: of more the oldest are removed. The default takes less than 1 GB.
    #[serde(deserialize_with = "values::most_events")]
    pub most: u64,
}

/// How the manager shows itself to the daemons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentityFiles<'a> {
    /// Its certificate.
    pub certificate: &'a Path,
    /// Its key.
    pub key: &'a Path,
    /// Whom it trusts.
    pub ca: &'a Path,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            zone: "zone1".to_owned(),
            sdn: Sdn::default(),
            database: Database::default(),
            replica: Replica::default(),
            api: default_api(),
            tls: None,
            hosts: Hosts::default(),
            physical_networks: Vec::new(),
            membership: Membership::default(),
            cloudstack: CloudStack::default(),
            network: NetworkRules::default(),
            brakes: Brakes::default(),
            probes: Probes::default(),
            web: Web::default(),
            enrolment: Enrolment::default(),
            events: Events::default(),
            webhooks: Vec::new(),
            log: Log::at_file(DEFAULT_LOG),
        }
    }
}

impl Default for Ovs {
    fn default() -> Self {
        Ovs { controller: false, default_label: "cloud-public".to_owned() }
    }
}

impl Default for Hosts {
    fn default() -> Self {
        let dead_after = Duration::from_secs(600);
        Hosts { certificate: None, key: None, ca: None, concurrency: 128, dead_after }
    }
}

impl Default for Events {
    fn default() -> Self {
        Events { keep: Duration::from_secs(30 * 86_400), most: 1_500_000 }
    }
}

fn default_api() -> Api {
    Api { listen: Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8444))), socket: DEFAULT_SOCKET.into() }
}

fn api<'de, D: Deserializer<'de>>(section: D) -> Result<Api, D::Error> {
    default_api().with_section(section)
}

fn log<'de, D: Deserializer<'de>>(section: D) -> Result<Log, D::Error> {
    Log::at_file(DEFAULT_LOG).with_section(section)
}

impl Config {
    /// Reads `file`, or where that is `None` [`DEFAULT_PATH`], which alone may be missing: then the defaults apply.
    ///
    /// # Errors
    /// When the file cannot be read or is refused.
    pub fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
        let path = file.unwrap_or(Path::new(DEFAULT_PATH));
        Config::parse(&config::read_config(path, file.is_none())?, path)
    }

    /// Checks the text of a configuration file; `file` only names it in errors.
    ///
    /// # Errors
    /// As [`Config::load`], without reading.
    pub fn parse(text: &str, file: &Path) -> Result<Config, ConfigError> {
        let config: Config = config::parse_config(text, file)?;
        config.check_consistency().map_err(|what| ConfigError::Refused { file: file.to_owned(), what })?;
        Ok(config)
    }

    /// What one key alone cannot tell.
    fn check_consistency(&self) -> Result<(), String> {
        let Hosts { certificate, key, ca, .. } = &self.hosts;
        let files = [("certificate", certificate), ("key", key), ("ca", ca)];
        let there = files.iter().filter(|(_, file)| file.is_some()).count();
        if let (1..3, Some((missing, _))) = (there, files.iter().find(|(_, file)| file.is_none())) {
            return Err(format!(
                "hosts.{missing}: is needed too; [hosts] has certificate, key and ca, or none of them"
            ));
        }
        if self.sdn.ovs.controller && there == 0 {
            return Err(
                "sdn.ovs.controller: hosts are changed by certificate only; name certificate, key and ca under [hosts]"
                    .into(),
            );
        }
        self.database.check_consistency()?;
        self.cloudstack.check_consistency(self.membership.hears_cloudstack())
    }

    /// The files by which daemons are asked; none where there are none.
    pub fn identity_files(&self) -> Option<IdentityFiles<'_>> {
        let Hosts { certificate, key, ca, .. } = &self.hosts;
        Some(IdentityFiles { certificate: certificate.as_deref()?, key: key.as_deref()?, ca: ca.as_deref()? })
    }

    /// The files of the manager's own certificates, each once: that for daemons and that of the listener.
    pub fn own_certificates(&self) -> Vec<PathBuf> {
        let (hosts, tls) = (self.hosts.certificate.iter(), self.tls.iter().map(|tls| &tls.certificate));
        let mut files: Vec<PathBuf> = hosts.chain(tls).cloned().collect();
        files.dedup();
        files
    }

    /// What the page's address begins with: `https://NAME:8444`; none where there is no page.
    pub fn page_address(&self) -> Option<String> {
        self.advertised_address().filter(|_| self.web.enabled)
    }

    /// By what address others reach the API: that of `[replica]`, else one by this machine's name; none without HTTPS.
    pub fn advertised_address(&self) -> Option<String> {
        let (listen, _) = self.https_listener()?;
        if let Some(address) = &self.replica.address {
            return Some(address.clone());
        }
        let name = match listen.ip() {
            ip if ip.is_unspecified() => replica::host_name(),
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Some(format!("https://{name}:{}", listen.port()))
    }

    /// Whether clients without a certificate are let in at all: to the sign-in page, to join by a token, or with a signed webhook.
    pub fn lets_visitors_in(&self) -> bool {
        self.web.enabled || self.enrolment.authority.is_some() || self.cloudstack.webhook_secret.is_some()
    }

    /// Where HTTPS is served, and its files; none where it is off, or without files.
    pub fn https_listener(&self) -> Option<(SocketAddr, Tls)> {
        let of_hosts = self.identity_files().map(|files| Tls {
            certificate: files.certificate.to_owned(),
            key: files.key.to_owned(),
            client_ca: files.ca.to_owned(),
            client_crl: None,
            clients: Vec::new(),
        });
        self.api.listen.zip(self.tls.clone().or(of_hosts))
    }
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
