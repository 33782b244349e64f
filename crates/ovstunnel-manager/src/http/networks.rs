//! Networks: what hosts have of them, whether they are whole, and what would make them so.

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use ovstunnel_api::Problem;
use ovstunnel_manager_api::{Blocked, Network, NetworkList, NetworkPlan, NetworkState, PlannedRequest, Proof};
use ovstunnel_mesh::Sending;
use ovstunnel_mesh::difference::Blocked as Why;
use ovstunnel_server::audit::Effect;
use ovstunnel_server::extract::{NoQuery, ValidPath, ValidQuery};
use ovstunnel_server::problem::ApiError;
use ovstunnel_types::{GreKey, HostNumber};
use serde::Deserialize;
use serde::de::Deserializer;

use super::{State, inventory_error, kinds, query};
use crate::document;
use crate::sending::Wire;
use crate::zone::{Names, Page, Planned, obstacle_sentence};

/// Networks of a page where the request does not say.
const USUAL: usize = 100;

/// Which networks, and which page of them.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct NetworkQuery {
    /// Only networks in this state, or in one of these, separated by commas.
    #[serde(deserialize_with = "states")]
    #[param(style = Form, explode = false, value_type = Option<Vec<NetworkState>>)]
    state: Option<Vec<NetworkState>>,
    /// Only networks that this host has something of.
    host: Option<String>,
    /// Only networks that have this in their name or key.
    #[serde(deserialize_with = "query::search")]
    #[param(value_type = Option<String>, min_length = 1, max_length = 63, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    search: Option<String>,
    /// Which page, from 1.
    #[serde(deserialize_with = "query::page")]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1_000_000)]
    pub(crate) page: Option<usize>,
    /// Networks of a page, 1 to 1000; 100 where it is absent.
    #[serde(deserialize_with = "query::limit")]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

fn states<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<NetworkState>>, D::Error> {
    let all = [NetworkState::Whole, NetworkState::Settling, NetworkState::Broken];
    query::parse_words(from, &all.map(|state| (state.as_str(), state)))
}

