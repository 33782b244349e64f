//! What is wrong with this host, and what a bug report needs of it.

use std::time::Duration;

use axum::extract::State as Shared;
use axum::{Extension, Json};
use ovstunnel_api::{DoctorAnswer, Problem, SupportAnswer, SupportPart};
use ovstunnel_server::extract::{NoQuery, ValidQuery};
use ovstunnel_server::listen::Peer;
use ovstunnel_server::problem::ApiError;
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::{State, host};
use crate::doctor::Now;
use crate::support;

/// How long the writer may take to say what it would change: a doctor answers also while that is stuck.
const PATIENCE: Duration = Duration::from_secs(15);

/// Over HTTPS one doctor looks at a time, so that viewers never keep the writer busy, or root on the host waiting.
static FROM_AFAR: Semaphore = Semaphore::const_new(1);

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct DoctorQuery {
    /// Also try a TCP connection to the API's port of each host to which tunnels go.
    probe_peers: bool,
}

/// What is wrong with this host, why, and what to do about it.
#[utoipa::path(get, path = "/v1/doctor", tag = "host",
    params(DoctorQuery),
    responses(
        (status = 200, description = "What each check found, the worst first", body = DoctorAnswer),
        (status = 400, description = "`invalid_request`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_findings(
    peer: Option<Extension<Peer>>,
    Shared(state): Shared<State>,
    ValidQuery(query): ValidQuery<DoctorQuery>,
) -> Json<DoctorAnswer> {
    let from_afar = peer.is_some_and(|Extension(peer)| matches!(peer, Peer::Certificate(_)));
    // The semaphore is never closed.
    let _turn = if from_afar { FROM_AFAR.acquire().await.ok() } else { None };
    let settings = state.switch.effective_settings(&state.writer.settings());
    Json(state.doctor.examine(&current_state(&state, &settings).await, query.probe_peers).await)
}

/// Configuration, versions, rows, flows and log for a bug report, without keys. On the Unix socket only.
#[utoipa::path(get, path = "/v1/support", tag = "host",
    responses(
        (status = 200, description = "Named texts, each of at most 2 MiB", body = SupportAnswer),
        (status = 403, description = "`forbidden`: not over HTTPS", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_support_parts(
    peer: Peer,
    Shared(state): Shared<State>,
    _: NoQuery,
) -> Result<Json<SupportAnswer>, ApiError> {
    if !matches!(peer, Peer::Root { .. }) {
        return Err(ApiError::forbidden("what a bug report needs is given on this host only, over the Unix socket"));
    }
    let settings = state.switch.effective_settings(&state.writer.settings());
    let now = current_state(&state, &settings).await;
    let mut parts = support::collect_parts(&state.doctor, &now).await;
    let found = state.doctor.examine(&now, false).await;
    let doctor = serde_json::to_string_pretty(&found).unwrap_or_else(|error| error.to_string());
    parts.push(SupportPart { name: "doctor.json".to_owned(), text: doctor });
    parts.push(SupportPart { name: "metrics.txt".to_owned(), text: host::metrics_text(&state).await });
    Ok(Json(SupportAnswer { parts }))
}

async fn current_state<'a>(state: &'a State, settings: &'a ovstunnel_plan::EffectiveSettings) -> Now<'a> {
    let pending = match tokio::time::timeout(PATIENCE, state.writer.plan_reconcile()).await {
        Ok(planned) => planned.map(|plan| plan.changes).map_err(|error| error.to_string()),
        Err(_) => Err(format!("the writer has not answered within {} s", PATIENCE.as_secs())),
    };
    Now {
        switch: &state.switch,
        interfaces: &state.interfaces,
        settings,
        bridges: state.all_bridges().await,
        pending,
        ready: host::ready_state(state).await,
        survey: state.surveyor.look_now().await,
        witnesses: &state.witnesses,
        silence: &state.silence,
        lost_lines: state.logging.as_ref().map_or(0, |logging| logging.lost_lines()),
        log_trouble: state.logging.as_ref().and_then(|logging| logging.trouble()),
    }
}
