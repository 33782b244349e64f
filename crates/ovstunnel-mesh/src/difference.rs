//! What differs between the mesh that a network must have and what its hosts say they have.
//!
//! What it does: compares host by host, and names what cannot be judged or changed. What it must not do: take for superfluous
//! what it knows nothing of. A tunnel is superfluous only if one of its ends is known to have left, leads to its own host, or is
//! the second one of a pair.

mod host;

pub(crate) use host::{other_id, refuse_taken_addresses};

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ovstunnel_types::{
    BridgeName, GreKey, HostId, HostNumber, Ipv6Policy, NetworkNumber, PortName, RemoteIp, TunnelKind,
};

use crate::kind_change::{KindChange, Paused};
use crate::observed::Host;
use crate::{Mesh, Moment};

/// A tunnel that is to go, or that is to lead to another address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Removal {
    /// The host that has the port.
    pub from: HostNumber,
    /// The other end, as the port says.
    pub to: HostId,
    /// Its port.
    pub port: PortName,
    /// Its address.
    pub remote_ip: RemoteIp,
    /// The address that it is to lead to, where it is not to go.
    pub moves_to: Option<RemoteIp>,
    /// The host whose leaving, or other address, it follows from; none for a second tunnel of a pair and one that leads to its own host.
    pub because_left: Option<HostNumber>,
    /// Whether it follows from something that somebody asked for by name: a release, a migration, a drain, a deletion.
    pub is_named: bool,
}

impl Removal {
    /// The host that is the reason for it.
    pub fn causing_host(&self) -> HostNumber {
        self.because_left.unwrap_or(self.from)
    }
}

/// An address that has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The tunnel's port.
    pub port: PortName,
    /// Where the tunnel leads.
    pub from: RemoteIp,
    /// Where it must lead.
    pub to: RemoteIp,
}

/// What becomes of a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BridgeFate {
    /// It stays, or is made.
    Stays,
    /// It goes: its host has left.
    Goes {
        /// Whether it left because somebody said so by name.
        is_named: bool,
    },
}

/// What differs on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostDifference {
    /// The network's bridge there.
    pub bridge: BridgeName,
    /// Whether the bridge has to be made.
    pub is_new: bool,
    /// The kind with which it is made, where that is said.
    pub kind: Option<TunnelKind>,
    /// Whether it is a VPC's, to which a missing tunnel is added and nothing else is done.
    pub is_vpc: bool,
    /// Tunnels that are there and stay, at the address that they have.
    pub keep: BTreeMap<HostId, RemoteIp>,
    /// Those of them that lead to where another one leads already.
    pub keep_doubled: Vec<(HostId, RemoteIp)>,
    /// Tunnels that are missing.
    pub add: BTreeMap<HostNumber, RemoteIp>,
    /// Tunnels that lead to an address that is no longer the other end's.
    pub change: BTreeMap<HostNumber, Moved>,
    /// Tunnels that are to go.
    pub remove: Vec<Removal>,
    /// Whether the bridge is to go, and its tunnels with it.
    pub fate: BridgeFate,
    /// Whether a complete set can say what must be there: not where a pair has two tunnels.
    pub fits_a_set: bool,
}

impl HostDifference {
    /// The tunnels of this host that are to lead to another address.
    pub fn moves_from(&self, from: HostNumber) -> impl Iterator<Item = Removal> {
        self.change.iter().map(move |(to, moved)| Removal {
            from,
            to: crate::host_id(*to),
            port: moved.port.clone(),
            remote_ip: moved.from,
            moves_to: Some(moved.to),
            because_left: Some(*to),
            is_named: false,
        })
    }

    /// Whether all is as it must be.
    pub fn is_empty(&self) -> bool {
        let HostDifference { is_new, add, change, remove, fate, .. } = self;
        !is_new && *fate == BridgeFate::Stays && add.is_empty() && change.is_empty() && remove.is_empty()
    }
}

/// Why nothing, or not everything, is sent to a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// It does not answer.
    Silent,
    /// It is only looked at.
    Observed,
    /// It has two bridges or more with the network's key.
    SeveralBridges(Vec<BridgeName>),
    /// Its bridge has another host's id.
    HostIdMismatch(HostId),
    /// It has no bridge for the network, and none can be made by name.
    BridgeMissing,
    /// It has left, and VIFs are still plugged on its bridge: nothing of it is removed.
    HasVifs(usize),
    /// Its own address is not known, so nobody can make a tunnel to it.
    AddressUnknown,
    /// A tunnel to this host is missing, and another tunnel of the bridge, which is not to go, has its address.
    AddressInUse {
        /// The host to which no tunnel can be made.
        to: HostNumber,
        /// The other end of the tunnel that has the address.
        by: HostId,
    },
}

