//! What must mean the same in every program of ovstunnel: names, keys and addresses that are valid by construction, what a change
//! did, how a tunnel, flows or a bridge are, what a network does with IPv6, how networks are told apart, what depends on the kind of a tunnel, how tunnels are encrypted, how a program ends for CloudStack's KVM agent, which leader of
//! a zone may write, and how text of others is shown.
//!
//! What it does: each value knows its rule, and how it stands in JSON and in the API's description where it does. What it must
//! not do: I/O, know a switch or a route, or have what one program alone needs.

mod address;
mod epoch;
mod exit;
mod ipsec;
mod ipv6;
mod isolation;
mod kind_step;
mod number;
mod outcome;
mod remote_ip;
mod state;
pub mod text;
mod tunnel;
mod tunnel_options;
mod value;

pub use address::{Cidr, Mac, NEIGHBOURS_MAX, can_be_of_a_vm};
pub use epoch::{Epoch, Fenced, Standing};
pub use exit::CreateTunnelExit;
pub use ipsec::{Ipsec, IpsecFiles, Psk, shown_option};
pub use ipv6::Ipv6Policy;
pub use isolation::Isolation;
pub use kind_step::KindStep;
pub use number::{HostNumber, NetworkNumber};
pub use outcome::Outcome;
pub use remote_ip::RemoteIp;
pub use state::{BfdState, FlowsState, HealthState, TunnelState};
pub use tunnel::{Carrier, Encap, KernelModules, TunnelEndpoint, TunnelKind, is_tunnel_type, tunnel_udp_port};
pub use tunnel_options::{Tos, TunnelOptions};
pub use value::{BridgeName, GreKey, HostId, Invalid, NAME_MAX, NetworkUuid, PortName, is_plain_name};
