//! The daemon's life: start, signals, end.
//!
//! What it does: binds the listeners, serves until SIGTERM or SIGINT, and has everything read again on SIGHUP. What it must
//! not do: know any route, or exit the process: `main` does, after the log is written out.

use std::io;
use std::pin::pin;

use axum::Router;
use futures_util::FutureExt;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{Config, ConfigError};
use crate::listen::{GRACE, ListenError, Listeners};
use crate::notify;
use crate::reload::Reloader;
use crate::tls::{self, TlsError};

/// Why the daemon could not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A listener could not start.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The signals cannot be waited for.
    #[error("cannot wait for signals: {0}")]
    Signals(#[source] io::Error),
}

/// What `--check` found wrong.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The configuration file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A certificate or key.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Checks a configuration and the certificate files that it names; says in a sentence what it would do.
///
/// # Errors
/// Names file, line or key, and the reason.
pub fn check(config: &Config) -> Result<String, CheckError> {
    let socket = config.api.socket.display();
    match (config.api.listen, &config.tls) {
        (Some(listen), Some(files)) => {
            tls::load(files)?;
            Ok(format!("the configuration and its certificate files are good: HTTPS on {listen}, Unix socket {socket}"))
        }
        _ => Ok(format!("the configuration is good: HTTPS is off, Unix socket {socket}")),
    }
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

/// Serves `app` until SIGTERM or SIGINT; then requests in flight have [`GRACE`] to finish. What the handlers use must
/// live until this returns. That it has started is told once `settled` is over.
///
/// # Errors
/// When a listener cannot start; nothing was served then.
pub async fn run(
    config: &Config,
    mut reloader: Reloader<'_>,
    app: Router,
    settled: impl Future<Output = ()>,
) -> Result<(), RunError> {
    // Before anything listens: from then on a signal is never lost, and never kills.
    let mut signals = Signals::new()?;
    let listeners = Listeners::bind(config, reloader.access.tls()).await?;
    let https = listeners.https_address().map_or_else(|| "off".to_owned(), |a| a.to_string());
    let serving = listeners.serve(&app, reloader.tuner.metrics());
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(version, https, socket = %config.api.socket.display(), "serving");
    let mut settled = pin!(settled.fuse());
    loop {
        tokio::select! {
            () = &mut settled => notify::ready(),
            _ = signals.hangup.recv() => {
                notify::reloading();
                reloader.reload();
                notify::ready();
            }
            _ = signals.terminate.recv() => break tracing::info!("SIGTERM: finishing the requests in flight"),
            _ = signals.interrupt.recv() => break tracing::info!("SIGINT: finishing the requests in flight"),
        }
    }
    notify::stopping();
    serving.shutdown(GRACE).await;
    tracing::info!("ended");
    Ok(())
}
