//! On which tunnels of a zone BFD is to run, and which hosts do not hear each other by it.
//!
//! What it does: elects one tunnel for each two hosts that share a network, says what differs on which bridge, and reads sessions. What it
//! must not do: have one end alone send where the other can be told too, or take for a cut what has other reasons: an end that was not told,
//! that cannot be asked, or that sends by another kind of tunnel while the network changes its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ovstunnel_types::{BfdState, BridgeName, FlowsState, GreKey, HostNumber, PortName, TunnelKind, TunnelState};

use crate::difference::other_id;
use crate::observed::{Bridge, Session, Snapshot, Tunnel};

/// How a host stands to BFD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// It can be told, and does what it is told.
    Acts,
    /// It cannot be told now. What the other ends of its tunnels do stays as it is.
    Unknown,
    /// It is not to be told, or cannot do it: nobody sends to it.
    Never,
}

/// A host, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// How it stands to BFD.
    pub stands: Stands,
    /// What it said last.
    pub snapshot: &'a Snapshot,
}

/// On these tunnels of a bridge BFD is to run, and on no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// The host.
    pub host: HostNumber,
    /// Its bridge.
    pub bridge: BridgeName,
    /// Their ports.
    pub ports: BTreeSet<PortName>,
}

/// A tunnel and the bridge that it is on.
#[derive(Clone, Copy)]
struct Leg<'a> {
    host: HostNumber,
    bridge: &'a Bridge,
    tunnel: &'a Tunnel,
}

impl Leg<'_> {
    /// Whether BFD may run on it: where it begins, the flow that keeps its frames from VMs is there before.
    fn is_fit(&self) -> bool {
        let is_guarded = self.bridge.flows == FlowsState::InSync || self.tunnel.bfd.is_some();
        self.tunnel.state == TunnelState::Up && is_guarded
    }
}

/// Both directions between two hosts, by key.
#[derive(Default)]
struct Pair<'a>(BTreeMap<GreKey, [Option<Leg<'a>>; 2]>);

impl<'a> Pair<'a> {
    /// The tunnels of the network that has both.
    fn common_tunnels(&self) -> impl Iterator<Item = [Leg<'a>; 2]> + '_ {
        self.0.values().filter_map(|[one, other]| Some([(*one)?, (*other)?]))
    }

    /// The tunnel for BFD, at both ends: one on which it runs already, else that with the lowest key.
    fn elected_tunnel(&self) -> Option<[Leg<'a>; 2]> {
        let fit = || self.common_tunnels().filter(|legs| legs.iter().all(Leg::is_fit));
        fit().find(|legs| legs.iter().all(|leg| leg.tunnel.bfd.is_some())).or_else(|| fit().next())
    }
}

/// A host's bridges, without those that have another host's id: nothing is sent there.
fn own_bridges<'a>(host: HostNumber, end: &End<'a>) -> impl Iterator<Item = &'a Bridge> + use<'a> {
    let all = end.snapshot.bridges().iter().map(|bridge| &**bridge);
    all.filter(move |bridge| other_id(host, bridge).is_none())
}

fn host_pairs<'a>(ends: &BTreeMap<HostNumber, End<'a>>) -> HashMap<(HostNumber, HostNumber), Pair<'a>> {
    let mut pairs: HashMap<_, Pair<'a>> = HashMap::new();
    for (host, end) in ends {
        for bridge in own_bridges(*host, end) {
            let others = bridge
                .tunnels
                .iter()
                .filter_map(|tunnel| Some((tunnel.peer_number().filter(|to| to != host)?, tunnel)));
            for (to, tunnel) in others {
                let pair = pairs.entry((*host.min(&to), *host.max(&to))).or_default();
                let side = usize::from(to < *host);
                // Of two tunnels of one key in one direction, which the proof finds, the first counts.
                pair.0.entry(tunnel.key).or_default()[side].get_or_insert(Leg { host: *host, bridge, tunnel });
            }
        }
    }
    pairs
}

/// What differs from where BFD must run, bridge by bridge: on one tunnel for each two hosts where it `is_wanted`, else nowhere.
pub fn bfd_differences(ends: &BTreeMap<HostNumber, End<'_>>, is_wanted: bool) -> Vec<Set> {
    let wanted = if is_wanted { wanted_ports(ends) } else { BTreeMap::new() };
    let acting = ends.iter().filter(|(_, end)| end.stands == Stands::Acts);
    let acting = acting.flat_map(|(host, end)| own_bridges(*host, end).map(move |bridge| (*host, bridge)));
    let set = |(host, bridge): (HostNumber, &Bridge)| {
        let there = bridge.tunnels.iter().filter(|tunnel| tunnel.bfd.is_some()).map(|tunnel| &tunnel.port);
        let there: BTreeSet<&PortName> = there.collect();
        let ports = wanted.get(&(host, &bridge.name)).cloned().unwrap_or_default();
        (there != ports).then(|| Set { host, bridge: bridge.name.clone(), ports: ports.into_iter().cloned().collect() })
    };
    acting.filter_map(set).collect()
}

