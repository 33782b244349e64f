//! What has happened in a zone.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a proof said, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProofSummary {
    /// Whether the network was whole.
    pub whole: bool,
    /// Counts the changes of the network's mesh that the manager had seen since it started.
    pub generation: u64,
    /// How many tunnels there had to be, each direction for itself.
    pub wanted: u64,
    /// How many of them were proven.
    pub proven: u64,
    /// The first reason why it was not whole, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The digest of the whole document, as it was then.
    pub digest: String,
}

/// One thing that has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Counts the events of the zone.
    pub id: u64,
    /// When: RFC 3339, UTC.
    pub at: String,
    /// A stable word for programs, such as `host_silent`, `network_not_whole`, `proof`, `host_added`.
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
    /// Of a `proof`: what the one before said; absent where it is the first since the manager started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<ProofSummary>,
    /// Of a `proof`: what it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ProofSummary>,
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
