//! What a host's tunnels have counted, and which keys come in that it has no tunnel for.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a tunnel has counted since its port was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::tunnel_counters()))]
pub struct TunnelCounters {
    /// Name of its port.
    pub port: String,
    /// Id of the host at the other end.
    pub to: String,
    /// GRE key.
    pub key: u32,
    /// Packets that came by it.
    pub rx_packets: u64,
    /// Packets that went by it. A datapath in user space counts twice what no VM has sent.
    pub tx_packets: u64,
}

/// Packets that came in and that no tunnel of this host is for, by the log of `ovs-vswitchd`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::unexpected_packets()))]
pub struct UnexpectedPackets {
    /// Their GRE key.
    pub key: u64,
    /// The address that they came from.
    pub remote_ip: String,
    /// When the log last told of them, in RFC 3339.
    pub last: String,
    /// How often it did, in the last two minutes. Open vSwitch does not log each packet.
    pub lines: u32,
}

/// Answer to `GET /v1/counters`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::counters_answer()))]
pub struct CountersAnswer {
    /// How old the counters may be, in seconds: `ovs-vswitchd` tells its database of them every so often.
    pub every: f64,
    /// The tunnels of managed bridges.
    pub tunnels: Vec<TunnelCounters>,
    /// What came in during the last two minutes and has no tunnel here now.
    pub unexpected: Vec<UnexpectedPackets>,
}
