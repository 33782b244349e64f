//! What must not be there twice on one host: a tunnel to a host, a network's key. And what must be there once: this host's id.
//!
//! What it does: refuses by name. What it must not do: refuse what is there already; that is told.

use super::ChangeSet;
use crate::change::conflict;
use crate::{BridgeName, CreateTunnel, DesiredBridge, DesiredTunnel, GreKey, HostId, PortName, Rejected, View};

/// Whether a request says that this host has another id than its bridge knows.
pub(super) fn renumbers_host(create: &CreateTunnel, bridge: &DesiredBridge) -> bool {
    let other = |id: &HostId| *id != create.from;
    create.renumbers && (bridge.host_id.as_ref().is_some_and(other) || bridge.tunnels.values().any(|t| other(&t.from)))
}

/// The bridge once this host has another id.
pub(super) fn renumbered_bridge(bridge: &DesiredBridge, host: &HostId) -> Result<DesiredBridge, Rejected> {
    let mut bridge = bridge.clone();
    bridge.renumber_host(host);
    leads_elsewhere(&bridge).map(|()| bridge)
}

/// That no tunnel of a bridge leads to this host.
pub(super) fn leads_elsewhere(bridge: &DesiredBridge) -> Result<(), Rejected> {
    let home = bridge.tunnels.values().find(|tunnel| bridge.host_id.as_ref() == Some(&tunnel.to));
    home.map_or(Ok(()), |tunnel| {
        let detail = format!(
            "port {} of bridge {} leads to host {}, so that is not this host's id",
            tunnel.name, bridge.name, tunnel.to
        );
        Err(conflict(tunnel.name.as_str(), detail))
    })
}

/// That `from` is this host and `to` is not. `prefix` is what stands before the fields in the request.
pub(super) fn between_hosts(
    prefix: &str,
    tunnel: &DesiredTunnel,
    home: Option<&HostId>,
    bridge: &BridgeName,
) -> Result<(), Rejected> {
    let DesiredTunnel { from, to, .. } = tunnel;
    let refuse = |words: String| Err(conflict(bridge.as_str(), words));
    match home {
        Some(home) if home == to => {
            refuse(format!("{prefix}to is {to}, and that is the id of this host itself on bridge {bridge}"))
        }
        Some(home) if home != from => {
            refuse(format!("{prefix}from is {from}, and the id of this host on bridge {bridge} is {home}"))
        }
        _ => Ok(()),
    }
}

/// The tunnel that a creation is about, where the bridge has it: the one to the same host, or, where hosts may have got other ids,
/// to the same address. A host that was removed and added again has a new id and its old address.
fn existing_tunnel<'b>(create: &CreateTunnel, key: GreKey, bridge: &'b DesiredBridge) -> Option<&'b DesiredTunnel> {
    let to_address = |tunnel: &&DesiredTunnel| tunnel.key == key && tunnel.remote_ip == create.remote_ip;
    let anew = || bridge.tunnels.values().find(|tunnel| create.renumbers && to_address(tunnel));
    bridge.tunnel_to(&create.to, key).or_else(anew)
}

/// A tunnel under the name that it has on its bridge, if it is there: the management server has stored it, so it stays.
pub(super) fn named_tunnel(
    mut tunnel: DesiredTunnel,
    create: &CreateTunnel,
    bridge: &DesiredBridge,
) -> Result<DesiredTunnel, Rejected> {
    let refuse = |DesiredTunnel { name, from, to, .. }: &DesiredTunnel, words: &str| {
        let detail =
            format!("port {name} of bridge {} leads to host {to} already, from host {from}; {words}", bridge.name);
        Err(conflict(name.as_str(), detail))
    };
    match (existing_tunnel(create, tunnel.key, bridge), bridge.tunnels.get(&tunnel.name)) {
        (Some(there), _) if there.from != tunnel.from => refuse(there, "a second tunnel to one host doubles frames"),
        (Some(there), _) => {
            tunnel.name.clone_from(&there.name);
            Ok(tunnel)
        }
        (None, Some(other)) => refuse(other, "that host had this id before"),
        (None, None) => Ok(tunnel),
    }
}

/// The port that a creation is about.
pub(super) fn port_of(create: &CreateTunnel, key: GreKey, bridge: Option<&DesiredBridge>) -> PortName {
    let there = bridge.and_then(|bridge| existing_tunnel(create, key, bridge));
    there.map_or_else(|| PortName::tunnel_port(key, &create.from, &create.to), DesiredTunnel::port_name)
}

impl ChangeSet<'_> {
    /// That no other bridge has one of the `keys` that a bridge has not `had` so far.
    pub(super) fn check_keys(
        &self,
        view: &dyn View,
        name: &BridgeName,
        keys: &[GreKey],
        had: &[GreKey],
    ) -> Result<(), Rejected> {
        for key in keys.iter().filter(|key| !had.contains(key)) {
            let merged = self.bridges.iter().find(|(other, touched)| {
                let desired = touched.desired.as_ref().filter(|_| *other != name);
                desired.is_some_and(|desired| desired.kind.keys().contains(key))
            });
            let merged = merged.map(|(other, _)| other.to_string());
            let there =
                || view.key_users(*key).into_iter().find(|other| other != name.as_str() && !self.gives_up(other));
            if let Some(other) = merged.or_else(there) {
                let detail = format!(
                    "bridge {other} has key {key} already, so bridge {name} cannot have it: one network, one bridge"
                );
                return Err(conflict(other, detail));
            }
        }
        Ok(())
    }

    /// Whether the change set says what a bridge's key is, or that it goes, so that what is there does not count.
    fn gives_up(&self, bridge: &str) -> bool {
        let Some(touched) = self.bridges.get(bridge) else { return false };
        touched.desired.is_some()
            || touched.observed.as_deref().is_some_and(|observed| self.record_of(observed).is_some())
    }
}
