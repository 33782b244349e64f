//! Bridges and their tunnels.

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use ovstunnel_api::{Bridge, BridgeAnswer, Changed, OutcomeAnswer, PostTunnel, Problem, PutBridge, TunnelAnswer};
use ovstunnel_plan::{BridgeName, Change, Outcome, PortName, View};
use ovstunnel_server::audit::Effect;
use ovstunnel_server::extract::{NoQuery, ValidJson, ValidPath, ValidQuery};
use ovstunnel_server::middleware::RequestId;
use ovstunnel_server::problem::ApiError;
use ovstunnel_types::text::error_chain;

use super::fence::Fenced;
use super::{ChangeQuery, State, plan_response, refusals, success_status, to_wire, validate, write_problem};
use crate::host::LocalAddress;
use crate::writer::{Done, Seen};

/// Has a change carried out or, in a dry run, planned, and makes the answer of a success.
pub(super) async fn carry_out(
    state: &State,
    change: Change,
    query: &ChangeQuery,
    id: RequestId,
    answer: impl FnOnce(Done, Vec<Changed>) -> Result<Response, ApiError>,
) -> Result<Response, ApiError> {
    let change = state.with_host(change).await.map_err(|error| ApiError::internal(error_chain(&error)))?;
    let bridge = change.bridge().clone();
    let failed = |error| write_problem(state, bridge.as_str(), error);
    if query.dry_run {
        return state.writer.plan_change(change).await.map(plan_response).map_err(failed);
    }
    let done = state.writer.submit_change(change, id.to_string()).await.map_err(failed)?;
    let changes = to_wire::changes_to_wire(&done.changes);
    let effect = Effect::new(done.outcome.as_str()).with_changes(&changes);
    answer(done, changes).map(|response| effect.attach_to(response))
}

async fn local_addresses(state: &State) -> Result<Vec<LocalAddress>, ApiError> {
    state.interfaces.local_addresses().await.map_err(|error| ApiError::internal(error_chain(&error)))
}

