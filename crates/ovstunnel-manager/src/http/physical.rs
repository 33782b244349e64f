//! Physical networks, their ranges, and the keys of the zone.

use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use ovstunnel_api::{Outcome, Problem};
use ovstunnel_manager_api::{
    KeyList, KeyRange, KeyRanges, KeyRangesAnswer, KeyState, KeyUsage, PhysicalNetwork, PhysicalNetworkAnswer,
    PhysicalNetworkList, PutPhysicalNetwork,
};
use ovstunnel_mesh::keys::Ranges;
use ovstunnel_server::audit::Effect;
use ovstunnel_server::extract::{NoQuery, ValidJson, ValidPath, ValidQuery};
use ovstunnel_server::listen::Peer;
use ovstunnel_server::problem::ApiError;
use ovstunnel_store::PhysicalNetworkRow;
use ovstunnel_types::Isolation;
use serde::Deserialize;
use serde::de::Deserializer;

use super::hosts::ChangeQuery;
use super::{State, database_error, inventory_error, query};
use crate::config::is_label;
use crate::inventory::Asked;

fn network_to_wire((row, keys): (PhysicalNetworkRow, KeyUsage)) -> PhysicalNetwork {
    let PhysicalNetworkRow { name, isolation, vnet, label, label_xen, label_kvm } = row;
    PhysicalNetwork { name, isolation, vnet, label, label_xen, label_kvm, keys }
}

async fn all_physical(state: &State) -> Result<Vec<PhysicalNetwork>, ApiError> {
    let (_, networks) = state.inventory.keys_and_usage().await.map_err(|error| database_error(&error))?;
    Ok(networks.into_iter().map(network_to_wire).collect())
}

