//! Hosts that are worked at: their faults are not told for a while.

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use ovstunnel_api::Problem;
use ovstunnel_manager_api::{Host, PostMaintenance};
use ovstunnel_server::audit::Effect;
use ovstunnel_server::extract::{NoQuery, ValidJson, ValidPath};
use ovstunnel_server::listen::Peer;
use ovstunnel_server::problem::ApiError;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::{State, database_error};

/// For how long at most: what is silenced for good is forgotten.
const LONGEST: Duration = Duration::days(30);

const RULE: &str =
    "must be a time within the next 30 days, as RFC 3339 writes it, such as 2026-03-01T12:00:00Z, or null";

/// Until when; nothing where it is to end now.
fn parse_until(text: Option<&str>, now: OffsetDateTime) -> Result<Option<OffsetDateTime>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    let until = OffsetDateTime::parse(text, &Rfc3339).ok().filter(|until| *until > now && *until - now <= LONGEST);
    until.map(Some).ok_or_else(|| ApiError::invalid("until", RULE, Some(text)))
}

/// Tell no faults of a host and of its tunnels until then, or tell them again. Nothing on the host is changed, and it is kept as it must be.
#[utoipa::path(post, path = "/v1/hosts/{host}/maintenance", tag = "hosts", operation_id = "putHostInMaintenance",
    params(("host" = String, Path, description = "Name of the host")),
    request_body = PostMaintenance,
    responses(
        (status = 200, description = "The host as it is now", body = Host),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: the database cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn post_maintenance(
    Shared(state): Shared<State>,
    Extension(peer): Extension<Peer>,
    ValidPath(name): ValidPath<String>,
    _: NoQuery,
    ValidJson(body): ValidJson<PostMaintenance>,
) -> Result<Response, ApiError> {
    let until = parse_until(body.until.as_deref(), OffsetDateTime::now_utc())?;
    let _turn = state.records.wait_turn().await;
    let number = super::hosts::number_of(&state, "host", &name)?;
    let kept = state.records.set_maintenance(&name, number, until, &peer.to_string()).await;
    kept.map_err(|error| database_error(&error))?;
    state.zone.set_maintenance(number, until);
    let word = if until.is_some() { "maintenance" } else { "maintenance ended" };
    Ok(Effect::mark_response(word, Json(super::hosts::find_host(&state, &name)?).into_response()))
}
