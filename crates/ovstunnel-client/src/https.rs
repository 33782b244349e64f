//! Connections by HTTPS: TCP, then TLS with both sides' certificates. Must not offer a way without.

use std::time::Duration;

use http::Uri;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use tower_service::Service;
use url::Url;

use crate::refused::{Noted, Refused};
use crate::transport::{Connecting, Stream, Transport};
use crate::{ClientError, Identity, tls};

/// A host that is silent for so long is asked whether it is there, so often again, and then counts as gone.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 3;

/// How long bytes may stay unacknowledged before the host counts as gone.
const GONE_AFTER: Duration = Duration::from_secs(30);

/// The way to the daemon at `url`.
///
/// # Errors
/// When a certificate or key file cannot be read or used.
pub(crate) fn transport(url: &Url, identity: &Identity, timeout: Duration) -> Result<Transport, ClientError> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE));
    tcp.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    tcp.set_tcp_user_timeout(Some(GONE_AFTER));
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls::config(identity)?);
    let connector = builder.https_only().enable_http1().enable_http2().wrap_connector(tcp);
    let refused = Refused::default();
    let noting = refused.clone();
    let connect = move |to: Uri| -> Connecting {
        // Each connection gets a connector of its own: a call needs one that it may change.
        let (connecting, refused) = (connector.clone().call(to), noting.clone());
        Box::pin(async move { Ok(Box::new(Noted { stream: connecting.await?, refused }) as Box<dyn Stream>) })
    };
    let shown = url.as_str().trim_end_matches('/');
    let mut transport = Transport::new(connect, shown, shown.to_owned(), timeout);
    transport.refused = refused;
    Ok(transport)
}
