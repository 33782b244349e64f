//! On which tunnels of a bridge BFD runs. Must not choose them.

use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use ovstunnel_api::{BridgeAnswer, Problem, PutBfd};
use ovstunnel_plan::BridgeName;
use ovstunnel_server::extract::{ValidJson, ValidPath, ValidQuery};
use ovstunnel_server::middleware::RequestId;
use ovstunnel_server::problem::ApiError;

use super::bridges::{bridge_after, carry_out};
use super::fence::Fenced;
use super::{ChangeQuery, validate};

/// Have BFD run on exactly these tunnels of a bridge. The flow that keeps its frames from VMs is on every managed bridge, and is put there
/// before BFD begins.
#[utoipa::path(put, path = "/v1/bridges/{bridge}/bfd", tag = "tunnels",
    params(("bridge" = String, Path, description = "Name of the bridge"), ChangeQuery),
    request_body = PutBfd,
    responses(
        (status = 200, description = "Updated or unchanged; with `dry_run` a `PlanAnswer`", body = BridgeAnswer),
        (status = 400, description = "`invalid_request`: also a port that is no tunnel of the bridge", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: no such bridge", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: not managed by ovstunnel", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`switch_refused`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`switch_unavailable`", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "`outcome_unknown`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn put_bfd(
    Fenced(state): Fenced,
    Extension(id): Extension<RequestId>,
    ValidPath(name): ValidPath<String>,
    ValidQuery(query): ValidQuery<ChangeQuery>,
    ValidJson(body): ValidJson<PutBfd>,
) -> Result<Response, ApiError> {
    let name: BridgeName = validate::parse_field("bridge", &name)?;
    let change = validate::set_bfd(name, &body)?;
    carry_out(&state, change, &query, id, |done, changes| {
        Ok(Json(BridgeAnswer { outcome: done.outcome, changes, bridge: bridge_after(&state, &done)? }).into_response())
    })
    .await
}
