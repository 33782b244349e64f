//! Who is told of what happens, and how far each one is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An event that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetter {
    /// Its id.
    pub event: u64,
    /// What the last attempt came to.
    pub why: String,
}

/// A receiver of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookState {
    /// Its name in the configuration.
    pub name: String,
    /// Its address without the path, which may be a secret.
    pub receiver: String,
    /// The kinds of events that it is sent.
    pub events: Vec<String>,
    /// Id of the last event that is done with; absent until the manager has looked for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<u64>,
    /// Id of the event that it has not taken yet; those after it wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    /// What the last attempt came to, where it was not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Events that it refused, or did not take in about a day: they are sent again on demand only.
    pub dead: Vec<DeadLetter>,
}

/// Answer of `GET /v1/webhooks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookList {
    /// All that are configured, in the order of the file.
    pub webhooks: Vec<WebhookState>,
}

/// Answer of `POST /v1/webhooks/{webhook}/redeliver`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Redelivered {
    /// How many events were taken this time.
    pub taken: u32,
    /// What is left.
    pub webhook: WebhookState,
}
