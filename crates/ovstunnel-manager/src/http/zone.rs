//! The zone as a whole: its overview, and whether the manager works.

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ovstunnel_manager_api::{Overview, Ready, UpgradePlan};
use ovstunnel_server::extract::NoQuery;

use super::{Identity, State};
use crate::reconciler::Reconciler;
use crate::replica::Replica;
use crate::zone::Zone;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The zone in a few numbers.
#[utoipa::path(get, path = "/v1/overview", tag = "zone", operation_id = "getOverview",
    responses((status = 200, description = "How many of what, in which state", body = Overview)))]
pub(super) async fn get_overview(Shared(state): Shared<State>, _: NoQuery) -> Json<Overview> {
    Json(zone_overview(&state))
}

/// In which order hosts whose daemon is older than this manager are upgraded, no two of a network at a time. Nothing is upgraded.
#[utoipa::path(get, path = "/v1/upgrade", tag = "hosts", operation_id = "getUpgrade",
    responses((status = 200, description = "Hosts by waves, and those that are to wait", body = UpgradePlan)))]
pub(super) async fn get_upgrade(Shared(state): Shared<State>, _: NoQuery) -> Json<UpgradePlan> {
    Json(state.zone.upgrade_plan(VERSION))
}

/// The zone in a few numbers.
pub(crate) fn zone_overview(state: &State) -> Overview {
    overview_of(&state.zone, &state.identity, state.reconciler.as_ref(), &state.replica)
}

/// A zone in a few numbers; with what keeps its meshes whole, where its manager may change hosts.
pub fn overview_of(zone: &Zone, identity: &Identity, reconciler: Option<&Reconciler>, replica: &Replica) -> Overview {
    let (networks, hosts, tunnels) = zone.state_counts();
    let acting = reconciler.into_iter().flat_map(Reconciler::troubles);
    Overview {
        zone: identity.name.clone(),
        uuid: identity.uuid.clone(),
        version: VERSION.to_owned(),
        controller: reconciler.is_some(),
        replica: replica.name().to_owned(),
        leads: replica.leads(),
        leader: replica.current_leadership(),
        networks,
        hosts,
        tunnels,
        faults: zone.fault_counts().0,
        age: zone.oldest_sign(),
        troubles: acting.chain(zone.troubles()).collect(),
    }
}

/// The manager is alive.
#[utoipa::path(get, path = "/healthz", tag = "manager", operation_id = "getHealth",
    responses((status = 200, description = "It answers", body = String, content_type = "text/plain")))]
pub(super) async fn healthz(_: NoQuery) -> &'static str {
    "ok\n"
}

/// Whether what the manager says can be relied on.
#[utoipa::path(get, path = "/readyz", tag = "manager", operation_id = "getReadiness",
    responses(
        (status = 200, description = "It can", body = Ready),
        (status = 503, description = "It cannot yet, or the database cannot be used; see `reason`", body = Ready),
    ))]
pub(super) async fn readyz(Shared(state): Shared<State>, _: NoQuery) -> Response {
    let (_, hosts, _) = state.zone.state_counts();
    let database = state.records.check_database().await.err().map(|error| error.to_string());
    let connecting = (hosts.connecting > 0)
        .then(|| format!("{} of {} hosts have not been heard of yet", hosts.connecting, hosts.all));
    let reason = database.or(connecting);
    let (ready, version) = (reason.is_none(), VERSION.to_owned());
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { ready, reason, version })).into_response()
}

/// Numbers for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "manager", operation_id = "getMetrics",
    responses((status = 200, description = "OpenMetrics text", body = String, content_type = "application/openmetrics-text")))]
pub(super) async fn metrics(Shared(state): Shared<State>, _: NoQuery) -> Response {
    ([(axum::http::header::CONTENT_TYPE, super::metrics::CONTENT_TYPE)], super::metrics::render_metrics(&state))
        .into_response()
}
