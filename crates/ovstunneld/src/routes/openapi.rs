//! The routes together with their description, `/openapi.json`. Must not describe what is not routed, nor route what is
//! not described: both come from the same list.

use axum::routing::get;
use axum::{Json, Router};
use ovstunnel_server::extract::NoQuery;
use utoipa::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use super::{State, bridges, complete, diagnosis, host, list, log, plugin, takeover, vifs, watch};

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
        (name = "vifs", description = "News of VMs' interfaces, on the Unix socket only"),
        (name = "plugin", description = "The functions of the xapi plugin"),
        (name = "host", description = "The host and the daemon"),
    )
)]
struct Description;

/// All routes, and their description for who asks.
pub(super) fn router() -> Router<State> {
    let mut router = Router::new();
    // What describes a route goes at once: all of it takes six times as much as a daemon without a bridge needs.
    each(|(_, described, handlers)| {
        for path in described.paths.keys() {
            router = std::mem::take(&mut router).route(path, handlers.clone());
        }
    });
    router.route("/openapi.json", get(async |_: NoQuery| Json(description())))
}

pub(super) fn description() -> utoipa::openapi::OpenApi {
    let mut router: OpenApiRouter<State> = OpenApiRouter::with_openapi(Description::openapi());
    each(|routes| router = std::mem::take(&mut router).routes(routes));
    let mut description = router.into_openapi();
    complete::complete(&mut description);
    ovstunnel_server::openapi::complete(&mut description);
    description
}

/// Gives each route that there is, with what describes it.
fn each(mut take: impl FnMut(UtoipaMethodRouter<State>)) {
    take(routes!(list::list_bridges));
    take(routes!(bridges::put_bridge, bridges::get_bridge, bridges::delete_bridge));
    take(routes!(takeover::release_bridge));
    take(routes!(bridges::post_tunnel));
    take(routes!(bridges::delete_tunnel));
    take(routes!(vifs::put_vif, vifs::delete_vif));
    take(routes!(plugin::call));
    take(routes!(host::get_interface));
    take(routes!(host::reconcile));
    take(routes!(takeover::post_takeover));
    take(routes!(diagnosis::get_doctor));
    take(routes!(diagnosis::get_support));
    take(routes!(host::healthz));
    take(routes!(host::readyz));
    take(routes!(host::metrics));
    take(routes!(watch::watch));
    take(routes!(log::get_log, log::put_log));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The file is for whoever writes a client without a daemon at hand, and for who reads a change: what it does to the API
    /// stands in its difference.
    #[test]
    fn the_file_in_openapi_is_what_the_daemon_serves() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi/ovstunneld-v1.json");
        let served = serde_json::to_string_pretty(&description()).unwrap() + "\n";
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&file, &served).unwrap();
        }
        let there = std::fs::read_to_string(&file).unwrap_or_default();
        let differs = served.lines().zip(there.lines()).enumerate().find(|(_, (new, old))| new != old);
        assert!(
            served == there,
            "openapi/ovstunneld-v1.json is out of date; first difference: {differs:?}. \
             UPDATE_DOCS=1 cargo test -p ovstunneld --lib openapi writes it"
        );
    }
}
