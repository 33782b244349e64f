//! A sweep: frames in every tunnel of a network, counted at the other end.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A tunnel by which not all frames arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SweptTunnel {
    /// The host that sends.
    pub from: String,
    /// The host that receives.
    pub to: String,
    /// `frames_lost`: none arrives; `frames_cut`: small ones do, those of full size do not.
    pub what: String,
    /// Largest MTU of a guest whose packets arrive in one piece, bytes; absent where it was not looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest_mtu: Option<u32>,
    /// What was seen.
    pub evidence: String,
}

/// A host of the network that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeftOut {
    /// The host.
    pub host: String,
    /// Why.
    pub reason: String,
}

/// Answer of `POST /v1/networks/{network}/sweep`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Sweep {
    /// The network.
    pub network: String,
    /// Bytes of the largest frame that was sent, with its Ethernet header.
    pub size: u32,
    /// Tunnels into which frames were sent, each direction for itself.
    pub probed: u32,
    /// How many of these carry frames of that size.
    pub passed: u32,
    /// Of how many it is not known: an end did not answer in time, or was changed meanwhile.
    pub unknown: u32,
    /// Those that do not; 200 at most.
    pub failed: Vec<SweptTunnel>,
    /// How many do not.
    pub failures: u32,
    /// Hosts of the network that were left out.
    pub left_out: Vec<LeftOut>,
    /// How long it took, seconds.
    pub took: f64,
}
