//! A network device of the host, from which tunnel end points are taken.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Answer of `GET /v1/interfaces/{label}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::interface()))]
pub struct Interface {
    /// What was asked for.
    pub label: String,
    /// The device it stands for.
    pub device: String,
    /// Its address for tunnels: `[tunnel] local_ip` where it has that, else its first IPv4 address, else its first IPv6 one that is
    /// neither link-local nor loopback; absent where it has none.
    pub ip: Option<String>,
    /// Netmask of that address, as an address.
    pub netmask: Option<String>,
    /// Its IPv6 address for tunnels, whatever `ip` is: `[tunnel] local_ip` where it has that, else its first one that is neither link-local nor
    /// loopback; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<String>,
    /// Ethernet address.
    pub mac: Option<String>,
    /// MTU in bytes.
    pub mtu: u32,
    /// Largest MTU of a VM whose frames cross a tunnel over this device in one piece: `mtu` less what tunnels of
    /// the configured kind take, 42 bytes for GRE, 50 for VXLAN and Geneve, 20 more where `ip` is an IPv6 address.
    pub max_guest_mtu: u32,
}
