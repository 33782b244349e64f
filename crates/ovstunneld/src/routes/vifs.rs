//! VIF events, from this host only: what udev and the hypervisor's hook tell by `ovstunnel-vif`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use ovstunnel_api::{Problem, VifAnswer};
use ovstunnel_server::audit::Effect;
use ovstunnel_server::extract::{ValidPath, ValidQuery};
use ovstunnel_server::listen::Peer;
use ovstunnel_server::problem::ApiError;

use super::fence::Fenced;
use super::{ChangeQuery, State, plan_response, validate, write_problem};
use crate::writer::Vif;

/// A VIF came. The daemon sees its port by itself; this has it read the flows of the VIF's bridge again, too.
#[utoipa::path(put, path = "/v1/vifs/{vif}", tag = "vifs",
    params(("vif" = String, Path, description = "Name of the port, or xapi's UUID of the VIF"), ChangeQuery),
    responses(
        (status = 200, description = "`updated` where rules had to be changed; with `dry_run` a `PlanAnswer`", body = VifAnswer),
        (status = 400, description = "`invalid_request`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`: not over HTTPS", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`switch_unavailable`", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "`outcome_unknown`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn put_vif(
    peer: Peer,
    Fenced(state): Fenced,
    ValidPath(vif): ValidPath<String>,
    ValidQuery(query): ValidQuery<ChangeQuery>,
) -> Result<Response, ApiError> {
    vif_event(&peer, &state, &vif, &query).await
}

/// A VIF went. The daemon sees that its port is gone by itself, and takes its rules away.
#[utoipa::path(delete, path = "/v1/vifs/{vif}", tag = "vifs",
    params(("vif" = String, Path, description = "Name of the port, or xapi's UUID of the VIF"), ChangeQuery),
    responses(
        (status = 200, description = "`updated` where rules had to be changed; with `dry_run` a `PlanAnswer`", body = VifAnswer),
        (status = 400, description = "`invalid_request`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`: not over HTTPS", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`switch_unavailable`", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "`outcome_unknown`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn delete_vif(
    peer: Peer,
    Fenced(state): Fenced,
    ValidPath(vif): ValidPath<String>,
    ValidQuery(query): ValidQuery<ChangeQuery>,
) -> Result<Response, ApiError> {
    vif_event(&peer, &state, &vif, &query).await
}

/// Both are the same to the writer: it looks, and what it does follows from what it sees.
async fn vif_event(peer: &Peer, state: &State, vif: &str, query: &ChangeQuery) -> Result<Response, ApiError> {
    if !matches!(peer, Peer::Root { .. }) {
        return Err(ApiError::forbidden("VIF events are taken from this host only, over the Unix socket"));
    }
    let vif = match uuid::Uuid::try_parse(vif) {
        Ok(uuid) => Vif::Uuid(uuid),
        Err(_) => Vif::Port(validate::parse_field("vif", vif)?),
    };
    let failed = |error| write_problem(state, "", error);
    if query.dry_run {
        return state.writer.plan_vif(vif).await.map(plan_response).map_err(failed);
    }
    let outcome = state.writer.handle_vif(vif).await.map_err(failed)?;
    Ok(Effect::mark_response(outcome.as_str(), Json(VifAnswer { outcome }).into_response()))
}
