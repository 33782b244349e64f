//! What the daemon's configuration is checked for, at a start, at a reload and by `--check`.
//!
//! What it must not do: change anything, or decide whether the daemon starts all the same.

use std::net::SocketAddr;

use ovstunnel_api::Level;
use ovstunnel_server::config::{ConfigError, Tls};
use ovstunnel_server::fault::Fault;
use ovstunnel_server::logging::place;
use ovstunnel_server::tls::TlsError;
use ovstunnel_server::tls::judge::{Host, judge_files};
use time::OffsetDateTime;

use crate::config::Config;

/// What `--check` found wrong.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The configuration file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A certificate or key that cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Certificates that clients will not take, or whose clients are all refused.
    #[error("{}", .0.join("\n"))]
    Certificates(Vec<String>),
    /// Files of the log that cannot be written, after what else is wrong.
    #[error("{}", .0.join("\n"))]
    Log(Vec<String>),
}

/// A configuration that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What it would do, in a sentence.
    pub sentence: String,
    /// What may be meant so, or is bad later only.
    pub warnings: Vec<String>,
}

/// The daemon's name for systemd, as operators give it to `systemctl`.
pub(crate) const UNIT: &str = "ovstunneld";

/// Checks what [`check_config`] does, and whether the log can be written: a start does not depend on that.
///
/// # Errors
/// Names file, line or key, the reason and what to do about it.
pub fn with_log(config: &Config) -> Result<Checked, CheckError> {
    let (worse, warnings): (Vec<_>, Vec<_>) =
        place::log_faults(&config.log).into_iter().partition(|fault| fault.level == Level::Fail);
    let checked = check_config(config);
    if !worse.is_empty() {
        let others = checked.err().map(|error| error.to_string());
        return Err(CheckError::Log(others.into_iter().chain(worse.iter().map(ToString::to_string)).collect()));
    }
    let mut checked = checked?;
    checked.warnings.extend(warnings.iter().map(ToString::to_string));
    Ok(checked)
}

/// Checks a configuration and the certificate files that it names.
///
/// # Errors
/// Names file, line or key, the reason and what to do about it.
pub fn check_config(config: &Config) -> Result<Checked, CheckError> {
    let socket = config.api.socket.display();
    match config.https_listener() {
        Some((listen, files)) => {
            let warnings = check_certificates(listen, files)?;
            let sentence = format!(
                "the configuration and its certificate files are good: HTTPS on {listen}, Unix socket {socket}"
            );
            Ok(Checked { sentence, warnings })
        }
        None => {
            let sentence = format!("the configuration is good: HTTPS is off, Unix socket {socket}");
            Ok(Checked { sentence, warnings: Vec::new() })
        }
    }
}

/// Judges the files of `[tls]`; gives what is no more than a warning.
///
/// # Errors
/// Names all that is worse.
pub(crate) fn check_certificates(listen: SocketAddr, files: &Tls) -> Result<Vec<String>, CheckError> {
    let faults = judge_files(files, &Host::from_kernel(listen), None, OffsetDateTime::now_utc(), UNIT);
    let (worse, warnings): (Vec<_>, Vec<_>) = faults.into_iter().partition(|fault| fault.level == Level::Fail);
    let told = |faults: Vec<Fault>| faults.iter().map(ToString::to_string).collect::<Vec<_>>();
    if worse.is_empty() { Ok(told(warnings)) } else { Err(CheckError::Certificates(told(worse))) }
}

/// Says in the log what is wrong with the certificates of a daemon that starts with them all the same: its tunnels do not
/// depend on them.
pub fn tell_of_certificates(config: &Config) {
    let Some((listen, files)) = config.https_listener() else { return };
    let faults = judge_files(files, &Host::from_kernel(listen), None, OffsetDateTime::now_utc(), UNIT);
    faults.iter().for_each(Fault::tell_of_certificate);
}
