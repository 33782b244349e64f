//! What is to be sent to whom: steps of a change of kind first, then joins, then the tunnels that go, then the bridges.
//!
//! What it does: turns a difference into requests, each complete in itself. What it must not do: remove anything while a host
//! of the network has not said what it has, or while a hold is there.

use std::collections::BTreeMap;

use ovstunnel_types::{BridgeName, GreKey, HostId, HostNumber, Ipv6Policy, KindStep, PortName, RemoteIp, TunnelKind};

use crate::brakes::Holds;
use crate::difference::{BridgeFate, Difference, HostDifference, Moved, Removal, refuse_taken_addresses};
use crate::host_id;
use crate::kind_change::Answered;

impl HostDifference {
    /// The same where no tunnel gets another address.
    fn with_old_addresses(&self) -> HostDifference {
        let stay = self.change.iter().map(|(to, moved)| (host_id(*to), moved.from));
        let keep = self.keep.clone().into_iter().chain(stay).collect();
        HostDifference { keep, change: BTreeMap::new(), ..self.clone() }
    }
}

/// The largest mesh whose hosts get complete sets; in a larger one a set is longer than what differs.
const LARGEST_SET: usize = 100;

/// One request to a host's daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `PUT /v1/bridges/{bridge}` with the complete set of tunnels.
    PutBridge {
        /// The bridge.
        bridge: BridgeName,
        /// The network's key.
        key: GreKey,
        /// What it does with IPv6; as it is when absent.
        ipv6: Option<Ipv6Policy>,
        /// The kind of its tunnels, where the bridge is new; as it is when absent.
        kind: Option<TunnelKind>,
        /// Each other end with its address.
        tunnels: BTreeMap<HostId, RemoteIp>,
    },
    /// `POST /v1/bridges/{bridge}/tunnels`: a missing tunnel, or another address for one that is there.
    PostTunnel {
        /// The bridge.
        bridge: BridgeName,
        /// The network's key.
        key: GreKey,
        /// The other end.
        to: HostNumber,
        /// Its address.
        remote_ip: RemoteIp,
    },
    /// `DELETE /v1/bridges/{bridge}/tunnels/{port}`.
    DeleteTunnel {
        /// The bridge.
        bridge: BridgeName,
        /// The port.
        port: PortName,
    },
    /// `POST /v1/bridges/{bridge}/kind`: a step of the change of the tunnels' kind.
    ChangeKind {
        /// The bridge.
        bridge: BridgeName,
        /// The kind that it is to have in the end.
        to: TunnelKind,
        /// The step.
        step: KindStep,
        /// All others are known to send by the new kind, so that nothing need have come by it.
        force: bool,
    },
    /// `DELETE /v1/bridges/{bridge}`.
    DeleteBridge {
        /// The bridge.
        bridge: BridgeName,
    },
}

/// A request, and the host that gets it. A `from` in it is the host's own number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    /// The host.
    pub host: HostNumber,
    /// What it gets.
    pub request: Request,
}

/// All requests of a pass for one network. Those of a stage may be sent at the same time, to one host in their order; the next stage
/// begins when each has an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The next step of the change of the tunnels' kind.
    pub kinds: Vec<Sending>,
    /// What makes the mesh whole. Nothing goes, but a tunnel whose address another one needs.
    pub joins: Vec<Sending>,
    /// What takes superfluous tunnels away.
    pub leaves: Vec<Sending>,
    /// What takes away the bridges of hosts that have left.
    pub bridges: Vec<Sending>,
    /// What is to go and does not yet.
    pub withheld: Vec<Removal>,
}

impl Plan {
    /// Each request, in order.
    pub fn sendings(&self) -> impl Iterator<Item = &Sending> {
        self.kinds.iter().chain(&self.joins).chain(&self.leaves).chain(&self.bridges)
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.sendings().next().is_none()
    }
}

/// The requests that make of what is there what must be there.
/// `answered` is what hosts have answered of the change of kind, where it has begun.
pub fn plan_requests(difference: &Difference, holds: &Holds, answered: &Answered) -> Plan {
    let mut plan = Plan::default();
    plan.kinds.extend(difference.kind.iter().flat_map(|change| change.requests(answered)));
    for (number, host) in &difference.hosts {
        let may_go = |is_named| difference.unseen.is_empty() && !holds.stops_removal(difference.network, is_named);
        if let BridgeFate::Goes { is_named } = host.fate {
            match may_go(is_named) {
                true => {
                    let request = Request::DeleteBridge { bridge: host.bridge.clone() };
                    plan.bridges.push(Sending { host: *number, request });
                }
                false => plan.withheld.extend(host.remove.iter().cloned()),
            }
            continue;
        }
        let is_stopped = !host.change.is_empty() && holds.stops_removal(difference.network, false);
        plan.withheld.extend(host.moves_from(*number).filter(|_| is_stopped));
        let host = match is_stopped {
            true => &host.with_old_addresses(),
            false => host,
        };
        let (goes, stays): (Vec<_>, Vec<_>) = host.remove.iter().partition(|removal| may_go(removal.is_named));
        plan.withheld.extend(stays.iter().map(|removal| (*removal).clone()));
        let parts = Parts::new(difference, host, goes, &stays);
        let by_set = host.fits_a_set && !host.is_vpc && (host.is_new || difference.size <= LARGEST_SET);
        let (joins, leaves) = if by_set { parts.set_requests() } else { parts.one_by_one() };
        let to_host = |request| Sending { host: *number, request };
        plan.joins.extend(joins.into_iter().map(to_host));
        plan.leaves.extend(leaves.into_iter().map(to_host));
    }
    plan
}

