//! What a manager that does not lead is asked to change, sent on to the one that does.
//!
//! What it does: one hop, by the manager's own certificate, with the client's certificate beside it. What it must not do: judge what the client
//! may, which both managers do, or say that nothing was done where that is not known.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::response::Parts;
use axum::response::{IntoResponse, Response};
use ovstunnel_api::Code;
use ovstunnel_client::{Endpoint, Identity, Manager};
use ovstunnel_manager_api::Leadership;
use ovstunnel_server::audit::Effect;
use ovstunnel_server::forwarded::client_headers;
use ovstunnel_server::listen::Peer;
use ovstunnel_server::middleware::{BODY_LIMIT, RequestId};
use ovstunnel_server::problem::ApiError;

use crate::config::Config;

/// How long the leader may take: longer than it waits itself for what it is asked to wait for.
const PATIENCE: Duration = Duration::from_secs(120);

/// What of the leader's answer is passed on beside its body.
const PASSED_ON: [axum::http::HeaderName; 2] = [CONTENT_TYPE, RETRY_AFTER];

/// By what requests are sent on: the files under `[hosts]`.
#[derive(Clone, Debug)]
pub struct SendingOn(Identity);

impl SendingOn {
    /// As the configuration has it; none where nothing is to be sent on.
    pub fn from_config(config: &Config) -> Option<SendingOn> {
        let files = config.identity_files().filter(|_| !config.replica.managers.is_empty())?;
        let (ca, cert, key) = (files.ca.to_owned(), files.certificate.to_owned(), files.key.to_owned());
        Some(SendingOn(Identity { ca, cert, key }))
    }

    /// The leader's answer to this request; none where it is not one to be sent on, or the leader was not reached: nothing was done.
    pub(super) async fn send(&self, request: Request, leading: &Leadership) -> Option<Response> {
        let (headers, leader) = self.way_to(&request, leading)?;
        let (head, body) = request.into_parts();
        // It was read before, within the limit.
        let body = to_bytes(body, BODY_LIMIT).await.unwrap_or_default();
        let id = head.extensions.get::<RequestId>().map(ToString::to_string).unwrap_or_default();
        let target = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        let sent = Some(body.to_vec()).filter(|body| !body.is_empty());
        match leader.send_on(head.method.clone(), &target, sent, &id, headers).await {
            Ok((answered, body)) => Some(passed_on(&answered, body, &leading.name)),
            Err(error) if error.was_sent() => {
                let detail = format!(
                    "manager {} leads this zone and was asked, but did not answer ({error}): whether it was done is not known; ask again",
                    leading.name
                );
                Some(ApiError::new(Code::Unavailable, detail).into_response())
            }
            Err(error) => {
                tracing::warn!(leader = leading.name, %error, "the manager that leads is not reached; the client is told its address");
                None
            }
        }
    }

    /// Only what came to this manager itself, by a certificate, to the API, as JSON.
    fn way_to(&self, request: &Request, leading: &Leadership) -> Option<(Vec<(&'static str, String)>, Manager)> {
        let Some(Peer::Certificate(client)) = request.extensions().get::<Peer>() else { return None };
        let content = request.headers().get(CONTENT_TYPE);
        let is_json = content.is_none_or(|content| content.as_bytes().starts_with(b"application/json"));
        if client.via.is_some() || !is_json || !request.uri().path().starts_with("/v1/") {
            return None;
        }
        let url = Endpoint::parse_url(leading.address.as_deref()?).ok()?;
        let made = Manager::new(&Endpoint::Https { url, identity: self.0.clone() }, PATIENCE);
        let leader = made.inspect_err(|error| tracing::warn!(%error, "nothing is sent on to the manager that leads"));
        Some((client_headers(client)?, leader.ok()?))
    }
}

fn passed_on(answered: &Parts, body: Bytes, leader: &str) -> Response {
    let mut response = (answered.status, Body::from(body)).into_response();
    for name in PASSED_ON {
        if let Some(value) = answered.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    Effect::new(&format!("sent on to {leader}")).attach_to(response)
}
