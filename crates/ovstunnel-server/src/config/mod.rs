//! The sections of a configuration file that every service has: `[api]`, `[tls]` and `[log]`.
//!
//! What it does: reads a file of TOML, refuses an unknown key or a bad value with file, line and what was expected, and takes
//! from the program what holds for keys that are not there. What it must not do: look at the host (whether a path exists, an
//! address is ours or a certificate is good is found out by whoever uses it), or accept two spellings of the same thing.

mod file;
mod level;
pub mod values;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use serde::{Deserialize, Deserializer, Serialize};

pub use file::{ConfigError, parse_config, read_config};
pub use level::{AUDIT, LEVELS, Level, LogFormat};

/// `[api]`: where requests come in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Api {
    /// Address and port for HTTPS, IPv6 as `"[::]:8443"`; `"off"` serves the Unix socket only.
    #[serde(serialize_with = "values::show_listen")]
    pub listen: Option<SocketAddr>,
    /// Unix socket for root, an absolute path of at most 107 bytes.
    pub socket: PathBuf,
}

/// The keys of `[api]` that are there.
#[derive(Default, Deserialize)]
#[serde(rename = "Api", deny_unknown_fields, default)]
struct ApiKeys {
    #[serde(deserialize_with = "values::some_listen")]
    listen: Option<Option<SocketAddr>>,
    #[serde(deserialize_with = "values::some_socket")]
    socket: Option<PathBuf>,
}

impl Api {
    /// Reads the section; a key that is not there is as in `self`, which has the program's defaults.
    ///
    /// # Errors
    /// When a key is not known or its value is bad.
    pub fn with_section<'de, D: Deserializer<'de>>(self, section: D) -> Result<Self, D::Error> {
        let ApiKeys { listen, socket } = ApiKeys::deserialize(section)?;
        Ok(Api { listen: listen.unwrap_or(self.listen), socket: socket.unwrap_or(self.socket) })
    }

    /// That there are the files that HTTPS needs, where it is on; `file` is the configuration file.
    ///
    /// # Errors
    /// When there are none.
    pub fn must_have(&self, tls: Option<&Tls>, file: &Path) -> Result<(), ConfigError> {
        match (self.listen, tls) {
            (Some(listen), None) => Err(ConfigError::NoTls { file: file.to_owned(), listen }),
            _ => Ok(()),
        }
    }
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
    /// Who may do what, as tables `[[tls.clients]]`. Without any, every client with a good certificate is an operator (of a manager
    /// a viewer, and that of a registered host a host); with some, whoever is in none is refused.
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
    /// `"operator"`: may do everything; `"viewer"`: may only read (GET). A zone's manager also knows `"admin"`, who alone registers and
    /// removes hosts, and `"host"`, which may only read what is said of itself. Where a certificate has several names that are
    /// listed, the least role counts.
    pub role: Role,
}

/// What a client may do, from the least on. What that is of a service's own routes, the service says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Only read what concerns a host of its name. Of a manager only.
    Host,
    /// Only read.
    Viewer,
    /// Act: on a daemon everything.
    Operator,
    /// Everything. Of a manager only.
    Admin,
}

impl Role {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Host => "host",
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }
}

impl Tls {
    /// That no client has a role that only a manager knows.
    ///
    /// # Errors
    /// Names key, client and rule.
    pub fn without_roles_of_a_manager(&self) -> Result<(), String> {
        match self.clients.iter().find(|client| matches!(client.role, Role::Admin | Role::Host)) {
            Some(TlsClient { name, role }) => {
                let (name, role) = (ovstunnel_types::text::excerpt(name), role.as_str());
                Err(format!(
                    "tls.clients: the role `{role}` of `{name}` is one of a zone's manager; here it must be `operator` or `viewer`"
                ))
            }
            None => Ok(()),
        }
    }
}

/// `[log]`: the log file. Errors and warnings also go to standard error, which is the journal under systemd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Log {
    /// File, opened again on SIGHUP; its folder must be there.
    pub file: PathBuf,
    /// File that has the lines of the audit alone, so that no others push them out; the log has them too. None: beside the log,
    /// as `NAME-audit.log` beside `NAME.log`, unless the log is a device or a pipe.
    pub audit_file: Option<PathBuf>,
    /// `"off"`, `"error"`, `"warn"`, `"info"`, `"debug"` or `"trace"`, and after it, separated by commas, levels of single
    /// modules: `"info,ovstunnel_server=debug"`.
    pub level: Level,
    /// `"text"` or `"json"` (one object a line).
    pub format: LogFormat,
    /// Size in bytes at which each of the two files becomes the older one (its name and `.1`) and a new one is begun, also
    /// where nobody rotates: all four together take at most four times as much. From `"64KiB"` to `"1TiB"`.
    #[serde(serialize_with = "values::show_size")]
    pub max_size: ByteSize,
}

/// The keys of `[log]` that are there.
#[derive(Default, Deserialize)]
#[serde(rename = "Log", deny_unknown_fields, default)]
struct LogKeys {
    #[serde(deserialize_with = "values::some_path")]
    file: Option<PathBuf>,
    #[serde(deserialize_with = "values::some_path")]
    audit_file: Option<PathBuf>,
    level: Option<Level>,
    format: Option<LogFormat>,
    #[serde(deserialize_with = "values::some_log_size")]
    max_size: Option<ByteSize>,
}

impl Log {
    /// A log in this file, and all else as usual: level `info`, text, 50 MiB.
    pub fn at_file(file: impl Into<PathBuf>) -> Self {
        let (level, format, max_size) = (Level::default(), LogFormat::Text, ByteSize::mib(50));
        Log { file: file.into(), audit_file: None, level, format, max_size }
    }

    /// Reads the section; a key that is not there is as in `self`, which has the program's defaults.
    ///
    /// # Errors
    /// When a key is not known or its value is bad.
    pub fn with_section<'de, D: Deserializer<'de>>(self, section: D) -> Result<Self, D::Error> {
        let LogKeys { file, audit_file, level, format, max_size } = LogKeys::deserialize(section)?;
        Ok(Log {
            file: file.unwrap_or(self.file),
            audit_file: audit_file.or(self.audit_file),
            level: level.unwrap_or(self.level),
            format: format.unwrap_or(self.format),
            max_size: max_size.unwrap_or(self.max_size),
        })
    }
}
