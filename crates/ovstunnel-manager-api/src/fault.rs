//! What is wrong in the zone, each cause once.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a fault is: what is not named is not part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FaultPlace {
    /// The host; of one direction, the one that sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The other host; of one direction, the one that receives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The network, where it is in one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The racks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub racks: Vec<String>,
}

/// A command that shows more of a fault, or takes it away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FaultCommand {
    /// The host to run it on; where the manager is, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The command line.
    pub run: String,
}

/// One cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Fault {
    /// The same for as long as it lasts.
    pub id: String,
    /// A stable word for programs: of tunnels that fail `pair`, `direction`, `one_sided`, `tunnel`, `key`, `host_out`, `host_in`,
    /// `host_cut`, `rack_pair` or `rack`, by what they have in common; else what was found, such as `host_silent`, `returned_empty`,
    /// `flows_not_in_sync`, or the kind of a host's trouble.
    pub kind: String,
    /// What was found there, as in the findings of a proof; absent where it was not found by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    /// Where it is.
    #[serde(rename = "where")]
    pub place: FaultPlace,
    /// Since when: RFC 3339, UTC.
    pub since: String,
    /// How many networks it concerns.
    pub networks: u32,
    /// How many findings beside the first have this cause.
    pub hides: u32,
    /// What was seen.
    pub evidence: String,
    /// What takes it away.
    pub remedy: String,
    /// Commands that show more of it, or take it away.
    #[serde(default)]
    pub commands: Vec<FaultCommand>,
}

/// Answer of `GET /v1/faults`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FaultList {
    /// The faults that were asked for, the worst first.
    pub faults: Vec<Fault>,
    /// How many there are.
    pub total: u32,
    /// How many are not listed, for a host is worked at (`maintenance`).
    #[serde(default)]
    pub silenced: u32,
    /// Seconds since they were looked for; absent before the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<f64>,
}
