//! The routes together with their description, `/openapi.json`. Must not describe what is not routed, nor route what is
//! not described: both come from the same list.

use axum::routing::get;
use axum::{Json, Router};
use ovstunnel_server::extract::NoQuery;
use ovstunnel_server::openapi::Reached;
use utoipa::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use super::{
    State, bfd, bridges, counters, diagnosis, fence, fixups, forwarding, host, kind, limit, list, log, networks,
    plugin, probe, takeover, vifs, watch,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "ovstunnel",
        description = "Bridges and GRE tunnels of virtual networks on an Open vSwitch host. HTTPS with client certificates; \
                       the same routes on a Unix socket for root. Errors are application/problem+json with a stable `code`; \
                       a path that is not here answers 404, a method that a path does not have 405 with `allow`."
    ),
    components(schemas(ovstunnel_api::BridgeSelection, ovstunnel_api::PlanAnswer, ovstunnel_api::TakeoverPlan,
                       ovstunnel_api::WatchSnapshot,
                       ovstunnel_api::BridgeGone)),
    tags(
        (name = "bridges", description = "A bridge for each virtual network"),
        (name = "tunnels", description = "GRE tunnels of a bridge to other hosts"),
        (name = "networks", description = "Networks of xapi's, on XenServer and XCP-ng"),
        (name = "vifs", description = "Events of VMs' interfaces (VIFs), on the Unix socket only"),
        (name = "plugin", description = "The functions of the xapi plugin, and those of CloudStack's KVM agent"),
        (name = "host", description = "The host and the daemon"),
    )
)]
struct Description;

/// Where a daemon is reached that is configured as the packages have it.
const REACHED: Reached = Reached {
    port: 8443,
    socket: "/run/ovstunnel/ovstunneld.sock",
    roles: "an operator may do everything, a viewer may only read.",
};

/// All routes, and their description for who asks.
pub(super) fn router() -> Router<State> {
    let mut router = Router::new();
    // What describes a route goes at once: all of it takes six times as much as a daemon without a bridge needs.
    for_each_route(|(_, described, handlers)| {
        for path in described.paths.keys() {
            router = std::mem::take(&mut router).route(path, handlers.clone());
        }
    });
    router.route("/openapi.json", get(async |_: NoQuery| Json(description())))
}

pub(super) fn description() -> utoipa::openapi::OpenApi {
    let mut router: OpenApiRouter<State> = OpenApiRouter::with_openapi(Description::openapi());
    for_each_route(|routes| router = std::mem::take(&mut router).routes(routes));
    let mut description = router.into_openapi();
    fixups::apply_fixups(&mut description);
    ovstunnel_server::openapi::add_common(&mut description, &REACHED);
    description
}

/// Gives each route that there is, with what describes it.
fn for_each_route(mut take: impl FnMut(UtoipaMethodRouter<State>)) {
    take(routes!(list::list_bridges));
    take(routes!(bridges::put_bridge, bridges::get_bridge, bridges::delete_bridge));
    take(routes!(takeover::release_bridge));
    take(routes!(bridges::post_tunnel));
    take(routes!(bridges::delete_tunnel));
    take(routes!(bfd::put_bfd));
    take(routes!(kind::post_kind));
    take(routes!(forwarding::list_addresses));
    take(routes!(forwarding::get_trace));
    take(routes!(limit::get_limit));
    take(routes!(probe::probe_tunnels));
    take(routes!(vifs::put_vif, vifs::delete_vif));
    take(routes!(plugin::call_function));
    take(routes!(plugin::call_agent_function));
    take(routes!(host::get_interface));
    take(routes!(networks::put_network, networks::get_network));
    take(routes!(host::reconcile_bridges));
    take(routes!(takeover::take_over_bridges));
    take(routes!(counters::get_counters));
    take(routes!(diagnosis::get_findings));
    take(routes!(diagnosis::get_support_parts));
    take(routes!(fence::get_epoch, fence::put_epoch, fence::delete_epoch));
    take(routes!(host::get_liveness));
    take(routes!(host::get_readiness));
    take(routes!(host::get_metrics));
    take(routes!(watch::watch_bridges));
    take(routes!(log::get_log_settings, log::put_log_level));
}

#[cfg(test)]
#[path = "openapi_tests.rs"]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
