//! Where the tiers of a VPC are on this host's bridge: which of its ports belong to which tier.
//!
//! What it does: a VIF is in the tier of its Ethernet address, which the hypervisor notes at its interface; a tunnel is in
//! the tier of its key. What it must not do: ask the hypervisor, or place a VIF whose address the topology does not have.

use std::collections::{BTreeMap, BTreeSet};

use super::{Nic, Tier, Topology};
use crate::{DesiredBridge, DesiredTunnel, GreKey, HostId, Mac, ObservedBridge, ObservedPort, Settings};

/// Key of `Interface.external_ids` in which the hypervisor notes the VM's Ethernet address.
const ATTACHED_MAC: &str = "attached-mac";

/// The ports of one tier.
#[derive(Debug)]
pub(super) struct TierPorts<'a> {
    pub tier: &'a Tier,
    /// OpenFlow ports of its VIFs.
    pub vifs: BTreeSet<u32>,
    /// OpenFlow ports of its tunnels, by the host at the other end.
    pub tunnels: BTreeMap<HostId, u32>,
}

/// How a frame gets to a card.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By VIFs: one, or two where a guest has an emulated card beside the real one.
    Here(BTreeSet<u32>),
    /// By a tunnel.
    There(u32),
}

/// The ports of all tiers.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    pub topology: &'a Topology,
    pub tiers: BTreeMap<GreKey, TierPorts<'a>>,
    vifs: BTreeMap<Mac, BTreeSet<u32>>,
}

impl<'a> Layout<'a> {
    pub fn new(
        topology: &'a Topology,
        desired: &DesiredBridge,
        observed: Option<&ObservedBridge>,
        settings: &Settings,
    ) -> Self {
        let ports = |tier: &'a Tier| TierPorts { tier, vifs: BTreeSet::new(), tunnels: BTreeMap::new() };
        let tiers = topology.tiers.iter().map(|tier| (tier.key, ports(tier))).collect();
        let mut layout = Layout { topology, tiers, vifs: BTreeMap::new() };
        let by_mac = topology.tiers_by_mac();
        let vifs =
            observed.into_iter().flat_map(|bridge| bridge.vifs(&settings.vif_prefixes).map(move |vif| (bridge, vif)));
        for (bridge, vif) in vifs {
            layout.place_vif(&by_mac, bridge, vif);
        }
        let there = observed.into_iter().flat_map(|bridge| bridge.ports.values());
        for port in there.filter(|port| desired.tunnels.contains_key(port.name.as_str())) {
            layout.place_tunnel(port);
        }
        layout
    }

    fn place_vif(&mut self, by_mac: &BTreeMap<Mac, GreKey>, bridge: &ObservedBridge, port: &ObservedPort) {
        let Some(mac) = vif_mac(bridge, port) else { return };
        let Some(number) = port.interface().and_then(|interface| interface.openflow_port()) else { return };
        let tier = by_mac.get(&mac).and_then(|key| self.tiers.get_mut(key));
        if let Some(tier) = tier {
            tier.vifs.insert(number);
            self.vifs.entry(mac).or_default().insert(number);
        }
    }

    fn place_tunnel(&mut self, port: &ObservedPort) {
        let Some(tunnel) = DesiredTunnel::from_record(port) else { return };
        let number = port.interface().filter(|i| i.error.is_none()).and_then(|interface| interface.openflow_port());
        if let (Some(number), Some(tier)) = (number, self.tiers.get_mut(&tunnel.key)) {
            tier.tunnels.insert(tunnel.to, number);
        }
    }

    /// The VIFs that have an Ethernet address.
    pub fn vifs_of(&self, mac: Mac) -> Option<&BTreeSet<u32>> {
        self.vifs.get(&mac)
    }

    /// How a frame gets to a card; nothing where this host does not know.
    ///
    /// A VIF that is plugged here counts before what the topology says: a VM that has just come here is here.
    pub fn way_to(&self, nic: &Nic) -> Option<Way> {
        if let Some(vifs) = self.vifs_of(nic.mac) {
            return Some(Way::Here(vifs.clone()));
        }
        self.tiers.get(&nic.tier)?.tunnels.get(nic.host.as_ref()?).copied().map(Way::There)
    }
}

/// The Ethernet address of a VIF. The emulated card of an HVM guest, `tapN.M`, has that of its `vifN.M` where nothing is noted at it.
/// Ethernet address of the card behind a VIF, as the hypervisor has noted it; of an emulated one, that of the real one beside it.
pub fn vif_mac(bridge: &ObservedBridge, port: &ObservedPort) -> Option<Mac> {
    let beside = || bridge.ports.get(&format!("vif{}", port.name.strip_prefix("tap")?)).and_then(attached_mac);
    attached_mac(port).or_else(beside)
}

fn attached_mac(port: &ObservedPort) -> Option<Mac> {
    port.interfaces.iter().find_map(|interface| interface.external_ids.get(ATTACHED_MAC)?.parse().ok())
}

/// The VIFs of a VPC's bridge that are in no tier: nothing is forwarded for them.
pub fn unplaced_vifs<'a>(
    topology: Option<&Topology>,
    observed: &'a ObservedBridge,
    settings: &'a Settings,
) -> Vec<&'a str> {
    let by_mac = topology.map(Topology::tiers_by_mac).unwrap_or_default();
    let placed = |port: &&ObservedPort| vif_mac(observed, port).is_some_and(|mac| by_mac.contains_key(&mac));
    observed.vifs(&settings.vif_prefixes).filter(|port| !placed(port)).map(|port| port.name.as_str()).collect()
}
