//! Serves one hollow host: HTTPS with client certificates, and the few routes that a manager asks.
//!
//! What it does: counts handshakes, streams and requests. What it must not do: carry out a request that writes, but those of epochs, BFD and
//! probes to hosts that are to; any other one that comes is counted and refused.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use ovstunnel_api::{BridgeAnswer, BridgeList, EpochAnswer, Outcome, PutBfd, PutEpoch, Ready};
use ovstunnel_server::tls::TlsStore;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_rustls::TlsAcceptor;

use crate::host::Host;
use crate::plan::Plan;

/// Time between two signs of life of a watch.
const PING: Duration = Duration::from_secs(2);

/// What all hosts together have seen. Numbers of this moment, and the most that there ever were.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub handshakes: AtomicUsize,
    pub most_handshakes: AtomicUsize,
    pub connections: AtomicUsize,
    pub all_connections: AtomicU64,
    pub watching: AtomicUsize,
    pub writes: AtomicU64,
    pub probes: AtomicU64,
    pub bfd: AtomicU64,
}

/// Counts one while it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> (Self, usize) {
        let now = count.fetch_add(1, Ordering::Relaxed) + 1;
        (Counted(count), now)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a hollow host is served with.
#[derive(Clone)]
pub(crate) struct Server {
    pub host: Arc<Host>,
    pub plan: Arc<Plan>,
    pub tls: Arc<TlsStore>,
    pub seen: Arc<Seen>,
    /// Changes when all connections are to end.
    pub cut: watch::Receiver<u64>,
    /// Whether it can tell of changes by itself, as daemons of before there was a watch cannot.
    pub watches: bool,
    /// Since when its tunnels count.
    pub since: std::time::Instant,
}

/// Bytes of a request's body, at most.
const BODY: usize = 1 << 20;

