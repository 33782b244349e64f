//! What a network does with IPv6. Must not know how.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a network does with IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ipv6Policy {
    /// All IPv6 is dropped: the specification's default.
    Drop,
    /// IPv6 is forwarded like anything else.
    Allow,
}

impl Ipv6Policy {
    /// The word for it, as it stands in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Ipv6Policy::Drop => "drop",
            Ipv6Policy::Allow => "allow",
        }
    }
}
