//! Why A does not reach B.

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use ovstunnel_api::Problem;
use ovstunnel_manager_api::{Path, PostPath};
use ovstunnel_server::audit::Effect;
use ovstunnel_server::extract::{NoQuery, ValidJson, ValidQuery};
use ovstunnel_server::problem::ApiError;
use serde::Deserialize;

use super::State;
use crate::path::{self, PacketKind};
use crate::zone::{End, EndsError, Meeting};

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
    /// The network; where it is absent, the only one that both are in, or the two tiers of a VPC that they are in.
    network: Option<String>,
    /// What passes from one tier of a VPC to another: `icmp`, which it is where it is absent, `tcp:PORT` or `udp:PORT`.
    #[param(pattern = "^(icmp|(tcp|udp):[1-9][0-9]{0,4})$")]
    packet: Option<String>,
}

const WORD: &str = "must be the name of a host, or id, VM, MAC or IP address of a NIC, 1 to 255 characters";

/// Whether frames pass from one end to the other and back, step by step, by what both hosts say. No frame is sent.
#[utoipa::path(get, path = "/v1/path", tag = "zone", operation_id = "getPath", params(PathQuery),
    responses(
        (status = 200, description = "The steps, and the first that fails", body = Path),
        (status = 400, description = "`invalid_request`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: nothing has this name, there is no such network, or they have none in common", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: it is not clear which NIC or network is meant", body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn get_path(
    Shared(state): Shared<State>,
    ValidQuery(query): ValidQuery<PathQuery>,
) -> Result<Json<Path>, ApiError> {
    let packet = packet_kind(query.packet.as_deref())?;
    let (meeting, from, to) = resolve_ends(&state, &query.from, &query.to, query.network.as_deref())?;
    Ok(Json(path::examine_path(&state.zone, &state.hosts, (meeting, packet), &from, &to).await))
}

/// The same; with `send`, frames of full size are sent between the two hosts, there and back, as the last steps.
#[utoipa::path(post, path = "/v1/path", tag = "zone", operation_id = "sendFrames", request_body = PostPath,
    responses(
        (status = 200, description = "The steps, and the first that fails", body = Path),
        (status = 400, description = "`invalid_request`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: nothing has this name, there is no such network, or they have none in common", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: it is not clear which NIC or network is meant, or `send` while `sdn.ovs.controller` is off", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn send_frames(
    Shared(state): Shared<State>,
    _: NoQuery,
    ValidJson(body): ValidJson<PostPath>,
) -> Result<Response, ApiError> {
    let packet = packet_kind(body.packet.as_deref())?;
    let (meeting, from, to) = resolve_ends(&state, &body.from, &body.to, body.network.as_deref())?;
    let sweeper = if body.send { Some(super::sweep::require_sweeper(&state)?) } else { None };
    let path = path::examine_path(&state.zone, &state.hosts, (meeting, packet), &from, &to).await;
    let path = match sweeper {
        Some(sweeper) if from.host != to.host => path::probe_path(path, sweeper, meeting, (&from, &to)).await,
        _ => path,
    };
    Ok(Effect::mark_response(if body.send { "sent" } else { "looked" }, Json(path).into_response()))
}

const PACKET: &str = "must be icmp, tcp:PORT or udp:PORT, with a port of 1 to 65535";

/// What is asked about of a way between two tiers.
fn packet_kind(packet: Option<&str>) -> Result<PacketKind, ApiError> {
    let Some(text) = packet else { return Ok(PacketKind::Icmp) };
    text.parse().map_err(|()| ApiError::invalid("packet", PACKET, Some(text)))
}

/// What is meant, and in which network.
fn resolve_ends(state: &State, from: &str, to: &str, network: Option<&str>) -> Result<(Meeting, End, End), ApiError> {
    for (field, word) in [("from", from), ("to", to)] {
        if word.is_empty() || word.chars().count() > 255 {
            return Err(ApiError::invalid(field, WORD, Some(word)));
        }
    }
    let key = network.map(|network| super::networks::network_key(state, network)).transpose()?;
    state.zone.resolve_ends(from, to, key).map_err(|error| ends_error(&error))
}

fn ends_error(error: &EndsError) -> ApiError {
    let detail = error.to_string();
    match error {
        EndsError::Unknown(_) | EndsError::NoNetwork { .. } => ApiError::not_found(detail),
        EndsError::Several { networks: in_the_way, .. } | EndsError::Ambiguous { nics: in_the_way, .. } => {
            ApiError::conflict(in_the_way.clone(), detail)
        }
    }
}
