//! The change of a bridge's tunnel kind while it carries frames. Must not decide when other hosts are ready.

use std::collections::BTreeSet;

use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use ovstunnel_api::{BridgeAnswer, KindStep, PostKind, Problem};
use ovstunnel_plan::{BridgeName, Change, ChangeKind, Outcome};
use ovstunnel_server::audit::Effect;
use ovstunnel_server::extract::{ValidJson, ValidPath, ValidQuery};
use ovstunnel_server::middleware::RequestId;
use ovstunnel_server::problem::ApiError;

use super::bridges::bridge_after;
use super::fence::Fenced;
use super::{ChangeQuery, State, plan_response, refusals, to_wire, validate, write_problem};

/// Bring the change of a bridge's tunnel kind to a step. No frame is lost and none comes twice where each step is taken on all hosts
/// of the network before the next is taken on any.
///
/// `prepare` makes a second tunnel beside each, which only receives; `switch` has frames be sent by the second and received by both;
/// `finish` removes those of the old kind, once something has come from each host by the new. `prepare` behind `switch` goes back, and
/// `abort` behind `prepare` removes the second tunnels.
#[utoipa::path(post, path = "/v1/bridges/{bridge}/kind", tag = "bridges",
    params(("bridge" = String, Path, description = "Name of the bridge"), ChangeQuery),
    request_body = PostKind,
    responses(
        (status = 200, description = "Updated or unchanged; with `dry_run` a `PlanAnswer`", body = BridgeAnswer),
        (status = 400, description = "`invalid_request`: also a key that the kind cannot have", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: no such bridge", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: not managed by ovstunnel, a VPC's, a step that does not follow, or a host that is not ready for it", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`switch_refused`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`switch_unavailable`", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "`outcome_unknown`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn post_kind(
    Fenced(state): Fenced,
    Extension(id): Extension<RequestId>,
    ValidPath(name): ValidPath<String>,
    ValidQuery(query): ValidQuery<ChangeQuery>,
    ValidJson(body): ValidJson<PostKind>,
) -> Result<Response, ApiError> {
    let bridge: BridgeName = validate::parse_field("bridge", &name)?;
    let PostKind { to, step, force } = body;
    let heard = if removes(step) && !force { heard(&state).await? } else { BTreeSet::new() };
    let change = Change::ChangeKind(ChangeKind { bridge: bridge.clone(), to, step, force, heard });
    let failed = |error| write_problem(&state, bridge.as_str(), error);
    if query.dry_run {
        return state.writer.plan_change(change).await.map(plan_response).map_err(failed);
    }
    let done = state.writer.submit_change(change.clone(), id.to_string()).await.map_err(failed)?;
    // The flows by which a second tunnel is heard name its port, which has its number only now. What this answers, is ready.
    let settled = state.writer.submit_change(change, id.to_string()).await.map_err(failed)?;
    let outcome = if done.outcome == Outcome::Unchanged { settled.outcome } else { done.outcome };
    let changes = to_wire::changes_to_wire(&[done.changes.as_slice(), &settled.changes].concat());
    let effect = Effect::new(outcome.as_str()).with_changes(&changes);
    let answer = BridgeAnswer { outcome, changes, bridge: bridge_after(&state, &settled)? };
    Ok(effect.attach_to(Json(answer).into_response()))
}

/// Whether a step takes tunnels away.
fn removes(step: KindStep) -> bool {
    matches!(step, KindStep::Finish | KindStep::Abort)
}

/// The ports of tunnels by which something has come.
async fn heard(state: &State) -> Result<BTreeSet<String>, ApiError> {
    let counted =
        state.switch.tunnel_counters().await.map_err(|error| refusals::unavailable_problem(error.to_string()))?;
    Ok(counted.into_iter().filter(|(_, counted)| counted.rx_packets > 0).map(|(port, _)| port).collect())
}
