//! The xapi plugin's functions, for management servers that speak to XenServer's own API, and those of CloudStack's KVM agent.

use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use ovstunnel_api::{PluginAnswer, PluginArguments, Problem};
use ovstunnel_plan::Changed;
use ovstunnel_server::audit::Effect;
use ovstunnel_server::extract::{NoQuery, ValidJson, ValidPath};
use ovstunnel_server::middleware::RequestId;
use ovstunnel_server::problem::ApiError;
use ovstunnel_types::text::excerpt;

use super::fence::Fenced;
use crate::plugin;
use crate::state::to_wire;

/// Call a function of the xapi plugin. A function that is known answers 200, also where it fails: `FAILURE:` and the reason.
#[utoipa::path(post, path = "/v1/plugin/{function}", tag = "plugin",
    params(("function" = String, Path, description = "Name of the function, for example `create_tunnel`")),
    request_body = PluginArguments,
    responses(
        (status = 200, description = "What the function returns", body = PluginAnswer),
        (status = 400, description = "`invalid_request`: not an object of texts", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: no such function", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn call_function(
    Fenced(state): Fenced,
    Extension(id): Extension<RequestId>,
    ValidPath(function): ValidPath<String>,
    _: NoQuery,
    ValidJson(PluginArguments(arguments)): ValidJson<PluginArguments>,
) -> Result<Response, ApiError> {
    let unknown = || ApiError::not_found(format!("the plugin has no function {}", excerpt(&function)));
    Ok(plugin_response(plugin::call_function(&state, &id, &function, &arguments).await.ok_or_else(unknown)?))
}

/// Call a function of the program of CloudStack's KVM agent. A function that is known answers 200, also where it fails: `FAILURE:` and the
/// reason.
#[utoipa::path(post, path = "/v1/kvm/{function}", tag = "plugin",
    params(("function" = String, Path, description = "Name of the function, for example `create_tunnel`")),
    request_body = PluginArguments,
    responses(
        (status = 200, description = "What the function returns", body = PluginAnswer),
        (status = 400, description = "`invalid_request`: not an object of texts", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: no such function", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn call_agent_function(
    Fenced(state): Fenced,
    Extension(id): Extension<RequestId>,
    ValidPath(function): ValidPath<String>,
    _: NoQuery,
    ValidJson(PluginArguments(arguments)): ValidJson<PluginArguments>,
) -> Result<Response, ApiError> {
    let unknown = || ApiError::not_found(format!("the KVM agent's program has no function {}", excerpt(&function)));
    Ok(plugin_response(plugin::call_of_agent(&state, &id, &function, &arguments).await.ok_or_else(unknown)?))
}

fn plugin_response((value, changes): (String, Vec<Changed>)) -> Response {
    let changes = to_wire::changes_to_wire(&changes);
    let effect = Effect::new(&value).with_changes(&changes);
    effect.attach_to(Json(PluginAnswer { value, changes }).into_response())
}
