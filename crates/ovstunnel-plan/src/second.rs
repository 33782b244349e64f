//! The change of a bridge's tunnel kind while it carries frames: for that time each pair of hosts has a tunnel of either kind.
//!
//! What it does: keeps the second tunnels paired with the first, and gives the flows that have a frame which comes by a second tunnel
//! taken as if it had come by the first. What it must not do: have a frame flooded into both: the port of a second tunnel carries a VLAN
//! that no frame is in, so that NORMAL never chooses it, whatever flows there are
//! (docs/adr/0053-change-of-tunnel-kind.md).

use std::collections::BTreeMap;

use crate::{
    Action, DesiredBridge, DesiredTunnel, Encap, Flow, GreKey, HostId, Match, ObservedBridge, ObservedPort, PortEdit,
    PortName, Purpose, Step, Vlan, ids, transition,
};

/// VLAN 4095 is reserved (IEEE 802.1Q): no frame may be in it.
pub const NO_VLAN: u16 = 4095;

/// Above all flows of ours: the frame goes through them afterwards, as one that came by the first tunnel.
const TAKEN_AS_FIRST: u16 = 9200;

/// The other kind of a bridge whose kind changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Second {
    /// Kind and UDP port.
    pub encap: Encap,
    /// A tunnel to each host to which one of the first kind leads, by port name.
    pub tunnels: BTreeMap<PortName, DesiredTunnel>,
}

impl Second {
    /// What the marks of a bridge and its ports say. Where the bridge's own mark has been lost, its ports' count.
    pub(crate) fn recorded(bridge: &ObservedBridge) -> Option<Self> {
        let tunnels: BTreeMap<PortName, DesiredTunnel> = bridge
            .ports
            .values()
            .filter(|port| port.is_marked_second())
            .filter_map(DesiredTunnel::from_record)
            .map(|tunnel| (tunnel.port_name(), tunnel))
            .collect();
        let marked = bridge.external_ids.get(ids::SECOND).and_then(|text| text.parse().ok());
        let encap = marked.or_else(|| tunnels.values().next().map(|tunnel| tunnel.encap))?;
        Some(Second { encap, tunnels })
    }
}

/// What the VLAN columns of a tunnel's port must be.
pub(crate) fn vlan_of(tunnel: &DesiredTunnel) -> Vlan {
    match tunnel.second {
        true => Vlan { tag: Some(NO_VLAN), ..Vlan::default() },
        false => Vlan::default(),
    }
}

impl ObservedPort {
    /// Whether it is marked as a second tunnel of ours, by which nothing is sent.
    pub fn is_second_of_ours(&self) -> bool {
        self.is_marked_second() && DesiredTunnel::from_record(self).is_some()
    }
}

impl DesiredBridge {
    /// The tunnels of both kinds.
    pub fn all_tunnels(&self) -> impl Iterator<Item = (&PortName, &DesiredTunnel)> {
        self.tunnels.iter().chain(self.second.iter().flat_map(|second| &second.tunnels))
    }

    /// The tunnel of either kind that has this port.
    pub fn tunnel_at(&self, port: &str) -> Option<&DesiredTunnel> {
        self.tunnels.get(port).or_else(|| self.second.as_ref()?.tunnels.get(port))
    }

    /// The port by which frames are sent to the host to which a port of this name leads, has led, or would lead by its name: a change of
    /// kind gives a tunnel another name, and the management server knows the first.
    pub(crate) fn port_now(&self, port: &PortName) -> Option<PortName> {
        if self.tunnels.contains_key(port) {
            return Some(port.clone());
        }
        let second = self.second.as_ref().and_then(|second| second.tunnels.get(port));
        let leads = |tunnel: &&DesiredTunnel| match second {
            Some(second) => pair_of(tunnel) == pair_of(second),
            None => PortName::tunnel_port(tunnel.key, &tunnel.from, &tunnel.to) == *port,
        };
        self.tunnels.values().find(leads).map(DesiredTunnel::port_name)
    }

    /// Does without a tunnel, of either kind: Open vSwitch has refused it.
    pub fn give_up(&mut self, port: &PortName) {
        match self.tunnels.remove(port) {
            Some(_) => self.pair(),
            None => drop(self.second.as_mut().and_then(|second| second.tunnels.remove(port))),
        }
    }

    /// Has each tunnel of the first kind one of the second beside it, and none more.
    pub(crate) fn pair(&mut self) {
        let Some(second) = &mut self.second else { return };
        let had = std::mem::take(&mut second.tunnels).into_values();
        let had: BTreeMap<(HostId, GreKey), PortName> =
            had.map(|tunnel| (pair_of(&tunnel), tunnel.port_name())).collect();
        for first in self.tunnels.values() {
            let name = had.get(&pair_of(first)).filter(|name| !self.tunnels.contains_key(*name)).cloned();
            let name = name.unwrap_or_else(|| name_beside(first, second.encap, &self.tunnels));
            let tunnel =
                DesiredTunnel { name: name.clone(), encap: second.encap, bfd: None, second: true, ..first.clone() };
            second.tunnels.insert(name, tunnel);
        }
    }

