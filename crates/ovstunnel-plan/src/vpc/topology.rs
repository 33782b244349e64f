//! Which tiers a VPC has and where its VMs are. Must not know of ports: those are on each host.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::{Cidr, GreKey, HostId, Mac, NetworkUuid};

/// A tier: a network of the VPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// GRE key of its tunnels.
    pub key: GreKey,
    /// UUID of its network.
    pub network: NetworkUuid,
    /// Address of its gateway.
    pub gateway_ip: Ipv4Addr,
    /// Ethernet address of its gateway: what a VM sends to another tier, it sends there.
    pub gateway_mac: Mac,
    /// Its addresses.
    pub cidr: Cidr,
}

/// A VM's network card in a tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    /// The host that its VM is on, where it is on one.
    pub host: Option<HostId>,
    /// Its address, where it has one.
    pub ip: Option<Ipv4Addr>,
    /// Its Ethernet address.
    pub mac: Mac,
    /// Key of its tier.
    pub tier: GreKey,
}

/// The VPC: what the management server tells all its hosts alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Its addresses.
    pub cidr: Cidr,
    /// Its tiers; no two with the same key.
    pub tiers: Vec<Tier>,
    /// The cards of its VMs in them.
    pub nics: Vec<Nic>,
}

impl Topology {
    /// The tier of each card, by its Ethernet address; a gateway is in its own tier.
    pub fn tiers_by_mac(&self) -> BTreeMap<Mac, GreKey> {
        let gateways = self.tiers.iter().map(|tier| (tier.gateway_mac, tier.key));
        gateways.chain(self.nics.iter().map(|nic| (nic.mac, nic.tier))).collect()
    }

    /// A tier by its key.
    pub fn tier_with(&self, key: GreKey) -> Option<&Tier> {
        self.tiers.iter().find(|tier| tier.key == key)
    }
}
