//! Who is told of what happens: how far each receiver is, and what it would not take sent again.

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use ovstunnel_api::Problem;
use ovstunnel_manager_api::{Redelivered, WebhookList};
use ovstunnel_server::audit::Effect;
use ovstunnel_server::extract::{NoQuery, ValidPath};
use ovstunnel_server::problem::ApiError;

use super::{State, database_error, query};

/// The receivers of events that `[[webhooks]]` names, and how far each is.
#[utoipa::path(get, path = "/v1/webhooks", tag = "zone", operation_id = "listWebhooks",
    responses((status = 200, description = "All of them", body = WebhookList)))]
pub(super) async fn list_webhooks(Shared(state): Shared<State>, _: NoQuery) -> Json<WebhookList> {
    Json(WebhookList { webhooks: state.webhooks.hook_states() })
}

/// Send again, once, each event that a receiver has not taken.
#[utoipa::path(post, path = "/v1/webhooks/{webhook}/redeliver", tag = "zone", operation_id = "redeliverWebhook",
    params(("webhook" = String, Path, description = "Its name in the configuration", pattern = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$")),
    responses(
        (status = 200, description = "What came of it", body = Redelivered),
        (status = 404, description = "`not_found`: no such webhook", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: the database cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn redeliver(
    Shared(state): Shared<State>,
    ValidPath(name): ValidPath<String>,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let name = query::check_name("webhook", &name)?;
    let missing = || ApiError::not_found(format!("no webhook {name} is configured"));
    let taken = state.webhooks.redeliver(name).await.map_err(|error| database_error(&error))?.ok_or_else(missing)?;
    let webhook = state.webhooks.hook_states().into_iter().find(|webhook| webhook.name == name).ok_or_else(missing)?;
    let taken = u32::try_from(taken).unwrap_or(u32::MAX);
    Ok(Effect::mark_response(&format!("{taken} taken"), Json(Redelivered { taken, webhook }).into_response()))
}
