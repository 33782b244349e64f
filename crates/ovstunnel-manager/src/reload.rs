//! SIGHUP: the certificates of the listener and their lists of revoked ones are read again, the key that signs proofs, too, and the log is
//! reopened. Connections to hosts need nothing: each new one reads the files of `[hosts]` by itself.
//!
//! What it must not do: end a connection (a watch is ended, and begins again), or take new certificates of which one is bad.

use std::sync::Arc;

use ovstunnel_server::access::Access;
use ovstunnel_server::config::Tls;
use ovstunnel_server::logging::Logging;

use crate::document::Signer;
use crate::watch::Watched;

/// What a SIGHUP has read again.
#[derive(Debug)]
pub struct Reloader {
    /// The listener's certificate files.
    pub files: Option<Tls>,
    /// Who may do what.
    pub access: Access,
    /// What signs proofs.
    pub signer: Option<Arc<Signer>>,
    /// Those who watch.
    pub watched: Watched,
    /// The log.
    pub logging: Arc<Logging>,
}

impl Reloader {
    /// Reads everything again. The log tells what became of it.
    pub fn reload(&self) {
        // Also with bad certificates: the log may have been rotated.
        self.logging.reopen();
        match (self.access.tls_store(), &self.files) {
            (Some(store), Some(files)) => match store.load_files(files) {
                Ok(loaded) => {
                    store.replace(loaded);
                    // Who may still read comes back by the new certificates.
                    self.watched.end_all();
                    tracing::info!("SIGHUP: log reopened, certificates read again; the configuration needs a restart");
                }
                Err(error) => {
                    tracing::error!(%error, "SIGHUP: log reopened; the certificates are bad, and stay as they were")
                }
            },
            _ => tracing::info!("SIGHUP: log reopened; the configuration needs a restart"),
        }
        if let Some(Err(error)) = self.signer.as_ref().map(|signer| signer.reload()) {
            tracing::error!(%error, "SIGHUP: certificate and key under [hosts] are bad; proofs are signed with the key from before");
        }
    }
}
