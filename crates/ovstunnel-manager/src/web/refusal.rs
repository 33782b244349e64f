//! What is around all of the page's routes: headers that browsers go by, refusals as pages, and no change that another site asks for.
//!
//! What it must not do: change an answer of the API, but for refusing a change that a browser sends for another site: a browser shows the
//! client's certificate to whoever makes it ask.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use maud::html;
use ovstunnel_server::access::{NEEDS_CERTIFICATE, is_reading};
use ovstunnel_server::listen::Peer;
use ovstunnel_server::problem::ApiError;

use super::frame::{as_sentence, bare_page};
use super::marks::Mark;
use super::sign_in::sign_in_ways;
use crate::http::is_page;

/// What browsers are to know of each page: nothing from elsewhere, no code but ours, in no other site's frame, and no other site is
/// told where a link was followed from. (With `no-referrer` a form of our own would come from `null`.)
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

/// Refuses a change that a browser asks for in the name of another site.
pub(super) async fn same_origin(request: Request, next: Next) -> Response {
    if is_reading(request.method()) || is_own(request.headers(), request.uri().authority().map(|it| it.as_str())) {
        return next.run(request).await;
    }
    let detail =
        "a browser sent this for another site; the page of this manager is the only one that may ask for changes";
    ApiError::forbidden(detail).into_response()
}

/// Whether a request comes from a page of ours, or from no browser at all.
fn is_own(headers: &HeaderMap, authority: Option<&str>) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let fetched = text(HeaderName::from_static("sec-fetch-site"));
    if fetched.is_some_and(|from| from != "same-origin" && from != "none") {
        return false;
    }
    let Some(origin) = text(header::ORIGIN) else { return true };
    let host = authority.or(text(header::HOST));
    origin.strip_prefix("https://").is_some_and(|origin| host.is_some_and(|host| origin.eq_ignore_ascii_case(host)))
}

/// Puts headers for browsers on each answer.
pub(super) async fn add_headers(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    // What is not to be kept says so; pages do it themselves.
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Makes a page of each refusal of one.
pub(super) async fn for_people(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let is_nobody = matches!(request.extensions().get(), Some(Peer::Visitor(_)));
    let response = next.run(request).await;
    match response.extensions().get::<ApiError>().cloned() {
        Some(error) if is_page(&path) => as_page(&response, error, is_nobody),
        _ => response,
    }
}

fn as_page(response: &Response, error: ApiError, is_nobody: bool) -> Response {
    let (status, problem) = (response.status(), error.problem());
    let title = match status {
        StatusCode::NOT_FOUND => "There is no such page",
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => "You may not do this",
        StatusCode::BAD_REQUEST => "This address cannot be understood",
        StatusCode::CONFLICT => "This cannot be done now",
        StatusCode::MISDIRECTED_REQUEST => "Another manager leads",
        StatusCode::SERVICE_UNAVAILABLE => "This cannot be answered now",
        _ => "This did not work",
    };
    let content = html! {
        section class="say bad" {
            h1 { (title) }
            p { (as_sentence(&problem.detail)) }
            @if status == StatusCode::SERVICE_UNAVAILABLE {
                p { "No virtual machine notices: tunnels stay as they are. Try again in some seconds; " code { "ovstunnel-manager doctor" } " on the manager's machine says more." }
            }
            @if let Some(leader) = &problem.leader {
                p { a href=(leader) { "The page of the manager that leads" } }
            }
        }
        p { (Mark::Idle.shape()) " " a href="/" { "To the overview" } }
        @if let Some(id) = &problem.request_id { p class="mute" { "The manager's log says more under " code { (id) } "." } }
    };
    let asks_in = is_nobody && problem.detail == NEEDS_CERTIFICATE;
    let mut page =
        if asks_in { bare_page(status, "Sign in", &sign_in_ways()) } else { bare_page(status, title, &content) };
    for (name, value) in response.headers() {
        let is_of_body = [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CONTENT_ENCODING].contains(name);
        if !is_of_body && *name != header::CACHE_CONTROL {
            page.headers_mut().insert(name, value.clone());
        }
    }
    page.extensions_mut().insert(error);
    page
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn only_our_own_page_and_programs_may_ask_for_changes() {
        let own = |pairs: &[(&str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
            }
            is_own(&headers, None)
        };
        assert!(own(&[("host", "m:8444")]), "curl has no origin");
        assert!(own(&[("host", "m:8444"), ("origin", "https://m:8444"), ("sec-fetch-site", "same-origin")]));
        for foreign in [
            &[("host", "m:8444"), ("origin", "https://evil.example")][..],
            &[("host", "m:8444"), ("origin", "https://m:9999")],
            &[("host", "m:8444"), ("origin", "http://m:8444")],
            &[("host", "m:8444"), ("origin", "null")],
            &[("host", "m:8444"), ("sec-fetch-site", "cross-site")],
            &[("host", "m:8444"), ("sec-fetch-site", "same-site")],
            &[("origin", "https://m:8444")],
        ] {
            assert!(!own(foreign), "{foreign:?}");
        }
    }
}
