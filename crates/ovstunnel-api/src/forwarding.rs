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
    /// What the ACLs of a VPC's tiers have decided of a packet from one tier to another, in their order; empty for any other frame.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acl: Vec<AclDecision>,
}

/// Which packets of a tier an item of its ACL is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AclDirection {
    /// Those that leave the tier.
    Egress,
    /// Those that come into it.
    Ingress,
}

impl AclDirection {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            AclDirection::Egress => "egress",
            AclDirection::Ingress => "ingress",
        }
    }
}

/// What the ACL of a tier has decided of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::acl_decision()))]
pub struct AclDecision {
    /// GRE key of the tier.
    pub tier: u32,
    /// Whether the packet leaves it or comes into it.
    pub direction: AclDirection,
    /// Id of its ACL; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acl: Option<String>,
    /// Number of the item that decides; absent where none is about the packet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<u16>,
    /// Whether the packet goes on.
    pub passes: bool,
}

/// What the limit of a VIF's broadcast and multicast has counted since it was set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::limit_counted()))]
pub struct LimitCounted {
    /// Frames in a second that pass.
    pub pps: u32,
    /// How long it has been set, seconds.
    pub seconds: f64,
    /// Frames that came to it.
    pub frames: u64,
    /// Of those, the ones that it has dropped.
    pub dropped: u64,
}

/// Answer of `GET /v1/bridges/{bridge}/limit`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::vif_limit()))]
pub struct VifLimit {
    /// The VIF.
    pub vif: String,
    /// Its limit; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitCounted>,
}