/// The networks that are recorded or that hosts have bridges of, the worst first.
#[utoipa::path(get, path = "/v1/networks", tag = "networks", operation_id = "listNetworks", params(NetworkQuery),
    responses(
        (status = 200, description = "A page of them", body = NetworkList),
        (status = 404, description = "`not_found`: no such host", body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn list_networks(
    Shared(state): Shared<State>,
    ValidQuery(query): ValidQuery<NetworkQuery>,
) -> Result<Json<NetworkList>, ApiError> {
    let number = |name| super::hosts::number_of(&state, "host", name);
    let host = query.host.as_deref().map(number).transpose()?;
    let (page, limit) = (query.page.unwrap_or(1), query.limit.unwrap_or(USUAL));
    let (networks, total) = state.zone.networks(&Page { states: query.state, host, search: query.search, page, limit });
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let next = (page.saturating_mul(limit) < total).then(|| count(page + 1));
    Ok(Json(NetworkList { networks, total: count(total), next }))
}

/// The key of a network by its name.
pub(crate) fn network_key(state: &State, name: &str) -> Result<GreKey, ApiError> {
    let name = query::check_name("network", name)?;
    if state.zone.keyless_network(name).is_some() {
        let detail = format!("network {name} has no key yet, so there is nothing that hosts could have of it");
        return Err(ApiError::conflict(name, detail));
    }
    state.zone.network_key(name).ok_or_else(|| no_such_network(name))
}

pub(super) fn no_such_network(name: &str) -> ApiError {
    let detail = format!(
        "no network {name} is recorded, and no host has a bridge of it; one that is only seen is named key-KEY"
    );
    ApiError::not_found(detail)
}

/// One network, with its hosts.
#[utoipa::path(get, path = "/v1/networks/{network}", tag = "networks", operation_id = "getNetwork",
    params(("network" = String, Path, description = "Name of the network")),
    responses(
        (status = 200, description = "The network", body = Network),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn get_network(
    Shared(state): Shared<State>,
    ValidPath(name): ValidPath<String>,
    _: NoQuery,
) -> Result<Json<Network>, ApiError> {
    if let Some(network) = state.zone.keyless_network(query::check_name("network", &name)?) {
        return Ok(Json(network));
    }
    let key = network_key(&state, &name)?;
    let network = state.zone.network(key).ok_or_else(|| no_such_network(&name))?;
    Ok(Json(kinds::with_refusals(&state, network)))
}

/// Whether a network is whole, by what its hosts have said by now, as a document.
#[utoipa::path(get, path = "/v1/networks/{network}/proof", tag = "networks", operation_id = "getProof",
    params(("network" = String, Path, description = "Name of the network")),
    responses(
        (status = 200, description = "The proof, or the reasons against it", body = Proof),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: it has no key yet", body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn get_proof(
    Shared(state): Shared<State>,
    ValidPath(name): ValidPath<String>,
    _: NoQuery,
) -> Result<Json<Proof>, ApiError> {
    let key = network_key(&state, &name)?;
    let proof = state.zone.proof(key).ok_or_else(|| no_such_network(&name))?;
    Ok(Json(document::complete_proof(proof, state.signer.as_deref())))
}

/// Whether it is only to be planned.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct ReconcileQuery {
    /// Change nothing: the answer is what would be sent to whom. While `sdn.ovs.controller` is off, it must be `true`.
    dry_run: bool,
}

/// Have a network made whole now: what hosts refused before is tried again at once, and the answer is what is sent to whom. With `dry_run` only the
/// answer.
#[utoipa::path(post, path = "/v1/networks/{network}/reconcile", tag = "networks", operation_id = "reconcileNetwork",
    params(("network" = String, Path, description = "Name of the network"), ReconcileQuery),
    responses(
        (status = 200, description = "The plan", body = NetworkPlan),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: without `dry_run=true` while `sdn.ovs.controller` is off", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: the database cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn reconcile(
    Shared(state): Shared<State>,
    ValidPath(name): ValidPath<String>,
    ValidQuery(query): ValidQuery<ReconcileQuery>,
) -> Result<Response, ApiError> {
    let plan = request_reconcile(&state, &name, query.dry_run).await?;
    Ok(Effect::mark_response(if query.dry_run { "dry run" } else { "asked for" }, Json(plan).into_response()))
}

/// Has a network made whole, or only planned; gives what is, or would be, sent to whom.
pub(crate) async fn request_reconcile(state: &State, name: &str, dry_run: bool) -> Result<NetworkPlan, ApiError> {
    let has_key = state.zone.keyless_network(query::check_name("network", name)?).is_none();
    let key = if has_key { Some(network_key(state, name)?) } else { None };
    match (&state.reconciler, key) {
        _ if dry_run => {}
        (Some(reconciler), Some(key)) => reconciler.request_network(key),
        (Some(_), None) => {}
        (None, _) => {
            let detail = "the manager changes no host: sdn.ovs.controller is off; ask with dry_run=true for the plan";
            return Err(ApiError::conflict("sdn.ovs.controller", detail));
        }
    }
    let planned = match key {
        Some(key) => Ok(state.zone.network_plan(key, state.dead_after).ok_or_else(|| no_such_network(name))?),
        None => state.inventory.plan_without_key(name).await.map_err(inventory_error)?,
    };
    Ok(NetworkPlan { dry_run, ..plan_to_wire(name, planned.as_ref()) })
}

/// A plan on the wire; where there is none, why.
pub(super) fn plan_to_wire(network: &str, planned: Result<&Planned, &String>) -> NetworkPlan {
    let network = network.to_owned();
    let (difference, plan, names) = match planned {
        Ok(planned) => planned,
        Err(why) => {
            let blocked = vec![Blocked { host: network.clone(), reason: why.clone() }];
            return NetworkPlan { dry_run: true, network, requests: Vec::new(), blocked, withheld: 0 };
        }
    };
    let stages = [("kinds", &plan.kinds), ("joins", &plan.joins), ("leaves", &plan.leaves), ("bridges", &plan.bridges)];
    let requests = stages
        .into_iter()
        .flat_map(|(stage, sendings)| sendings.iter().map(move |sending| planned_request(stage, sending, names)));
    let blocked = difference
        .blocked
        .iter()
        .map(|(host, why)| Blocked { host: host_name(names, *host), reason: reason_text(why, names) });
    let waits = difference.kind.iter().flat_map(|change| &change.waits_for).map(|(host, why)| Blocked {
        host: host_name(names, *host),
        reason: format!("the change of kind waits for it: {}", obstacle_sentence(why)),
    });
    NetworkPlan {
        dry_run: true,
        network,
        requests: requests.collect(),
        blocked: blocked.chain(waits).collect(),
        withheld: u32::try_from(plan.withheld.len()).unwrap_or(u32::MAX),
    }
}

fn host_name(names: &Names, number: HostNumber) -> String {
    names.get(&number).cloned().unwrap_or_else(|| number.to_string())
}

/// A request as it would be sent.
fn planned_request(stage: &str, sending: &Sending, names: &Names) -> PlannedRequest {
    let wire = Wire::from_request(sending.host, &sending.request);
    let (method, path) = wire.request_line();
    let (host, body) = (host_name(names, sending.host), wire.body());
    PlannedRequest { host, stage: stage.to_owned(), method: method.to_owned(), path, body }
}

fn reason_text(why: &Why, names: &Names) -> String {
    match why {
        Why::Silent => "it does not answer".to_owned(),
        Why::Observed => "it is only to be looked at: its mode is observe".to_owned(),
        Why::SeveralBridges(bridges) => {
            let bridges: Vec<&str> = bridges.iter().map(|bridge| bridge.as_str()).collect();
            format!("several bridges have the network's key: {}", bridges.join(", "))
        }
        Why::HostIdMismatch(id) => format!("its bridge has the host id {id}, which is not its number"),
        Why::BridgeMissing => {
            "it has no bridge for the network, and on a host with xapi none is made by name".to_owned()
        }
        Why::HasVifs(vifs) => format!("it has left the network, and {vifs} VIFs are still plugged on its bridge"),
        Why::AddressUnknown => "the address at which its tunnels end is not known".to_owned(),
        Why::AddressInUse { to, by } => {
            format!("its tunnel to host {by} has the address that one to {} needs", host_name(names, *to))
        }
    }
}
