//! What has happened in the zone.

use axum::Json;
use axum::extract::State as Shared;
use ovstunnel_api::Problem;
use ovstunnel_manager_api::EventList;
use ovstunnel_server::extract::ValidQuery;
use ovstunnel_server::problem::ApiError;
use serde::Deserialize;
use time::OffsetDateTime;

use super::{State, database_error, query};
use crate::records::Wanted;

/// Events of an answer where the request does not say.
const USUAL: usize = 100;

/// Which events.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventQuery {
    /// So many at most, 1 to 1000; 100 where it is absent.
    #[serde(deserialize_with = "query::limit")]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next` of the answer before: only events that are older.
    #[serde(deserialize_with = "query::id")]
    #[param(value_type = Option<u64>, minimum = 1, maximum = 9_223_372_036_854_775_807_isize)]
    before: Option<u64>,
    /// Only those from this time on: RFC 3339.
    #[serde(deserialize_with = "query::time")]
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<OffsetDateTime>,
    /// Only those that concern this host.
    host: Option<String>,
    /// Only those that concern this network.
    network: Option<String>,
    /// Only those of this kind.
    kind: Option<String>,
}

/// What has happened, the newest first.
#[utoipa::path(get, path = "/v1/events", tag = "zone", operation_id = "listEvents", params(EventQuery),
    responses(
        (status = 200, description = "The events", body = EventList),
        (status = 503, description = "`unavailable`: the database cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn list_events(
    Shared(state): Shared<State>,
    ValidQuery(query): ValidQuery<EventQuery>,
) -> Result<Json<EventList>, ApiError> {
    let limit = query.limit.unwrap_or(USUAL);
    for (field, value) in [("host", &query.host), ("network", &query.network), ("kind", &query.kind)] {
        value.as_deref().map(|value| query::check_name(field, value)).transpose()?;
    }
    let EventQuery { before, since, host, network, kind, .. } = query;
    let wanted = Wanted { before, since, host, network, kind, limit: limit + 1 };
    let mut events = state.records.events(wanted).await.map_err(|error| database_error(&error))?;
    let more = events.len() > limit;
    events.truncate(limit);
    let next = events.last().filter(|_| more).map(|event| event.id);
    Ok(Json(EventList { events, next }))
}
