//! The effect of requests on the desired state.
//!
//! What it does: applies a validated request to a change set of the desired state, or says why it cannot be. What it must not
//! do: leave a trace in the change set of a request that it rejects, so that one bad request in a batch harms no other.

mod kinds;
mod probes;
mod removal;
mod rules;
mod takeover;
mod touched;
mod twice;
mod uplinks;
mod vpc;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rules::{
    bridge_record, check_family, check_range, checked_tunnel, complete_set, first_record, not_managed, of_another_kind,
    of_kind,
};
use touched::Touched;

use crate::change::conflict;
use crate::{
    BridgeKind, BridgeName, BridgePlan, Change, CreateTunnel, DesiredBridge, DesiredCache, DesiredTunnel,
    EffectiveSettings, FlowsSeen, Footprint, Mark, ObservedBridge, ObservedPort, Plan, PluginFlow, PortName, Rejected,
    Settings, SetupBridge, TunnelEndpoint, View, plan, plan_bridge,
};

pub use takeover::{finish_takeover, takeover_begun};

/// The desired state of the bridges that a batch of requests touches.
#[derive(Clone, Debug, Default)]
pub struct ChangeSet<'m> {
    /// What is remembered counts before the record: the record may have been changed by others.
    cache: Option<&'m DesiredCache>,
    bridges: BTreeMap<BridgeName, Touched>,
    /// What tunnels that are new in this change set take.
    claims: HashMap<TunnelEndpoint, (BridgeName, PortName)>,
    /// The port names that those tunnels take: there is one space of names for all bridges.
    names: HashMap<PortName, BridgeName>,
}

impl<'m> ChangeSet<'m> {
    /// An empty change set over what is remembered of bridges.
    pub fn with_cache(cache: &'m DesiredCache) -> Self {
        ChangeSet { cache: Some(cache), ..ChangeSet::default() }
    }

    /// The touched bridges, each as it must be and as it is.
    pub fn touched_bridges(
        &self,
    ) -> impl Iterator<Item = (&BridgeName, Option<&DesiredBridge>, Option<&ObservedBridge>)> {
        self.bridges.iter().map(|(name, touched)| (name, touched.desired.as_ref(), touched.observed.as_deref()))
    }

    /// What each touched bridge must be.
    pub fn into_desired(self) -> BTreeMap<BridgeName, Option<DesiredBridge>> {
        self.bridges.into_iter().map(|(name, touched)| (name, touched.desired)).collect()
    }

    /// Takes up a bridge as its record says, without a request: for repair.
    pub fn touch_bridge(&mut self, view: &dyn View, name: &BridgeName) {
        self.touched_bridge(view, name);
    }

    /// Takes up a bridge that is not ours, to take away what is left on it of ours.
    pub fn sweep_bridge(&mut self, view: &dyn View, name: &BridgeName) {
        self.touched_bridge(view, name).swept = true;
    }

    /// The way from what is there to what must be there; `flows` says what is known of a bridge's flows.
    pub fn build_plan(&self, settings: &EffectiveSettings, flows: impl Fn(&ObservedBridge) -> FlowsSeen) -> Plan {
        let plan = self.bridges.iter().map(|(name, touched)| {
            let (observed, desired) = (touched.observed.as_deref(), touched.desired.as_ref());
            // A bridge that is neither ours nor to become ours was only looked at.
            let foreign = desired.is_none() && observed.is_some_and(|observed| self.record_of(observed).is_none());
            if foreign && !touched.swept && !touched.deleted {
                return BridgePlan::default();
            }
            let seen = observed.map(&flows).unwrap_or_default();
            match observed.filter(|_| touched.released || touched.deleted) {
                Some(observed) if touched.deleted => plan::plan_deletion(name, observed),
                Some(observed) => plan::plan_release(name, observed, &seen),
                None => takeover::complete_takeover(plan_bridge(desired, observed, &seen, settings), touched),
            }
        });
        plan.collect()
    }

    fn touched_bridge(&mut self, view: &dyn View, name: &BridgeName) -> &mut Touched {
        let cache = self.cache;
        self.bridges.entry(name.clone()).or_insert_with(|| {
            let observed = view.bridge(name.as_str());
            let desired = observed.as_deref().and_then(|observed| bridge_record(cache, observed));
            Touched { observed, desired, ..Touched::default() }
        })
    }

