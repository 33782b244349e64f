//! How a browser without a certificate gets in, and out.
//!
//! What it must not do: use a link up because somebody looks at it (a chat's preview does), or tell one that is wrong from one that is used up.

use axum::Form;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use ovstunnel_api::Code;
use ovstunnel_server::audit::Effect;
use ovstunnel_server::extract::{NoQuery, ValidQuery};
use ovstunnel_server::problem::ApiError;
use serde::Deserialize;

use super::frame::bare_page;
use super::who::Who;
use super::words::duration_text;
use crate::http::State;
use crate::sessions::{COOKIE, of_cookies};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Followed {
    link: String,
}

/// The way in: by a link that was followed, or in words.
pub(super) async fn show(Shared(state): Shared<State>, ValidQuery(followed): ValidQuery<Followed>) -> Response {
    if followed.link.is_empty() {
        return bare_page(StatusCode::OK, "Sign in", &sign_in_ways());
    }
    let Some(session) = state.sessions.peek_link(&followed.link) else {
        let content = html! {
            section class="say bad" { h1 { "This link does not let you in" } p { "It was used already, or its ten minutes are over. Ask for a new one: " code { "ovstunnelctl zone open" } } }
            (sign_in_ways())
        };
        return bare_page(StatusCode::FORBIDDEN, "Sign in", &content);
    };
    let length = duration_text(state.sessions.session_length().as_secs_f64());
    let content = html! {
        section class="say ok" {
            h1 { "Sign in to the zone " (state.identity.name) }
            p { "This link was made by " b { (session.by) } ". It lets this browser in once, in the role " b { (session.role.as_str()) } ", for " (length) "." }
        }
        form method="post" action="/sign-in" {
            input type="hidden" name="link" value=(followed.link);
            button class="btn go" { "Sign in" }
        }
    };
    bare_page(StatusCode::OK, "Sign in", &content)
}

/// What one who is nobody is told.
pub(super) fn sign_in_ways() -> Markup {
    html! {
        section class="say idle" {
            h1 { "Who are you?" }
            p { "This page shows and changes the tunnels of a zone, so it has to know. There are two ways in:" }
        }
        section class="card steps" {
            ol {
                li { b { "By a link." } " On the manager's machine as root, or wherever " code { "ovstunnelctl" } " reaches the manager:" pre tabindex="0" { "ovstunnelctl zone open" }
                    "It prints a link that lets one browser in, once, within ten minutes." }
                li { b { "By a certificate." } " Put one that the manager's " code { "client_ca" } " has issued into this browser, then open this address again:"
                    pre tabindex="0" { "ovstunnelctl pki issue --client NAME" }
                    "What you may is then what " code { "[[tls.clients]]" } " says; without that list you may look." }
            }
        }
    }
}

/// Begins the session of a link.
pub(super) async fn begin_session(
    Shared(state): Shared<State>,
    _: NoQuery,
    Form(followed): Form<Followed>,
) -> Result<Response, ApiError> {
    let begun = state.sessions.begin_session(&followed.link);
    let begun = begun.map_err(|error| ApiError::new(Code::Unavailable, error.to_string()))?;
    let Some((secret, session)) = begun else {
        return Err(ApiError::forbidden("this link was used already, or its ten minutes are over; ask for a new one"));
    };
    let cookie = format!(
        "{COOKIE}={secret}; Path=/; Max-Age={}; Secure; HttpOnly; SameSite=Strict",
        state.sessions.session_length().as_secs()
    );
    let mut response = Redirect::to("/").into_response();
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    Ok(Effect::mark_response(&format!("session of a link by {}, {}", session.by, session.role.as_str()), response))
}

/// Ends a session.
pub(super) async fn end_session(Shared(state): Shared<State>, _: Who, headers: HeaderMap, _: NoQuery) -> Response {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.filter_map(of_cookies).for_each(|secret| state.sessions.end_session(secret));
    let mut response = Redirect::to("/sign-in").into_response();
    let gone = format!("{COOKIE}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict");
    if let Ok(value) = HeaderValue::from_str(&gone) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    Effect::mark_response("session ended", response)
}
