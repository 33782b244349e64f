//! The kind of a network's tunnels: recorded here, changed on the hosts by the reconciler.
//!
//! What it must not do: change one on a host.

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use ovstunnel_api::Problem;
use ovstunnel_manager_api::{Blocked, Network, NetworkAnswer, PutNetworkKind};
use ovstunnel_server::audit::Effect;
use ovstunnel_server::extract::{ValidJson, ValidPath, ValidQuery};
use ovstunnel_server::listen::Peer;
use ovstunnel_server::problem::ApiError;
use ovstunnel_types::GreKey;

use super::hosts::ChangeQuery;
use super::recorded::find_network;
use super::{State, inventory_error, query};
use crate::inventory::Asked;

/// Record of which kind a network's tunnels are to be on all hosts. Where the manager changes hosts, it changes them from then on while they
/// carry frames, each step on all hosts of the network before the next on any; the kind that they had before, recorded again, goes back.
/// A bridge that is made for the network has this kind.
#[utoipa::path(put, path = "/v1/networks/{network}/kind", tag = "networks", operation_id = "putNetworkKind",
    params(("network" = String, Path, description = "Name of the network"), ChangeQuery),
    request_body = PutNetworkKind,
    responses(
        (status = 200, description = "`updated` or `unchanged`", body = NetworkAnswer),
        (status = 400, description = "`invalid_request`: also where the network's key is too large for the kind", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: no such network is recorded", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: a host's daemon is too old, its bridge is a VPC's, or is changing between two other kinds", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: the database cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn put_kind(
    Shared(state): Shared<State>,
    Extension(peer): Extension<Peer>,
    ValidPath(name): ValidPath<String>,
    ValidQuery(query): ValidQuery<ChangeQuery>,
    ValidJson(body): ValidJson<PutNetworkKind>,
) -> Result<Response, ApiError> {
    let asked = query::check_name("network", &name)?;
    let name = state.zone.recorded_name(asked).unwrap_or_else(|| asked.to_owned());
    let by = Asked { actor: &peer.to_string(), dry_run: query.dry_run };
    let (outcome, changes) = state.inventory.put_kind(&name, body.kind, by).await.map_err(inventory_error)?;
    let network = find_network(&state, &name).map(|network| with_refusals(&state, network));
    let answer = Json(NetworkAnswer { outcome, network });
    if query.dry_run {
        return Ok(Effect::mark_response(&format!("dry run: {}", outcome.as_str()), answer.into_response()));
    }
    Ok(Effect::new(outcome.as_str()).with_changes(&changes).attach_to(answer.into_response()))
}

/// The network with what only the reconciler knows of its change of kind: that there is none, or what hosts have refused.
pub(super) fn with_refusals(state: &State, mut network: Network) -> Network {
    let key = network.key.and_then(|key| GreKey::try_from(i64::from(key)).ok());
    let (Some(kind), Some(key)) = (&mut network.kind, key) else { return network };
    if kind.next.is_none() {
        return network;
    }
    match &state.reconciler {
        None => kind.held = Some("the manager changes no host: sdn.ovs.controller is off".to_owned()),
        Some(reconciler) => {
            let refused = reconciler.kind_failures(key).into_iter();
            let names = |failed: crate::reconciler::Failed| Blocked {
                host: state.zone.host_name(failed.on),
                reason: failed.reason,
            };
            kind.waits_for.extend(refused.map(names));
        }
    }
    network
}