    fn record_of(&self, observed: &ObservedBridge) -> Option<DesiredBridge> {
        bridge_record(self.cache, observed)
    }

    /// What a request works on.
    ///
    /// A tunnel is named by its port, so that a creation and a removal of one tunnel are never in one batch.
    pub fn footprint_of(&mut self, view: &dyn View, change: &Change) -> Footprint {
        match change {
            Change::Claimed(change, _) => self.footprint_of(view, change),
            Change::SetupBridge(_)
            | Change::SetupVpc(_)
            | Change::UpdateVpc(_)
            | Change::SetBfd(_)
            | Change::ChangeKind(_)
            | Change::DestroyBridge(..)
            | Change::DeleteBridge(..)
            | Change::ReleaseBridge(_) => Footprint::Bridge(change.bridge().clone()),
            Change::DestroyTunnel { bridge, port } => Footprint::Tunnel(bridge.clone(), port.to_string()),
            Change::CreateTunnel(create) => {
                let desired = self.touched_bridge(view, &create.bridge).desired.as_ref();
                let own_key = desired.and_then(|desired| desired.kind.key());
                match create.key.or(own_key) {
                    _ if desired.is_some_and(|bridge| twice::renumbers_host(create, bridge)) => {
                        Footprint::Bridge(create.bridge.clone())
                    }
                    Some(key) => {
                        let port = twice::port_of(create, key, desired);
                        Footprint::Tunnel(create.bridge.clone(), port.to_string())
                    }
                    None => Footprint::Bridge(create.bridge.clone()),
                }
            }
        }
    }

    /// Applies a request, or rejects it and leaves the change set as it was. Gives the tunnel's port, where it is about one.
    ///
    /// # Errors
    /// Why the request cannot be carried out.
    pub fn apply_change(
        &mut self,
        view: &dyn View,
        settings: &Settings,
        change: &Change,
    ) -> Result<Option<PortName>, Rejected> {
        let port = self.apply_one(view, settings, change)?;
        if let Some(desired) = self.bridges.get_mut(change.bridge()).and_then(|touched| touched.desired.as_mut()) {
            desired.pair();
        }
        Ok(port)
    }

    fn apply_one(
        &mut self,
        view: &dyn View,
        settings: &Settings,
        change: &Change,
    ) -> Result<Option<PortName>, Rejected> {
        match change {
            Change::SetupBridge(setup) => self.set_up_bridge(view, settings, setup).map(|()| None),
            Change::SetupVpc(setup) => self.setup_vpc(view, settings, setup).map(|()| None),
            Change::UpdateVpc(update) => self.update_vpc(view, update).map(|()| None),
            Change::DestroyBridge(bridge, dead) => self.destroy_bridge(view, settings, bridge, dead).map(|()| None),
            Change::DeleteBridge(bridge, dead) => self.delete_bridge(view, settings, bridge, dead).map(|()| None),
            Change::ReleaseBridge(bridge) => self.release_bridge(view, bridge).map(|()| None),
            Change::CreateTunnel(create) => self.create_tunnel(view, create).map(Some),
            Change::SetBfd(bfd) => self.set_bfd(view, bfd).map(|()| None),
            Change::ChangeKind(change) => self.change_kind(view, settings, change).map(|()| None),
            Change::Claimed(change, claim) => {
                let port = self.apply_change(view, settings, change)?;
                let touched = self.touched_bridge(view, change.bridge());
                touched.desired.iter_mut().for_each(|bridge| bridge.claim = Some(claim.clone()));
                Ok(port)
            }
            Change::DestroyTunnel { bridge, port } => self.destroy_tunnel(view, bridge, port).map(Some),
        }
    }

