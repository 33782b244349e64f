//! The configuration file, `/etc/ovstunnel/ovstunneld.toml`.
//!
//! What it does: reads the file, gives every key but those of `[tls]` a default, and refuses an unknown key or a bad
//! value with file, line and what was expected. What it must not do: look at the host (whether a path exists, an address
//! is ours or a certificate is good is found out by whoever uses it), or accept two spellings of the same thing.

mod reload;
mod values;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use ovstunnel_api::Ipv6Policy;
use ovstunnel_core::RemoteIp;
use serde::{Deserialize, Serialize};

use crate::problem::harmless;
pub use reload::{Difference, NEEDS_RESTART};
pub use values::{AUDIT, LEVELS, Level, LogFormat, Role, XapiMode};

/// Where the configuration is looked for when `--config` does not say otherwise. Only this file may be missing.
pub const DEFAULT_PATH: &str = "/etc/ovstunnel/ovstunneld.toml";

/// Characters of what is said of a bad value.
const LONGEST: usize = 600;

/// The whole file. Every section may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where requests come in.
    pub api: Api,
    /// Certificates of the HTTPS listener; required unless `api.listen` is `"off"`.
    pub tls: Option<Tls>,
    /// How Open vSwitch is reached.
    pub ovs: Ovs,
    /// What a network's bridge is like.
    pub network: Network,
    /// How this host reaches the others.
    pub tunnel: Tunnel,
    /// XenServer's and XCP-ng's own management.
    pub xapi: Xapi,
    /// The log file.
    pub log: Log,
    /// Looking for drift and mending it.
    pub reconcile: Reconcile,
}

/// `[api]`: where requests come in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Api {
    /// Address and port for HTTPS, IPv6 as `"[::]:8443"`; `"off"` serves the Unix socket only.
    #[serde(deserialize_with = "values::listen", serialize_with = "values::show_listen")]
    pub listen: Option<SocketAddr>,
    /// Unix socket for root, an absolute path of at most 107 bytes.
    #[serde(deserialize_with = "values::socket")]
    pub socket: PathBuf,
}

/// `[tls]`: PEM files, absolute paths, read again on SIGHUP, and what their clients may do. The first three are needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// This host's certificate, followed by any intermediate ones.
    #[serde(deserialize_with = "values::path")]
    pub certificate: PathBuf,
    /// Private key of that certificate, unencrypted.
    #[serde(deserialize_with = "values::path")]
    pub key: PathBuf,
    /// Certificates of the authorities whose clients may connect. Every client must show a certificate.
    #[serde(deserialize_with = "values::path")]
    pub client_ca: PathBuf,
    /// Lists of revoked certificates (CRLs) of those authorities: clients that are on one are refused. Those of an authority
    /// without a list are not checked.
    #[serde(default, deserialize_with = "values::some_path")]
    pub client_crl: Option<PathBuf>,
    /// Who may do what, as tables `[[tls.clients]]`. Without any, every client with a good certificate is an operator; with
    /// some, whoever is in none is refused.
    #[serde(default, deserialize_with = "values::clients")]
    pub clients: Vec<TlsClient>,
}

/// `[[tls.clients]]`: a client, by a name in its certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsClient {
    /// The subject's common name, or one of the alternative names: a DNS name, e-mail address or URI. Compared letter by
    /// letter; each at most once.
    #[serde(deserialize_with = "values::client_name")]
    pub name: String,
    /// `"operator"`: may do everything; `"viewer"`: may only read (GET). Where a certificate has several names that are
    /// listed, one that is a viewer's makes it a viewer.
    pub role: Role,
}

