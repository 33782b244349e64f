//! What a daemon finds wrong with its host, and what it hands over for a bug report.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How bad a finding is. The larger, the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It is as it should be.
    Ok,
    /// It works, but not as it should, or not for long.
    Warn,
    /// Somebody has to act.
    Fail,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::finding()))]
pub struct Finding {
    /// Which check: a stable word for programs, listed in the operator's guide.
    pub check: String,
    /// How bad it is.
    pub level: Level,
    /// What it is about, where there can be several: a bridge, a file, an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What was found.
    pub reason: String,
    /// What to do about it; absent where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Answer of `GET /v1/doctor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::doctor_answer()))]
pub struct DoctorAnswer {
    /// The worst level of all findings.
    pub level: Level,
    /// Version of the daemon, or of the manager where that was asked.
    pub version: String,
    /// What each check found, the worst first; a check that does not apply to this host is left out.
    pub findings: Vec<Finding>,
}

/// Answer of `GET /v1/support`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::support_answer()))]
pub struct SupportAnswer {
    /// The parts, each of which becomes a file.
    pub parts: Vec<SupportPart>,
}

/// One text of a support bundle. No part has a key, a token or a password in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::support_part()))]
pub struct SupportPart {
    /// A file name: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// The text; where it was too long, a marker says how much is left out.
    pub text: String,
}