/// Facts beside the mesh and what hosts say.
#[derive(Clone, Debug, Default)]
pub struct Circumstances {
    /// Now.
    pub now: Moment,
    /// After how long a silent host is left out of the picture.
    pub dead_after: Duration,
    /// Bridges that were asked for by name, by host.
    pub asked: BTreeMap<HostNumber, BridgeName>,
    /// Hosts that left because somebody said so by name: a release, a migration, a drain, a deletion.
    pub named: BTreeSet<HostNumber>,
    /// Hosts for which a change of the kind of tunnels waits.
    pub paused: Paused,
}

/// What differs on the hosts of one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The network.
    pub network: NetworkNumber,
    /// Its key.
    pub key: GreKey,
    /// What it does with IPv6, where that is said.
    pub ipv6: Option<Ipv6Policy>,
    /// How many hosts its mesh has.
    pub size: usize,
    /// How many tunnels its hosts have now.
    pub tunnels: usize,
    /// Hosts that differ, or are in no way as they must be.
    pub hosts: BTreeMap<HostNumber, HostDifference>,
    /// Hosts to which something cannot be sent, with all reasons.
    pub blocked: Vec<(HostNumber, Blocked)>,
    /// Hosts that have not said yet what they have. Nothing is removed before.
    pub unseen: BTreeSet<HostNumber>,
    /// Hosts that have been silent for so long that nobody waits for them.
    pub dead: BTreeSet<HostNumber>,
    /// How the change to the kind stands that its tunnels are to have, where that is said.
    pub kind: Option<KindChange>,
}

impl Difference {
    /// All tunnels that are to go.
    pub fn removals(&self) -> impl Iterator<Item = &Removal> {
        self.hosts.values().flat_map(|host| &host.remove)
    }

    /// All tunnels that are to lead to another address.
    pub fn moves(&self) -> impl Iterator<Item = Removal> {
        self.hosts.iter().flat_map(|(from, host)| host.moves_from(*from))
    }

    /// Whether the kind of its tunnels is still to change.
    pub fn changes_kind(&self) -> bool {
        self.kind.as_ref().is_some_and(|change| !change.is_done())
    }

    /// Whether a host's bridge is to go.
    pub(crate) fn removes_a_bridge(&self) -> bool {
        self.hosts.values().any(|host| host.fate != BridgeFate::Stays)
    }
}

/// Compares a network's mesh with what the hosts say. `hosts` are the registered ones of the zone; only those that the mesh names
/// are looked at.
pub fn mesh_difference(mesh: &Mesh, hosts: &BTreeMap<HostNumber, Host>, with: &Circumstances) -> Difference {
    let mut found = Difference {
        network: mesh.network,
        key: mesh.key,
        ipv6: mesh.ipv6,
        size: mesh.size(),
        tunnels: 0,
        hosts: BTreeMap::new(),
        blocked: Vec::new(),
        unseen: BTreeSet::new(),
        dead: BTreeSet::new(),
        kind: mesh.kind.map(|to| KindChange::new(mesh, hosts, to, &with.paused)),
    };
    let mut left: BTreeSet<HostNumber> = mesh.left_hosts().collect();
    for number in mesh.left_hosts() {
        let Some(host) = hosts.get(&number) else { continue };
        let seen = host.snapshot.iter().flat_map(|snapshot| snapshot.bridges_of(mesh.key));
        let vifs: usize = seen.map(|bridge| bridge.vifs).sum();
        if vifs > 0 {
            // Somebody is wrong about it; until it is known who, VMs keep their tunnels, at both ends.
            left.remove(&number);
            found.blocked.push((number, Blocked::HasVifs(vifs)));
        }
    }
    found.blocked.extend(mesh.without_address().map(|host| (host, Blocked::AddressUnknown)));
    for number in mesh.members().chain(mesh.left_hosts()) {
        let Some(host) = hosts.get(&number) else { continue };
        let is_dead = !host.is_connected && with.now.since(host.heard) > with.dead_after;
        match (&host.snapshot, is_dead) {
            (_, true) => drop(found.dead.insert(number)),
            (None, false) => drop(found.unseen.insert(number)),
            (Some(_), false) => {}
        }
        host::compare_host(&mut found, number, host, mesh, &left, with);
    }
    found
}
