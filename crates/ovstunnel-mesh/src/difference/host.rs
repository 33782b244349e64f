//! One host's part of the difference. Must not look at another host.

use std::collections::{BTreeMap, BTreeSet};

use ovstunnel_types::{BridgeName, HostId, HostNumber, RemoteIp};

use super::{Blocked, BridgeFate, Circumstances, Difference, HostDifference, Moved, Removal};
use crate::kind_change::KindChange;
use crate::observed::{Bridge, Host, Mode, Snapshot, Tunnel};
use crate::{Mesh, host_id};

/// Adds to what was found what differs on this host, or why it cannot be told or changed.
pub(super) fn compare_host(
    found: &mut Difference,
    number: HostNumber,
    host: &Host,
    mesh: &Mesh,
    left: &BTreeSet<HostNumber>,
    with: &Circumstances,
) {
    let Some(snapshot) = &host.snapshot else {
        found.blocked.push((number, Blocked::Silent));
        return;
    };
    let bridges: Vec<&Bridge> = snapshot.bridges_of(mesh.key).collect();
    let tunnels = |bridge: &&Bridge| bridge.tunnels.iter().filter(|tunnel| tunnel.key == mesh.key).count();
    found.tunnels += bridges.iter().map(tunnels).sum::<usize>();
    let stands = if mesh.has_member(number) { Stands::Member } else { Stands::stand_of(number, left) };
    let waits = |difference: &mut HostDifference| wait_for_the_unseen(difference, number, found.kind.as_ref());
    let result = match (&bridges[..], stands) {
        ([], Stands::Member) => {
            plan_creation(number, host, snapshot, mesh, found.kind.as_ref(), with).map(|mut made| {
                waits(&mut made);
                Some(made)
            })
        }
        ([], _) | ([_], Stands::Unclear) => Ok(None),
        ([bridge], Stands::Member) => {
            let mut changed = plan_change(number, bridge, mesh, left, with);
            waits(&mut changed);
            Ok(Some(changed))
        }
        ([bridge], Stands::Left) => Ok(plan_removal(number, bridge, mesh, with)),
        (several, _) => Err(Blocked::SeveralBridges(several.iter().map(|bridge| bridge.name.clone()).collect())),
    };
    let mismatch = bridges.iter().find_map(|bridge| other_id(number, bridge));
    match (mismatch, result) {
        (Some(id), _) => found.blocked.push((number, Blocked::HostIdMismatch(id))),
        (None, Err(blocked)) => found.blocked.push((number, blocked)),
        (None, Ok(None)) => {}
        (None, Ok(Some(difference))) if difference.is_empty() => {}
        (None, Ok(Some(difference))) => {
            let blocked = match (host.is_connected, host.mode) {
                (false, _) => Some(Blocked::Silent),
                (true, Mode::Observe) => Some(Blocked::Observed),
                (true, Mode::Manage | Mode::Drain) => None,
            };
            let refused = refuse_taken_addresses(difference, &[], &mut |blocked| found.blocked.push((number, blocked)));
            match blocked {
                Some(blocked) => found.blocked.push((number, blocked)),
                None => drop(found.hosts.insert(number, refused)),
            }
        }
    }
}

/// Where a kind is wanted a host gets no tunnel to one that would not hear it or that it would not hear, and none to one that has not said how far it is.
fn wait_for_the_unseen(difference: &mut HostDifference, number: HostNumber, change: Option<&KindChange>) {
    if let Some(change) = change {
        difference.add.retain(|to, _| !change.are_apart(number, *to) && !change.is_unknown(*to));
    }
}

/// How the host stands to the network.
#[derive(Clone, Copy)]
enum Stands {
    Member,
    Left,
    Unclear,
}

impl Stands {
    fn stand_of(host: HostNumber, left: &BTreeSet<HostNumber>) -> Stands {
        if left.contains(&host) { Stands::Left } else { Stands::Unclear }
    }
}

/// The id that a bridge has of its host, where it is another host's.
pub(crate) fn other_id(host: HostNumber, bridge: &Bridge) -> Option<HostId> {
    bridge.host_id.clone().filter(|id| HostNumber::try_from(id).ok() != Some(host))
}

fn plan_creation(
    number: HostNumber,
    host: &Host,
    snapshot: &Snapshot,
    mesh: &Mesh,
    change: Option<&KindChange>,
    with: &Circumstances,
) -> Result<HostDifference, Blocked> {
    let by_name = || format!("ovt{}", mesh.key).parse::<BridgeName>().ok().filter(|_| !host.has_xapi);
    let bridge = with.asked.get(&number).cloned().or_else(by_name).ok_or(Blocked::BridgeMissing)?;
    // A bridge of that name that is another network's is not ours to turn around.
    if snapshot.bridges().iter().any(|other| other.name == bridge) {
        return Err(Blocked::BridgeMissing);
    }
    let joins = change.is_none_or(KindChange::newcomer_joins);
    let add = mesh.tunnels_of(number).filter(|_| joins).map(|tunnel| (tunnel.to, tunnel.remote_ip)).collect();
    let kind = change.map(KindChange::newcomer_kind);
    Ok(HostDifference { is_new: true, kind, add, ..no_difference(bridge) })
}

