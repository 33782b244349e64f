//! Whether one VM or host reaches another one in a network, step by step.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::FaultCommand;

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepResult {
    /// It is as it must be.
    Ok,
    /// Frames do not pass here, or not once.
    Fail,
    /// It cannot be told.
    Unknown,
    /// It was not looked at, for a step before it has failed or cannot be told.
    Skipped,
}

impl StepResult {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            StepResult::Ok => "ok",
            StepResult::Fail => "fail",
            StepResult::Unknown => "unknown",
            StepResult::Skipped => "skipped",
        }
    }
}

/// One step of the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PathStep {
    /// The host on which it was looked at; absent where it is about both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What was looked at: `host`, `bridge`, `tunnel`, `bfd` (where it runs at both ends), `mtu`, `ipv6`, `vif`, `frame_out`, `frame_in` or `send`.
    pub check: String,
    /// What came of it.
    pub result: StepResult,
    /// What was seen.
    pub evidence: String,
    /// What takes it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Commands that show more of it, or take it away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<FaultCommand>,
}

/// One end of the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PathEnd {
    /// The host.
    pub host: String,
    /// The NIC, where it was found by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nic: Option<String>,
    /// Its VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm: Option<String>,
    /// Its MAC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
}

/// Body of `POST /v1/path`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PostPath {
    /// Name of a host; or id, VM, MAC or IP address of a recorded NIC.
    #[schema(min_length = 1, max_length = 255)]
    pub from: String,
    /// The same of the other end.
    #[schema(min_length = 1, max_length = 255)]
    pub to: String,
    /// The network; where it is absent, the only one that both are in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$")]
    pub network: Option<String>,
    /// What passes from one tier of a VPC to another: `icmp`, which it is where it is absent, `tcp:PORT` or `udp:PORT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(icmp|(tcp|udp):[1-9][0-9]{0,4})$")]
    pub packet: Option<String>,
    /// Whether frames are sent between the two hosts, and counted at the other end. They reach no VM.
    #[serde(default)]
    pub send: bool,
}

/// Answer of `GET /v1/path` and `POST /v1/path`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Path {
    /// The network; of two tiers of a VPC, that of the first end.
    pub network: String,
    /// The network of the other end, where that is another tier of the same VPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_network: Option<String>,
    /// Where it begins.
    pub from: PathEnd,
    /// Where it ends.
    pub to: PathEnd,
    /// Whether frames pass, as far as can be told without sending any; null where a step cannot be told and none fails.
    pub reachable: Option<bool>,
    /// Which step is the first that fails, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_failure: Option<u32>,
    /// The steps, there and back.
    pub steps: Vec<PathStep>,
    /// When it was asked: RFC 3339, UTC.
    pub asked: String,
    /// How long it took, seconds.
    pub took: f64,
}
