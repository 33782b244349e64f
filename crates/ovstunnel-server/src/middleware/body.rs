//! Bodies of requests.
//!
//! What it does: reads the whole body before the handler runs, within limits of size and time, and all bodies together
//! within a limit of memory. What it must not do: look into one.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::HeaderValue;
use http::header::{CONNECTION, EXPECT};
use ovstunnel_api::Code;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::listen::Peer;
use crate::problem::ApiError;
use ovstunnel_types::text::excerpt;

/// Largest body of a request, in bytes.
pub const BODY_LIMIT: usize = 1024 * 1024;

/// So much of a body that is too large is read and thrown away, so that the client gets to read the answer.
const DRAIN_LIMIT: u64 = 16 * 1024 * 1024;

/// How long a request's body may take.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes that all bodies together may take. More wait, each for [`BODY_TIMEOUT`] at most.
const ALL_BODIES: usize = 32 * 1024 * 1024;

/// Bytes of each body that are not counted, so that small requests never wait for large ones.
const NOT_COUNTED: usize = 8 * 1024;

/// What bodies may take of memory.
#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<Semaphore>);

impl Default for Budget {
    fn default() -> Self {
        Budget(Arc::new(Semaphore::new(ALL_BODIES)))
    }
}

/// A body, and its part of the budget, which it has for as long as its request is worked on.
struct Read {
    bytes: Bytes,
    _part: Option<OwnedSemaphorePermit>,
}

/// No handler waits for a slow client.
pub(super) async fn read_body(State(budget): State<Budget>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if body.is_end_stream() {
        return next.run(Request::from_parts(parts, body)).await;
    }
    // On HTTP/2 an answer before the body resets the stream, and some clients (curl 7.88) then lose the answer.
    let holds_back = parts.version < http::Version::HTTP_2 && parts.headers.contains_key(EXPECT);
    // Whoever is nobody has nothing large to say, and takes no room from others.
    let is_nobody = matches!(parts.extensions.get(), Some(Peer::Visitor(_)));
    let limit = if is_nobody { NOT_COUNTED } else { BODY_LIMIT };
    let collected = tokio::time::timeout(BODY_TIMEOUT, collect_body(holds_back, body, &budget, limit)).await;
    let refusal = match collected {
        Ok(Ok(Read { bytes, _part })) => return next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Ok(Err(error)) => error,
        Err(_) => {
            ApiError::new(Code::InvalidRequest, format!("the body did not arrive within {} s", BODY_TIMEOUT.as_secs()))
        }
    };
    // What is left of the body would be taken for the next request.
    let mut response = refusal.into_response();
    if parts.version < http::Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Reads a body, of which the client `holds_back` all until it is told to go on.
async fn collect_body(holds_back: bool, body: Body, budget: &Budget, limit: usize) -> Result<Read, ApiError> {
    let declared = body.size_hint().lower();
    // Not read at all: a client that waits for `100 Continue` will not send it, and nobody wants to wait for the other.
    if declared > DRAIN_LIMIT || (declared > limit as u64 && holds_back) {
        return Err(larger_than(limit));
    }
    let mut stream = body.into_data_stream();
    let (mut bytes, mut part, mut seen) = (BytesMut::new(), None, 0u64);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|e| {
            ApiError::new(Code::InvalidRequest, format!("the body could not be read: {}", excerpt(&e.to_string())))
        })?;
        seen = seen.saturating_add(chunk.len() as u64);
        if seen > DRAIN_LIMIT {
            break;
        }
        if seen <= limit as u64 {
            if bytes.len() + chunk.len() > NOT_COUNTED {
                take_part(&mut part, chunk.len(), budget).await;
            }
            bytes.extend_from_slice(&chunk);
        } else {
            (bytes, part) = (BytesMut::new(), None);
        }
    }
    if seen > limit as u64 { Err(larger_than(limit)) } else { Ok(Read { bytes: bytes.freeze(), _part: part }) }
}

/// Waits for its turn where all bodies together take too much.
async fn take_part(part: &mut Option<OwnedSemaphorePermit>, bytes: usize, budget: &Budget) {
    // No chunk is larger than a body, and the semaphore is never closed.
    let bytes = u32::try_from(bytes.min(BODY_LIMIT)).unwrap_or_default();
    let Ok(more) = Arc::clone(&budget.0).acquire_many_owned(bytes).await else { return };
    match part {
        Some(part) => part.merge(more),
        None => *part = Some(more),
    }
}

pub(super) fn too_large() -> ApiError {
    larger_than(BODY_LIMIT)
}

fn larger_than(limit: usize) -> ApiError {
    ApiError::new(Code::TooLarge, format!("the body is larger than {limit} bytes"))
}
