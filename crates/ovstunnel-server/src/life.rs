//! A service's life: start, signals, end.
//!
//! What it does: binds the listeners, serves until SIGTERM or SIGINT, and has everything read again on SIGHUP. What it must
//! not do: know any route, or exit the process: `main` does, after the log is written out.

use std::io;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use futures_util::FutureExt;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Api;
use crate::listen::{GRACE, ListenError, Listeners};
use crate::systemd;
use crate::tls::TlsStore;

/// Why a service could not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A listener could not start.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The signals cannot be waited for.
    #[error("cannot wait for signals: {0}")]
    Signals(#[source] io::Error),
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, RunError> {
        let on = |kind| signal(kind).map_err(RunError::Signals);
        Ok(Signals {
            hangup: on(SignalKind::hangup())?,
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
        })
    }
}

/// What a service does while it serves.
pub struct Life<'a, S, C, R> {
    /// Where requests come in.
    pub api: &'a Api,
    /// The settings of HTTPS; none where it is off.
    pub tls: Option<Arc<TlsStore>>,
    /// Version of the program, for the log.
    pub version: &'static str,
    /// Once it is over, systemd is told that the service has started.
    pub settled: S,
    /// Told of each connection that is ended against its client's will, with the reason in a word.
    pub count: C,
    /// Reads everything again on SIGHUP.
    pub reload: R,
}

impl<S, C, R> Life<'_, S, C, R>
where
    S: Future<Output = ()>,
    C: Fn(&'static str) + Send + Sync + 'static,
    R: FnMut(),
{
    /// Serves `app` until SIGTERM or SIGINT; then requests in flight have [`GRACE`] to finish. What the handlers use must live
    /// until this returns. `ending` is called before that grace begins: what streams without an end has to be ended by it.
    ///
    /// # Errors
    /// When a listener cannot start; nothing was served then.
    pub async fn run(self, app: Router, ending: impl FnOnce()) -> Result<(), RunError> {
        let Life { api, tls, version, settled, count, mut reload } = self;
        // Before anything listens: from then on a signal is never lost, and never kills.
        let mut signals = Signals::new()?;
        let listeners = Listeners::bind(api, tls).await?;
        let https = listeners.https_address().map_or_else(|| "off".to_owned(), |a| a.to_string());
        let serving = listeners.serve(&app, count);
        // The handlers' last owner must be gone when this returns.
        drop(app);
        tracing::info!(version, https, socket = %api.socket.display(), "serving");
        let mut settled = pin!(settled.fuse());
        loop {
            tokio::select! {
                () = &mut settled => systemd::notify_ready(),
                _ = signals.hangup.recv() => {
                    systemd::notify_reloading();
                    reload();
                    systemd::notify_ready();
                }
                _ = signals.terminate.recv() => break tracing::info!("SIGTERM: finishing the requests in flight"),
                _ = signals.interrupt.recv() => break tracing::info!("SIGINT: finishing the requests in flight"),
            }
        }
        systemd::notify_stopping();
        ending();
        serving.shutdown(GRACE).await;
        tracing::info!("ended");
        Ok(())
    }
}