/// The physical networks, by name.
#[utoipa::path(get, path = "/v1/physical-networks", tag = "physical networks", operation_id = "listPhysicalNetworks",
    responses(
        (status = 200, description = "All of them", body = PhysicalNetworkList),
        (status = 503, description = "`unavailable`: the database cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn list_physical_networks(
    Shared(state): Shared<State>,
    _: NoQuery,
) -> Result<Json<PhysicalNetworkList>, ApiError> {
    Ok(Json(PhysicalNetworkList { physical_networks: all_physical(&state).await? }))
}

/// One physical network.
#[utoipa::path(get, path = "/v1/physical-networks/{physical_network}", tag = "physical networks", operation_id = "getPhysicalNetwork",
    params(("physical_network" = String, Path, description = "Name of the physical network")),
    responses(
        (status = 200, description = "The physical network", body = PhysicalNetwork),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: the database cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_physical_network(
    Shared(state): Shared<State>,
    ValidPath(name): ValidPath<String>,
    _: NoQuery,
) -> Result<Json<PhysicalNetwork>, ApiError> {
    let name = query::check_name("physical_network", &name)?;
    let found = all_physical(&state).await?.into_iter().find(|network| network.name == name);
    found.map(Json).ok_or_else(|| ApiError::not_found(format!("no physical network {name} is recorded")))
}

/// Record a physical network, or change what is recorded of it.
#[utoipa::path(put, path = "/v1/physical-networks/{physical_network}", tag = "physical networks", operation_id = "putPhysicalNetwork",
    params(("physical_network" = String, Path, description = "Name of the physical network"), ChangeQuery),
    request_body = PutPhysicalNetwork,
    responses(
        (status = 200, description = "`updated` or `unchanged`; with `dry_run` also `created`, and nothing was", body = PhysicalNetworkAnswer),
        (status = 201, description = "`created`", body = PhysicalNetworkAnswer),
        (status = 409, description = "`conflict`: a network of it would be out of range or isolated otherwise", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: the database cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn put_physical_network(
    Shared(state): Shared<State>,
    Extension(peer): Extension<Peer>,
    ValidPath(name): ValidPath<String>,
    ValidQuery(query): ValidQuery<ChangeQuery>,
    ValidJson(body): ValidJson<PutPhysicalNetwork>,
) -> Result<Response, ApiError> {
    let name = query::check_name("physical_network", &name)?.to_owned();
    let PutPhysicalNetwork { isolation, vnet, label, label_xen, label_kvm } = body;
    for (field, label) in [("label", &label), ("label_xen", &label_xen), ("label_kvm", &label_kvm)] {
        if let Some(bad) = label.as_deref().filter(|label| !is_label(label)) {
            let rule = "must be 1 to 45 characters, none of them a control character";
            return Err(ApiError::invalid(field, rule, Some(bad)));
        }
    }
    let vnet = normalise_ranges("vnet", &vnet, isolation)?;
    let row = PhysicalNetworkRow { name: name.clone(), isolation, vnet, label, label_xen, label_kvm };
    let by = Asked { actor: &peer.to_string(), dry_run: query.dry_run };
    let (outcome, changes) = state.inventory.put_physical(&[row], by).await.map_err(inventory_error)?;
    let physical_network = all_physical(&state).await?.into_iter().find(|network| network.name == name);
    let answer = Json(PhysicalNetworkAnswer { outcome, physical_network });
    if query.dry_run {
        return Ok(Effect::mark_response(&format!("dry run: {}", outcome.as_str()), answer.into_response()));
    }
    let status = if outcome == Outcome::Created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(Effect::new(outcome.as_str()).with_changes(&changes).attach_to((status, answer).into_response()))
}

/// Ranges as they are kept, however they were typed.
fn normalise_ranges(field: &str, vnet: &str, isolation: Isolation) -> Result<String, ApiError> {
    let read = Ranges::parse(vnet, isolation).map(|ranges| ranges.to_string());
    read.map_err(|bad| ApiError::invalid(field, bad.rule, Some(&bad.value)))
}

/// Forget a physical network.
#[utoipa::path(delete, path = "/v1/physical-networks/{physical_network}", tag = "physical networks", operation_id = "deletePhysicalNetwork",
    params(("physical_network" = String, Path, description = "Name of the physical network"), ChangeQuery),
    responses(
        (status = 200, description = "`removed`, or `unchanged` where none of that name was recorded", body = PhysicalNetworkAnswer),
        (status = 409, description = "`conflict`: it has networks", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: the database cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn delete_physical_network(
    Shared(state): Shared<State>,
    Extension(peer): Extension<Peer>,
    ValidPath(name): ValidPath<String>,
    ValidQuery(query): ValidQuery<ChangeQuery>,
) -> Result<Response, ApiError> {
    let name = query::check_name("physical_network", &name)?;
    let by = Asked { actor: &peer.to_string(), dry_run: query.dry_run };
    let outcome = state.inventory.delete_physical(name, by).await.map_err(inventory_error)?;
    let answer = Json(PhysicalNetworkAnswer { outcome, physical_network: None }).into_response();
    let word = if query.dry_run { format!("dry run: {}", outcome.as_str()) } else { outcome.as_str().to_owned() };
    Ok(Effect::mark_response(&word, answer))
}

async fn all_ranges(state: &State) -> Result<Vec<KeyRange>, ApiError> {
    let rows = state.inventory.physical_networks().await.map_err(|error| database_error(&error))?;
    Ok(rows.into_iter().map(|row| KeyRange { physical_network: row.name, vnet: row.vnet }).collect())
}

/// The ranges that keys come from, by physical network.
#[utoipa::path(get, path = "/v1/keys/ranges", tag = "physical networks", operation_id = "getKeyRanges",
    responses(
        (status = 200, description = "All ranges", body = KeyRanges),
        (status = 503, description = "`unavailable`: the database cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_ranges(Shared(state): Shared<State>, _: NoQuery) -> Result<Json<KeyRanges>, ApiError> {
    Ok(Json(KeyRanges { ranges: all_ranges(&state).await? }))
}

/// Change the ranges of physical networks: of all that are named, or of none.
#[utoipa::path(put, path = "/v1/keys/ranges", tag = "physical networks", operation_id = "putKeyRanges", params(ChangeQuery),
    request_body = KeyRanges,
    responses(
        (status = 200, description = "`updated` or `unchanged`", body = KeyRangesAnswer),
        (status = 404, description = "`not_found`: no such physical network", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: a network would be out of range", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: the database cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn put_ranges(
    Shared(state): Shared<State>,
    Extension(peer): Extension<Peer>,
    ValidQuery(query): ValidQuery<ChangeQuery>,
    ValidJson(body): ValidJson<KeyRanges>,
) -> Result<Response, ApiError> {
    let mut wanted = Vec::new();
    for (index, KeyRange { physical_network, vnet }) in body.ranges.into_iter().enumerate() {
        let field = format!("ranges[{index}].physical_network");
        query::check_name(&field, &physical_network)?;
        if wanted.iter().any(|(other, _)| *other == physical_network) {
            return Err(ApiError::invalid(field, "must be there once", Some(&physical_network)));
        }
        wanted.push((physical_network, vnet));
    }
    let mut rows = state.inventory.with_ranges(wanted).await.map_err(inventory_error)?;
    for (index, row) in rows.iter_mut().enumerate() {
        row.vnet = normalise_ranges(&format!("ranges[{index}].vnet"), &row.vnet, row.isolation)?;
    }
    let by = Asked { actor: &peer.to_string(), dry_run: query.dry_run };
    let (outcome, changes) = state.inventory.put_physical(&rows, by).await.map_err(inventory_error)?;
    let answer = Json(KeyRangesAnswer { outcome, ranges: all_ranges(&state).await? }).into_response();
    if query.dry_run {
        return Ok(Effect::mark_response(&format!("dry run: {}", outcome.as_str()), answer));
    }
    Ok(Effect::new(outcome.as_str()).with_changes(&changes).attach_to(answer))
}

/// Which keys.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct KeyQuery {
    /// Only keys in this state, or in one of these, separated by commas.
    #[serde(deserialize_with = "states")]
    #[param(style = Form, explode = false, value_type = Option<Vec<KeyState>>)]
    state: Option<Vec<KeyState>>,
    /// Keys of an answer, 1 to 1000; 1000 where it is absent.
    #[serde(deserialize_with = "query::limit")]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next` of the answer before: only keys that are larger.
    #[serde(deserialize_with = "query::id")]
    #[param(value_type = Option<u64>, minimum = 1, maximum = 9_223_372_036_854_775_807_isize)]
    after: Option<u64>,
}

fn states<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<KeyState>>, D::Error> {
    let all = [KeyState::Allocated, KeyState::Quarantined, KeyState::Withdrawn];
    query::parse_words(from, &all.map(|state| (state.as_str(), state)))
}

/// The keys that cannot be given, and how full the ranges are.
#[utoipa::path(get, path = "/v1/keys", tag = "physical networks", operation_id = "listKeys", params(KeyQuery),
    responses(
        (status = 200, description = "The keys, in order; free ones are never listed", body = KeyList),
        (status = 503, description = "`unavailable`: the database cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn list_keys(
    Shared(state): Shared<State>,
    ValidQuery(query): ValidQuery<KeyQuery>,
) -> Result<Json<KeyList>, ApiError> {
    let (limit, after) = (query.limit.unwrap_or(query::LIMIT), query.after);
    let mut list = all_keys(&state, &query).await?;
    list.keys.retain(|key| after.is_none_or(|after| u64::from(key.key) > after));
    let more = list.keys.len() > limit;
    list.keys.truncate(limit);
    list.next = list.keys.last().filter(|_| more).map(|key| key.key);
    Ok(Json(list))
}

/// Every key in the states that are asked for, on whichever page.
pub(crate) async fn all_keys(state: &State, query: &KeyQuery) -> Result<KeyList, ApiError> {
    let (mut keys, networks) = state.inventory.keys_and_usage().await.map_err(|error| database_error(&error))?;
    keys.retain(|key| query.state.as_ref().is_none_or(|states| states.contains(&key.state)));
    Ok(KeyList { keys, next: None, physical_networks: networks.into_iter().map(network_to_wire).collect() })
}
