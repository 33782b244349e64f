//! What is wrong with a file that the configuration names. Must not find it out: that is of those who know the file.

use std::fmt;
use std::path::PathBuf;

use ovstunnel_api::Level;

/// What is wrong with a file, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Section of the configuration, such as `tls`.
    pub section: &'static str,
    /// Key in it.
    pub key: &'static str,
    /// The file that it names, or stands for where it is left out.
    pub file: PathBuf,
    /// A warning: it works, or may be meant so. Else clients are refused or refuse this service, or lines of the log are lost.
    pub level: Level,
    /// The rule that it breaks, or what is there instead.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

impl Fault {
    /// Says in the log what is wrong with a certificate file of a service that starts with it all the same.
    pub fn tell_of_certificate(&self) {
        let Fault { key, file, reason, remedy, .. } = self;
        let file = file.display();
        match self.level {
            Level::Fail => tracing::error!(key, %file, remedy, "certificate: {reason}"),
            _ => tracing::warn!(key, %file, remedy, "certificate: {reason}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { section, key, file, reason, remedy, .. } = self;
        write!(f, "[{section}] {key}: {}: {reason}\n  {remedy}", file.display())
    }
}