/// Set up a bridge, with its complete set of tunnels where `tunnels` is given.
#[utoipa::path(
    put, path = "/v1/bridges/{bridge}", tag = "bridges",
    params(("bridge" = String, Path, description = "Name of the bridge, 1 to 15 characters"), ChangeQuery),
    request_body = PutBridge,
    responses(
        (status = 200, description = "Updated or unchanged; with `dry_run` a `PlanAnswer`", body = BridgeAnswer),
        (status = 201, description = "Created", body = BridgeAnswer),
        (status = 400, description = "`invalid_request`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`switch_refused`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`switch_unavailable`", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "`outcome_unknown`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn put_bridge(
    Fenced(state): Fenced,
    Extension(id): Extension<RequestId>,
    ValidPath(name): ValidPath<String>,
    ValidQuery(query): ValidQuery<ChangeQuery>,
    ValidJson(body): ValidJson<PutBridge>,
) -> Result<Response, ApiError> {
    let name: BridgeName = validate::parse_field("bridge", &name)?;
    let change = validate::setup_change(name, &body, &local_addresses(&state).await?)?;
    carry_out(&state, change, &query, id, |done, changes| {
        let (outcome, bridge) = (done.outcome, bridge_after(&state, &done)?);
        Ok((success_status(outcome), Json(BridgeAnswer { outcome, changes, bridge })).into_response())
    })
    .await
}

/// The bridge as it is after a change.
pub(super) fn bridge_after(state: &State, done: &Done) -> Result<Bridge, ApiError> {
    let bridge = match &done.seen {
        Seen::Bridge(seen) => state.to_wire_with(&seen.0, &seen.1, &done.settings),
        _ => None,
    };
    bridge.ok_or_else(|| gone_error(done))
}

/// Somebody else removed what was made before it could be looked at.
fn gone_error(done: &Done) -> ApiError {
    refusals::outcome_unknown(format!(
        "bridge {} was set up ({}), and is gone again already",
        done.bridge, done.outcome
    ))
}

/// One managed bridge.
#[utoipa::path(get, path = "/v1/bridges/{bridge}", tag = "bridges",
    params(("bridge" = String, Path, description = "Name of the bridge")),
    responses(
        (status = 200, description = "What is there", body = Bridge),
        (status = 400, description = "`invalid_request`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`switch_unavailable`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_bridge(
    Shared(state): Shared<State>,
    ValidPath(name): ValidPath<String>,
    _: NoQuery,
) -> Result<Json<Bridge>, ApiError> {
    let name: BridgeName = validate::parse_field("bridge", &name)?;
    state.expect_live()?;
    state.surveyor.current_survey().await;
    if let Some(bridge) = state.managed_bridge(name.as_str()) {
        return Ok(Json(bridge));
    }
    let there = state.switch.observer().read(|db| db.view().bare_bridge(name.as_str()).is_some());
    Err(ApiError::not_found(match there {
        true => format!("bridge {name} is there, but not managed by ovstunnel"),
        false => format!("there is no bridge {name}"),
    }))
}

/// Remove a bridge; one that was there before us is left without our tunnels, flows and marks.
#[utoipa::path(delete, path = "/v1/bridges/{bridge}", tag = "bridges",
    params(("bridge" = String, Path, description = "Name of the bridge"), ChangeQuery),
    responses(
        (status = 200, description = "`removed`, or `unchanged` where nothing was there (`existed` is false)", body = OutcomeAnswer),
        (status = 400, description = "`invalid_request`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: not managed by ovstunnel, or a VIF is still plugged", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`switch_refused`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`switch_unavailable`", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "`outcome_unknown`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn delete_bridge(
    Fenced(state): Fenced,
    Extension(id): Extension<RequestId>,
    ValidPath(name): ValidPath<String>,
    ValidQuery(query): ValidQuery<ChangeQuery>,
) -> Result<Response, ApiError> {
    let bridge: BridgeName = validate::parse_field("bridge", &name)?;
    let dead = state.dead_vifs(&bridge).await;
    let change = Change::DestroyBridge(bridge, dead);
    carry_out(&state, change, &query, id, removed_response).await
}

#[allow(clippy::unnecessary_wraps, reason = "the signature that `carry_out` takes")]
pub(super) fn removed_response(done: Done, changes: Vec<Changed>) -> Result<Response, ApiError> {
    // Where it was there, at least its marks had to go.
    let (outcome, existed) = (done.outcome, done.outcome != Outcome::Unchanged);
    Ok(Json(OutcomeAnswer { outcome, existed, changes }).into_response())
}

/// Create a tunnel.
#[utoipa::path(post, path = "/v1/bridges/{bridge}/tunnels", tag = "tunnels",
    params(("bridge" = String, Path, description = "Name of the bridge"), ChangeQuery),
    request_body = PostTunnel,
    responses(
        (status = 200, description = "Updated or unchanged; with `dry_run` a `PlanAnswer`", body = TunnelAnswer),
        (status = 201, description = "Created", body = TunnelAnswer),
        (status = 400, description = "`invalid_request`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: no such bridge", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`switch_refused`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`switch_unavailable`", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "`outcome_unknown`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn post_tunnel(
    Fenced(state): Fenced,
    Extension(id): Extension<RequestId>,
    ValidPath(name): ValidPath<String>,
    ValidQuery(query): ValidQuery<ChangeQuery>,
    ValidJson(body): ValidJson<PostTunnel>,
) -> Result<Response, ApiError> {
    let name: BridgeName = validate::parse_field("bridge", &name)?;
    let change = validate::create_tunnel(name, &body, &local_addresses(&state).await?)?;
    carry_out(&state, change, &query, id, |done, changes| {
        let outcome = done.outcome;
        let tunnel = match &done.seen {
            Seen::Tunnel(port) => to_wire::tunnel_to_wire(port),
            _ => None,
        };
        let tunnel = tunnel.ok_or_else(|| gone_error(&done))?;
        Ok((success_status(outcome), Json(TunnelAnswer { outcome, changes, tunnel })).into_response())
    })
    .await
}

/// Remove a tunnel.
#[utoipa::path(delete, path = "/v1/bridges/{bridge}/tunnels/{port}", tag = "tunnels",
    params(
        ("bridge" = String, Path, description = "Name of the bridge"),
        ("port" = String, Path, description = "Name of the tunnel's port"),
        ChangeQuery,
    ),
    responses(
        (status = 200, description = "`removed`, or `unchanged` where nothing was there (`existed` is false)", body = OutcomeAnswer),
        (status = 400, description = "`invalid_request`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: bridge or port is not managed by ovstunnel", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`switch_refused`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`switch_unavailable`", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "`outcome_unknown`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn delete_tunnel(
    Fenced(state): Fenced,
    Extension(id): Extension<RequestId>,
    ValidPath((bridge, port)): ValidPath<(String, String)>,
    ValidQuery(query): ValidQuery<ChangeQuery>,
) -> Result<Response, ApiError> {
    let bridge: BridgeName = validate::parse_field("bridge", &bridge)?;
    let port: PortName = validate::parse_field("port", &port)?;
    carry_out(&state, Change::DestroyTunnel { bridge, port }, &query, id, removed_response).await
}
