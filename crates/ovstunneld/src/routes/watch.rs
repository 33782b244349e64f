//! The stream of changes. Must not hold anything of the daemon while it runs but its reader's place.

use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use ovstunnel_api::{NoPosition, Position, Problem};
use ovstunnel_server::extract::NoQuery;
use ovstunnel_server::listen::{Cut, Endless};
use ovstunnel_server::problem::ApiError;

use super::{State, refusals};
use crate::watch::Joined;

/// The header with the id of the last event that a reader has.
const LAST_EVENT_ID: &str = "last-event-id";

/// How long it may take to describe everything.
const DESCRIBED_IN: Duration = Duration::from_secs(20);

/// What is there, and then each change: server-sent events.
///
/// Events: `snapshot` (everything), `bridge` (one that is new or has changed, as in the list of bridges), `bridge_gone`, `health` (the
/// host's), and every 2 seconds `ping`. The `id` of each is a position: a request whose header `Last-Event-ID` names one goes on after it,
/// where every change since is still known; else it begins with a snapshot.
#[utoipa::path(get, path = "/v1/watch", tag = "host",
    params(("Last-Event-ID" = Option<String>, Header, pattern = r"^[A-Za-z0-9]{1,64}-[0-9]{1,19}$", description = "The id of the last event that was read")),
    responses(
        (status = 200, description = "Events, without end; the data of the first is a `WatchSnapshot`", body = String, content_type = "text/event-stream"),
        (status = 400, description = "`invalid_request`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`switch_unavailable`, or too many watch", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn watch_bridges(
    Shared(state): Shared<State>,
    connection: Option<Extension<Cut>>,
    headers: HeaderMap,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let last = last_event(&headers)?;
    state.expect_live()?;
    let connection = connection.map(|Extension(cut)| cut);
    let too_many = |error: crate::watch::TooMany| refusals::unavailable(error.to_string());
    let (reader, first) = match state.watch.join(last.as_ref(), connection.clone()).map_err(too_many)? {
        Joined::Resumed(reader) => (reader, None),
        Joined::Anew(snapshot) => {
            let made = tokio::time::timeout(DESCRIBED_IN, snapshot).await;
            let made = made.map_err(|_| refusals::unavailable("what is there could not be described in time"))?;
            let made = made.map_err(|_| refusals::unavailable("the daemon ends"))?;
            let unreachable = |reason| refusals::unavailable(format!("Open vSwitch cannot be reached: {reason}"));
            let snapshot = made.map_err(unreachable)?;
            (state.watch.join_after(&snapshot, connection), Some(snapshot.text))
        }
    };
    let body = Body::from_stream(reader.stream(first).map(Ok::<_, std::convert::Infallible>));
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, Extension(Endless), body).into_response())
}

/// The position that a reader has come to.
fn last_event(headers: &HeaderMap) -> Result<Option<Position>, ApiError> {
    let mut values = headers.get_all(LAST_EVENT_ID).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let shown = String::from_utf8_lossy(value.as_bytes());
    if values.next().is_some() {
        return Err(ApiError::invalid("Last-Event-ID", "must be given once", None));
    }
    let refused = |error: NoPosition| ApiError::invalid("Last-Event-ID", error.rule(), Some(&shown));
    shown.parse().map(Some).map_err(refused)
}
