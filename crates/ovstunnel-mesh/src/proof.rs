//! Whether a network is whole: every frame reaches every host of it exactly once, as far as the hosts' own words can tell.
//!
//! What it does: judges a mesh by what its hosts said at named versions, and gives each reason against with place, evidence
//! and remedy. What it must not do: take for proven what a host did not say, or judge what a probe would find.

mod host;
mod needs;

use std::collections::BTreeMap;
use std::time::Duration;

use ovstunnel_types::{GreKey, HostNumber, NetworkNumber};

use crate::observed::Host;
use crate::spoken::{Spoken, most_of};
use crate::{Mesh, Moment};

pub use host::HostProof;
pub use needs::HARMLESS;

/// Most findings that a proof lists. It says how many there are.
const LISTED: usize = 200;

/// What is wrong. The first is the worst: what hides others comes before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// A host of the mesh is not registered.
    HostUnknown,
    /// A host has not said what it has.
    HostUnseen,
    /// A host does not answer, so what it said is old.
    HostSilent,
    /// A host's daemon cannot ask Open vSwitch, so what it said of its bridges is a memory.
    SwitchUnreachable,
    /// The address at which a host's tunnels end is not known.
    AddressUnknown,
    /// A host has no bridge for the network.
    BridgeMissing,
    /// A host has several bridges with the network's key.
    SeveralBridges,
    /// A bridge has another host's id.
    HostIdMismatch,
    /// The tunnels of a host are of another kind than those of the others, or go to another UDP port: they do not hear each other.
    KindMixed,
    /// A tunnel is missing.
    TunnelMissing,
    /// A pair has two tunnels in one direction: frames arrive twice.
    TunnelTwice,
    /// A tunnel leads to an address that is not the other end's.
    WrongAddress,
    /// A tunnel of the network's bridge has another key.
    WrongKey,
    /// The switch does not have a tunnel.
    TunnelDown,
    /// By BFD nothing arrives from one host at another one. No proof has it: it is not what the switches hold.
    BfdDown,
    /// A tunnel's port is not protected: what comes in by one tunnel leaves by another.
    Unprotected,
    /// A tunnel leads to a host that is not of the mesh.
    TunnelTooMany,
    /// The flows are not those that must be there.
    FlowsNotInSync,
    /// A bridge takes part in a spanning tree: it blocks ports for a time, or for good.
    SpanningTree,
    /// The daemon says that the bridge does not carry all frames.
    Unhealthy,
    /// The tunnels of a host cannot carry the largest frames of the network's guests.
    MtuSmall,
    /// The tunnels of a host carry smaller frames than those of the others.
    MtuMixed,
    /// No frame arrives that is sent into a tunnel. No proof finds it: a sweep does.
    FramesLost,
    /// Small frames that are sent into a tunnel arrive, those of full size do not. A sweep finds it, too.
    FramesCut,
    /// By the counters of both ends one sends into a tunnel, and nothing arrives. No proof finds it either.
    Counters,
    /// A host receives packets with a key of a sender to which it has no tunnel with that key.
    FramesUnexpected,
    /// Hosts do different things with IPv6, or not what the network says.
    Ipv6Mixed,
}

impl What {
    /// The stable word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            What::HostUnknown => "host_unknown",
            What::HostUnseen => "host_unseen",
            What::HostSilent => "host_silent",
            What::SwitchUnreachable => "switch_unreachable",
            What::AddressUnknown => "address_unknown",
            What::BridgeMissing => "bridge_missing",
            What::SeveralBridges => "several_bridges",
            What::HostIdMismatch => "host_id_mismatch",
            What::KindMixed => "kind_mixed",
            What::TunnelMissing => "tunnel_missing",
            What::TunnelTwice => "tunnel_twice",
            What::WrongAddress => "wrong_address",
            What::WrongKey => "wrong_key",
            What::TunnelDown => "tunnel_down",
            What::BfdDown => "bfd_down",
            What::Unprotected => "unprotected",
            What::TunnelTooMany => "tunnel_too_many",
            What::FlowsNotInSync => "flows_not_in_sync",
            What::SpanningTree => "spanning_tree",
            What::Unhealthy => "unhealthy",
            What::MtuSmall => "mtu_small",
            What::MtuMixed => "mtu_mixed",
            What::FramesLost => "frames_lost",
            What::FramesCut => "frames_cut",
            What::Counters => "counters",
            What::FramesUnexpected => "frames_unexpected",
            What::Ipv6Mixed => "ipv6_mixed",
        }
    }
}

/// One reason why a network is not whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What.
    pub what: What,
    /// The host on which it is.
    pub host: HostNumber,
    /// The other end, where it is about a tunnel.
    pub to: Option<HostNumber>,
    /// What was seen.
    pub evidence: String,
    /// What takes it away.
    pub remedy: String,
}

/// From which of a host's pictures a proof was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenAt {
    /// The host.
    pub host: HostNumber,
    /// Which life of its daemon.
    pub instance: String,
    /// The version in it.
    pub version: u64,
    /// How old the host's last sign of life is.
    pub age: Duration,
}