    fn set_up_bridge(&mut self, view: &dyn View, settings: &Settings, setup: &SetupBridge) -> Result<(), Rejected> {
        let Touched { observed, desired, .. } = self.takable_bridge(view, &setup.bridge)?.clone();
        let becomes = uplinks::becomes_ours(desired.as_ref(), observed.as_deref());
        let had = desired.as_ref().map(|desired| desired.kind.keys()).unwrap_or_default();
        let kind = BridgeKind::Network(setup.key);
        let mut next =
            desired.unwrap_or_else(|| first_record(&setup.bridge, kind.clone(), settings, observed.as_deref()));
        let Some(key) = next.kind.key() else { return Err(of_another_kind(&next)) };
        if key != setup.key && setup.tunnels.is_none() && !next.tunnels.is_empty() {
            let detail = format!(
                "bridge {} has {} tunnels with key {key}; a new key needs the complete set of `tunnels` with it",
                setup.bridge,
                next.tunnels.len(),
            );
            return Err(conflict(setup.bridge.as_str(), detail));
        }
        next.encap = of_kind(setup.tunnel_kind, &next, settings)?;
        for encap in std::iter::once(next.encap).chain(next.second.as_ref().map(|second| second.encap)) {
            check_range("key", setup.key, encap)?;
        }
        next.kind = kind;
        next.network_uuid = setup.network_uuid.or(next.network_uuid);
        let renumbered = setup.host_id.is_some() && setup.host_id != next.host_id;
        setup.host_id.iter().for_each(|host| next.renumber_host(host));
        next.ipv6 = setup.ipv6.unwrap_or(next.ipv6);
        next.agent |= setup.agent;
        let uplink = next.uplink.take();
        next.uplink = uplinks::resolve_uplink(
            setup.uplink.as_ref(),
            uplink,
            setup.bridge.as_str(),
            observed.as_deref(),
            settings,
        )?;
        if let Some(specs) = &setup.tunnels {
            let datapath = observed.as_deref().map_or(&settings.datapath_type, |bridge| &bridge.datapath_type);
            for (n, spec) in specs.iter().enumerate() {
                check_family(format!("tunnels[{n}].remote_ip"), spec.remote_ip, next.encap, datapath)?;
            }
            next.tunnels = complete_set(specs, setup.key, &next)?;
        }
        if let Some(known) = &setup.neighbours {
            next.neighbours = next.neighbours.told_anew(known, observed.as_deref());
        }
        if renumbered {
            twice::leads_elsewhere(&next)?;
        }
        if let Some(bridge) = becomes {
            uplinks::may_become(view, bridge, &next, settings, &setup.host)?;
        }
        next.pair();
        self.claim_all(view, &next, observed.as_deref())?;
        self.check_keys(view, &setup.bridge, &next.kind.keys(), &had)?;
        self.touched_bridge(view, &setup.bridge).desired = Some(next);
        Ok(())
    }

    /// Takes up a bridge that is to be set up, if a bridge can have its name.
    fn takable_bridge(&mut self, view: &dyn View, name: &BridgeName) -> Result<&mut Touched, Rejected> {
        let touched = self.touched_bridge(view, name);
        match view.bridge_of_port(name.as_str()).filter(|_| touched.observed.is_none()) {
            Some(owner) => {
                let detail = format!("bridge {owner} has a port of the name {name}, so no bridge can have it");
                Err(conflict(owner, detail))
            }
            None => Ok(touched),
        }
    }

    /// Claims the tunnels of a bridge that are new to it, all or none.
    fn claim_all(
        &mut self,
        view: &dyn View,
        bridge: &DesiredBridge,
        observed: Option<&ObservedBridge>,
    ) -> Result<(), Rejected> {
        let held = |name: &PortName, tunnel: &DesiredTunnel| {
            let port = observed.and_then(|observed| observed.ports.get(name.as_str()));
            port.and_then(DesiredTunnel::from_record).as_ref() == Some(tunnel)
        };
        let new: Vec<_> = bridge.all_tunnels().filter(|(name, tunnel)| !held(name, tunnel)).collect();
        for (name, tunnel) in &new {
            self.check_free(view, bridge, name, tunnel)?;
        }
        for (name, tunnel) in new {
            self.claim_tunnel(&bridge.name, name, tunnel);
        }
        Ok(())
    }

    fn claim_tunnel(&mut self, bridge: &BridgeName, name: &PortName, tunnel: &DesiredTunnel) {
        self.claims.insert(tunnel.endpoint(), (bridge.clone(), name.clone()));
        self.names.insert(name.clone(), bridge.clone());
    }

