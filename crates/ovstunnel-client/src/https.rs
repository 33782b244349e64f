//! Connections by HTTPS: TCP, then TLS. Must not offer a way without, or say who is trusted (`tls.rs` does).

use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::ClientConfig;
use tower_service::Service;
use url::Url;

use crate::Peer;
use crate::refused::{Noted, Refused, Shown};
use crate::transport::{Connecting, Stream, Transport};

/// A host that is silent for so long is asked whether it is there, so often again, and then counts as gone.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 3;

/// How long bytes may stay unacknowledged before the host counts as gone.
const GONE_AFTER: Duration = Duration::from_secs(30);

/// The way to the daemon at `url`, by this configuration of TLS.
pub(crate) fn https_transport(url: &Url, tls: ClientConfig, timeout: Duration) -> Transport {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE));
    tcp.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    tcp.set_tcp_user_timeout(Some(GONE_AFTER));
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls);
    let connector = builder.https_only().enable_http1().enable_http2().wrap_connector(tcp);
    let (refused, certificate) = (Refused::default(), Shown::default());
    let (noting, seen) = (refused.clone(), certificate.clone());
    let connect = move |to: Uri| -> Connecting {
        // Each connection gets a connector of its own: a call needs one that it may change.
        let (connecting, refused, seen) = (connector.clone().call(to), noting.clone(), seen.clone());
        Box::pin(async move {
            let stream = connecting.await?;
            if let MaybeHttpsStream::Https(tls) = &stream {
                let chain = tls.inner().get_ref().1.peer_certificates();
                chain.and_then(<[_]>::first).into_iter().for_each(|own| seen.set(own));
            }
            Ok(Box::new(Noted { stream, refused }) as Box<dyn Stream>)
        })
    };
    let shown = url.as_str().trim_end_matches('/');
    let mut transport = Transport::new(connect, shown, Peer::daemon_at(shown), timeout);
    (transport.refused, transport.shown) = (refused, certificate);
    transport
}