/// A proof, or the reasons against one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The network.
    pub network: NetworkNumber,
    /// Its key.
    pub key: GreKey,
    /// The pictures that it rests on.
    pub hosts: Vec<SeenAt>,
    /// How many tunnels there must be, each direction for itself.
    pub wanted: u64,
    /// How many of them are there exactly once, with the right address and key, up and protected.
    pub proven: u64,
    /// What is wrong, the worst first; the first 200.
    pub findings: Vec<Finding>,
    /// How many findings there are.
    pub found: usize,
}

impl Proof {
    /// Whether the network is whole.
    pub fn is_whole(&self) -> bool {
        self.found == 0 && self.proven == self.wanted
    }

    /// The first reason why it is not.
    pub fn first_reason(&self) -> Option<&Finding> {
        self.findings.first()
    }
}

/// Proves networks, and remembers of each host what cannot have changed: a host's part is looked at anew when its picture, its
/// connection or the mesh is another one.
#[derive(Clone, Debug, Default)]
pub struct Prover {
    remembered: BTreeMap<NetworkNumber, Remembered>,
}

#[derive(Clone, Debug)]
struct Remembered {
    mesh: Mesh,
    hosts: BTreeMap<HostNumber, (host::Basis, HostProof)>,
}

impl Prover {
    /// Nothing is remembered.
    pub fn new() -> Prover {
        Prover::default()
    }

    /// Forgets a network.
    pub fn forget_network(&mut self, network: NetworkNumber) {
        self.remembered.remove(&network);
    }

    /// All that was found on the hosts of a network when it was proven last, in no order: a proof lists the first 200.
    pub fn findings_of(&self, network: NetworkNumber) -> impl Iterator<Item = &Finding> {
        let hosts = self.remembered.get(&network).into_iter().flat_map(|remembered| remembered.hosts.values());
        hosts.flat_map(|(_, part)| &part.findings)
    }

    /// Proves that a network is whole, or says why it is not. `hosts` are the registered ones; a picture with the same instance and version
    /// as before must be the same picture.
    pub fn prove_network(&mut self, mesh: &Mesh, hosts: &BTreeMap<HostNumber, Host>, now: Moment) -> Proof {
        let fresh = || Remembered { mesh: mesh.clone(), hosts: BTreeMap::new() };
        let remembered = self.remembered.entry(mesh.network).or_insert_with(fresh);
        if remembered.mesh != *mesh {
            *remembered = fresh();
        }
        // Those of which it is known that they are not of the mesh have nothing of it.
        for number in mesh.members().chain(mesh.left_hosts()) {
            let basis = host::Basis::basis_of(hosts.get(&number));
            if remembered.hosts.get(&number).is_none_or(|(before, _)| *before != basis) {
                let part = HostProof::new(number, hosts.get(&number), mesh);
                remembered.hosts.insert(number, (basis, part));
            }
        }
        combine_proofs(mesh, remembered.hosts.values().map(|(_, part)| part), hosts, now)
    }
}

/// Proves that a network is whole, or says why it is not, without remembering anything.
pub fn prove_once(mesh: &Mesh, hosts: &BTreeMap<HostNumber, Host>, now: Moment) -> Proof {
    Prover::new().prove_network(mesh, hosts, now)
}

/// All hosts' parts together, and what only all of them can tell.
fn combine_proofs<'a>(
    mesh: &Mesh,
    parts: impl Iterator<Item = &'a HostProof>,
    hosts: &BTreeMap<HostNumber, Host>,
    now: Moment,
) -> Proof {
    let (mut proven, mut findings, mut policies, mut mtus) = (0, Vec::new(), Vec::new(), Vec::new());
    let parts: Vec<&HostProof> = parts.collect();
    let spoken: Vec<(HostNumber, Spoken)> = parts.iter().filter_map(|part| Some((part.host, part.spoken?))).collect();
    let usual = most_of(spoken.iter().map(|(_, spoken)| spoken.sends));
    for part in parts {
        proven += part.proven;
        findings.extend(part.findings.iter());
        policies.extend(part.ipv6.map(|policy| (part.host, policy)));
        mtus.extend(part.comparable_mtu(mesh, usual).map(|mtu| (part.host, mtu)));
    }
    let together: Vec<Finding> = needs::ipv6_findings(mesh.ipv6, &policies)
        .into_iter()
        .chain(needs::mtu_findings(mesh.guest_mtu, &mtus))
        .chain(needs::kind_findings(mesh.kind, &spoken))
        .collect();
    findings.extend(together.iter());
    findings.sort_by_key(|finding| (finding.what, finding.host, finding.to));
    let seen = mesh.members().filter_map(|number| {
        let host = hosts.get(&number)?;
        let snapshot = host.snapshot.as_ref()?;
        let age = now.since(host.heard);
        Some(SeenAt { host: number, instance: snapshot.instance.clone(), version: snapshot.version, age })
    });
    Proof {
        network: mesh.network,
        key: mesh.key,
        hosts: seen.collect(),
        wanted: mesh.wanted_tunnels(),
        proven,
        found: findings.len(),
        findings: findings.into_iter().take(LISTED).cloned().collect(),
    }
}
