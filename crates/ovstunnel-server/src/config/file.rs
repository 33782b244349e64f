//! The configuration file: TOML, and where in it something is wrong.
//!
//! What it must not do: know a key.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use ovstunnel_types::text::sanitize;

/// Characters of what is said of a bad value.
const LONGEST: usize = 600;

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
    /// Values that are good each for itself and not together.
    #[error("{}: {what}", file.display())]
    Refused {
        /// The file.
        file: PathBuf,
        /// The key, what is wrong with it and what to do.
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

/// The text of `file`; an empty one where there is none and that is allowed.
///
/// # Errors
/// When the file cannot be read.
pub fn read_config(file: &Path, may_be_missing: bool) -> Result<String, ConfigError> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(text),
        Err(e) if may_be_missing && e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(ConfigError::Read { file: file.to_owned(), source }),
    }
}

/// Checks the text of a configuration file; `file` only names it in errors.
///
/// # Errors
/// When it is not TOML, has an unknown key or a bad value.
pub fn parse_config<T: DeserializeOwned>(text: &str, file: &Path) -> Result<T, ConfigError> {
    let refuse = |e: toml::de::Error, key: &str| {
        let (line, column) = line_and_column(text, e.span().map_or(0, |span| span.start));
        let message = sanitize(&e.message().trim().replace('\n', ", "), LONGEST);
        let what = if key.is_empty() || key == "." { message } else { format!("{key}: {message}") };
        ConfigError::Invalid { file: file.to_owned(), line, column, what }
    };
    let deserializer = toml::Deserializer::parse(text).map_err(|e| refuse(e, ""))?;
    serde_path_to_error::deserialize(deserializer).map_err(|e| {
        let key = e.path().to_string();
        refuse(e.into_inner(), &key)
    })
}

/// Line and column, from 1, of a byte of `text`.
fn line_and_column(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
