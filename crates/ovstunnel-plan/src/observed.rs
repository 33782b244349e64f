//! What is in the switch's database: bridges, their ports and interfaces, ours or not.
//!
//! What it does: holds rows as they are, marks unparsed, and answers questions about them. What it must not do: know how
//! the rows were read, or hold flows (they are not in the database).

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::{GreKey, TunnelEndpoint, TunnelKind};
use ovstunnel_types::is_tunnel_type;

/// Largest OpenFlow port number that can be a device's; those above are the protocol's own (`OFPP_MAX`).
const OFPORT_MAX: i64 = 0xff00;

/// An Interface row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedInterface {
    /// The row.
    pub uuid: Uuid,
    /// Column `name`.
    pub name: String,
    /// Column `type`: empty for a device of the system.
    pub kind: String,
    /// Column `options`.
    pub options: BTreeMap<String, String>,
    /// Column `external_ids`.
    pub external_ids: BTreeMap<String, String>,
    /// Column `bfd`.
    pub bfd: BTreeMap<String, String>,
    /// Column `bfd_status`: empty where BFD does not run.
    pub bfd_status: BTreeMap<String, String>,
    /// Column `ofport`: nothing until vswitchd has looked at it, -1 where it refused it.
    pub ofport: Option<i64>,
    /// Column `error`: vswitchd's words.
    pub error: Option<String>,
    /// Column `admin_state`, where it is known: whether the device was set up.
    pub admin_up: Option<bool>,
    /// Column `link_state`, where it is known: whether the device has a carrier.
    pub link_up: Option<bool>,
    /// Column `mtu`.
    pub mtu: Option<u32>,
    /// Column `mtu_request`: the MTU that somebody wants.
    pub mtu_request: Option<u32>,
}

/// How a tunnel is, as read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TunnelHealth {
    /// It has this OpenFlow port number and no error.
    Up(u32),
    /// Open vSwitch refused it, in these words.
    Refused(String),
    /// vswitchd has not looked at it yet.
    Pending,
}

impl ObservedInterface {
    /// Whether it carries frames: `ofport` is a number and `error` is empty.
    pub fn health(&self) -> TunnelHealth {
        match (&self.error, self.ofport) {
            (Some(error), _) => TunnelHealth::Refused(error.clone()),
            (None, Some(_)) => match self.openflow_port() {
                Some(port) => TunnelHealth::Up(port),
                None => TunnelHealth::Refused("Open vSwitch gave it no OpenFlow port and no reason".into()),
            },
            (None, None) => TunnelHealth::Pending,
        }
    }

    /// The OpenFlow port number, where it has one that a frame can come in by.
    pub fn openflow_port(&self) -> Option<u32> {
        self.ofport.filter(|port| (1..OFPORT_MAX).contains(port)).and_then(|port| u32::try_from(port).ok())
    }

    /// Whether it is a tunnel, of whatever kind that Open vSwitch knows.
    pub fn is_tunnel(&self) -> bool {
        is_tunnel_type(&self.kind)
    }

    /// The kind of tunnel that it is, where it is one that ovstunnel makes too.
    pub fn tunnel_kind(&self) -> Option<TunnelKind> {
        TunnelKind::of_interface_type(&self.kind)
    }

    /// Where it leads, where it is a tunnel of a kind of ours with a fixed address and key.
    pub fn tunnel_endpoint(&self) -> Option<TunnelEndpoint> {
        TunnelEndpoint::of_interface(&self.kind, |name| self.options.get(name).map(String::as_str))
    }
}

/// The VLAN columns of a port. With none of them set it carries every frame as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vlan {
    /// Column `tag`: an access port of this VLAN.
    pub tag: Option<u16>,
    /// Column `trunks`: the only VLANs that it carries.
    pub trunks: Vec<u16>,
    /// Column `vlan_mode`.
    pub mode: Option<String>,
}

/// A Mirror row: frames of a bridge are copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedMirror {
    /// Column `name`.
    pub name: String,
    /// Whether it selects any frame.
    pub selects: bool,
    /// Column `output_vlan`: the copies are flooded in this VLAN.
    pub output_vlan: Option<i64>,
    /// The port of column `output_port`, which is for the copies alone.
    pub output_port: Option<String>,
}

/// A Flow_Table row of the first table that limits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowLimit {
    /// Column `flow_limit`.
    pub flows: u64,
    /// Whether a flow beyond it has another one go; else it is refused.
    pub evicts: bool,
}

