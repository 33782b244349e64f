//! The name of a tunnel's port that is there already under another one than its ids would make.
//!
//! The management server has stored the name that it was answered and sends it when the tunnel is to go, so a name stays. What it
//! must not do: give two tunnels one name.

use crate::change::conflict;
use crate::{CreateTunnel, DesiredBridge, DesiredTunnel, GreKey, Rejected};

/// The tunnel that a creation is about, where the bridge has it: to the same host, or, where hosts may have got other ids, to the
/// same address. A host that was removed and added again has a new id and the old address.
pub(super) fn there<'b>(create: &CreateTunnel, key: GreKey, bridge: &'b DesiredBridge) -> Option<&'b DesiredTunnel> {
    let from_here = || bridge.tunnels.values().filter(|tunnel| tunnel.key == key && tunnel.from == create.from);
    let to_host = from_here().find(|tunnel| tunnel.to == create.to);
    to_host.or_else(|| from_here().find(|tunnel| create.renumbers && tunnel.remote_ip == create.remote_ip))
}

/// A tunnel under the name that it has on its bridge, if it is there.
pub(super) fn named(
    mut tunnel: DesiredTunnel,
    create: &CreateTunnel,
    bridge: &DesiredBridge,
) -> Result<DesiredTunnel, Rejected> {
    if let Some(there) = there(create, tunnel.key, bridge) {
        tunnel.name.clone_from(&there.name);
        return Ok(tunnel);
    }
    match bridge.tunnels.get(&tunnel.name) {
        Some(DesiredTunnel { to, name, .. }) => {
            let detail = format!("port {name} of bridge {} leads to host {to}, which had this id before", bridge.name);
            Err(conflict(name.as_str(), detail))
        }
        None => Ok(tunnel),
    }
}
