//! The take-over from the Python plugin, and its opposite. Must not judge: the writer's words are passed on.

use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use ovstunnel_api::{
    Outcome, OutcomeAnswer, PlanAnswer, PlannedCommand, Problem, SpanningTree, TakeoverAnswer, TakeoverBridge,
    TakeoverPlan, TakeoverRequest, TakeoverState,
};
use ovstunnel_plan::{BridgeName, Change, DesiredBridge, View};
use ovstunnel_server::audit::Effect;
use ovstunnel_server::extract::{OptionalJson, ValidPath, ValidQuery};
use ovstunnel_server::middleware::RequestId;
use ovstunnel_server::problem::ApiError;
use ovstunnel_types::text::error_chain;

use super::fence::Fenced;
use super::{ChangeQuery, bridges, validate, write_problem};
use crate::state::to_wire;
use crate::writer::{self, TakenOver};

/// Take bridges over from CloudStack's Python plugin: these, or all that are found.
#[utoipa::path(post, path = "/v1/takeover", tag = "host",
    params(ChangeQuery),
    request_body = TakeoverRequest,
    responses(
        (status = 200, description = "What was found, done and left; with `dry_run` a `TakeoverPlan`", body = TakeoverAnswer),
        (status = 400, description = "`invalid_request`", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`switch_unavailable`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn take_over_bridges(
    Fenced(state): Fenced,
    ValidQuery(query): ValidQuery<ChangeQuery>,
    OptionalJson(body): OptionalJson<TakeoverRequest>,
) -> Result<Response, ApiError> {
    let names = body.unwrap_or_default().bridges;
    let name = |(n, name): (usize, &String)| validate::parse_field(&format!("bridges[{n}]"), name);
    let names: Vec<BridgeName> = names.iter().enumerate().map(name).collect::<Result<_, _>>()?;
    let failed = |error| write_problem(&state, "", error);
    let host = state.host_of_foreign().await.map_err(|error| ApiError::internal(error_chain(&error)))?;
    if !query.dry_run {
        let taken = state.writer.take_over(names, host).await.map_err(failed)?;
        let outcome = takeover_outcome(&taken);
        let of_bridge = |bridge: &TakenOver| {
            let of = |done: &String| format!("bridge {}: {done}", bridge.name);
            bridge.done.iter().map(of).collect::<Vec<_>>()
        };
        let effect = Effect::new(outcome.as_str()).with_words(taken.iter().flat_map(of_bridge));
        return Ok(effect.attach_to(Json(TakeoverAnswer { outcome, bridges: describe_all(taken) }).into_response()));
    }
    let plan = state.writer.plan_take_over(names, host).await.map_err(failed)?;
    let outcome = takeover_outcome(&plan.bridges);
    let changes = plan.bridges.iter().flat_map(|bridge| bridge.done.clone()).collect();
    let command = |command: ovstunnel_ovs::Command| PlannedCommand { argv: command.argv, stdin: command.stdin };
    let commands = plan.commands.into_iter().map(command).collect();
    let bridges = describe_all(plan.bridges);
    let plan = PlanAnswer { dry_run: true, outcome, changes, commands };
    Ok(super::dry_run(outcome, Json(TakeoverPlan { plan, bridges }).into_response()))
}

/// Leave a plain bridge behind: our tunnels, flows and marks go; the bridge, its VIFs and what is not ours stay.
#[utoipa::path(post, path = "/v1/bridges/{bridge}/release", tag = "bridges",
    params(("bridge" = String, Path, description = "Name of the bridge"), ChangeQuery),
    responses(
        (status = 200, description = "`removed`, or `unchanged` where nothing of ours was there (`existed` is false); with `dry_run` a `PlanAnswer`", body = OutcomeAnswer),
        (status = 400, description = "`invalid_request`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: its record is damaged", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`switch_refused`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`switch_unavailable`", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "`outcome_unknown`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn release_bridge(
    Fenced(state): Fenced,
    Extension(id): Extension<RequestId>,
    ValidPath(name): ValidPath<String>,
    ValidQuery(query): ValidQuery<ChangeQuery>,
) -> Result<Response, ApiError> {
    let bridge: BridgeName = validate::parse_field("bridge", &name)?;
    let _alone = state.turns.wait_alone(&bridge).await;
    let there = state.switch.observer().read(|db| db.view().bridge(bridge.as_str()));
    let record = there.and_then(|there| DesiredBridge::from_record(&there));
    let change = Change::ReleaseBridge(bridge.clone());
    let released = bridges::carry_out(&state, change, &query, id, bridges::removed_response).await?;
    // Else the management server takes it to be set up here, and never does so again.
    if let (Some(xapi), true, false) = (&state.xapi, record.is_some(), query.dry_run) {
        xapi.note_left(&bridge, record, None, state.switch.observer()).await;
    }
    Ok(released)
}

fn takeover_outcome(taken: &[TakenOver]) -> Outcome {
    let changed = |bridge: &TakenOver| bridge.state == writer::TakeoverState::TakenOver || !bridge.done.is_empty();
    if taken.iter().any(changed) { Outcome::Updated } else { Outcome::Unchanged }
}

fn describe_all(taken: Vec<TakenOver>) -> Vec<TakeoverBridge> {
    taken.into_iter().map(describe_bridge).collect()
}

fn describe_bridge(taken: TakenOver) -> TakeoverBridge {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let known = taken.desired.as_ref();
    TakeoverBridge {
        state: match taken.state {
            writer::TakeoverState::TakenOver => TakeoverState::TakenOver,
            writer::TakeoverState::Unchanged => TakeoverState::Unchanged,
            writer::TakeoverState::Left => TakeoverState::Left,
            writer::TakeoverState::Failed => TakeoverState::Failed,
        },
        key: known.and_then(|bridge| Some(bridge.kind.key()?.get())),
        network_uuid: known.and_then(|bridge| bridge.network_uuid).map(|uuid| uuid.to_string()),
        ipv6: known.map(|bridge| bridge.ipv6),
        host_id: known.and_then(|bridge| bridge.host_id.as_ref()).map(ToString::to_string),
        tunnels: known.map(|bridge| bridge.tunnels.keys().map(ToString::to_string).collect()).unwrap_or_default(),
        bridge: taken.name,
        vifs: taken.vifs,
        plugin_flows: count(taken.plugin_flows),
        other_flows: count(taken.other_flows),
        spanning_tree: taken.spanning_tree.map(|tree| SpanningTree {
            bridge_id: tree.bridge_id,
            root_id: tree.root_id,
            root_port: tree.root_port,
        }),
        announced: count(taken.announced),
        done: taken.done,
        changes: to_wire::changes_to_wire(&taken.changes),
        left: taken.left,
    }
}
