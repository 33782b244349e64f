//! One step from what is there to what must be there.
//!
//! What it does: names an effect on the switch completely, so that whoever carries it out decides nothing. What it must
//! not do: know how it is carried out.

use std::collections::BTreeMap;
use std::fmt;

use ovstunnel_types::shown_option;
use uuid::Uuid;

use crate::{BridgeName, DesiredTunnel, Epoch, PortName, TunnelEndpoint, TunnelKind, ids};

/// All columns of a new bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeSpec {
    /// Name of the bridge and of its own port.
    pub name: BridgeName,
    /// Column `datapath_type`.
    pub datapath_type: String,
    /// Column `external_ids`.
    pub external_ids: BTreeMap<String, String>,
    /// Column `other_config`.
    pub other_config: BTreeMap<String, String>,
    /// Column `fail_mode`.
    pub fail_mode: Option<FailMode>,
    /// Column `mtu_request` of its own interface.
    pub mtu_request: Option<u32>,
}

/// What a bridge does where it has no flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailMode {
    /// It drops.
    Secure,
    /// It forwards like any switch; so it does where the column is empty.
    Standalone,
}

impl FailMode {
    /// The word in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            FailMode::Secure => "secure",
            FailMode::Standalone => "standalone",
        }
    }
}

/// One change of a bridge's columns or of its own port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BridgeEdit {
    /// `external_ids:<key>=<value>`
    SetId(String, String),
    /// `external_ids:<key>` goes.
    DropId(String),
    /// `other_config:<key>=<value>`
    SetConfig(String, String),
    /// `other_config:<key>` goes.
    DropConfig(String),
    /// `stp_enable=false`
    StpOff,
    /// `rstp_enable=false`
    RstpOff,
    /// OpenFlow 1.4 joins the bridge's `protocols`, for without it there are no bundles.
    OpenFlow14(bool),
    /// `mcast_snooping_enable`
    McastSnooping(bool),
    /// `protected` of the bridge's own port.
    Protect(bool),
    /// `tag`, `trunks` and `vlan_mode` of the bridge's own port go.
    NoVlan,
    /// `fail_mode`. When it becomes another one, Open vSwitch deletes all flows of the bridge.
    FailMode(Option<FailMode>),
    /// `mtu_request` of the bridge's own interface.
    MtuRequest(Option<u32>),
}

impl BridgeEdit {
    /// Whether it switches STP off, which shuts the bridge's ports out of flooding.
    pub(crate) fn stops_flooding(&self) -> bool {
        matches!(self, BridgeEdit::StpOff | BridgeEdit::RstpOff)
    }

    /// Whether it says that all ports can be flooded to.
    pub(crate) fn says_flooding(&self) -> bool {
        matches!(self, BridgeEdit::DropId(key) if key == ids::FLOODING)
    }
}

/// One change of the switch's own row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwitchEdit {
    /// `other_config:<key>=<value>`
    SetConfig(String, String),
    /// `other_config:<key>` goes.
    DropConfig(String),
    /// `external_ids:<key>=<value>`
    SetId(String, String),
    /// `external_ids:<key>` goes.
    DropId(String),
}

/// One change of a tunnel's port or interface.
#[derive(Clone, PartialEq, Eq)]
pub enum PortEdit {
    /// `external_ids:<key>=<value>` of the port.
    SetId(String, String),
    /// `external_ids:<key>` of the port goes.
    DropId(String),
    /// `protected=true`
    Protect,
    /// `tag`, `trunks` and `vlan_mode` go.
    NoVlan,
    /// `tag=4095`, and no `trunks` nor `vlan_mode`: nothing is flooded into it.
    ReceiveOnly,
    /// `type=null`: Open vSwitch lets go of it, and its row stays.
    Detach,
    /// `type=<that of this kind>`
    MakeTunnel(TunnelKind),
    /// `options:<key>=<value>`
    SetOption(String, String),
    /// `options:<key>` goes.
    DropOption(String),
    /// `bfd:<key>=<value>`
    SetBfd(String, String),
    /// `bfd:<key>` goes.
    DropBfd(String),
}

