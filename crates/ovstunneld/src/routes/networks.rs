//! Networks of xapi's, on XenServer and XCP-ng: which bridge a network has there, and that it has one.
//!
//! What it must not do: touch the switch. The bridge itself is set up by `PUT /v1/bridges/{bridge}`.

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use ovstunnel_api::{Changed, Outcome, Problem, PutXapiNetwork, XapiNetwork, XapiNetworkAnswer};
use ovstunnel_plan::{Epoch, GreKey};
use ovstunnel_server::audit::Effect;
use ovstunnel_server::extract::{NoQuery, ValidJson, ValidPath, ValidQuery};
use ovstunnel_server::problem::ApiError;

use super::fence::Fenced;
use super::{ChangeQuery, State, plan_response, refusals, success_status, validate, write_problem};
use crate::state::recorded_epoch;
use crate::writer::Planned;
use crate::xapi::{Made, NetworkError, Permit, Plan, Written, Xapi};

/// What of a request that failed in between is there.
const LEFT: &str = "what was done before that stays, and the same request goes on from there";

/// Have a network in xapi, which gives it its bridge: found by its name-label, `OVSTunnel` and the key, or made; open to all hosts of
/// the pool; marked as the xapi plugin marks it.
///
/// The bridge itself is set up by `PUT /v1/bridges/{bridge}`, before or after a VIF is plugged. Of what this changes nothing concerns the
/// switch.
#[utoipa::path(
    put, path = "/v1/networks/{key}", tag = "networks",
    params(("key" = u32, Path, description = "GRE key of the network"), ChangeQuery),
    request_body = PutXapiNetwork,
    responses(
        (status = 200, description = "Updated or unchanged; with `dry_run` a `PlanAnswer`", body = XapiNetworkAnswer),
        (status = 201, description = "Created", body = XapiNetworkAnswer),
        (status = 400, description = "`invalid_request`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: this host has no xapi", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: several networks have the name-label", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`switch_refused`: the epoch could not be recorded", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`switch_unavailable`: xapi does not answer, or the switch where the request has an epoch", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "`outcome_unknown`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn put_network(
    Fenced(state): Fenced,
    ValidPath(key): ValidPath<String>,
    ValidQuery(query): ValidQuery<ChangeQuery>,
    ValidJson(body): ValidJson<PutXapiNetwork>,
) -> Result<Response, ApiError> {
    let key: GreKey = validate::parse_field("key", &key)?;
    let host = body.host_id.map(|id| validate::parse_field("host_id", &id.to_string())).transpose()?;
    let xapi = require_xapi(&state)?;
    if query.dry_run {
        let Plan { outcome, changes, commands } = xapi.plan_network(key, host).await.map_err(not_told)?;
        return Ok(plan_response(Planned { outcome, changes, commands }));
    }
    let epoch = state.writer.admit_epoch().await.map_err(|error| write_problem(&state, "", error))?;
    let made = xapi.make_network(key, host, epoch_permit(&state, epoch)).await;
    let made = made.map_err(|error| network_problem(&state, epoch, error))?;
    let outcome = made.outcome;
    let answer = network_answer(key, made);
    let effect = Effect::new(outcome.as_str()).with_changes(&answer.changes);
    Ok(effect.attach_to((success_status(outcome), Json(answer)).into_response()))
}

/// A network as it is in xapi.
#[utoipa::path(get, path = "/v1/networks/{key}", tag = "networks",
    params(("key" = u32, Path, description = "GRE key of the network")),
    responses(
        (status = 200, description = "What is there", body = XapiNetwork),
        (status = 400, description = "`invalid_request`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: xapi has no such network, or this host no xapi", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: several networks have the name-label", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`switch_unavailable`: xapi does not answer", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_network(
    Shared(state): Shared<State>,
    ValidPath(key): ValidPath<String>,
    _: NoQuery,
) -> Result<Json<XapiNetwork>, ApiError> {
    let key: GreKey = validate::parse_field("key", &key)?;
    let told = require_xapi(&state)?.find_network(key).await.map_err(not_told)?;
    let told = told.ok_or_else(|| ApiError::not_found(format!("xapi has no network OVSTunnel{key}")))?;
    Ok(Json(XapiNetwork {
        key: key.get(),
        network_uuid: told.network.to_string(),
        bridge: told.bridge,
        hosts: told.hosts,
        ready: told.ready,
    }))
}

/// xapi. Without it there are no networks to be found or made: the route's things are not there, as for a daemon that does not know
/// the route.
fn require_xapi(state: &State) -> Result<&Xapi, ApiError> {
    let none = "this host has no xapi ([xapi] in the configuration), and so no networks of it: a bridge is made by PUT \
                /v1/bridges/{bridge} alone";
    state.xapi.as_deref().ok_or_else(|| ApiError::not_found(none))
}

/// Ends as soon as a newer epoch is recorded. The writer has judged the request before; what follows is not in its order, for it
/// would keep the switch waiting.
fn epoch_permit(state: &State, epoch: Option<Epoch>) -> Permit {
    let Some(epoch) = epoch else { return Permit::default() };
    let switch = state.switch.clone();
    Permit::new(move || recorded_epoch(&switch).is_ok_and(|recorded| epoch.compare_with(recorded).is_ok()))
}

/// Where nothing was to be changed.
#[allow(clippy::needless_pass_by_value, reason = "the signature that `map_err` takes")]
fn not_told(error: NetworkError) -> ApiError {
    match &error {
        NetworkError::Doubled { label, .. } => {
            ApiError::conflict(label, format!("{error}; rename or remove all but one of them, nothing was changed"))
        }
        _ => refusals::unavailable_problem(format!("{error}; nothing was changed")),
    }
}

fn network_problem(state: &State, epoch: Option<Epoch>, error: NetworkError) -> ApiError {
    match error {
        NetworkError::Doubled { .. } => not_told(error),
        NetworkError::Forbidden => epoch_problem(state, epoch),
        NetworkError::Undone(words) => refusals::unavailable_problem(format!("{words}; {LEFT}")),
        NetworkError::Unknown(words) => refusals::outcome_unknown(format!("{words}; {LEFT}")),
    }
}

/// What stands against an epoch now.
fn epoch_problem(state: &State, epoch: Option<Epoch>) -> ApiError {
    let judged = epoch.map(|epoch| recorded_epoch(&state.switch).map(|recorded| epoch.compare_with(recorded)));
    match judged {
        Some(Ok(Err(fenced))) => refusals::fenced_with(&fenced, LEFT),
        Some(Err(damaged)) => write_problem(state, "", damaged.into()),
        Some(Ok(Ok(_))) | None => {
            refusals::unavailable_problem(format!("the request could not be gone on with; {LEFT}"))
        }
    }
}

fn network_answer(key: GreKey, made: Made) -> XapiNetworkAnswer {
    let network_uuid = made.network.to_string();
    let new = (made.outcome == Outcome::Created).then(|| Changed {
        what: "network".to_owned(),
        subject: network_uuid.clone(),
        before: None,
        after: Some(format!("OVSTunnel{key}")),
    });
    let pair = |pair: Written| Changed {
        what: format!("other-config:{}", pair.key),
        subject: network_uuid.clone(),
        before: pair.before,
        after: Some(pair.after),
    };
    let changes = new.into_iter().chain(made.written.into_iter().map(pair)).collect();
    XapiNetworkAnswer { outcome: made.outcome, key: key.get(), network_uuid, bridge: made.bridge, changes }
}
