//! The routes together with their description, `/openapi.json`. Must not describe what is not routed, nor route what is
//! not described: both come from the same list.

use axum::routing::get;
use axum::{Json, Router};
use utoipa::OpenApi;
use utoipa::openapi::{Content, Ref, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{State, bridges, complete, diagnosis, host, log, plugin, takeover, vifs};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "ovstunnel",
        description = "Bridges and GRE tunnels of virtual networks on an Open vSwitch host. HTTPS with client certificates; \
                       the same routes on a Unix socket for root. Errors are application/problem+json with a stable `code`; \
                       a path that is not here answers 404, a method that a path does not have 405 with `allow`."
    ),
    components(schemas(ovstunnel_api::PlanAnswer, ovstunnel_api::TakeoverPlan)),
    tags(
        (name = "bridges", description = "A bridge for each virtual network"),
        (name = "tunnels", description = "GRE tunnels of a bridge to other hosts"),
        (name = "vifs", description = "News of VMs' interfaces, on the Unix socket only"),
        (name = "plugin", description = "The functions of the xapi plugin"),
        (name = "host", description = "The host and the daemon"),
    )
)]
struct Description;

/// All routes and their description.
pub(super) fn router() -> Router<State> {
    let (router, description) = described();
    router.route("/openapi.json", get(async move || Json(description)))
}

#[cfg(test)]
pub(super) fn description() -> utoipa::openapi::OpenApi {
    described().1
}

fn described() -> (Router<State>, utoipa::openapi::OpenApi) {
    let (router, mut description) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(bridges::list_bridges))
        .routes(routes!(bridges::put_bridge, bridges::get_bridge, bridges::delete_bridge))
        .routes(routes!(takeover::release_bridge))
        .routes(routes!(bridges::post_tunnel))
        .routes(routes!(bridges::delete_tunnel))
        .routes(routes!(vifs::put_vif, vifs::delete_vif))
        .routes(routes!(plugin::call))
        .routes(routes!(host::get_interface))
        .routes(routes!(host::reconcile))
        .routes(routes!(takeover::post_takeover))
        .routes(routes!(diagnosis::get_doctor))
        .routes(routes!(diagnosis::get_support))
        .routes(routes!(host::healthz))
        .routes(routes!(host::readyz))
        .routes(routes!(host::metrics))
        .routes(routes!(log::get_log, log::put_log))
        .split_for_parts();
    describe_refusals(&mut description);
    complete::complete(&mut description);
    (router, description)
}

/// Over HTTPS each route answers so to whom it is not for; the edge does, for all of them.
fn describe_refusals(description: &mut utoipa::openapi::OpenApi) {
    let problem = Content::new(Some(Ref::from_schema_name("Problem")));
    let forbidden = ResponseBuilder::new()
        .description("`forbidden`: over HTTPS, to a client that has no role, or not the one for this")
        .content("application/problem+json", problem)
        .build();
    for item in description.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            let responses = &mut operation.responses.responses;
            responses.entry("403".to_owned()).or_insert_with(|| forbidden.clone().into());
        }
    }
}
