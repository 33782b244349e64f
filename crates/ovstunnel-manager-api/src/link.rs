//! Links that let a browser without a certificate in. Must not say who may make one.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What somebody may who comes by a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkRole {
    /// Only look.
    Viewer,
    /// Act.
    Operator,
    /// Everything.
    Admin,
}

/// Body of `POST /v1/links`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PostLink {
    /// What its follower may; where absent what its maker may, but no more than an operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<LinkRole>,
}

/// Answer of `POST /v1/links`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Link {
    /// The whole link, by the name of the manager's machine. Whoever has it can follow it, once.
    pub url: String,
    /// The same without scheme, name and port, for who reaches the manager by another name.
    pub path: String,
    /// What its follower may: `viewer`, `operator` or `admin`.
    pub role: String,
    /// Seconds until it ends, used or not.
    pub ends_in: u64,
}
