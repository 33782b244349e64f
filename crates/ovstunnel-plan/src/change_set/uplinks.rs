//! What leads out of a bridge that is to become ours, beside the tunnels. Must not ask it of one that is ours already: what was
//! accepted once goes on, and `health` tells what is wrong with it.

use crate::change::{conflict, invalid};
use crate::{
    DesiredBridge, HostFacts, Mark, ObservedBridge, Rejected, Settings, UplinkName, View, WayOut, carries_tunnels,
    undeclared_uplinks,
};

/// The bridge, where a change makes ours what was not.
pub(super) fn becomes_ours<'a>(
    desired: Option<&DesiredBridge>,
    observed: Option<&'a ObservedBridge>,
) -> Option<&'a ObservedBridge> {
    observed.filter(|bridge| desired.is_none() && DesiredBridge::bridge_mark(bridge) == Mark::Foreign)
}

/// That a bridge may become ours: it does not carry the tunnels, and nothing leads out of it but its declared uplink.
pub(super) fn may_become(
    view: &dyn View,
    bridge: &ObservedBridge,
    next: &DesiredBridge,
    settings: &Settings,
    host: &HostFacts,
) -> Result<(), Rejected> {
    let name = &bridge.name;
    if let Some(why) = carries_tunnels(view, name, host) {
        let detail = format!("bridge {name} carries the tunnels ({why}), so it cannot be the bridge of a network");
        return Err(conflict(name, detail));
    }
    match undeclared_uplinks(bridge, next.uplink.as_ref(), settings, host).first() {
        None => Ok(()),
        Some((port, way)) => Err(conflict(port, in_the_way(name, port, way, next))),
    }
}

fn in_the_way(bridge: &str, port: &str, way: &WayOut, next: &DesiredBridge) -> String {
    let what = format!("port {port} of bridge {bridge} is {way}: beside tunnels it can close a loop");
    match (&next.uplink, next.kind.vpc()) {
        (Some(uplink), None) => format!("{what}; only one way out is possible, and it is {uplink}; take {port} off"),
        (None, None) => format!(
            "{what}; take it off, or, where no other host's bridge of this network has a way out, give `uplink` with its name"
        ),
        (_, Some(_)) => format!("{what}; take it off"),
    }
}

/// The uplink of a bridge, as a request wants it: as it is, none, or this one.
pub(super) fn resolve_uplink(
    asked: Option<&Option<UplinkName>>,
    recorded: Option<UplinkName>,
    bridge: &str,
    observed: Option<&ObservedBridge>,
    settings: &Settings,
) -> Result<Option<UplinkName>, Rejected> {
    let asked = match asked {
        None => return Ok(recorded),
        Some(asked) if *asked == recorded => return Ok(recorded),
        Some(None) => return Ok(None),
        Some(Some(asked)) => asked,
    };
    let rule = |rule: String| Err(invalid("uplink", rule, asked));
    let port = observed.and_then(|bridge| Some((bridge, bridge.ports.get(asked.as_str())?)));
    match port {
        None => rule(format!("must be a port of bridge {bridge}")),
        Some((bridge, port)) if port.name == bridge.name => rule("must not be the bridge's own port".to_owned()),
        Some((_, port)) if port.is_tunnel_of_ours() => rule("must not be a tunnel of ovstunnel's".to_owned()),
        Some((bridge, port)) if bridge.is_vif(port, &settings.vif_prefixes) => rule("must not be a VIF".to_owned()),
        Some(_) => Ok(Some(asked.clone())),
    }
}