    /// Whether nothing else has the tunnel's port name or its remote address and key.
    fn check_free(
        &self,
        view: &dyn View,
        bridge: &DesiredBridge,
        name: &PortName,
        tunnel: &DesiredTunnel,
    ) -> Result<(), Rejected> {
        self.check_name(view, bridge, name)?;
        self.check_identity(view, bridge, name, tunnel)
    }

    fn check_name(&self, view: &dyn View, bridge: &DesiredBridge, name: &PortName) -> Result<(), Rejected> {
        let taken = |owner: &str| {
            let own = &bridge.name;
            let detail =
                format!("port {name} exists already, on bridge {owner}, and is not this tunnel of bridge {own}");
            Err(conflict(name.as_str(), detail))
        };
        if let Some(other) = self.names.get(name).filter(|other| **other != bridge.name) {
            return taken(other.as_str());
        }
        let Some(owner) = view.bridge_of_port(name.as_str()) else { return Ok(()) };
        let ours = self.observed_port(&owner, name.as_str()).is_some_and(ObservedPort::is_tunnel_of_ours);
        let stays = self.bridges.get(owner.as_str()).and_then(|touched| touched.desired.as_ref());
        let stays = stays.is_some_and(|owner| owner.tunnel_at(name.as_str()).is_some());
        if ours && (owner == bridge.name.as_str() || !stays) { Ok(()) } else { taken(&owner) }
    }

    fn check_identity(
        &self,
        view: &dyn View,
        bridge: &DesiredBridge,
        name: &PortName,
        tunnel: &DesiredTunnel,
    ) -> Result<(), Rejected> {
        let own = &bridge.name;
        let in_use = |bridge: &str, port: &str| {
            let detail = format!(
                "port {port} of bridge {bridge} has remote address {} and key {} already, so {name} of bridge {} cannot",
                tunnel.remote_ip, tunnel.key, own
            );
            Err(conflict(format!("{bridge}/{port}"), detail))
        };
        match self.claims.get(&tunnel.endpoint()) {
            Some((other, port)) if (other, port) != (&bridge.name, name) => {
                return in_use(other.as_str(), port.as_str());
            }
            _ => {}
        }
        let users = view.endpoint_users(tunnel.endpoint());
        let stays = users.iter().find(|(other, port)| {
            (other.as_str(), port.as_str()) != (bridge.name.as_str(), name.as_str())
                && !self.is_going(bridge, other, port, tunnel.endpoint())
        });
        stays.map_or(Ok(()), |(other, port)| in_use(other, port))
    }

    /// A port of a touched bridge, as it is.
    fn observed_port(&self, bridge: &str, port: &str) -> Option<&ObservedPort> {
        self.bridges.get(bridge)?.observed.as_deref()?.ports.get(port)
    }

    /// Whether a port that is there now will be gone, or be another tunnel, once the change set is carried out.
    fn is_going(&self, next: &DesiredBridge, bridge: &str, port: &str, identity: TunnelEndpoint) -> bool {
        if !self.observed_port(bridge, port).is_some_and(ObservedPort::is_tunnel_of_ours) {
            return false;
        }
        let touched = self.bridges.get(bridge);
        let desired = if bridge == next.name.as_str() { Some(next) } else { touched.and_then(|t| t.desired.as_ref()) };
        let keeps = desired.and_then(|bridge| bridge.tunnel_at(port));
        keeps.is_none_or(|kept| kept.endpoint() != identity)
    }