/// A Port row with its interfaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedPort {
    /// The row.
    pub uuid: Uuid,
    /// Column `name`.
    pub name: String,
    /// Column `protected`: frames do not pass between two protected ports.
    pub protected: bool,
    /// Column `external_ids`.
    pub external_ids: BTreeMap<String, String>,
    /// Its VLAN columns.
    pub vlan: Vlan,
    /// Its interfaces: one, or several where it is a bond.
    pub interfaces: Vec<ObservedInterface>,
}

impl ObservedPort {
    /// The tunnels that it keeps others from having: what it is, and what it is recorded to be.
    pub fn tunnel_endpoints(&self) -> impl Iterator<Item = TunnelEndpoint> + use<> {
        let is = self.interface().and_then(ObservedInterface::tunnel_endpoint);
        let recorded = crate::DesiredTunnel::from_record(self).map(|tunnel| tunnel.endpoint());
        is.into_iter().chain(recorded.filter(|recorded| is != Some(*recorded)))
    }

    /// Whether frames leave the host by it through a tunnel, whosever it is and of whatever kind that Open vSwitch knows. What
    /// must hold between tunnels must hold for each of these.
    pub fn is_tunnel(&self) -> bool {
        self.interfaces.iter().any(ObservedInterface::is_tunnel)
    }

    /// Whether it is a tunnel of a kind that ovstunnel makes too, whosever it is. Marks tell ours: `is_tunnel_of_ours`.
    pub fn is_tunnel_of_our_kind(&self) -> bool {
        self.interface().is_some_and(|interface| interface.tunnel_kind().is_some())
    }

    /// Its interface, where it has exactly one.
    pub fn interface(&self) -> Option<&ObservedInterface> {
        match self.interfaces.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }
}

/// A Bridge row with its ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedBridge {
    /// The row.
    pub uuid: Uuid,
    /// Column `name`.
    pub name: String,
    /// Column `external_ids`.
    pub external_ids: BTreeMap<String, String>,
    /// Column `other_config`.
    pub other_config: BTreeMap<String, String>,
    /// Column `stp_enable`.
    pub stp_enable: bool,
    /// Column `rstp_enable`.
    pub rstp_enable: bool,
    /// Column `protocols`: empty means Open vSwitch's default, which has OpenFlow 1.4.
    pub protocols: Vec<String>,
    /// Column `fail_mode`: `secure`, `standalone`, or nothing, which means `standalone`.
    pub fail_mode: Option<String>,
    /// Column `datapath_type`: empty means the kernel's, `system`.
    pub datapath_type: String,
    /// Column `mcast_snooping_enable`.
    pub mcast_snooping: bool,
    /// How many OpenFlow controllers it has.
    pub controllers: usize,
    /// Its mirrors.
    pub mirrors: Vec<ObservedMirror>,
    /// The limit of its first table.
    pub flow_limit: Option<FlowLimit>,
    /// Its ports by name, its own one among them.
    pub ports: BTreeMap<String, ObservedPort>,
}

impl ObservedBridge {
    /// The port of the bridge's own device.
    pub fn own_port(&self) -> Option<&ObservedPort> {
        self.ports.get(&self.name)
    }

    /// Ports that are VM interfaces: those whose name starts with one of the prefixes.
    pub fn vifs<'a>(&'a self, prefixes: &'a [String]) -> impl Iterator<Item = &'a ObservedPort> {
        self.ports.values().filter(|port| self.is_vif(port, prefixes))
    }

    /// Whether a port of this bridge is a VM interface.
    pub fn is_vif(&self, port: &ObservedPort, prefixes: &[String]) -> bool {
        port.name != self.name
            && !port.is_tunnel_of_ours()
            && prefixes.iter().any(|p| port.name.starts_with(p.as_str()))
    }
}

/// What planning may ask about the rest of the switch.
pub trait View {
    /// A bridge by its name, with all that is on it.
    fn bridge(&self, name: &str) -> Option<Arc<ObservedBridge>>;
    /// A bridge by its name, with its own port and no other.
    fn bare_bridge(&self, name: &str) -> Option<ObservedBridge>;
    /// One port of a bridge.
    fn port(&self, bridge: &str, port: &str) -> Option<ObservedPort>;
    /// The bridge that has a port of this name.
    fn bridge_of_port(&self, port: &str) -> Option<String>;
    /// The bridges and ports that have this tunnel, and those of ours that are recorded to have it.
    fn endpoint_users(&self, identity: TunnelEndpoint) -> Vec<(String, String)>;
    /// The bridges of ours that have this key, a VPC's by its tiers.
    fn key_users(&self, key: GreKey) -> Vec<String>;
    /// A value of the switch's own `external_ids`.
    fn switch_id(&self, key: &str) -> Option<String>;
    /// A value of the switch's own `other_config`.
    fn switch_config(&self, key: &str) -> Option<String>;
}