/// `[ovs]`: how Open vSwitch is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ovs {
    /// Folder of `db.sock` and of the bridges' management sockets.
    #[serde(deserialize_with = "values::path")]
    pub rundir: PathBuf,
    /// Folder of `ovs-vsctl`, `ovs-ofctl` and `ovsdb-client`.
    #[serde(deserialize_with = "values::path")]
    pub bin_dir: PathBuf,
    /// How long one command may take before its outcome counts as unknown, for example `"30s"` or `"1m 30s"`; more than
    /// 0, at most one hour.
    #[serde(deserialize_with = "values::timeout", serialize_with = "humantime_serde::serialize")]
    pub timeout: Duration,
    /// `datapath_type` of bridges that the daemon creates: `""` leaves it to Open vSwitch, `"system"` is the kernel,
    /// `"netdev"` is userspace.
    #[serde(deserialize_with = "values::datapath_type")]
    pub datapath_type: String,
}

/// `[network]`: what a network's bridge is like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// What a new network does with IPv6 where the request does not say: `"drop"` or `"allow"`.
    pub ipv6: Ipv6Policy,
    /// Whether networks that drop IPv6 also drop what can have IPv6 behind it where Open vSwitch does not look: MPLS, the VLAN
    /// tag 0x9100 and LLC. No Linux guest takes IPv6 from there; guests lose MPLS, IS-IS and other LLC between each other.
    pub ipv6_drop_opaque: bool,
    /// How the port names of VMs' interfaces begin; at least one, each of 1 to 14 characters.
    #[serde(deserialize_with = "values::prefixes")]
    pub vif_prefixes: Vec<String>,
    /// Broadcast and multicast frames a second that each VIF may send, up to 1000000: one guest's flood is multiplied by the
    /// number of tunnels. A burst of one second's worth passes. 0 means any number. Needs a switch with meters.
    #[serde(deserialize_with = "values::pps")]
    pub vif_broadcast_pps: u32,
}

/// `[tunnel]`: how this host reaches the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tunnel {
    /// IPv4 address of this host that all tunnels send from and take frames at: that by which the other hosts know it. Where it
    /// has several on the way to them, a tunnel else takes what the kernel's route says. None: as the route says.
    #[serde(deserialize_with = "values::some_ip", serialize_with = "values::show_ip")]
    pub local_ip: Option<RemoteIp>,
}

/// `[xapi]`: XenServer's and XCP-ng's own management.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Xapi {
    /// Whether xapi is asked and told about networks: `true`, `false`, or `"auto"` (if `xe` is there when the daemon starts).
    pub enabled: XapiMode,
    /// Program `xe`.
    #[serde(deserialize_with = "values::path")]
    pub xe: PathBuf,
    /// How long one run of `xe` may take, for example `"10s"`; more than 0, at most one hour.
    #[serde(deserialize_with = "values::timeout", serialize_with = "humantime_serde::serialize")]
    pub timeout: Duration,
    /// File that says which host this is (`INSTALLATION_UUID`).
    #[serde(deserialize_with = "values::path")]
    pub inventory: PathBuf,
}

/// `[log]`: the log file. Errors and warnings also go to standard error, which is the journal under systemd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// File, opened again on SIGHUP; its folder must be there.
    #[serde(deserialize_with = "values::path")]
    pub file: PathBuf,
    /// File that has the lines of the audit alone, so that no others push them out; the log has them too. None: beside the log,
    /// as `ovstunnel-audit.log` beside `ovstunnel.log`, unless the log is a device or a pipe.
    #[serde(default, deserialize_with = "values::some_path")]
    pub audit_file: Option<PathBuf>,
    /// `"off"`, `"error"`, `"warn"`, `"info"`, `"debug"` or `"trace"`, and after it, separated by commas, levels of single
    /// modules: `"info,ovstunneld::listen=debug"`.
    pub level: Level,
    /// `"text"` or `"json"` (one object a line).
    pub format: LogFormat,
    /// Size in bytes at which each of the two files becomes the older one (its name and `.1`) and a new one is begun, also
    /// where nobody rotates: all four together take at most four times as much. From `"64KiB"` to `"1TiB"`.
    #[serde(deserialize_with = "values::log_size", serialize_with = "values::show_size")]
    pub max_size: ByteSize,
}

/// `[reconcile]`: looking for drift and mending it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reconcile {
    /// Time between two looks, from `"1s"` to `"1d"`.
    #[serde(deserialize_with = "values::interval", serialize_with = "humantime_serde::serialize")]
    pub interval: Duration,
}

