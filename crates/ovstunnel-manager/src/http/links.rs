//! Links that let a browser without a certificate in, once. Must not let anybody in: the page does, when a link is followed.

use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use ovstunnel_api::{Code, Problem};
use ovstunnel_manager_api::{Link, LinkRole, PostLink};
use ovstunnel_server::audit::Effect;
use ovstunnel_server::config::Role;
use ovstunnel_server::extract::{NoQuery, ValidJson};
use ovstunnel_server::listen::Peer;
use ovstunnel_server::problem::ApiError;

use super::State;
use crate::sessions::LINK;

/// Make a link to the page that lets one browser in, once, in a role of at most one's own.
#[utoipa::path(post, path = "/v1/links", tag = "manager", operation_id = "makeLink",
    request_body = PostLink,
    responses(
        (status = 201, description = "The link", body = Link),
        (status = 403, description = "`forbidden`: a role above one's own", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: there is no page: `[web] enabled` is false, or HTTPS is off", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn make_link(
    Shared(state): Shared<State>,
    Extension(peer): Extension<Peer>,
    Extension(own): Extension<Role>,
    _: NoQuery,
    ValidJson(body): ValidJson<PostLink>,
) -> Result<Response, ApiError> {
    let asked = body.role.map(link_role);
    let role = asked.unwrap_or(own.min(Role::Operator));
    if role > own {
        let detail = format!("a link for an {} can be made by an admin only; you are {}", role.as_str(), own.as_str());
        return Err(ApiError::forbidden(detail));
    }
    let Some(address) = &state.address else {
        let detail = "there is no page to link to: [web] enabled is false, or HTTPS is off";
        return Err(ApiError::conflict("web", detail));
    };
    let secret = state.sessions.new_link(&peer.name(), role);
    let secret = secret.map_err(|error| ApiError::new(Code::Unavailable, error.to_string()))?;
    let path = format!("/sign-in?link={secret}");
    let (url, ends_in) = (format!("{address}{path}"), LINK.as_secs());
    let answer = Json(Link { url, path, role: role.as_str().to_owned(), ends_in });
    Ok(Effect::mark_response(&format!("link for {}", role.as_str()), (StatusCode::CREATED, answer).into_response()))
}

fn link_role(role: LinkRole) -> Role {
    match role {
        LinkRole::Viewer => Role::Viewer,
        LinkRole::Operator => Role::Operator,
        LinkRole::Admin => Role::Admin,
    }
}
