//! SIGHUP: the certificates of the listener and their lists of revoked ones are read again, and the log is reopened.
//!
//! What it must not do: end a connection, or take new certificates of which one is bad.

use std::sync::Arc;

use ovstunnel_server::access::Access;
use ovstunnel_server::config::Tls;
use ovstunnel_server::logging::Logging;
use ovstunnel_server::tls;

/// What a SIGHUP has read again.
#[derive(Debug)]
pub struct Reloader {
    /// The listener's certificate files.
    pub files: Option<Tls>,
    /// Who may do what.
    pub access: Access,
    /// The log.
    pub logging: Arc<Logging>,
}

impl Reloader {
    /// Reads everything again. The log tells what became of it.
    pub fn reload(&self) {
        // Also with bad certificates: the log may have been rotated.
        self.logging.reopen();
        match (self.access.tls(), &self.files) {
            (Some(store), Some(files)) => match tls::load(files) {
                Ok(loaded) => {
                    store.replace(loaded);
                    tracing::info!("SIGHUP: log reopened, certificates read again; the configuration needs a restart");
                }
                Err(error) => {
                    tracing::error!(%error, "SIGHUP: log reopened; the certificates are bad, and stay as they were")
                }
            },
            _ => tracing::info!("SIGHUP: log reopened; the configuration needs a restart"),
        }
    }
}