impl Default for Api {
    fn default() -> Self {
        Api {
            listen: Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8443))),
            socket: "/run/ovstunnel/ovstunneld.sock".into(),
        }
    }
}

impl Default for Ovs {
    fn default() -> Self {
        Ovs {
            rundir: "/var/run/openvswitch".into(),
            bin_dir: "/usr/bin".into(),
            timeout: Duration::from_secs(30),
            datapath_type: String::new(),
        }
    }
}

impl Default for Network {
    fn default() -> Self {
        Network {
            ipv6: Ipv6Policy::Drop,
            ipv6_drop_opaque: false,
            vif_prefixes: ["vif", "tap", "vnet"].map(str::to_owned).to_vec(),
            vif_broadcast_pps: 0,
        }
    }
}

impl Default for Xapi {
    fn default() -> Self {
        Xapi {
            enabled: XapiMode::Auto,
            xe: "/opt/xensource/bin/xe".into(),
            timeout: Duration::from_secs(10),
            inventory: "/etc/xensource-inventory".into(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        let file = "/var/log/ovstunnel.log".into();
        let (level, format, max_size) = (Level::default(), LogFormat::Text, ByteSize::mib(50));
        Log { file, audit_file: None, level, format, max_size }
    }
}

impl Default for Reconcile {
    fn default() -> Self {
        Reconcile { interval: Duration::from_secs(60) }
    }
}

/// Why a configuration was refused. Names the file, and the line where there is one.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration file {}: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is not TOML, has an unknown key, or a bad value.
    #[error("{}:{line}:{column}: {what}", file.display())]
    Invalid {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// The key, what is wrong with it and what was expected.
        what: String,
    },
    /// HTTPS is on and there are no certificates.
    #[error(
        "{}: there is no [tls] section, and [api] listen is on ({listen}): name the PEM files as `certificate`, `key` and \
         `client_ca` under [tls] (`ovstunnelctl pki init` makes them), or set `listen = \"off\"` under [api] to serve the \
         Unix socket only",
        file.display()
    )]
    NoTls {
        /// The file.
        file: PathBuf,
        /// What HTTPS would listen on.
        listen: SocketAddr,
    },
}

impl Config {
    /// Reads `file`, or where that is `None` [`DEFAULT_PATH`], which alone may be missing: then the defaults apply.
    ///
    /// # Errors
    /// When the file cannot be read, is refused, or lacks `[tls]` while HTTPS is on.
    pub fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
        let path = file.unwrap_or(Path::new(DEFAULT_PATH));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if file.is_none() && e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(ConfigError::Read { file: path.to_owned(), source }),
        };
        Config::parse(&text, path)
    }

    /// Where HTTPS is served, and its files; none where it is off.
    pub fn https(&self) -> Option<(SocketAddr, &Tls)> {
        self.api.listen.zip(self.tls.as_ref())
    }

    /// Checks the text of a configuration file; `file` only names it in errors.
    ///
    /// # Errors
    /// As [`Config::load`], without reading.
    pub fn parse(text: &str, file: &Path) -> Result<Config, ConfigError> {
        let refuse = |e: toml::de::Error, key: &str| {
            let (line, column) = position(text, e.span().map_or(0, |span| span.start));
            let message = harmless(&e.message().trim().replace('\n', ", "), LONGEST);
            let what = if key.is_empty() || key == "." { message } else { format!("{key}: {message}") };
            ConfigError::Invalid { file: file.to_owned(), line, column, what }
        };
        let deserializer = toml::Deserializer::parse(text).map_err(|e| refuse(e, ""))?;
        let config: Config = serde_path_to_error::deserialize(deserializer).map_err(|e| {
            let key = e.path().to_string();
            refuse(e.into_inner(), &key)
        })?;
        match (config.api.listen, &config.tls) {
            (Some(listen), None) => Err(ConfigError::NoTls { file: file.to_owned(), listen }),
            _ => Ok(config),
        }
    }
}

/// Line and column, from 1, of a byte of `text`.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
