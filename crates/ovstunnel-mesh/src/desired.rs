//! The mesh that a network must have: which hosts, at which addresses, and so which tunnels.
//!
//! What it does: a pure function of attachments, endpoints and the key. What it must not do: list all pairs, which are four million in a
//! network of 2,000 hosts; they follow host by host.

use std::collections::{BTreeMap, BTreeSet};

use ovstunnel_types::{GreKey, HostNumber, Ipv6Policy, NetworkNumber, RemoteIp, TunnelKind};

use crate::membership::Attachment;

/// At which address each host's tunnels end. An address belongs to one host.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    of: BTreeMap<HostNumber, RemoteIp>,
    at: BTreeMap<RemoteIp, HostNumber>,
}

/// An address that another host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("address {ip} of host {host} is host {taken_by}'s; tunnels to it would end at either of the two")]
pub struct AddressTaken {
    /// The address.
    pub ip: RemoteIp,
    /// The host that says it has it.
    pub host: HostNumber,
    /// The host that said so before.
    pub taken_by: HostNumber,
}

impl Endpoints {
    /// Nothing is known.
    pub fn new() -> Endpoints {
        Endpoints::default()
    }

    /// A host's tunnels end at this address; what they ended at before is returned.
    ///
    /// # Errors
    /// Another host has it. Nothing is changed then: who was there first goes on.
    pub fn set(&mut self, host: HostNumber, ip: RemoteIp) -> Result<Option<RemoteIp>, AddressTaken> {
        match self.at.get(&ip) {
            Some(other) if *other != host => return Err(AddressTaken { ip, host, taken_by: *other }),
            _ => {}
        }
        let before = self.of.insert(host, ip).filter(|before| *before != ip);
        if let Some(before) = before {
            self.at.remove(&before);
        }
        self.at.insert(ip, host);
        Ok(before)
    }

    /// A host is no longer of the zone, or has no address any more.
    pub fn remove(&mut self, host: HostNumber) {
        if let Some(ip) = self.of.remove(&host) {
            self.at.remove(&ip);
        }
    }

    /// The host with this address.
    pub fn host_at(&self, ip: RemoteIp) -> Option<HostNumber> {
        self.at.get(&ip).copied()
    }

    /// A host's address.
    pub fn address_of(&self, host: HostNumber) -> Option<RemoteIp> {
        self.of.get(&host).copied()
    }
}

/// A tunnel that a host must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DesiredTunnel {
    /// The host at the other end.
    pub to: HostNumber,
    /// Its address.
    pub remote_ip: RemoteIp,
}

/// What a network must be: a tunnel from each host to each other one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mesh {
    /// The network.
    pub network: NetworkNumber,
    /// Its key.
    pub key: GreKey,
    /// What it does with IPv6; each host's own default where nothing is said.
    pub ipv6: Option<Ipv6Policy>,
    /// MTU of its guests, bytes; where nothing is said, the largest that most of its hosts can carry.
    pub guest_mtu: Option<u32>,
    /// The kind that its tunnels are to have; where nothing is said, the one that each host gives them.
    pub kind: Option<TunnelKind>,
    members: BTreeMap<HostNumber, Option<RemoteIp>>,
    left: BTreeSet<HostNumber>,
}

impl Mesh {
    /// The mesh among the hosts that are attached. Each host that has anything of the network must be among the attachments: of one that
    /// is not there, nothing is known, and nothing of it is ever removed.
    pub fn new(
        network: NetworkNumber,
        key: GreKey,
        ipv6: Option<Ipv6Policy>,
        attachments: &BTreeMap<HostNumber, Attachment>,
        endpoints: &Endpoints,
    ) -> Mesh {
        let (inside, outside): (Vec<_>, Vec<_>) = attachments.iter().partition(|(_, a)| a.is_in_mesh());
        let members = inside.into_iter().map(|(host, _)| (*host, endpoints.address_of(*host))).collect();
        Mesh {
            network,
            key,
            ipv6,
            guest_mtu: None,
            kind: None,
            members,
            left: outside.into_iter().map(|(host, _)| *host).collect(),
        }
    }

    /// The hosts of the mesh, in order.
    pub fn members(&self) -> impl Iterator<Item = HostNumber> + '_ {
        self.members.keys().copied()
    }

    /// How many hosts it has.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// Whether a host belongs to it.
    pub fn has_member(&self, host: HostNumber) -> bool {
        self.members.contains_key(&host)
    }

    /// The hosts that are known not to belong to it.
    pub fn left_hosts(&self) -> impl Iterator<Item = HostNumber> + '_ {
        self.left.iter().copied()
    }

    /// Whether it is known that a host does not belong to it.
    pub fn has_left(&self, host: HostNumber) -> bool {
        self.left.contains(&host)
    }

    /// The hosts of the mesh whose address is not known: no tunnel to them can be made, and those that are there stay.
    pub fn without_address(&self) -> impl Iterator<Item = HostNumber> + '_ {
        self.members.iter().filter(|(_, ip)| ip.is_none()).map(|(host, _)| *host)
    }

    /// The complete set of tunnels of one host, in the order of the other ends; none for a host that does not belong to the mesh.
    pub fn tunnels_of(&self, host: HostNumber) -> impl Iterator<Item = DesiredTunnel> + '_ {
        let others = self.has_member(host).then(|| self.members.iter().filter(move |(to, _)| **to != host));
        others.into_iter().flatten().filter_map(|(to, ip)| Some(DesiredTunnel { to: *to, remote_ip: (*ip)? }))
    }

    /// How many tunnels it has, each direction for itself.
    pub fn wanted_tunnels(&self) -> u64 {
        let hosts = self.members.len() as u64;
        hosts * hosts.saturating_sub(1)
    }
}
