//! The daemon's life between signals ([`ovstunnel_server::life`]).
//!
//! What it must not do: know any route, or exit the process: `main` does, after the log is written out.

use axum::Router;
use ovstunnel_server::life::{Life, RunError};

use crate::app::reload::Reloader;
use crate::config::Config;

/// Serves `app` until SIGTERM or SIGINT; then requests in flight have [`ovstunnel_server::listen::GRACE`] to finish. What the handlers
/// use must live until this returns. That it has started is told once `settled` is over.
///
/// # Errors
/// When a listener cannot start; nothing was served then.
pub async fn serve_until_signal(
    config: &Config,
    mut reloader: Reloader<'_>,
    app: Router,
    settled: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let metrics = reloader.tuner.metrics();
    let life = Life {
        api: &config.api,
        tls: reloader.access.tls_store(),
        version: env!("CARGO_PKG_VERSION"),
        settled,
        count: move |reason| metrics.connection_ended(reason),
        reload: || reloader.reload(),
    };
    life.run(app, || {}).await
}