fn no_difference(bridge: BridgeName) -> HostDifference {
    HostDifference {
        bridge,
        is_new: false,
        kind: None,
        is_vpc: false,
        keep: BTreeMap::new(),
        keep_doubled: Vec::new(),
        add: BTreeMap::new(),
        change: BTreeMap::new(),
        remove: Vec::new(),
        fate: BridgeFate::Stays,
        fits_a_set: true,
    }
}

fn plan_change(
    number: HostNumber,
    bridge: &Bridge,
    mesh: &Mesh,
    left: &BTreeSet<HostNumber>,
    with: &Circumstances,
) -> HostDifference {
    let mut found = HostDifference { is_vpc: bridge.is_vpc(), ..no_difference(bridge.name.clone()) };
    let desired: BTreeMap<HostNumber, RemoteIp> = mesh.tunnels_of(number).map(|t| (t.to, t.remote_ip)).collect();
    // Where a pair has two tunnels, the one with the right address counts, and it comes first.
    let mut there: Vec<&Tunnel> = bridge.tunnels.iter().filter(|tunnel| tunnel.key == mesh.key).collect();
    let is_right = |tunnel: &Tunnel| tunnel.peer_number().and_then(|to| desired.get(&to)) == Some(&tunnel.remote_ip);
    there.sort_by_key(|tunnel| !is_right(tunnel));
    let (mut met, mut peers) = (BTreeSet::new(), BTreeSet::new());
    for tunnel in there {
        let peer = tunnel.peer_number();
        let is_second = !met.insert(&tunnel.to);
        found.fits_a_set &= !is_second;
        peers.extend(peer);
        let gone = peer.filter(|to| left.contains(to));
        let judged = peer.is_some_and(|to| mesh.has_member(to));
        if gone.is_some() || peer == Some(number) || (is_second && judged) {
            found.remove.push(tunnel_removal(number, tunnel, gone, with));
            continue;
        }
        match peer.and_then(|to| Some((to, *desired.get(&to)?))) {
            Some((to, ip)) if ip != tunnel.remote_ip => {
                found.change.insert(to, Moved { port: tunnel.port.clone(), from: tunnel.remote_ip, to: ip });
            }
            _ if is_second => found.keep_doubled.push((tunnel.to.clone(), tunnel.remote_ip)),
            _ => drop(found.keep.insert(tunnel.to.clone(), tunnel.remote_ip)),
        }
    }
    found.add = desired.into_iter().filter(|(to, _)| !peers.contains(to)).collect();
    if found.is_vpc {
        found.remove.clear();
        found.change.clear();
    }
    found
}

fn tunnel_removal(from: HostNumber, tunnel: &Tunnel, gone: Option<HostNumber>, with: &Circumstances) -> Removal {
    Removal {
        from,
        to: tunnel.to.clone(),
        port: tunnel.port.clone(),
        remote_ip: tunnel.remote_ip,
        moves_to: None,
        because_left: gone,
        is_named: gone.is_some_and(|host| with.named.contains(&host)),
    }
}

/// A host that has left: its bridge goes with all tunnels. A VPC's stays: it is not one network's.
fn plan_removal(number: HostNumber, bridge: &Bridge, mesh: &Mesh, with: &Circumstances) -> Option<HostDifference> {
    let of_network = bridge.tunnels.iter().filter(|tunnel| tunnel.key == mesh.key);
    let remove = of_network.map(|tunnel| tunnel_removal(number, tunnel, Some(number), with)).collect();
    let fate = BridgeFate::Goes { is_named: with.named.contains(&number) };
    let found = HostDifference { fate, remove, ..no_difference(bridge.name.clone()) };
    (!bridge.is_vpc()).then_some(found)
}

/// Takes out what Open vSwitch would refuse: two tunnels of one key to one address. The address of a tunnel that is to go, or that
/// gets another one, is free by then. What cannot be changed stays as it is, which may take an address in turn.
pub(crate) fn refuse_taken_addresses(
    mut found: HostDifference,
    stays: &[&Removal],
    refused: &mut impl FnMut(Blocked),
) -> HostDifference {
    let stay = found.keep.iter().map(|(to, ip)| (*ip, to.clone()));
    let mut taken: BTreeMap<RemoteIp, HostId> =
        stay.chain(found.keep_doubled.iter().map(|(to, ip)| (*ip, to.clone()))).collect();
    taken.extend(stays.iter().map(|removal| (removal.remote_ip, removal.to.clone())));
    while let Some((to, moved)) = found.change.iter().find(|(_, moved)| taken.contains_key(&moved.to)) {
        let (to, moved) = (*to, moved.clone());
        found.change.remove(&to);
        refused(Blocked::AddressInUse { to, by: taken[&moved.to].clone() });
        found.keep.insert(host_id(to), moved.from);
        taken.insert(moved.from, host_id(to));
    }
    found.add.retain(|to, ip| {
        let by = taken.get(ip);
        by.iter().for_each(|by| refused(Blocked::AddressInUse { to: *to, by: (*by).clone() }));
        by.is_none()
    });
    found
}
