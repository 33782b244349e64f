//! What the manager would send to whom.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One request to a host's daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlannedRequest {
    /// The host.
    pub host: String,
    /// In which stage it is sent: those of one stage at the same time, the next stage when each has an answer.
    pub stage: String,
    /// HTTP method.
    pub method: String,
    /// Path at the host's daemon.
    pub path: String,
    /// Body, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub body: Option<serde_json::Value>,
}

/// Why nothing, or not everything, would be sent to a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Blocked {
    /// The host.
    pub host: String,
    /// Why, in a sentence.
    pub reason: String,
}

/// Answer of `POST /v1/networks/{network}/reconcile?dry_run=true`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NetworkPlan {
    /// Always true: nothing was sent.
    pub dry_run: bool,
    /// The network.
    pub network: String,
    /// The requests, in order. Empty where all is as it must be.
    pub requests: Vec<PlannedRequest>,
    /// Hosts to which something cannot be sent.
    pub blocked: Vec<Blocked>,
    /// Tunnels that are superfluous and stay, because not each host has said what it has, or because a hold is there.
    pub withheld: u32,
}
