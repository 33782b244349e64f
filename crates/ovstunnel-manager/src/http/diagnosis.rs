//! What is wrong with the manager and its zone, and what a bug report needs of it.

use axum::Json;
use axum::extract::State as Shared;
use ovstunnel_api::{DoctorAnswer, Problem, SupportAnswer};
use ovstunnel_server::extract::NoQuery;
use ovstunnel_server::listen::Peer;
use ovstunnel_server::problem::ApiError;

use super::{State, metrics, zone};
use crate::support::{self, Running};

/// What is wrong with the manager and its zone, why, and what to do about it.
#[utoipa::path(get, path = "/v1/doctor", tag = "manager", operation_id = "getDoctor",
    responses((status = 200, description = "What each check found, the worst first", body = DoctorAnswer)))]
pub(super) async fn get_doctor(Shared(state): Shared<State>, _: NoQuery) -> Json<DoctorAnswer> {
    Json(state.doctor.examine(&state.zone, &state.records, &state.cloudstack.to_wire()).await)
}

/// Configuration, findings, hosts, networks that are not whole, events and log for a bug report, without keys. On the Unix socket only.
#[utoipa::path(get, path = "/v1/support", tag = "manager", operation_id = "getSupport",
    responses(
        (status = 200, description = "Named texts, each of at most 2 MiB", body = SupportAnswer),
        (status = 403, description = "`forbidden`: not over HTTPS", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_support(
    peer: Peer,
    Shared(state): Shared<State>,
    _: NoQuery,
) -> Result<Json<SupportAnswer>, ApiError> {
    if !matches!(peer, Peer::Root { .. }) {
        return Err(ApiError::forbidden("what a bug report needs is given on this machine only, over the Unix socket"));
    }
    let running = Running {
        config: state.doctor.config(),
        zone: &state.zone,
        records: &state.records,
        overview: zone::zone_overview(&state),
        found: state.doctor.examine(&state.zone, &state.records, &state.cloudstack.to_wire()).await,
        metrics: metrics::render_metrics(&state),
    };
    Ok(Json(SupportAnswer { parts: support::collect_parts(&running).await }))
}
