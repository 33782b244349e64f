//! Why A does not reach B.

use axum::Json;
use axum::extract::State as Shared;
use ovstunnel_api::Problem;
use ovstunnel_manager_api::Path;
use ovstunnel_server::extract::ValidQuery;
use ovstunnel_server::problem::ApiError;
use serde::Deserialize;

use super::State;
use crate::path;
use crate::zone::EndsError;

/// From where to where.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PathQuery {
    /// Name of a host; or id, VM, MAC or IP address of a recorded NIC.
    #[param(min_length = 1, max_length = 255)]
    from: String,
    /// The same of the other end.
    #[param(min_length = 1, max_length = 255)]
    to: String,
    /// The network; where it is absent, the only one that both are in.
    network: Option<String>,
}

const WORD: &str = "must be the name of a host, or id, VM, MAC or IP address of a NIC, 1 to 255 characters";

/// Whether frames pass from one end to the other and back, step by step, by what both hosts say. No frame is sent.
#[utoipa::path(get, path = "/v1/path", tag = "zone", operation_id = "getPath", params(PathQuery),
    responses(
        (status = 200, description = "The steps, and the first that fails", body = Path),
        (status = 404, description = "`not_found`: nothing has this name, there is no such network, or they have none in common", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: it is not clear which NIC or network is meant", body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn get_path(
    Shared(state): Shared<State>,
    ValidQuery(query): ValidQuery<PathQuery>,
) -> Result<Json<Path>, ApiError> {
    for (field, word) in [("from", &query.from), ("to", &query.to)] {
        if word.is_empty() || word.chars().count() > 255 {
            return Err(ApiError::invalid(field, WORD, Some(word)));
        }
    }
    let key = query.network.as_deref().map(|network| super::networks::key(&state, network)).transpose()?;
    let (key, from, to) = state.zone.ends(&query.from, &query.to, key).map_err(|error| refused(&error))?;
    Ok(Json(path::look(&state.zone, &state.hosts, key, &from, &to).await))
}

fn refused(error: &EndsError) -> ApiError {
    let detail = error.to_string();
    match error {
        EndsError::Unknown(_) | EndsError::NoNetwork { .. } => ApiError::not_found(detail),
        EndsError::Several { networks: in_the_way, .. } | EndsError::Ambiguous { nics: in_the_way, .. } => {
            ApiError::conflict(in_the_way.clone(), detail)
        }
    }
}
