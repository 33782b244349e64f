//! CloudStack beside the zone: how far it is read, and its webhooks, which are hints to read.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use ovstunnel_api::{Code, Problem};
use ovstunnel_manager_api::CloudStackState;
use ovstunnel_server::extract::NoQuery;
use ovstunnel_server::problem::ApiError;

use super::State;

/// The header with the signature of a webhook of CloudStack's.
const SIGNATURE: &str = "x-cs-signature";

/// How far the manager is with reading CloudStack's API.
#[utoipa::path(get, path = "/v1/cloudstack", tag = "zone", operation_id = "getCloudStack",
    responses((status = 200, description = "How far it is", body = CloudStackState)))]
pub(super) async fn get_cloudstack(Shared(state): Shared<State>, _: NoQuery) -> Json<CloudStackState> {
    Json(state.cloudstack.to_wire())
}

/// A webhook of CloudStack's: a hint to read its API now. Nothing of its text counts but that it is signed, so whoever sends it needs no certificate.
#[utoipa::path(post, path = "/v1/cloudstack/events", tag = "zone", operation_id = "postCloudStackEvent",
    params(("X-CS-Signature" = String, Header, description = "HMAC-SHA256 of the body by the webhook's secret key, base64")),
    request_body(content = String, description = "Whatever CloudStack sends", content_type = "application/json"),
    responses(
        (status = 200, description = "It is read now"),
        (status = 403, description = "`forbidden`: the signature is missing or not by the secret of `[cloudstack]`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: webhooks are not taken here", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn post_event(
    Shared(state): Shared<State>,
    _: NoQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, ApiError> {
    let forbidden = || {
        let detail = "X-CS-Signature: must be the body's HMAC-SHA256 by the webhook's secret key, which [cloudstack] webhook_secret has here; \
                      nothing was read";
        ApiError::new(Code::Forbidden, detail)
    };
    let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok()).ok_or_else(forbidden)?;
    if !state.cloudstack.takes_webhooks() {
        return Err(ApiError::conflict(
            "cloudstack",
            "webhooks of CloudStack's are not taken here: [cloudstack] webhook_secret is not set",
        ));
    }
    match state.cloudstack.take_webhook(&body, signature) {
        true => Ok(StatusCode::OK),
        false => Err(forbidden()),
    }
}
