//! Ways out of a bridge beside its tunnels: NICs, bonds, VLAN devices, patch ports, tunnels of others. Two of them in one
//! network are a loop (docs/operators-guide/troubleshooting.md).
//!
//! What it does: judges ports by their rows and by what the kernel says of their devices. What it must not do: look at the
//! host; who asks brings the facts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::python_plugin::is_plugins_tunnel;
use crate::{Invalid, ObservedBridge, ObservedPort, Settings, View};

/// Longest name of a port that can be recorded as an uplink: no database has longer ones in earnest.
const NAME_MAX: usize = 255;

/// Name of a port that is a bridge's uplink. It is somebody else's port: any name will do that can be shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UplinkName(String);

impl UplinkName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UplinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for UplinkName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let good = (1..=NAME_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        let rule = "must be the name of a port: 1 to 255 bytes without control characters";
        if good { Ok(UplinkName(text.to_owned())) } else { Err(Invalid::new(rule, text)) }
    }
}

/// What the kernel says of a network device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceFacts {
    /// The bus of the hardware behind it (`pci`, `virtio`, `xen-backend`); nothing where there is none.
    pub bus: Option<String>,
    /// It is a VLAN of another device.
    pub vlan: bool,
    /// It is a bond of other devices.
    pub bond: bool,
    /// The devices below it: of a VLAN, a bond, a macvlan, a Linux bridge.
    pub lowers: Vec<String>,
}

/// What is known of the host, beside its switch, when a bridge is to become ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// Devices by name; one that is missing is taken for one without hardware.
    pub devices: BTreeMap<String, DeviceFacts>,
    /// The devices by which tunnels leave the host, each with what says so.
    pub underlay: BTreeMap<String, String>,
}

/// How a port leads out of its bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WayOut {
    /// Several interfaces in one port, or a bond of the kernel's.
    Bond,
    /// To another bridge.
    Patch,
    /// A tunnel that is not ours, of this type.
    Tunnel(String),
    /// A VLAN of this device.
    Vlan(String),
    /// It stands on another device.
    Stacked(String),
    /// A device with hardware, on this bus.
    Physical(String),
}

impl fmt::Display for WayOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WayOut::Bond => f.write_str("a bond"),
            WayOut::Patch => f.write_str("a patch port to another bridge"),
            WayOut::Tunnel(kind) => write!(f, "a {kind} tunnel that is not ovstunnel's"),
            WayOut::Vlan(lower) if lower.is_empty() => f.write_str("a VLAN device"),
            WayOut::Vlan(lower) => write!(f, "a VLAN device on {lower}"),
            WayOut::Stacked(lower) => write!(f, "a device on top of {lower}"),
            WayOut::Physical(bus) => write!(f, "a physical device ({bus})"),
        }
    }
}

/// Whether a port leads out of its bridge, and how; nothing for VIFs, tunnels of ours and the bridge's own port.
pub fn way_out(bridge: &ObservedBridge, port: &ObservedPort, settings: &Settings, host: &HostFacts) -> Option<WayOut> {
    if port.name == bridge.name || port.is_tunnel_of_ours() {
        return None;
    }
    let interface = match port.interfaces.as_slice() {
        [only] => only,
        [] => return None,
        _ => return Some(WayOut::Bond),
    };
    match interface.kind.as_str() {
        "patch" => return Some(WayOut::Patch),
        "dpdk" => return Some(WayOut::Physical("dpdk".to_owned())),
        kind if interface.is_tunnel() => {
            return (!is_plugins_tunnel(port)).then(|| WayOut::Tunnel(kind.to_owned()));
        }
        _ => {}
    }
    let device = host.devices.get(&interface.name)?;
    let lower = || device.lowers.join(" and ");
    if device.bond {
        return Some(WayOut::Bond);
    }
    if device.vlan {
        return Some(WayOut::Vlan(lower()));
    }
    if bridge.is_vif(port, &settings.vif_prefixes) {
        return None;
    }
    match &device.bus {
        // Each VIF of a VM on Xen has a device: the backend of its frontend.
        Some(bus) if bus != "xen-backend" => Some(WayOut::Physical(bus.clone())),
        _ => (!device.lowers.is_empty()).then(|| WayOut::Stacked(lower())),
    }
}

/// The ports by which frames can leave a bridge beside its tunnels, but for the one that it is `declared` to have. On a
/// managed bridge each of them is a fault: with another one on any bridge of the same network it is a loop.
pub fn undeclared_uplinks(
    bridge: &ObservedBridge,
    declared: Option<&UplinkName>,
    settings: &Settings,
    host: &HostFacts,
) -> Vec<(String, WayOut)> {
    let others = bridge.ports.values().filter(|port| declared.is_none_or(|declared| declared.as_str() != port.name));
    others.filter_map(|port| Some((port.name.clone(), way_out(bridge, port, settings, host)?))).collect()
}

/// Why a bridge carries the tunnels; nothing where it does not. The device by which they leave may be the bridge's own, or
/// stand on it, or on a bridge that a patch port joins with it.
pub fn carries_tunnels(view: &dyn View, name: &str, host: &HostFacts) -> Option<String> {
    host.underlay.iter().find_map(|(device, why)| {
        let below = bridges_below(view, device, host);
        below.contains(name).then(|| match device == name {
            true => why.clone(),
            false => format!("{why}, and {device} is on it"),
        })
    })
}

/// The bridges of the switch through which what leaves by a device passes.
fn bridges_below(view: &dyn View, device: &str, host: &HostFacts) -> BTreeSet<String> {
    let (mut bridges, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut devices = vec![device.to_owned()];
    while let Some(device) = devices.pop() {
        if !seen.insert(device.clone()) {
            continue;
        }
        devices.extend(host.devices.get(&device).into_iter().flat_map(|facts| facts.lowers.clone()));
        let Some(bridge) = view.bridge_of_port(&device).and_then(|name| view.bridge(&name)) else { continue };
        if bridges.insert(bridge.name.clone()) {
            let interfaces = bridge.ports.values().filter_map(ObservedPort::interface);
            let peers = interfaces.filter(|one| one.kind == "patch").filter_map(|one| one.options.get("peer"));
            devices.extend(peers.cloned());
        }
    }
    bridges
}
