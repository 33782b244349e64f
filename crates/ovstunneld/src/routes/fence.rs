//! Under which epoch a request writes, and the recorded one.
//!
//! What it does: reads the header `ovstunnel-epoch` of every request that changes something, and gives its handler a writer that
//! refuses what is older than what is recorded. What it must not do: have the last word. What is stale by now is refused at once; what
//! becomes so while it waits, the writer refuses (docs/adr/0035-fenced-where-writes-are-in-order.md).

use axum::Json;
use axum::extract::{FromRequestParts, State as Shared};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use ovstunnel_api::{EPOCH_HEADER, EpochAnswer, EpochState, OutcomeAnswer, Problem, PutEpoch};
use ovstunnel_plan::{Epoch, Outcome};
use ovstunnel_server::audit::Effect;
use ovstunnel_server::extract::{NoQuery, ValidJson, ValidQuery};
use ovstunnel_server::problem::ApiError;

use super::{ChangeQuery, State, plan_response, refusals, success_status, write_problem};
use crate::state::recorded_epoch;

/// What all requests share, for one that changes something: under the epoch that it says, if any.
#[derive(Debug)]
pub(super) struct Fenced(pub State);

impl FromRequestParts<State> for Fenced {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, ApiError> {
        let Some(epoch) = epoch_of(&parts.headers)? else { return Ok(Fenced(state.clone())) };
        epoch.compare_with(require_recorded(state)?).map_err(|fenced| refusals::fenced_problem(&fenced))?;
        Ok(Fenced(State { writer: state.writer.under_epoch(epoch), ..state.clone() }))
    }
}

/// The epoch that the headers of a request say.
///
/// # Errors
/// Where it is none, or said twice.
pub(super) fn epoch_of(headers: &HeaderMap) -> Result<Option<Epoch>, ApiError> {
    let mut values = headers.get_all(EPOCH_HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let shown = String::from_utf8_lossy(value.as_bytes());
    if values.next().is_some() {
        return Err(ApiError::invalid(EPOCH_HEADER, "must be given once", None));
    }
    shown.parse().map(Some).map_err(|_| ApiError::invalid(EPOCH_HEADER, Epoch::RULE, Some(&shown)))
}

fn require_recorded(state: &State) -> Result<Option<Epoch>, ApiError> {
    recorded_epoch(&state.switch).map_err(|damaged| write_problem(state, "", damaged.into()))
}

/// The epoch that is recorded for this host's switch, by a zone's manager.
#[utoipa::path(get, path = "/v1/epoch", tag = "host",
    responses(
        (status = 200, description = "What is recorded; an empty object where nothing is", body = EpochState),
        (status = 409, description = "`conflict`: what is there is no epoch", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`switch_unavailable`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_epoch(Shared(state): Shared<State>, _: NoQuery) -> Result<Json<EpochState>, ApiError> {
    state.expect_live()?;
    Ok(Json(refusals::epoch_to_wire(require_recorded(&state)?)))
}

/// Record an epoch: from then on writes under an older one, or of another zone, are refused.
///
/// A write with a newer epoch in its header records that, too.
#[utoipa::path(put, path = "/v1/epoch", tag = "host",
    params(ChangeQuery),
    request_body = PutEpoch,
    responses(
        (status = 200, description = "Updated or unchanged; with `dry_run` a `PlanAnswer`", body = EpochAnswer),
        (status = 201, description = "Created", body = EpochAnswer),
        (status = 400, description = "`invalid_request`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`stale_epoch` or `other_zone`: `recorded` has what is recorded", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`switch_refused`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`switch_unavailable`", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "`outcome_unknown`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn put_epoch(
    Fenced(state): Fenced,
    ValidQuery(query): ValidQuery<ChangeQuery>,
    ValidJson(body): ValidJson<PutEpoch>,
) -> Result<Response, ApiError> {
    let zone =
        Epoch::parse_zone(&body.zone).map_err(|error| ApiError::invalid("zone", error.rule, Some(&error.value)))?;
    let epoch = Epoch::new(zone, body.epoch);
    let epoch = epoch.map_err(|error| ApiError::invalid("epoch", error.rule, Some(&error.value)))?;
    let failed = |error| write_problem(&state, "", error);
    if query.dry_run {
        return state.writer.plan_epoch(Some(epoch)).await.map(plan_response).map_err(failed);
    }
    let outcome = state.writer.record_epoch(Some(epoch)).await.map_err(failed)?;
    let answer = EpochAnswer { outcome, zone: zone.to_string(), epoch: epoch.number() };
    Ok(Effect::mark_response(outcome.as_str(), (success_status(outcome), Json(answer)).into_response()))
}

/// Clear the recorded epoch: the manager of any zone may record one again.
#[utoipa::path(delete, path = "/v1/epoch", tag = "host",
    params(ChangeQuery),
    responses(
        (status = 200, description = "`removed`, or `unchanged` where nothing was recorded (`existed` is false)", body = OutcomeAnswer),
        (status = 400, description = "`invalid_request`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`stale_epoch` or `other_zone`, where the request has an epoch itself", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`switch_refused`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`switch_unavailable`", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "`outcome_unknown`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn delete_epoch(
    Fenced(state): Fenced,
    ValidQuery(query): ValidQuery<ChangeQuery>,
) -> Result<Response, ApiError> {
    let failed = |error| write_problem(&state, "", error);
    if query.dry_run {
        return state.writer.plan_epoch(None).await.map(plan_response).map_err(failed);
    }
    let outcome = state.writer.record_epoch(None).await.map_err(failed)?;
    let answer = OutcomeAnswer { outcome, existed: outcome != Outcome::Unchanged, changes: vec![] };
    Ok(Effect::mark_response(outcome.as_str(), Json(answer).into_response()))
}
