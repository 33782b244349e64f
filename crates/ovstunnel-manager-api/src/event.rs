//! What has happened in a zone.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One thing that has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Counts the events of the zone.
    pub id: u64,
    /// When: RFC 3339, UTC.
    pub at: String,
    /// A stable word for programs, such as `host_silent`, `network_broken`, `host_added`.
    pub kind: String,
    /// The host that it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The network that it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Who did it, where somebody asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// What happened, in a sentence.
    pub text: String,
}

/// Answer of `GET /v1/events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventList {
    /// The events that were asked for, the newest first.
    pub events: Vec<Event>,
    /// Where there are older ones: `before` to ask for those with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}