impl Server {
    /// Serves for ever.
    pub async fn run(self, listener: TcpListener) {
        loop {
            // What cannot be accepted shows in what the manager says of this host.
            if let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(self.clone().connection(stream));
            }
        }
    }

    async fn connection(mut self, stream: TcpStream) {
        let (seen, acceptor) = (Arc::clone(&self.seen), TlsAcceptor::from(self.tls.current_config()));
        let _ = stream.set_nodelay(true);
        self.cut.mark_unchanged();
        let mut cut = self.cut.clone();
        let shaken = {
            let (_counted, now) = Counted::new(&seen.handshakes);
            seen.most_handshakes.fetch_max(now, Ordering::Relaxed);
            acceptor.accept(stream).await
        };
        let Ok(stream) = shaken else { return };
        let _counted = Counted::new(&seen.connections);
        seen.all_connections.fetch_add(1, Ordering::Relaxed);
        let service = service_fn(move |request: Request<Incoming>| {
            let server = self.clone();
            async move {
                match request.method() {
                    &Method::GET => server.answer(&request),
                    _ => Ok::<_, Infallible>(server.carry_out(request).await),
                }
            }
        });
        let builder = Builder::new(TokioExecutor::new()).http2_only();
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            // Whoever asks goes when it likes.
            _ = connection => {}
            _ = cut.changed() => {}
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let path = request.uri().path();
        let answer = match (path, path.strip_prefix("/v1/interfaces/")) {
            ("/v1/watch", _) if self.watches => self.watch(),
            ("/v1/bridges", _) => json(&BridgeList { bridges: self.host.bridges(&self.plan), next: None }),
            ("/readyz", _) => json(&ready()),
            ("/v1/counters", _) if self.host.acts() => json(&self.host.counters(&self.plan, self.since)),
            (_, Some(label)) => json(&self.host.interface(label)),
            _ => return Ok(refused(StatusCode::NOT_FOUND, "not_found")),
        };
        Ok(answer.unwrap_or_else(|_| refused(StatusCode::INTERNAL_SERVER_ERROR, "internal")))
    }

    /// Does what is asked for of epochs, BFD and probes, where the host is to; else it is counted and refused.
    async fn carry_out(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let body = axum::body::to_bytes(Body::new(request.into_body()), BODY).await.unwrap_or_default();
        let words: Vec<&str> = path.split('/').skip(1).collect();
        let answer = match &words[..] {
            _ if !self.host.acts() => None,
            ["v1", "epoch"] => Some(answer_epoch(&body)),
            ["v1", "bridges", bridge, what] => self.change_bridge(bridge, what, &body),
            _ => None,
        };
        match answer {
            Some(Ok(answer)) => answer,
            // One that was broken off, as by who has waited long enough.
            Some(Err(_)) => refused(StatusCode::BAD_REQUEST, "invalid_request"),
            None => {
                self.seen.writes.fetch_add(1, Ordering::Relaxed);
                refused(StatusCode::CONFLICT, "conflict")
            }
        }
    }

    fn change_bridge(&self, bridge: &str, what: &str, body: &Bytes) -> Option<Result<Response<Body>>> {
        let network = self.host.network_of(&self.plan, bridge)?;
        match what {
            "probe" => Some(self.probe_bridge(network, body)),
            "bfd" => Some(self.set_bfd(network, body)),
            _ => None,
        }
    }

    fn probe_bridge(&self, network: usize, body: &Bytes) -> Result<Response<Body>> {
        let asked = serde_json::from_slice(body)?;
        self.seen.probes.fetch_add(1, Ordering::Relaxed);
        json(&self.host.probe(&self.plan, network, &asked))
    }

    fn set_bfd(&self, network: usize, body: &Bytes) -> Result<Response<Body>> {
        let PutBfd { ports, .. } = serde_json::from_slice(body)?;
        self.seen.bfd.fetch_add(1, Ordering::Relaxed);
        self.host.run_bfd(&self.plan, network, ports.into_iter().collect())?;
        let bridge = self.host.bridge(&self.plan, network);
        json(&BridgeAnswer { outcome: Outcome::Updated, changes: Vec::new(), bridge })
    }

    fn watch(&self) -> Result<Response<Body>> {
        let changes = self.host.changes();
        let first = Some(self.host.snapshot(&self.plan)?);
        let mut ping = tokio::time::interval_at(Instant::now() + PING, PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let watching = Watching::new(Arc::clone(&self.seen));
        let reader = Reader { host: Arc::clone(&self.host), changes, first, ping, _watching: watching };
        let events =
            stream::unfold(reader, |mut reader| async move { reader.next().await.map(|event| (event, reader)) });
        let body = Body::from_stream(futures_util::StreamExt::map(events, Ok::<_, Infallible>));
        Ok(Response::builder().header("content-type", "text/event-stream").body(body)?)
    }
}

/// Counts a stream while it lives.
struct Watching(Arc<Seen>);

impl Watching {
    fn new(seen: Arc<Seen>) -> Self {
        seen.watching.fetch_add(1, Ordering::Relaxed);
        Watching(seen)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.watching.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One who watches.
struct Reader {
    host: Arc<Host>,
    changes: broadcast::Receiver<Bytes>,
    first: Option<Bytes>,
    ping: Interval,
    _watching: Watching,
}

impl Reader {
    /// Nothing where it is too far behind.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        tokio::select! {
            change = self.changes.recv() => change.ok(),
            _ = self.ping.tick() => self.host.ping().ok(),
        }
    }
}

fn answer_epoch(body: &Bytes) -> Result<Response<Body>> {
    let PutEpoch { zone, epoch } = serde_json::from_slice(body)?;
    json(&EpochAnswer { outcome: Outcome::Updated, zone, epoch })
}

fn ready() -> Ready {
    Ready {
        ready: true,
        reason: None,
        ovs_version: None,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        last_reconcile: None,
        last_repair: None,
        health: None,
        warnings: Vec::new(),
    }
}

fn json(body: &impl serde::Serialize) -> Result<Response<Body>> {
    let text = serde_json::to_vec(body)?;
    Ok(Response::builder().header("content-type", "application/json").body(text.into())?)
}

fn refused(status: StatusCode, code: &str) -> Response<Body> {
    let detail = "a hollow host only tells what it has";
    let body = serde_json::json!({
        "type": format!("urn:ovstunnel:problem:{code}"), "title": code, "status": status.as_u16(), "detail": detail, "code": code,
    });
    let mut response = Response::new(body.to_string().into());
    *response.status_mut() = status;
    response
}