/// One change of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A new bridge with its own port, which is protected.
    CreateBridge(BridgeSpec),
    /// Changes of a bridge that is there.
    EditBridge {
        /// Its name.
        bridge: BridgeName,
        /// The changes, in order.
        edits: Vec<BridgeEdit>,
    },
    /// A bridge goes, with all that is on it.
    DeleteBridge {
        /// Its name.
        bridge: BridgeName,
        /// Its row.
        uuid: Uuid,
        /// The tunnels that go with it.
        releases: Vec<TunnelEndpoint>,
    },
    /// A new tunnel, protected.
    AddTunnel {
        /// The bridge it joins.
        bridge: BridgeName,
        /// The tunnel.
        tunnel: DesiredTunnel,
    },
    /// Changes of a tunnel that is there.
    EditTunnel {
        /// Its bridge.
        bridge: BridgeName,
        /// Its port.
        port: PortName,
        /// The changes, in order.
        edits: Vec<PortEdit>,
        /// What it was to Open vSwitch, where that changes.
        releases: Option<TunnelEndpoint>,
        /// What it will be, where that changes.
        claims: Option<TunnelEndpoint>,
    },
    /// A tunnel goes.
    RemoveTunnel {
        /// Its bridge.
        bridge: String,
        /// Its port's name.
        port: String,
        /// Its port's row.
        uuid: Uuid,
        /// What it was to Open vSwitch.
        releases: Option<TunnelEndpoint>,
    },
    /// Open vSwitch is to try once more what it could not do: any change of the database has it do so.
    TryAgain {
        /// A number that it has not seen before.
        attempt: u64,
    },
    /// The epoch of the zone's manager that may write to the switch is recorded, or none is any more.
    RecordEpoch(Option<Epoch>),
    /// Changes of the switch's own row, in order.
    EditSwitch(Vec<SwitchEdit>),
}

impl Step {
    /// Whether Open vSwitch forgets addresses that it has learnt when it is carried out.
    pub fn forgets_addresses(&self) -> bool {
        let protects = matches!(self, Step::EditTunnel { edits, .. } if edits.contains(&PortEdit::Protect));
        let ends = matches!(self, Step::EditBridge { edits, .. } if edits.iter().any(BridgeEdit::stops_flooding));
        protects || ends
    }

    /// The bridge on which it works; empty where it is the whole switch.
    pub fn bridge(&self) -> &str {
        match self {
            Step::CreateBridge(spec) => spec.name.as_str(),
            Step::RemoveTunnel { bridge, .. } => bridge,
            Step::TryAgain { .. } | Step::RecordEpoch(_) | Step::EditSwitch(_) => "",
            Step::EditBridge { bridge, .. }
            | Step::DeleteBridge { bridge, .. }
            | Step::AddTunnel { bridge, .. }
            | Step::EditTunnel { bridge, .. } => bridge.as_str(),
        }
    }

    /// The tunnels that Open vSwitch can have again once it is done.
    pub fn releases(&self) -> &[TunnelEndpoint] {
        match self {
            Step::DeleteBridge { releases, .. } => releases,
            Step::RemoveTunnel { releases, .. } | Step::EditTunnel { releases, .. } => releases.as_slice(),
            _ => &[],
        }
    }

    /// Whether it writes what no program may be given as an argument: every user of the host can read those.
    pub fn writes_a_secret(&self) -> bool {
        let secret = |key: &str| !shown_option(key, "").is_empty();
        match self {
            Step::AddTunnel { tunnel, .. } => tunnel.interface_options().iter().any(|(key, _)| secret(key)),
            Step::EditTunnel { edits, .. } => {
                edits.iter().any(|edit| matches!(edit, PortEdit::SetOption(key, _) if secret(key)))
            }
            _ => false,
        }
    }

