//! SIGHUP: the configuration, the certificates and their lists of revoked ones are read again, and the log is reopened.
//!
//! What it does: puts in force what can change while the daemon runs, all of it or nothing, and says what needs a restart.
//! What it must not do: end a connection, or take a part of a configuration of which another part is bad.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ovstunnel_server::access::Access;
use ovstunnel_server::config::ConfigError;
use ovstunnel_server::logging::Logging;
use ovstunnel_server::tls::{self, Loaded};

use crate::app::service::Tuner;
use crate::config::check::{self, CheckError};
use crate::config::{Config, DEFAULT_PATH};

/// All that a new configuration changes.
#[derive(Debug)]
pub struct Reloader<'a> {
    /// The file, where it is not the default one.
    pub file: Option<PathBuf>,
    /// What is in force.
    pub config: Config,
    /// Who may do what.
    pub access: Access,
    /// The log.
    pub logging: Arc<Logging>,
    /// What is behind the listeners.
    pub tuner: &'a Tuner,
}

impl Reloader<'_> {
    /// Reads everything again. The log tells what became of it.
    pub fn reload(&mut self) {
        // Also with a bad configuration: the log may have been rotated.
        self.logging.reopen();
        match self.read_config() {
            Ok((new, loaded)) => self.take_up(&new, loaded),
            Err(e) => {
                tracing::error!(error = %e, "SIGHUP: log reopened; the new configuration is bad, and all stays as it was");
            }
        }
    }

    fn path(&self) -> &Path {
        self.file.as_deref().unwrap_or(Path::new(DEFAULT_PATH))
    }

    fn read_config(&self) -> Result<(Config, Option<Loaded>), CheckError> {
        let new = Config::load(self.file.as_deref())?;
        let effective = self.config.with_what_can_change(&new);
        effective.check_encryption().map_err(|what| ConfigError::Refused { file: self.path().to_owned(), what })?;
        let loaded = match (self.access.tls_store(), effective.https_listener()) {
            (Some(store), Some((listen, files))) => {
                let loaded = tls::load_tls(files)?;
                // Bad ones that are in force already keep nothing else from being taken up.
                if !store.changed_files(files).is_empty() {
                    check::check_certificates(listen, files)?;
                }
                Some(loaded)
            }
            // Those that a restart would need.
            _ => check::check_config(&new).map(|_| None)?,
        };
        Ok((new, loaded))
    }

    fn take_up(&mut self, new: &Config, loaded: Option<Loaded>) {
        let effective = self.config.with_what_can_change(new);
        let changed = self.config.difference(&effective).taken_up.join(", ");
        let needs_restart = self.config.difference(new).needs_restart;
        let set_by_hand = self.logging.level() != self.logging.configured().level;
        self.config = effective;
        if let Err(e) = self.logging.configure(&self.config.log) {
            tracing::error!(error = %e, "the log does not follow the configuration");
        }
        if let (Some(tls), Some(loaded)) = (self.access.tls_store(), loaded) {
            tls.replace(loaded);
        }
        self.tuner.apply_config(&self.config);
        let level = set_by_hand.then(|| self.config.log.level.as_str());
        // Before the reload is said to be over: whoever waits for that may replace the files again.
        check::tell_of_certificates(&self.config);
        tracing::info!(changed, level, "SIGHUP: log reopened, configuration and certificates read again");
        if !needs_restart.is_empty() {
            let keys = needs_restart.join(", ");
            tracing::warn!(keys, "SIGHUP: what has changed in these keys of the configuration needs a restart");
        }
    }
}
