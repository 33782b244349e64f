//! Serving HTTP on one connection, and refusing one.
//!
//! What it does: runs hyper with limits on time and memory, and ends it when the daemon ends. What it must not do: know
//! whether the connection is TLS or a Unix socket.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::answers::Outgoing;
use super::endless::Cut;
use super::expect;
use super::refusals::Reason;
use super::room::Place;
use super::{HANDSHAKE_TIMEOUT, IDLE_TIMEOUT, LATE_LOOK, Life, Peer, UNREAD_TIMEOUT};
use crate::problem::ApiError;
use ovstunnel_types::text::foreign_message;

/// Requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 64;

/// Bytes that a request's line and headers may take.
const MAX_HEADER_BYTES: usize = 32 * 1024;

/// A client that is gone without a word is noticed after this on HTTP/2.
const PING_EVERY: Duration = Duration::from_secs(20);

/// How long such a client may take to answer a ping. hyper looks at the clock before it looks for the answer: while this process
/// has had no processor for so long, it ends clients that have answered.
const PONG_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an idle connection that has to go is told so.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a connection is served under.
pub(super) struct Terms {
    /// Its place in the room, where that is limited by address.
    pub place: Option<Arc<Place>>,
    /// Its unread answers.
    pub outgoing: Arc<Outgoing>,
}

/// Waits for the next connection: first for `room`, then for a client. None when the daemon ends.
/// `accept` is the listener's `poll_accept`.
pub(super) async fn next_connection<T, R>(
    room: impl Future<Output = R>,
    life: &Life,
    mut accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>,
) -> Option<(T, R)> {
    let one = async {
        let permit = room.await;
        loop {
            match poll_fn(&mut accept).await {
                Ok(connection) => return (connection, permit),
                Err(e) if is_the_clients(&e) => {}
                Err(e) => {
                    // Out of file descriptors, most likely: it helps only to wait until connections end.
                    tracing::error!(error = %e, "cannot accept a connection; trying again in 1 s");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = life.stop.cancelled() => None,
        accepted = one => Some(accepted),
    }
}

fn is_the_clients(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(e.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Serves `app` on `stream` until the client, the daemon or a deadline ends it.
pub(super) async fn serve_stream<S>(stream: S, http2: bool, peer: Peer, app: Router, life: &Life, terms: Terms)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let asked = Arc::new(AtomicBool::new(false));
    let Terms { place, outgoing } = terms;
    let who = peer.to_string();
    let _gone = outgoing.gone.clone().drop_guard();
    let service = {
        let (asked, place, outgoing) = (Arc::clone(&asked), place.clone(), Arc::clone(&outgoing));
        service_fn(move |request: http::Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            let (peer, app, outgoing) = (peer.clone(), app.clone(), Arc::clone(&outgoing));
            let asking = place.as_ref().map(Place::begin_request);
            async move {
                match expect::begin_body(request).await {
                    Ok(mut request) => {
                        request.extensions_mut().insert(peer);
                        request.extensions_mut().insert(Cut::new(outgoing.reading.cut.clone()));
                        outgoing.answer_request(app, request, asking).await
                    }
                    Err(refusal) => Ok(refusal),
                }
            }
        })
    };
    let builder = hyper_builder(http2);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let silent = async {
        tokio::time::sleep(HANDSHAKE_TIMEOUT).await;
        tokio::time::sleep(LATE_LOOK).await;
        if asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    let displaced = async {
        match &place {
            Some(place) => place.wait_displaced().await,
            None => std::future::pending().await,
        }
    };
    let mut stuck = pin!(outgoing.reading.is_stuck());
    // What the client has sent is looked at before any deadline is judged: where this process came to it late, it is not the client's.
    let rest = tokio::select! {
        biased;
        ended = connection.as_mut() => return note_end(ended),
        () = silent => return tracing::debug!("closed a connection: no request came in time"),
        () = stuck.as_mut() => return end_unread(life, &who),
        () = outgoing.reading.cut.cancelled() => return,
        () = life.kill.cancelled() => return,
        () = life.stop.cancelled() => None,
        () = displaced => Some(LAST_WORDS),
    };
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        biased;
        ended = connection => note_end(ended),
        () = stuck => end_unread(life, &who),
        () = outgoing.reading.is_held_up(LAST_WORDS) => {}
        () = life.kill.cancelled() => {}
        () = tokio::time::sleep(rest.unwrap_or(Duration::MAX)) => {}
    }
}

fn end_unread(life: &Life, peer: &str) {
    if let Some(left_out) = life.refusals.count_refusal(Reason::Unread) {
        let limit_s = UNREAD_TIMEOUT.as_secs();
        tracing::warn!(peer, limit_s, left_out, "ended a connection: its client does not read its answers");
    }
}

fn note_end(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(e) = ended {
        tracing::debug!(error = foreign_message(&e), "a connection broke");
    }
}

/// HTTP/2 where TLS agreed on it, else HTTP/1: told beforehand, since hyper would wait without a deadline to find out.
fn hyper_builder(http2: bool) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_BYTES as u32)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_TIMEOUT);
    if http2 { builder.http2_only() } else { builder.http1_only() }
}

/// Answers whatever came with `error`, in plain HTTP/1.1, and closes.
pub(super) async fn refuse_stream<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, error: &ApiError) {
    let (problem, body) = (error.problem(), error.body());
    let head = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        problem.status,
        problem.title,
        body.len()
    );
    let all = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body).await?;
        stream.shutdown().await?;
        // Closing with unread bytes would reset the connection, and the client would never see the answer.
        tokio::io::copy(&mut stream.take(1024 * 1024), &mut tokio::io::sink()).await
    };
    if !matches!(tokio::time::timeout(Duration::from_secs(2), all).await, Ok(Ok(_))) {
        tracing::debug!("a refused client did not wait for the answer");
    }
}