/// The ports on which BFD must run, by host and bridge.
fn wanted_ports<'a>(
    ends: &BTreeMap<HostNumber, End<'a>>,
) -> BTreeMap<(HostNumber, &'a BridgeName), BTreeSet<&'a PortName>> {
    let stands = |host: HostNumber| ends.get(&host).map_or(Stands::Never, |end| end.stands);
    let mut wanted: BTreeMap<_, BTreeSet<&PortName>> = BTreeMap::new();
    for ((one, other), pair) in host_pairs(ends) {
        let legs: Vec<Leg<'a>> = match (stands(one), stands(other)) {
            (Stands::Never, _) | (_, Stands::Never) => Vec::new(),
            (Stands::Acts, Stands::Acts) => pair.elected_tunnel().into_iter().flatten().collect(),
            _ => pair.0.values().flatten().flatten().filter(|leg| leg.tunnel.bfd.is_some()).copied().collect(),
        };
        for leg in legs {
            wanted.entry((leg.host, &leg.bridge.name)).or_default().insert(&leg.tunnel.port);
        }
    }
    wanted
}

/// One direction between two hosts in which nothing arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The host that sends.
    pub from: HostNumber,
    /// The host that hears nothing.
    pub to: HostNumber,
    /// Whether no session that begins, or that has just been told of the other end's, looks the same for a moment.
    pub is_certain: bool,
    /// What was seen.
    pub evidence: String,
}

/// The sessions by which a host hears nothing. One that only is not heard says `init`.
fn deaf_sessions(snapshot: &Snapshot) -> impl Iterator<Item = (TunnelKind, &Tunnel, &Session)> {
    let tunnels =
        snapshot.bridges().iter().flat_map(|bridge| bridge.tunnels.iter().map(|tunnel| (bridge.kind, tunnel)));
    let sessions = tunnels.filter_map(|(kind, tunnel)| Some((kind, tunnel, tunnel.bfd.as_deref()?)));
    sessions.filter(|(.., session)| session.state == Some(BfdState::Down))
}

/// Whether there may be cuts that lead to a host, by what it said.
pub fn is_deaf(snapshot: &Snapshot) -> bool {
    deaf_sessions(snapshot).next().is_some()
}

/// The directions to these hosts in which nothing arrives, by what those `said` that can be asked: both ends run BFD on one tunnel.
pub fn find_cuts<'a>(
    hosts: impl Iterator<Item = HostNumber>,
    said: impl Fn(HostNumber) -> Option<&'a Snapshot>,
) -> Vec<Cut> {
    let deaf = hosts
        .filter_map(|host| Some((host, said(host)?)))
        .flat_map(|(host, snapshot)| deaf_sessions(snapshot).map(move |session| (host, session)));
    let cut = |(to, (kind, tunnel, here)): (HostNumber, (TunnelKind, &'a Tunnel, &'a Session))| {
        let from = tunnel.peer_number()?;
        let there = session_to(said(from)?, tunnel.key, to, kind)?;
        let was_up = here.flaps > 0 && there.flaps > 0;
        // Who was just told so by the other end hears that; its next packet makes it `init`.
        let is_told = here.diagnostic.as_deref() == Some("Neighbor Signaled Session Down");
        Some(Cut { from, to, is_certain: was_up && !is_told, evidence: session_evidence(tunnel, here) })
    };
    deaf.filter_map(cut).collect()
}

/// The session of a host's tunnel with this key and of this kind to another host.
fn session_to(snapshot: &Snapshot, key: GreKey, to: HostNumber, kind: TunnelKind) -> Option<&Session> {
    let bridges = snapshot.bridges_of(key).filter(|bridge| bridge.kind == kind);
    let mut tunnels = bridges.flat_map(|bridge| &bridge.tunnels);
    tunnels.find_map(|tunnel| tunnel.bfd.as_deref().filter(|_| tunnel.key == key && tunnel.peer_number() == Some(to)))
}

fn session_evidence(tunnel: &Tunnel, session: &Session) -> String {
    let reason = session.diagnostic.as_deref().filter(|reason| *reason != "No Diagnostic");
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let never = if session.flaps == 0 { ", and was never up" } else { "" };
    format!("BFD on {} hears nothing from {}{never}{reason}", tunnel.port, tunnel.remote_ip)
}

impl Session {
    /// Whether the session is up.
    pub fn is_up(&self) -> bool {
        self.state == Some(BfdState::Up)
    }
}

#[cfg(test)]
mod tests;
