//! What is wrong with the manager and its zone.

use axum::Json;
use axum::extract::State as Shared;
use ovstunnel_api::DoctorAnswer;
use ovstunnel_server::extract::NoQuery;

use super::State;

/// What is wrong with the manager and its zone, why, and what to do about it.
#[utoipa::path(get, path = "/v1/doctor", tag = "manager", operation_id = "getDoctor",
    responses((status = 200, description = "What each check found, the worst first", body = DoctorAnswer)))]
pub(super) async fn get_doctor(Shared(state): Shared<State>, _: NoQuery) -> Json<DoctorAnswer> {
    Json(state.doctor.examine(&state.zone, &state.records).await)
}
