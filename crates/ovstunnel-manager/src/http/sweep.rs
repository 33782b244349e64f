//! Sweeps of a network: frames in each of its tunnels.

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use ovstunnel_api::Problem;
use ovstunnel_manager_api::Sweep;
use ovstunnel_server::audit::Effect;
use ovstunnel_server::extract::{ValidPath, ValidQuery};
use ovstunnel_server::problem::ApiError;
use serde::Deserialize;

use super::State;
use super::networks::{network_key, no_such_network};
use crate::sweep::Sweeper;

/// How much is to be found out.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct SweepQuery {
    /// Find out to the byte what passes each tunnel that does not carry frames of full size. Else it is left out where there are many.
    mtu: bool,
}

/// Send a frame of full size into each tunnel of a network, and say by which none arrives. They reach no VM.
#[utoipa::path(post, path = "/v1/networks/{network}/sweep", tag = "networks", operation_id = "sweepNetwork",
    params(("network" = String, Path, description = "Name of the network"), SweepQuery),
    responses(
        (status = 200, description = "What arrives and what does not", body = Sweep),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: it has no key yet, or `sdn.ovs.controller` is off, so that nothing is sent to any host", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn sweep(
    Shared(state): Shared<State>,
    ValidPath(name): ValidPath<String>,
    ValidQuery(query): ValidQuery<SweepQuery>,
) -> Result<Response, ApiError> {
    let key = network_key(&state, &name)?;
    let sweep: Sweep =
        require_sweeper(&state)?.sweep_network(key, query.mtu).await.ok_or_else(|| no_such_network(&name))?;
    Ok(Effect::mark_response("swept", Json(sweep).into_response()))
}

/// What sweeps; only where the manager changes hosts.
pub(super) fn require_sweeper(state: &State) -> Result<&Sweeper, ApiError> {
    let detail = "the manager writes to no host: sdn.ovs.controller is off, so no frame can be sent";
    state.sweeper.as_ref().ok_or_else(|| ApiError::conflict("sdn.ovs.controller", detail))
}