    /// The tunnel that nothing else may be when it is done.
    pub fn claims(&self) -> Option<TunnelEndpoint> {
        match self {
            Step::AddTunnel { tunnel, .. } => Some(tunnel.endpoint()),
            Step::EditTunnel { claims, .. } => *claims,
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::CreateBridge(spec) => write!(f, "create bridge {}", spec.name),
            Step::EditBridge { bridge, edits } => write!(f, "change bridge {bridge}: {}", joined_items(edits)),
            Step::DeleteBridge { bridge, releases, .. } => {
                write!(f, "delete bridge {bridge} with {} tunnels", releases.len())
            }
            Step::AddTunnel { bridge, tunnel } => {
                let DesiredTunnel { to, key, remote_ip, .. } = tunnel;
                write!(f, "add tunnel {} to bridge {bridge}: host {to} at {remote_ip}, key {key}", tunnel.port_name())
            }
            Step::EditTunnel { bridge, port, edits, .. } => {
                write!(f, "change tunnel {port} of bridge {bridge}: {}", joined_items(edits))
            }
            Step::RemoveTunnel { bridge, port, .. } => write!(f, "remove tunnel {port} from bridge {bridge}"),
            Step::TryAgain { .. } => f.write_str("have Open vSwitch try its ports in error again"),
            Step::RecordEpoch(Some(epoch)) => write!(f, "record epoch {} of zone {}", epoch.number(), epoch.zone()),
            Step::RecordEpoch(None) => f.write_str("clear the recorded epoch"),
            Step::EditSwitch(edits) => write!(f, "change the switch itself: {}", joined_items(edits)),
        }
    }
}

fn joined_items<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for BridgeEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BridgeEdit::SetId(key, value) if ids::is_chunk(key) => {
                write!(f, "external_ids:{key} ({} bytes)", value.len())
            }
            BridgeEdit::SetId(key, value) => write!(f, "external_ids:{key}={value}"),
            BridgeEdit::DropId(key) => write!(f, "no external_ids:{key}"),
            BridgeEdit::SetConfig(key, value) => write!(f, "other_config:{key}={value}"),
            BridgeEdit::DropConfig(key) => write!(f, "no other_config:{key}"),
            BridgeEdit::StpOff => f.write_str("stp_enable=false"),
            BridgeEdit::RstpOff => f.write_str("rstp_enable=false"),
            BridgeEdit::OpenFlow14(true) => f.write_str("protocols with OpenFlow14"),
            BridgeEdit::OpenFlow14(false) => f.write_str("protocols without OpenFlow14"),
            BridgeEdit::McastSnooping(on) => write!(f, "mcast_snooping_enable={on}"),
            BridgeEdit::NoVlan => f.write_str("no tag, trunks, vlan_mode on the own port"),
            BridgeEdit::Protect(on) => write!(f, "own port protected={on}"),
            BridgeEdit::FailMode(Some(mode)) => write!(f, "fail_mode={}", mode.as_str()),
            BridgeEdit::FailMode(None) => f.write_str("no fail_mode"),
            BridgeEdit::MtuRequest(Some(mtu)) => write!(f, "own interface mtu_request={mtu}"),
            BridgeEdit::MtuRequest(None) => f.write_str("no mtu_request on the own interface"),
        }
    }
}

impl fmt::Display for SwitchEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SwitchEdit::SetConfig(key, value) => write!(f, "other_config:{key}={value}"),
            SwitchEdit::DropConfig(key) => write!(f, "no other_config:{key}"),
            SwitchEdit::SetId(key, value) => write!(f, "external_ids:{key}={value}"),
            SwitchEdit::DropId(key) => write!(f, "no external_ids:{key}"),
        }
    }
}

/// As it is told: an option may be a secret.
impl fmt::Debug for PortEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PortEdit({self})")
    }
}

impl fmt::Display for PortEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortEdit::SetId(key, value) => write!(f, "external_ids:{key}={value}"),
            PortEdit::DropId(key) => write!(f, "no external_ids:{key}"),
            PortEdit::Protect => f.write_str("protected=true"),
            PortEdit::NoVlan => f.write_str("no tag, trunks, vlan_mode"),
            PortEdit::ReceiveOnly => write!(f, "tag={}", crate::second::NO_VLAN),
            PortEdit::Detach => f.write_str("type=null"),
            PortEdit::MakeTunnel(kind) => write!(f, "type={}", kind.interface_type()),
            PortEdit::SetOption(key, value) => write!(f, "options:{key}={}", shown_option(key, value)),
            PortEdit::DropOption(key) => write!(f, "no options:{key}"),
            PortEdit::SetBfd(key, value) => write!(f, "bfd:{key}={value}"),
            PortEdit::DropBfd(key) => write!(f, "no bfd:{key}"),
        }
    }
}
