//! How a request gets to a daemon and its answer back: HTTP/1.1, or HTTP/2 where TLS agrees on it, over connections that are
//! kept for the next request.
//!
//! What it does: connects to the Unix socket, or by whatever connects elsewhere; bounds connecting, and the exchange as a
//! whole. What it must not do: know a route, or name what only HTTPS needs: a program that only asks on the Unix socket
//! has nothing of TLS in it.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::response::Parts;
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::client::legacy::{Client as Http, Error};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::UnixStream;
use tower_service::Service;

use crate::call::Call;
use crate::clock::Clocks;
use crate::{Cause, ClientError, Peer};

/// A host that does not answer at all is noticed earlier than one that works on an answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Who asks, as HTTP has it.
const AGENT: &str = concat!("ovstunnel-client/", env!("CARGO_PKG_VERSION"));

/// A connection of any kind.
pub(crate) trait Stream: Read + Write + Connection + Send + Unpin {}

impl<T: Read + Write + Connection + Send + Unpin> Stream for T {}

impl Connection for Box<dyn Stream> {
    fn connected(&self) -> Connected {
        (**self).connected()
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Connecting = Pin<Box<dyn Future<Output = Result<Box<dyn Stream>, BoxError>> + Send>>;

/// Makes connections, each within a deadline.
#[derive(Clone)]
struct Connector {
    connect: Arc<dyn Fn(Uri) -> Connecting + Send + Sync>,
    deadline: Duration,
}

impl Service<Uri> for Connector {
    type Response = Box<dyn Stream>;
    type Error = BoxError;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Connecting {
        let connecting = tokio::time::timeout(self.deadline, (self.connect)(to));
        Box::pin(async move {
            let late = |_| Err(io::Error::new(io::ErrorKind::TimedOut, "operation timed out").into());
            connecting.await.unwrap_or_else(late)
        })
    }
}

/// The answer to a request for a stream.
pub(crate) enum Streamed {
    /// The stream.
    Body(Incoming),
    /// An error, whole.
    Refused(StatusCode, Bytes),
}

/// The way to one daemon. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Transport {
    http: Http<Connector, Full<Bytes>>,
    /// What comes before the path: `http://localhost`.
    base: String,
    /// Who is asked.
    pub(crate) peer: Peer,
    pub(crate) timeout: Duration,
    /// What the daemon's clock says.
    pub(crate) clocks: Clocks,
    /// What TLS said where HTTP does not pass it on.
    #[cfg(feature = "https")]
    pub(crate) refused: crate::refused::Refused,
    /// The certificate that the daemon has shown.
    #[cfg(feature = "https")]
    pub(crate) shown: crate::refused::Shown,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("peer", &self.peer).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Transport {
    /// By `connect`, for requests to `base`, a URL without a path.
    pub(crate) fn new(
        connect: impl Fn(Uri) -> Connecting + Send + Sync + 'static,
        base: &str,
        peer: Peer,
        timeout: Duration,
    ) -> Self {
        let connector = Connector { connect: Arc::new(connect), deadline: timeout.min(CONNECT_TIMEOUT) };
        let http = Http::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        Transport {
            http,
            base: base.trim_end_matches('/').to_owned(),
            peer,
            timeout,
            clocks: Clocks::default(),
            #[cfg(feature = "https")]
            refused: Default::default(),
            #[cfg(feature = "https")]
            shown: Default::default(),
        }
    }

    /// To the Unix socket of a daemon on this host. The host of its requests is a word that nobody looks up.
    pub(crate) fn unix(socket: PathBuf, timeout: Duration) -> Self {
        let peer = Peer::daemon_at(socket.display().to_string());
        let connect = move |_| -> Connecting {
            let socket = socket.clone();
            Box::pin(async move {
                let stream = UnixStream::connect(socket).await?;
                Ok(Box::new(TokioIo::new(stream)) as Box<dyn Stream>)
            })
        };
        Transport::new(connect, "http://localhost", peer, timeout)
    }

    /// Sends a request, and waits for all of its answer.
    pub(crate) async fn send_request(&self, call: Call) -> Result<(StatusCode, Bytes), ClientError> {
        self.send_whole(call).await.map(|(head, body)| (head.status, body))
    }

    /// The same, with the answer's headers.
    pub(crate) async fn send_whole(&self, call: Call) -> Result<(Parts, Bytes), ClientError> {
        let request = self.build_request(call, "application/json, application/problem+json")?;
        let exchange = async {
            let failed = |error: Error| self.transport_error(&error, error.is_connect());
            let sent = Instant::now();
            let response = self.http.request(request).await.map_err(failed)?;
            self.clocks.record_answer(response.headers(), sent);
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| self.transport_error(&error, false))?;
            Ok((head, body.to_bytes()))
        };
        let late = |_| Err(ClientError::NoAnswer { peer: self.peer.clone(), timeout: self.timeout });
        tokio::time::timeout(self.timeout, exchange).await.unwrap_or_else(late)
    }

    /// Sends a request, and waits for the head of its answer; the body comes as the daemon sends it, for as long as it takes.
    ///
    /// # Errors
    /// Also where the answer is an error: its status and body are for the caller to read.
    pub(crate) async fn open_stream(&self, call: Call, last: Option<String>) -> Result<Streamed, ClientError> {
        let mut request = self.build_request(call, "text/event-stream, application/problem+json")?;
        if let Some(last) = last {
            let value =
                HeaderValue::try_from(last).map_err(|e| ClientError::Setup { source: Cause::innermost_error(&e) })?;
            request.headers_mut().insert("last-event-id", value);
        }
        let exchange = async {
            let failed = |error: Error| self.transport_error(&error, error.is_connect());
            let sent = Instant::now();
            let response = self.http.request(request).await.map_err(failed)?;
            self.clocks.record_answer(response.headers(), sent);
            let status = response.status();
            if status.is_success() {
                return Ok(Streamed::Body(response.into_body()));
            }
            let body = response.into_body().collect().await.map_err(|error| self.transport_error(&error, false))?;
            Ok(Streamed::Refused(status, body.to_bytes()))
        };
        let late = |_| Err(ClientError::NoAnswer { peer: self.peer.clone(), timeout: self.timeout });
        tokio::time::timeout(self.timeout, exchange).await.unwrap_or_else(late)
    }

    fn build_request(&self, call: Call, accept: &'static str) -> Result<Request<Full<Bytes>>, ClientError> {
        let mut request =
            Request::builder().method(call.method.clone()).uri(format!("{}{}", self.base, call.path_and_query()));
        request = request.header(USER_AGENT, AGENT).header(ACCEPT, accept);
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        if call.body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = Full::new(call.body.unwrap_or_default().into());
        request.body(body).map_err(|e| ClientError::Setup { source: Cause::innermost_error(&e) })
    }

    fn transport_error(&self, error: &(dyn std::error::Error + 'static), connecting: bool) -> ClientError {
        let sorted = ClientError::from_transport(error, connecting, &self.peer);
        #[cfg(feature = "https")]
        if matches!(sorted, ClientError::BrokenOff { .. })
            && let Some(tls) = self.refused.take_error()
        {
            return ClientError::from_transport(&tls, connecting, &self.peer);
        }
        sorted
    }
}
