//! The routes of the API, version 1.
//!
//! What it does: takes a request apart, hands it to the writer or reads the mirror, and puts the answer on the wire. What
//! it must not do: run commands, or change anything itself.

mod bfd;
mod bridges;
mod counters;
mod diagnosis;
mod fence;
mod fixups;
mod forwarding;
mod frame_query;
mod host;
mod kind;
mod limit;
mod list;
mod log;
mod networks;
mod openapi;
mod packet;
mod plugin;
mod probe;
mod refusals;
mod takeover;
mod validate;
mod vifs;
mod watch;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ovstunnel_api::{Outcome, PlanAnswer, PlannedCommand};
use ovstunnel_server::audit::Effect;
use ovstunnel_server::problem::ApiError;
use serde::Deserialize;

use crate::state::{State, to_wire};
use crate::writer::{Planned, WriteError};
use crate::{metrics, timing};

/// All routes, described in `/openapi.json`.
pub fn router(state: State) -> Router {
    let counted = axum::middleware::from_fn_with_state(state.metrics.clone(), metrics::measure_request);
    openapi::router()
        .with_state(state)
        .route_layer(axum::middleware::from_fn(timing::measure_request))
        .route_layer(counted)
}

/// `?dry_run=true` answers with the plan and changes nothing.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ChangeQuery {
    /// Answer with the plan (the changes in words, the exact commands) and change nothing.
    dry_run: bool,
}

impl State {
    /// That the mirror is the database's state and not a memory of it.
    fn expect_live(&self) -> Result<(), ApiError> {
        match &self.switch.watch_health().borrow().database {
            Ok(()) => Ok(()),
            Err(reason) => Err(refusals::unavailable_problem(format!("Open vSwitch cannot be reached: {reason}"))),
        }
    }
}

fn plan_response(plan: Planned) -> Response {
    let commands = plan.commands.into_iter().map(|command| PlannedCommand { argv: command.argv, stdin: command.stdin });
    let outcome = plan.outcome;
    let answer = PlanAnswer { dry_run: true, outcome, changes: plan.changes, commands: commands.collect() };
    dry_run(outcome, axum::Json(answer).into_response())
}

/// For the audit: nothing was changed.
fn dry_run(outcome: Outcome, response: Response) -> Response {
    Effect::mark_response(&format!("dry run: {}", outcome.as_str()), response)
}

/// The status of a success: 201 where something came into being.
fn success_status(outcome: Outcome) -> StatusCode {
    match outcome {
        Outcome::Created => StatusCode::CREATED,
        Outcome::Updated | Outcome::Unchanged | Outcome::Removed => StatusCode::OK,
    }
}

/// An error of the writer on the wire, with the bridge as it is now where part of the request took effect.
fn write_problem(state: &State, bridge: &str, error: WriteError) -> ApiError {
    use ovstunnel_plan::Rejected;
    let detail = error.to_string();
    let mut problem = match error {
        WriteError::Rejected(Rejected::Invalid { field, rule, value }) => {
            let value = Some(value).filter(|value| !value.is_empty());
            return ApiError::invalid(field, rule, value.as_deref());
        }
        WriteError::Rejected(Rejected::NotFound(what)) => return ApiError::not_found(what),
        WriteError::Rejected(Rejected::Conflict { in_the_way, detail }) => {
            return ApiError::conflict(in_the_way, detail);
        }
        WriteError::Fenced(fenced) => return refusals::fenced_problem(&fenced),
        WriteError::Unavailable(_)
        | WriteError::Undone(_)
        | WriteError::Unsettled(_)
        | WriteError::Late(_)
        | WriteError::Busy(_)
        | WriteError::Ended => return refusals::unavailable_problem(detail),
        WriteError::Refused(_) => return refusals::refused_problem(detail, vec![]),
        WriteError::TunnelsRefused(refused) => {
            let words = refused.iter().map(|refusal| format!("{}: {}", refusal.tunnel.port_name(), refusal.message));
            let detail = format!("{detail}: {}", words.collect::<Vec<_>>().join("; "));
            refusals::refused_problem(detail, refused.iter().map(to_wire::refusal_to_wire).collect())
        }
        WriteError::Unknown(_) => refusals::outcome_unknown(detail),
    };
    problem.problem_mut().bridge = state.managed_bridge(bridge).map(Box::new);
    problem
}
