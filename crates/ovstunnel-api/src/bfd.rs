//! BFD of tunnels on the wire. Must not judge a session.

use ovstunnel_types::BfdState;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of `PUT /v1/bridges/{bridge}/bfd`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!(crate::example::put_bfd()))]
pub struct PutBfd {
    /// The ports of all tunnels of the bridge on which BFD is to run; on all others it ends.
    #[schema(value_type = Vec<crate::schema::PortName>)]
    pub ports: Vec<String>,
    /// How often each end sends, milliseconds, from 100 to 60000; 1000 when absent. Three that do not come are a session that is down.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::whole::optional")]
    #[schema(minimum = 100, maximum = 60_000)]
    pub interval: Option<i64>,
}

/// The BFD session of a tunnel, as Open vSwitch tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::bfd()))]
pub struct Bfd {
    /// How often this end is asked to send, milliseconds.
    pub interval: u32,
    /// The session here; absent where Open vSwitch has not begun it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<BfdState>,
    /// The session at the other end, as that last said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_state: Option<BfdState>,
    /// Why it last changed, in the words of RFC 5880; of a cut `Control Detection Time Expired` where nothing is heard any more, and
    /// `Neighbor Signaled Session Down` where the other end says so of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnostic: Option<String>,
    /// The same, as the other end last said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_diagnostic: Option<String>,
    /// Whether the tunnel carries packets both ways, by this session.
    pub forwarding: bool,
    /// How often that has changed. With 0 the session never was up: perhaps the other end has no BFD.
    pub flaps: u32,
}
