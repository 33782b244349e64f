//! The stream of what changes in the zone. Must not hold anything while it runs but its reader's place.

use axum::Extension;
use axum::extract::State as Shared;
use axum::http::HeaderMap;
use axum::response::Response;
use ovstunnel_api::{Code, Problem};
use ovstunnel_server::extract::NoQuery;
use ovstunnel_server::listen::Cut;
use ovstunnel_server::problem::ApiError;
use ovstunnel_server::watch::{last_event, stream_response};

use super::State;

/// The zone in numbers, and then each network and host that changes: server-sent events.
///
/// Events: `snapshot` (the overview), `overview` (whenever it is another), `network` (one that is new or has changed, as in the answer to one
/// network), `network_gone`, `host` (one that is new or has changed), `host_gone`, and every 2 seconds `ping`. Who wants all networks and hosts
/// asks for them after the snapshot: what changes from then on is told. The `id` of each is a position: a request whose header
/// `Last-Event-ID` names one goes on after it, where every change since is still known; else it begins with a snapshot.
#[utoipa::path(get, path = "/v1/watch", tag = "zone", operation_id = "watchZone",
    params(
        ("Last-Event-ID" = Option<String>, Header, pattern = r"^[A-Za-z0-9]{1,64}-[0-9]{1,19}$", description = "The id of the last event that was read"),
    ),
    responses(
        (status = 200, description = "Events, without end; the data of the first is an `Overview`", body = String, content_type = "text/event-stream"),
        (status = 400, description = "`invalid_request`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many watch", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn watch_zone(
    Shared(state): Shared<State>,
    connection: Option<Extension<Cut>>,
    headers: HeaderMap,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let last = last_event(&headers)?;
    let joined = state.watched.admit_reader(last.as_ref(), connection.map(|Extension(cut)| cut)).await;
    let (reader, first) = joined.map_err(|error| ApiError::new(Code::Unavailable, error.to_string()))?;
    Ok(stream_response(reader.into_stream(first)))
}
