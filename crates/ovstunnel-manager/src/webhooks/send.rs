//! One message to one receiver.
//!
//! What it does: writes and signs it, sends it, and says what came of it. What it must not do: send it again; show a secret or a path.

use std::time::Duration;

use ovstunnel_manager_api::Event;
use ovstunnel_store::StoreError;
use ovstunnel_types::text::error_chain;
use reqwest::{Certificate, Client, StatusCode, Url};
use ring::hmac;
use serde_json::json;
use time::OffsetDateTime;

use crate::config::Webhook;

/// For how long a receiver may think.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there are no webhooks.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// A file that the configuration names, or its address.
    #[error("webhooks: {name}: {field}: {reason}")]
    Invalid {
        /// Which webhook.
        name: String,
        /// Which of its keys.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The database.
    #[error("webhooks: {0}")]
    Store(#[from] StoreError),
}

/// What came of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// The receiver has it.
    Taken,
    /// The receiver will never take it.
    Refused(String),
    /// It may take it later.
    Failed(String),
}

/// Who sends to one receiver.
#[derive(Debug)]
pub(super) struct Sender {
    client: Client,
    url: Url,
    key: Option<hmac::Key>,
    zone: String,
    receiver: String,
}

impl Sender {
    pub(super) fn new(config: &Webhook, zone: &str) -> Result<Sender, WebhookError> {
        let name = &config.name;
        let invalid = |field, reason: String| WebhookError::Invalid { name: name.clone(), field, reason };
        let read = |field, path: &std::path::Path| {
            std::fs::read(path).map_err(|error| invalid(field, format!("{}: {error}", path.display())))
        };
        let url: Url =
            config.url.parse().map_err(|_| invalid("url", "is no address; the value is not shown".to_owned()))?;
        let key = match &config.secret {
            Some(path) => {
                let secret = read("secret", path)?;
                let secret = secret.trim_ascii();
                if secret.is_empty() {
                    return Err(invalid("secret", format!("{} is empty", path.display())));
                }
                Some(hmac::Key::new(hmac::HMAC_SHA256, secret))
            }
            None => None,
        };
        // Whoever was first has installed the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none());
        if let Some(path) = &config.ca {
            let pem = Certificate::from_pem_bundle(&read("ca", path)?);
            client = client.tls_certs_only(pem.map_err(|error| invalid("ca", format!("{}: {error}", path.display())))?);
        }
        let client = client.build().map_err(|error| invalid("url", error.without_url().to_string()))?;
        let receiver = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{}://{host}:{port}", url.scheme()),
            (host, _) => format!("{}://{}", url.scheme(), host.unwrap_or_default()),
        };
        Ok(Sender { client, url, key, zone: zone.to_owned(), receiver })
    }

    /// The receiver without the path.
    pub(super) fn receiver(&self) -> &str {
        &self.receiver
    }

    pub(super) async fn send_event(&self, event: &Event) -> Sent {
        let body = json!({ "zone": self.zone, "event": event }).to_string();
        let request = self.client.post(self.url.clone()).header("content-type", "application/json");
        let mut request = request.header("ovstunnel-event", &event.kind).header("ovstunnel-delivery", event.id);
        if let Some(key) = &self.key {
            request = request
                .header("ovstunnel-signature", sign_body(key, OffsetDateTime::now_utc().unix_timestamp(), &body));
        }
        match request.body(body).send().await {
            Ok(answer) => judge_status(answer.status()),
            Err(error) => Sent::Failed(error_chain(&error.without_url())),
        }
    }
}

/// `t=SECONDS,v1=HEX`: the HMAC-SHA256 of the seconds since 1970, a dot and the body.
fn sign_body(key: &hmac::Key, now: i64, body: &str) -> String {
    use std::fmt::Write;
    let tag = hmac::sign(key, format!("{now}.{body}").as_bytes());
    tag.as_ref().iter().fold(format!("t={now},v1="), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// An answer of the 4xx kind is about the message, but for those that ask for patience; every other one may be different next time.
fn judge_status(status: StatusCode) -> Sent {
    let said = || format!("it answers {status}");
    let later = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    match status {
        status if status.is_success() => Sent::Taken,
        status if status.is_client_error() && !later.contains(&status) => Sent::Refused(said()),
        _ => Sent::Failed(said()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_of_time_and_body() {
        // By `printf '1700000000.{}' | openssl dgst -sha256 -hmac secret`.
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        let text = sign_body(&key, 1_700_000_000, "{}");
        assert_eq!(text, "t=1700000000,v1=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163");
        assert_ne!(sign_body(&key, 1_700_000_001, "{}")[13..], text[13..]);
    }

    #[test]
    fn what_is_about_the_message_is_not_sent_again() {
        let judged = |code: u16| judge_status(StatusCode::from_u16(code).unwrap_or_default());
        assert_eq!(judged(204), Sent::Taken);
        for refused in [400, 404, 410, 422] {
            assert!(matches!(judged(refused), Sent::Refused(_)), "{refused}");
        }
        for later in [302, 408, 425, 429, 500, 503] {
            assert!(matches!(judged(later), Sent::Failed(_)), "{later}");
        }
    }
}
