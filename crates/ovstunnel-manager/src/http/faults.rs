//! What is wrong in the zone, each cause once.

use axum::Json;
use axum::extract::State as Shared;
use ovstunnel_api::Problem;
use ovstunnel_manager_api::FaultList;
use ovstunnel_server::extract::ValidQuery;
use ovstunnel_server::problem::ApiError;
use serde::Deserialize;

use super::{State, query};
use crate::zone::Wrong;

/// Faults of an answer where the request does not say.
const USUAL: usize = 100;

/// Which faults.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct FaultQuery {
    /// So many at most, 1 to 1000; 100 where it is absent.
    #[serde(deserialize_with = "query::limit")]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// Only those that are at this host, or at its tunnels.
    host: Option<String>,
    /// Only those that concern this network.
    network: Option<String>,
    /// Only those of this kind.
    kind: Option<String>,
}

/// What is wrong now, each cause once, the worst first.
#[utoipa::path(get, path = "/v1/faults", tag = "zone", operation_id = "listFaults", params(FaultQuery),
    responses(
        (status = 200, description = "The faults", body = FaultList),
        (status = 404, description = "`not_found`: no such host or network", body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn list_faults(
    Shared(state): Shared<State>,
    ValidQuery(query): ValidQuery<FaultQuery>,
) -> Result<Json<FaultList>, ApiError> {
    let FaultQuery { limit, host, network, kind } = query;
    host.as_deref().map(|host| super::hosts::number_of(&state, "host", host)).transpose()?;
    kind.as_deref().map(|kind| query::check_name("kind", kind)).transpose()?;
    let key = network.as_deref().map(|network| super::networks::network_key(&state, network)).transpose()?;
    Ok(Json(state.zone.faults(&Wrong { host, key, kind, limit: limit.unwrap_or(USUAL) })))
}