    /// The second tunnels that it gets with this first one, where its kind is changing.
    pub(crate) fn seconds_with(&self, first: &DesiredTunnel) -> Vec<(PortName, DesiredTunnel)> {
        let Some(second) = &self.second else { return Vec::new() };
        let mut next = self.clone();
        next.tunnels.insert(first.port_name(), first.clone());
        next.pair();
        let paired = next.second.map(|second| second.tunnels).unwrap_or_default();
        paired.into_iter().filter(|(name, tunnel)| second.tunnels.get(name) != Some(tunnel)).collect()
    }

    /// Has frames be sent by the second kind, and only received by the first. BFD goes along.
    pub(crate) fn swap(&mut self) {
        let Some(second) = self.second.take() else { return };
        let mut firsts = std::mem::replace(&mut self.tunnels, second.tunnels);
        let bfd: BTreeMap<_, _> = firsts.values().map(|tunnel| (pair_of(tunnel), tunnel.bfd)).collect();
        for tunnel in self.tunnels.values_mut() {
            tunnel.bfd = bfd.get(&pair_of(tunnel)).copied().flatten();
            tunnel.second = false;
        }
        firsts.values_mut().for_each(|tunnel| (tunnel.bfd, tunnel.second) = (None, true));
        let encap = std::mem::replace(&mut self.encap, second.encap);
        self.second = Some(Second { encap, tunnels: firsts });
    }
}

/// What two tunnels of one pair have in common.
fn pair_of(tunnel: &DesiredTunnel) -> (HostId, GreKey) {
    (tunnel.to.clone(), tunnel.key)
}

/// The name that every tunnel of this pair would have, or one of its kind's own where the first has that.
fn name_beside(first: &DesiredTunnel, encap: Encap, taken: &BTreeMap<PortName, DesiredTunnel>) -> PortName {
    let plain = PortName::tunnel_port(first.key, &first.from, &first.to);
    match taken.contains_key(&plain) {
        true => PortName::tunnel_of_kind(first.key, &first.from, &first.to, encap.kind()),
        false => plain,
    }
}

/// The flows by which what comes by a second tunnel is taken as if it had come by the first: addresses are learnt there, and what may not
/// go from tunnel to tunnel does not.
pub(crate) fn flows(desired: &DesiredBridge, observed: Option<&ObservedBridge>) -> Vec<Flow> {
    let (Some(second), Some(observed)) = (&desired.second, observed) else { return vec![] };
    let number = |tunnel: &DesiredTunnel| observed.ports.get(tunnel.name.as_str())?.interface()?.openflow_port();
    let firsts: BTreeMap<_, u32> =
        desired.tunnels.values().filter_map(|tunnel| Some((pair_of(tunnel), number(tunnel)?))).collect();
    let flow = |tunnel: &DesiredTunnel| {
        let (by, first) = (number(tunnel)?, *firsts.get(&pair_of(tunnel))?);
        let matches = Match { in_port: Some(by), ..Match::default() };
        let actions = vec![Action::SetInPort(first), Action::Resubmit(0)];
        Some(Flow::of_entry(TAKEN_AS_FIRST, Purpose::Second, by, matches, actions))
    };
    second.tunnels.values().filter_map(flow).collect()
}

/// Whether steps turn the two kinds of a bridge around.
pub(crate) fn turns(desired: &DesiredBridge, steps: &[Step]) -> bool {
    let turn = |edit: &PortEdit| matches!(edit, PortEdit::NoVlan | PortEdit::ReceiveOnly);
    let turns = |step: &Step| matches!(step, Step::EditTunnel { edits, .. } if edits.iter().any(turn));
    desired.second.is_some() && steps.iter().any(turns)
}

/// The flows for the moment in which the two kinds are turned around, instead of those that depend on which is the first: what comes by
/// a tunnel of either kind goes to every port that is no tunnel. NORMAL would take it from one of the two only, and which one changes in
/// the transaction. They do not end by themselves: until they are replaced they are right before it and after it.
pub(crate) fn carried(
    desired: &DesiredBridge,
    observed: &ObservedBridge,
    wanted: impl IntoIterator<Item = Flow>,
) -> impl Iterator<Item = Flow> {
    let (_, others) = transition::tunnels_and_others(observed);
    let outputs: Vec<Action> = others.iter().filter_map(|port| port.parse().ok()).map(Action::Output).collect();
    let carry = desired.kind.keys().into_iter().map(move |key| {
        let matches = Match { tun_id: Some(key.get().into()), ..Match::default() };
        Flow::of_entry(transition::PRIORITY, Purpose::Carry, 0, matches, outputs.clone())
    });
    wanted.into_iter().filter(|flow| !flow.cookie.is_for(Purpose::Second)).chain(carry)
}