/// What is sent to one host, sorted by what becomes of it.
struct Parts<'a> {
    difference: &'a Difference,
    /// The host's part, less what would need the address of a tunnel that does not go yet.
    host: HostDifference,
    /// All that must be there, and what would go and does not yet.
    set: BTreeMap<HostId, RemoteIp>,
    /// Missing tunnels and new addresses.
    news: BTreeMap<HostNumber, RemoteIp>,
    /// Goes after the joins.
    goes: Vec<&'a Removal>,
    /// Goes before, because a new tunnel needs its address.
    makes_room: Vec<&'a Removal>,
}

impl<'a> Parts<'a> {
    fn new(difference: &'a Difference, host: &'a HostDifference, goes: Vec<&'a Removal>, stays: &[&Removal]) -> Self {
        // Why is said where the difference is looked at: what is withheld is listed.
        let host = refuse_taken_addresses(host.clone(), stays, &mut |_| {});
        let moved = host.change.iter().map(|(to, Moved { to: ip, .. })| (*to, *ip));
        let news: BTreeMap<HostNumber, RemoteIp> = host.add.iter().map(|(to, ip)| (*to, *ip)).chain(moved).collect();
        let mut set = host.keep.clone();
        set.extend(stays.iter().map(|removal| (removal.to.clone(), removal.remote_ip)));
        set.extend(news.iter().map(|(to, ip)| (host_id(*to), *ip)));
        let needed = |removal: &&Removal| news.values().any(|ip| *ip == removal.remote_ip);
        let (makes_room, goes) = goes.into_iter().partition(needed);
        Parts { difference, host, set, news, goes, makes_room }
    }

    fn set_requests(&self) -> (Vec<Request>, Vec<Request>) {
        let leaves = match self.goes.is_empty() {
            true => vec![],
            false => vec![self.put_request(self.set.clone())],
        };
        let is_joining =
            self.host.is_new || !self.news.is_empty() || (!self.makes_room.is_empty() && leaves.is_empty());
        let still = self.goes.iter().map(|removal| (removal.to.clone(), removal.remote_ip));
        let joins = is_joining
            .then(|| self.put_request(self.set.iter().map(|(to, ip)| (to.clone(), *ip)).chain(still).collect()));
        (joins.into_iter().collect(), leaves)
    }

    fn put_request(&self, tunnels: BTreeMap<HostId, RemoteIp>) -> Request {
        let Difference { key, ipv6, .. } = *self.difference;
        Request::PutBridge { bridge: self.host.bridge.clone(), key, ipv6, kind: self.host.kind, tunnels }
    }

    fn one_by_one(&self) -> (Vec<Request>, Vec<Request>) {
        let mut joins: Vec<Request> =
            self.makes_room.iter().map(|removal| self.delete_request(&removal.port)).collect();
        // Addresses that tunnels have which get another one. Who needs one of them waits for that.
        let mut taken: BTreeMap<RemoteIp, HostNumber> = self.host.change.iter().map(|(to, m)| (m.from, *to)).collect();
        let mut rest: Vec<(HostNumber, RemoteIp)> = self.news.iter().map(|(to, ip)| (*to, *ip)).collect();
        while !rest.is_empty() {
            let (free, waits): (Vec<_>, Vec<_>) = rest.iter().partition(|(_, ip)| !taken.contains_key(ip));
            for (to, ip) in &free {
                joins.push(self.post_request(*to, *ip));
                if let Some(moved) = self.host.change.get(to) {
                    taken.remove(&moved.from);
                }
            }
            if free.is_empty() {
                // Each waits for another: one gives its address up, at which the other end no longer is.
                let Some((ip, to)) = taken.pop_first() else { break };
                let moved = self.host.change.get(&to).filter(|moved| moved.from == ip);
                joins.extend(moved.map(|moved| self.delete_request(&moved.port)));
            }
            rest = waits;
        }
        (joins, self.goes.iter().map(|removal| self.delete_request(&removal.port)).collect())
    }

    fn delete_request(&self, port: &PortName) -> Request {
        Request::DeleteTunnel { bridge: self.host.bridge.clone(), port: port.clone() }
    }

    fn post_request(&self, to: HostNumber, remote_ip: RemoteIp) -> Request {
        Request::PostTunnel { bridge: self.host.bridge.clone(), key: self.difference.key, to, remote_ip }
    }
}
