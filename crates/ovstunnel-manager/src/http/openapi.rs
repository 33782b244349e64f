//! The routes together with their description, `/openapi.json`. Must not describe what is not routed, nor route what is not
//! described: both come from the same list.

use axum::routing::get;
use axum::{Json, Router};
use ovstunnel_server::extract::NoQuery;
use ovstunnel_server::openapi::Reached;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{
    State, cloudstack, diagnosis, enrolment, events, faults, fixups, holds, hosts, identity, kinds, links, maintenance,
    matrix, networks, nics, path, physical, recorded, renewal, sweep, watch, webhooks, zone,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "ovstunnel-manager",
        description = "The hosts and networks of a zone: which networks are whole, which are not, and why. HTTPS with client \
                       certificates; the same routes on a Unix socket for root. Errors are application/problem+json with a stable \
                       `code`; a path that is not here answers 404, a method that a path does not have 405 with `allow`."
    ),
    tags(
        (name = "zone", description = "The zone as a whole"),
        (name = "hosts", description = "The hosts of the zone"),
        (name = "networks", description = "The networks that are recorded or that hosts have bridges of, and their NICs"),
        (name = "physical networks", description = "Where networks get their keys from"),
        (name = "manager", description = "The manager itself"),
    )
)]
struct Description;

/// Where the manager is reached by default.
const REACHED: Reached = Reached {
    port: 8444,
    socket: "/run/ovstunnel/manager.sock",
    roles: "an admin may do everything, an operator all but change hosts and the ranges of keys, a viewer may only read, and a host may \
            only read what is said of itself, and prepare and release NICs on itself. Where no role is configured, it is a viewer's, or that of the registered host of its name.",
};

/// All routes, and their description for who asks.
pub(super) fn router() -> Router<State> {
    let (router, _) = described_router().split_for_parts();
    router.route("/openapi.json", get(async |_: NoQuery| Json(description())))
}

pub(super) fn description() -> utoipa::openapi::OpenApi {
    let mut description = described_router().into_openapi();
    fixups::apply_fixups(&mut description);
    ovstunnel_server::openapi::add_common(&mut description, &REACHED);
    description
}

fn described_router() -> OpenApiRouter<State> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(zone::get_overview))
        .routes(routes!(zone::get_upgrade))
        .routes(routes!(watch::watch_zone))
        .routes(routes!(hosts::list_hosts))
        .routes(routes!(hosts::get_host, hosts::put_host, hosts::delete_host))
        .routes(routes!(hosts::list_host_tunnels))
        .routes(routes!(hosts::resync_host))
        .routes(routes!(maintenance::post_maintenance))
        .routes(routes!(identity::rename_host))
        .routes(routes!(identity::renumber_host))
        .routes(routes!(enrolment::list_tokens, enrolment::make_token))
        .routes(routes!(enrolment::remove_token))
        .routes(routes!(enrolment::get_ca))
        .routes(routes!(enrolment::join))
        .routes(routes!(renewal::renew))
        .routes(routes!(networks::list_networks))
        .routes(routes!(networks::get_network, recorded::put_network, recorded::delete_network))
        .routes(routes!(kinds::put_kind))
        .routes(routes!(networks::get_proof))
        .routes(routes!(matrix::get_mesh))
        .routes(routes!(matrix::get_mesh_json))
        .routes(routes!(matrix::get_mesh_csv))
        .routes(routes!(matrix::get_mesh_svg))
        .routes(routes!(matrix::get_mesh_png))
        .routes(routes!(matrix::get_zone_matrix))
        .routes(routes!(matrix::get_zone_matrix_png))
        .routes(routes!(networks::reconcile))
        .routes(routes!(sweep::sweep))
        .routes(routes!(nics::list_nics))
        .routes(routes!(nics::get_nic, nics::prepare_nic, nics::release_nic))
        .routes(routes!(nics::nic_migrated))
        .routes(routes!(nics::roll_back_nic))
        .routes(routes!(physical::list_physical_networks))
        .routes(routes!(
            physical::get_physical_network,
            physical::put_physical_network,
            physical::delete_physical_network
        ))
        .routes(routes!(physical::list_keys))
        .routes(routes!(physical::get_ranges, physical::put_ranges))
        .routes(routes!(holds::list_holds))
        .routes(routes!(holds::approve_hold))
        .routes(routes!(holds::refuse_hold))
        .routes(routes!(faults::list_faults))
        .routes(routes!(path::get_path, path::send_frames))
        .routes(routes!(events::list_events))
        .routes(routes!(webhooks::list_webhooks))
        .routes(routes!(webhooks::redeliver))
        .routes(routes!(cloudstack::get_cloudstack))
        .routes(routes!(cloudstack::post_event))
        .routes(routes!(links::make_link))
        .routes(routes!(diagnosis::get_doctor))
        .routes(routes!(diagnosis::get_support))
        .routes(routes!(zone::healthz))
        .routes(routes!(zone::readyz))
        .routes(routes!(zone::metrics))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn the_file_in_openapi_is_what_the_manager_serves() {
        let served = serde_json::to_string_pretty(&description()).unwrap() + "\n";
        ovstunnel_test_support::expect_file(
            "openapi/ovstunnel-manager-v1.json",
            &served,
            "cargo test -p ovstunnel-manager --lib openapi",
        );
    }
}
