//! The frame that somebody asks about. Must not judge it.

use serde::Deserialize;

/// Which frame.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FrameQuery {
    /// Name of the port by which it comes in: a VIF or a tunnel of the bridge.
    #[param(min_length = 1, max_length = 15)]
    pub(super) in_port: String,
    /// Its source.
    #[param(pattern = "^(?!00:00:00:00:00:00$)[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}$")]
    pub(super) source: String,
    /// Its destination, of one VM.
    #[param(pattern = "^(?!00:00:00:00:00:00$)[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}$")]
    pub(super) destination: String,
    /// Source of the IPv4 packet in it; without one it is a frame as no flow of ours matches it.
    #[param(value_type = Option<String>, format = "ipv4")]
    pub(super) from_ip: Option<String>,
    /// Destination of the packet.
    #[param(value_type = Option<String>, format = "ipv4")]
    pub(super) to_ip: Option<String>,
    /// Protocol of the packet; `icmp` where it is absent.
    #[param(value_type = Option<String>, pattern = "^(icmp|tcp|udp)$")]
    pub(super) protocol: Option<String>,
    /// Port of its destination, where the protocol has ports.
    #[param(minimum = 1, maximum = 65535)]
    pub(super) to_port: Option<u16>,
}
