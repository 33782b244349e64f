//! What a bridge does with frames: the addresses that it has learnt, and where one frame comes out.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An Ethernet address that a bridge knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::known_address()))]
pub struct KnownAddress {
    /// The address.
    pub mac: String,
    /// Name of the port behind which it is; absent where the number is no port of the bridge any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// The VLAN in which it was learnt; 0 where the frames have no tag.
    pub vlan: u16,
    /// Seconds since a frame from it came; absent where somebody has set it by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<u32>,
}

/// Answer of `GET /v1/bridges/{bridge}/fdb`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::address_table()))]
pub struct AddressTable {
    /// The addresses that were asked for; the first 1,000.
    pub addresses: Vec<KnownAddress>,
    /// How many there are.
    pub total: u32,
}

/// A port by which a frame leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::way_out()))]
pub struct FrameOut {
    /// Its name; of a tunnel that is none of the bridge's, where it leads.
    pub port: String,
    /// How often the frame leaves by it: once, where all is well.
    pub times: u32,
}

/// Answer of `GET /v1/bridges/{bridge}/trace`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::followed_frame()))]
pub struct FollowedFrame {
    /// The frame as Open vSwitch was asked for it (`ofproto/trace`).
    pub frame: String,
    /// Where it leaves; absent where what Open vSwitch answered is not understood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outs: Option<Vec<FrameOut>>,
    /// Whether it goes to all ports, since the destination was not learnt.
    pub flooded: bool,
    /// Addresses of other hosts whose Ethernet address is not known at this moment: what leaves by tunnels to them is not in `outs`.
    #[serde(default)]
    pub unresolved: Vec<String>,
    /// Open vSwitch's own words of what was decided.
    pub evidence: String,
}
