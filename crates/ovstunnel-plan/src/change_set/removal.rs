//! Bridges that go. Must not take a port away that is a VM's, or anybody's but ours and the Python plugin's.

use std::collections::BTreeSet;

use super::ChangeSet;
use super::rules::not_managed;
use crate::change::conflict;
use crate::python_plugin::is_plugins_tunnel;
use crate::{BridgeName, ObservedPort, Rejected, Settings, View};

/// Why a bridge cannot go.
fn in_the_way_of(bridge: &BridgeName, port: &ObservedPort, kind: &str) -> Rejected {
    let detail = format!("bridge {bridge} still has port {}, which is {kind}; unplug it first", port.name);
    conflict(port.name.as_str(), detail)
}

impl ChangeSet<'_> {
    /// Has a bridge be gone, or given back where it was there before us.
    pub(super) fn destroy_bridge(
        &mut self,
        view: &dyn View,
        settings: &Settings,
        name: &BridgeName,
        dead: &BTreeSet<String>,
    ) -> Result<(), Rejected> {
        let cache = self.cache;
        let touched = self.touched_bridge(view, name);
        let Some(observed) = &touched.observed else { return Ok(()) };
        if touched.desired.is_none() && cache.is_some_and(|cache| cache.is_released(observed.uuid)) {
            return Ok(());
        }
        let Some(desired) = &touched.desired else {
            return Err(not_managed(name, observed));
        };
        let tunnels = observed.ports.values().filter(|port| port.is_tunnel_of_ours());
        let tunnels: Vec<&str> = tunnels.map(|port| port.name.as_str()).collect();
        let in_the_way = observed.ports.values().find(|port| {
            let theirs = port.name != observed.name && !tunnels.contains(&port.name.as_str());
            let vif = observed.is_vif(port, &settings.vif_prefixes);
            theirs && (vif || !desired.adopted || desired.agent) && !(vif && dead.contains(&port.name))
        });
        if let Some(port) = in_the_way {
            let kind = match &desired.uplink {
                _ if observed.is_vif(port, &settings.vif_prefixes) => "a VIF",
                Some(uplink) if uplink.as_str() == port.name => "its uplink",
                _ => "not ours",
            };
            return Err(in_the_way_of(name, port, kind));
        }
        touched.desired = None;
        Ok(())
    }

    /// Takes a bridge away with all tunnels on it, ours and the Python plugin's.
    pub(super) fn delete_bridge(
        &mut self,
        view: &dyn View,
        settings: &Settings,
        name: &BridgeName,
        dead: &BTreeSet<String>,
    ) -> Result<(), Rejected> {
        let touched = self.touched_bridge(view, name);
        let Some(observed) = &touched.observed else { return Ok(()) };
        let in_the_way = observed.ports.values().find(|port| {
            let tunnel = port.is_tunnel_of_ours() || is_plugins_tunnel(port);
            port.name != observed.name && !tunnel && !dead.contains(&port.name)
        });
        if let Some(port) = in_the_way {
            let kind = if observed.is_vif(port, &settings.vif_prefixes) { "a VIF" } else { "no tunnel of its network" };
            return Err(in_the_way_of(name, port, kind));
        }
        (touched.desired, touched.deleted) = (None, true);
        Ok(())
    }
}
