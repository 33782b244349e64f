//! What every request goes through before and after its handler.
//!
//! What it does: gives each request an id that stands in the answer, in errors and on every line of the log; has it judged
//! and audited; reads the body within limits of size and time; compresses answers; turns a panic, an unknown route or a wrong method into a
//! problem. What it must not do: know any route.

mod body;
mod compress;

use std::any::Any;
use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
pub use body::{BODY_LIMIT, BODY_TIMEOUT};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use ovstunnel_api::Code;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

use crate::access::Access;
use crate::audit::Audit;
use crate::listen::Peer;
use crate::problem::ApiError;
use crate::seldom::Seldom;
use crate::trace;
use ovstunnel_types::text::{excerpt, sanitize};

/// The header with a request's id.
pub const REQUEST_ID: &str = "x-request-id";

/// The id of a request: the client's `x-request-id` where that is 1 to 64 characters of `A-Za-z0-9._-`, else our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    fn from_headers(headers: &HeaderMap) -> Self {
        let good = |id: &&str| {
            (1..=64).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        match headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(good) {
            Some(id) => RequestId(id.to_owned()),
            None => RequestId(uuid::Uuid::new_v4().simple().to_string()[..12].to_owned()),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Puts everything that this module does around `routes`. Without `access` nobody is asked who they are: for tests of routes.
pub fn wrap_routes(routes: Router, access: Option<Access>) -> Router {
    let routes = routes.fallback(no_such_route);
    let judged = match &access {
        Some(access) => routes.layer(from_fn_with_state(access.clone(), authorize_request)),
        None => routes,
    };
    let told = judged
        .layer(from_fn_with_state(body::Budget::default(), body::read_body))
        .layer(CatchPanicLayer::custom(panic_response))
        .layer(from_fn(identify_request));
    let known = match access {
        Some(access) => told.layer(from_fn_with_state(access, recognise_client)),
        None => told,
    };
    known.layer(compress::compression_layer())
}

/// Why a request is refused, whoever sent it.
#[derive(Clone)]
struct Refused(ApiError);

/// Finds out who a client without a certificate is, and for whom a request is sent on, before anything is told of the request.
async fn recognise_client(State(access): State<Access>, mut request: Request, next: Next) -> Response {
    if let Some(peer) = request.extensions_mut().remove::<Peer>() {
        let known = access.recognise_peer(peer, request.headers()).unwrap_or_else(|(peer, why)| {
            request.extensions_mut().insert(Refused(why));
            peer
        });
        request.extensions_mut().insert(known);
    }
    next.run(request).await
}

/// Lets through who may, with what handlers need that ask for more than method and path. The body has been read: an answer before it
/// would be lost on some clients.
async fn authorize_request(State(access): State<Access>, mut request: Request, next: Next) -> Response {
    if let Some(Refused(error)) = request.extensions_mut().remove() {
        return error.into_response();
    }
    match access.judge_request(request.extensions().get(), request.method(), request.uri().path()) {
        Ok(role) => {
            request.extensions_mut().insert(role);
            // For a handler that has to know whether its client may more than this.
            request.extensions_mut().insert(access);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

async fn no_such_route(request: Request) -> ApiError {
    ApiError::not_found(format!("there is no route {}", excerpt(request.uri().path())))
}

#[allow(clippy::needless_pass_by_value, reason = "the signature is tower-http's")]
fn panic_response(_: Box<dyn Any + Send>) -> Response {
    // The panic hook has logged message and place, under this request's id.
    ApiError::internal("a fault of the service; its log says more under this request's id").into_response()
}

/// After how many seconds to ask again, where something that a request needs cannot be reached.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

async fn identify_request(mut request: Request, next: Next) -> Response {
    let id = RequestId::from_headers(request.headers());
    let (method, path) = (request.method().clone(), excerpt(request.uri().path()));
    // At the highest level, so that it marks warnings also where the log level is `warn`.
    let span = tracing::error_span!("request", %id, %method, %path);
    trace::continue_in(&span, request.headers().get(trace::HEADER).and_then(|value| value.to_str().ok()));
    let peer = request.extensions().get::<Peer>().cloned();
    request.extensions_mut().insert(id.clone());
    async move {
        let started = Instant::now();
        let shown = peer.as_ref().map(ToString::to_string).unwrap_or_default();
        let audit = Audit::begin_request(peer, &method, &path, &id.0);
        let mut response = as_problem(next.run(request).await, &method, &path);
        if let Some(error) = response.extensions_mut().remove::<ApiError>() {
            if error.problem().code == Code::Unavailable {
                response.headers_mut().insert(http::header::RETRY_AFTER, RETRY_AFTER);
            }
            let error = error.with_request_id(id.0.clone());
            *response.body_mut() = Body::from(error.body());
            response.headers_mut().remove(http::header::CONTENT_LENGTH);
            response.extensions_mut().insert(error);
        }
        if let Ok(value) = HeaderValue::from_str(&id.0) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        audit.end_request(&response);
        log_answer(&response, &method, &shown, started.elapsed());
        response
    }
    .instrument(span)
    .await
}

/// Characters of the reason why a request failed, in the log.
const REASON: usize = 1500;

/// Of looks that are refused 100 lines at once, then one a second: a viewer can ask as often as it likes. Of those that
/// fail 5, then one in 20 s, for they are also in the journal.
static REFUSED_LOOKS: LazyLock<Seldom> = LazyLock::new(|| Seldom::new(100, Duration::from_secs(1)));
static FAILED_LOOKS: LazyLock<Seldom> = LazyLock::new(|| Seldom::new(5, Duration::from_secs(20)));

/// One line for the answer. Whatever was refused is told at `info` with the reason; of what was done the audit tells.
fn log_answer(response: &Response, method: &Method, peer: &str, took: Duration) {
    let (status, ms) = (response.status().as_u16(), took.as_millis());
    if status < 400 {
        return tracing::debug!(peer, status, ms, "answered");
    }
    let is_look = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    let leave = match (is_look, status) {
        (false, _) => Some(None),
        (true, 500..) => FAILED_LOOKS.may_write(),
        (true, _) => REFUSED_LOOKS.may_write(),
    };
    let Some(left_out) = leave else { return };
    let error = response.extensions().get::<ApiError>().map(|e| sanitize(&e.problem().detail, REASON));
    let error = error.map(tracing::field::display);
    if status >= 500 {
        tracing::error!(peer, status, ms, error, left_out, "answered");
    } else {
        tracing::info!(peer, status, ms, error, left_out, "answered");
    }
}

/// An error that a library answered in its own way becomes a problem. Errors with a JSON body of their own stay.
fn as_problem(response: Response, method: &Method, path: &str) -> Response {
    let status = response.status();
    let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|t| t.as_bytes().ends_with(b"json"));
    if !(status.is_client_error() || status.is_server_error()) || is_json {
        return response;
    }
    let error = match status {
        StatusCode::NOT_FOUND => ApiError::not_found(format!("{path} does not exist")),
        StatusCode::METHOD_NOT_ALLOWED => {
            ApiError::new(Code::MethodNotAllowed, format!("{path} has no method {}", excerpt(method.as_str())))
        }
        StatusCode::PAYLOAD_TOO_LARGE => body::too_large(),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            ApiError::new(Code::UnsupportedMediaType, "the content-type of the body must be application/json")
        }
        status if status.is_client_error() => ApiError::new(Code::InvalidRequest, "the request cannot be understood"),
        _ => ApiError::internal("a fault of the service"),
    };
    let mut problem = error.into_response();
    // What the library knew, such as `allow` for a wrong method.
    for (name, value) in response.headers() {
        if *name != CONTENT_TYPE && *name != http::header::CONTENT_LENGTH {
            problem.headers_mut().insert(name, value.clone());
        }
    }
    problem
}

#[cfg(test)]
mod tests;
