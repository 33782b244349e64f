//! The request for a stream of events, and its answer. Must not know what is in the events.

use axum::Extension;
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use ovstunnel_api::{NoPosition, Position};

use crate::listen::Endless;
use crate::problem::ApiError;

/// The header with the id of the last event that a reader has.
const LAST_EVENT_ID: &str = "last-event-id";

/// The position that a reader has come to.
///
/// # Errors
/// What it gives is none.
pub fn last_event(headers: &HeaderMap) -> Result<Option<Position>, ApiError> {
    let mut values = headers.get_all(LAST_EVENT_ID).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let shown = String::from_utf8_lossy(value.as_bytes());
    if values.next().is_some() {
        return Err(ApiError::invalid("Last-Event-ID", "must be given once", None));
    }
    let refused = |error: NoPosition| ApiError::invalid("Last-Event-ID", error.rule(), Some(&shown));
    shown.parse().map(Some).map_err(refused)
}

/// The answer that these events are.
pub fn stream_response(events: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let body = Body::from_stream(events.map(Ok::<_, std::convert::Infallible>));
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, Extension(Endless), body).into_response()
}
