//! Networks that are recorded: added, changed, removed.

use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use ovstunnel_api::{Outcome, Problem};
use ovstunnel_manager_api::{Network, NetworkAnswer, PutNetwork};
use ovstunnel_server::audit::Effect;
use ovstunnel_server::extract::{ValidJson, ValidPath, ValidQuery};
use ovstunnel_server::listen::Peer;
use ovstunnel_server::problem::ApiError;
use ovstunnel_types::{GreKey, Invalid, NetworkNumber};

use super::hosts::ChangeQuery;
use super::{State, inventory_error, query};
use crate::inventory::{Asked, WantedNetwork};

/// The least and the largest MTU that a network's guests can be given.
const MTU: std::ops::RangeInclusive<u32> = 576..=65_535;

/// Record a network, or change what is recorded of it. Nothing on any host is changed.
#[utoipa::path(put, path = "/v1/networks/{network}", tag = "networks", operation_id = "putNetwork",
    params(("network" = String, Path, description = "Name of the network"), ChangeQuery),
    request_body = PutNetwork,
    responses(
        (status = 200, description = "`updated` or `unchanged`; with `dry_run` also `created`, and nothing was", body = NetworkAnswer),
        (status = 201, description = "`created`", body = NetworkAnswer),
        (status = 404, description = "`not_found`: no such physical network", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: its key is not free or not in range, or its number is another network's", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: the database cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn put_network(
    Shared(state): Shared<State>,
    Extension(peer): Extension<Peer>,
    ValidPath(name): ValidPath<String>,
    ValidQuery(query): ValidQuery<ChangeQuery>,
    ValidJson(body): ValidJson<PutNetwork>,
) -> Result<Response, ApiError> {
    let wanted = wanted_network(query::check_name("network", &name)?, body)?;
    let by = Asked { actor: &peer.to_string(), dry_run: query.dry_run };
    let (outcome, changes) = state.inventory.put_network(&wanted, by).await.map_err(inventory_error)?;
    let answer = Json(NetworkAnswer { outcome, network: find_network(&state, &name) });
    if query.dry_run {
        return Ok(Effect::mark_response(&format!("dry run: {}", outcome.as_str()), answer.into_response()));
    }
    let status = if outcome == Outcome::Created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(Effect::new(outcome.as_str()).with_changes(&changes).attach_to((status, answer).into_response()))
}

fn wanted_network(name: &str, body: PutNetwork) -> Result<WantedNetwork, ApiError> {
    let invalid = |field: &'static str| move |bad: Invalid| ApiError::invalid(field, bad.rule, Some(&bad.value));
    if name.strip_prefix("key-").is_some_and(|key| key.parse::<GreKey>().is_ok()) {
        let rule = "must not be key-KEY, which names a network that is only seen";
        return Err(ApiError::invalid("network", rule, Some(name)));
    }
    query::check_name("physical_network", &body.physical_network)?;
    if let Some(mtu) = body.mtu.filter(|mtu| !MTU.contains(mtu)) {
        return Err(ApiError::invalid("mtu", "must be from 576 to 65535", Some(&mtu.to_string())));
    }
    let key = body.key.map(|key| GreKey::try_from(i64::from(key))).transpose().map_err(invalid("key"))?;
    if body.adopt && key.is_none() {
        return Err(ApiError::invalid("adopt", "must come with the key of the bridges that are adopted", None));
    }
    Ok(WantedNetwork {
        name: name.to_owned(),
        physical_network: body.physical_network,
        number: body.number.map(NetworkNumber::try_from).transpose().map_err(invalid("number"))?,
        key,
        adopt: body.adopt,
        ipv6: body.ipv6,
        mtu: body.mtu,
    })
}

/// The network as it is now.
pub(super) fn find_network(state: &State, name: &str) -> Option<Network> {
    state.zone.keyless_network(name).or_else(|| {
        let key = state.zone.recorded_network(name)?.row.key?;
        state.zone.network(key)
    })
}

/// Forget a network. Nothing on any host is changed; its key is given again once each host that may have it was seen without.
#[utoipa::path(delete, path = "/v1/networks/{network}", tag = "networks", operation_id = "deleteNetwork",
    params(("network" = String, Path, description = "Name of the network"), ChangeQuery),
    responses(
        (status = 200, description = "`removed`, or `unchanged` where none of that name was recorded", body = NetworkAnswer),
        (status = 409, description = "`conflict`: it has NICs", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: the database cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn delete_network(
    Shared(state): Shared<State>,
    Extension(peer): Extension<Peer>,
    ValidPath(name): ValidPath<String>,
    ValidQuery(query): ValidQuery<ChangeQuery>,
) -> Result<Response, ApiError> {
    let name = query::check_name("network", &name)?;
    let by = Asked { actor: &peer.to_string(), dry_run: query.dry_run };
    let outcome = state.inventory.delete_network(name, by).await.map_err(inventory_error)?;
    let answer = Json(NetworkAnswer { outcome, network: None }).into_response();
    let word = if query.dry_run { format!("dry run: {}", outcome.as_str()) } else { outcome.as_str().to_owned() };
    Ok(Effect::mark_response(&word, answer))
}