    fn create_tunnel(&mut self, view: &dyn View, create: &CreateTunnel) -> Result<PortName, Rejected> {
        self.touched_bridge(view, &create.bridge);
        let touched = self.bridges.get(&create.bridge);
        let Some(bridge) = touched.and_then(|touched| touched.desired.as_ref()) else {
            return Err(match touched.and_then(|touched| touched.observed.as_deref()) {
                Some(observed) => not_managed(&create.bridge, observed),
                None => Rejected::NotFound(format!("there is no bridge {}; set it up first", create.bridge)),
            });
        };
        let renumbered = twice::renumbers_host(create, bridge)
            .then(|| twice::renumbered_bridge(bridge, &create.from))
            .transpose()?;
        let bridge = renumbered.as_ref().unwrap_or(bridge);
        if let Some(observed) = touched.and_then(|touched| touched.observed.as_deref()) {
            check_family("remote_ip", create.remote_ip, bridge.encap, &observed.datapath_type)?;
        }
        let mut tunnel = checked_tunnel(create, bridge)?;
        let port = tunnel.port_name();
        tunnel.bfd = bridge.tunnels.get(&port).and_then(|before| before.bfd);
        if bridge.tunnels.get(&port) != Some(&tunnel) {
            let seconds = bridge.seconds_with(&tunnel);
            self.check_free(view, bridge, &port, &tunnel)?;
            seconds.iter().try_for_each(|(name, second)| self.check_free(view, bridge, name, second))?;
            if bridge.kind.vpc().is_some() && bridge.tunnels.values().all(|other| other.key != tunnel.key) {
                self.check_keys(view, &create.bridge, &[tunnel.key], &bridge.kind.keys())?;
            }
            self.claim_tunnel(&create.bridge, &port, &tunnel);
            seconds.iter().for_each(|(name, second)| self.claim_tunnel(&create.bridge, name, second));
        }
        if let Some(desired) = &mut self.touched_bridge(view, &create.bridge).desired {
            if let Some(renumbered) = renumbered {
                *desired = renumbered;
            }
            desired.tunnels.insert(port.clone(), tunnel);
        }
        Ok(port)
    }

    /// Gives the port that it has now: the change of its kind may have given it another than it is asked by.
    fn destroy_tunnel(&mut self, view: &dyn View, name: &BridgeName, port: &PortName) -> Result<PortName, Rejected> {
        let touched = self.touched_bridge(view, name);
        let Some(observed) = &touched.observed else { return Ok(port.clone()) };
        let Some(desired) = &mut touched.desired else { return Err(not_managed(name, observed)) };
        match observed.ports.get(port.as_str()) {
            Some(there) if !there.is_tunnel_of_ours() => {
                let detail = format!("port {port} of bridge {name} is not a tunnel of ours");
                Err(conflict(port.as_str(), detail))
            }
            _ => {
                let port = desired.port_now(port).unwrap_or_else(|| port.clone());
                desired.tunnels.remove(&port);
                Ok(port)
            }
        }
    }
}

/// Take-over and release: the two ways in which a bridge becomes ours, or nobody's, as it is.
impl ChangeSet<'_> {
    /// Takes up a bridge of the plugin's as `desired`, or one that is ours already, to take away flows of the plugin's.
    pub fn take_over(
        &mut self,
        view: &dyn View,
        name: &BridgeName,
        desired: Option<DesiredBridge>,
        plugins: BTreeSet<PluginFlow>,
    ) {
        let touched = self.touched_bridge(view, name);
        touched.desired = match (touched.desired.take(), desired) {
            // The plugin was at work again, on a bridge of ours.
            (Some(mut ours), Some(taken)) => {
                for (name, tunnel) in taken.tunnels {
                    ours.tunnels.entry(name).or_insert(tunnel);
                }
                Some(ours)
            }
            (ours, taken) => ours.or(taken),
        };
        touched.plugins = Some(plugins);
    }

    /// Has a take-over keep by which port its bridge was in a spanning tree that ends with it.
    pub fn keep_root_port(&mut self, view: &dyn View, name: &BridgeName, port: String) {
        self.touched_bridge(view, name).stp_root_port = Some(port);
    }

    /// Takes a bridge out of our hands: what is not ours stays, the bridge and its VIFs too.
    fn release_bridge(&mut self, view: &dyn View, name: &BridgeName) -> Result<(), Rejected> {
        let touched = self.touched_bridge(view, name);
        let Some(observed) = &touched.observed else { return Ok(()) };
        match (touched.desired.is_some(), DesiredBridge::bridge_mark(observed)) {
            (false, Mark::Damaged(_)) => Err(not_managed(name, observed)),
            // It is a plain bridge already.
            (false, _) => Ok(()),
            (true, _) => {
                (touched.desired, touched.released) = (None, true);
                Ok(())
            }
        }
    }
}
