//! One host's part of a proof: its bridge and its tunnels. Must not look at another host's.

use std::collections::BTreeMap;

use ovstunnel_types::{FlowsState, HealthState, HostNumber, Ipv6Policy, RemoteIp, TunnelKind, TunnelState};

use super::{Finding, What, needs};
use crate::Mesh;
use crate::difference::other_id;
use crate::observed::{Bridge, Host, Tunnel, Unmet};
use crate::spoken::Spoken;

/// What a host's own words prove, and what they tell against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostProof {
    /// The host.
    pub host: HostNumber,
    /// How many of its tunnels are as they must be.
    pub proven: u64,
    /// What its bridge does with IPv6.
    pub ipv6: Option<Ipv6Policy>,
    /// Largest MTU of a guest whose frames cross its tunnels in one piece, bytes.
    pub max_guest_mtu: Option<u32>,
    /// By which tunnels it sends and receives; none where it has no bridge.
    pub spoken: Option<Spoken>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// What a host's part rests on. The same basis has the same result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Basis {
    is_registered: bool,
    is_connected: bool,
    has_told_address: bool,
    switch_fault: Option<Unmet>,
    seen: Option<(String, u64)>,
}

impl Basis {
    pub(super) fn basis_of(host: Option<&Host>) -> Basis {
        let snapshot = host.and_then(|host| host.snapshot.as_ref());
        Basis {
            is_registered: host.is_some(),
            is_connected: host.is_some_and(|host| host.is_connected),
            has_told_address: host.is_some_and(|host| host.has_told_address),
            switch_fault: host.and_then(|host| host.switch_fault.clone()),
            seen: snapshot.map(|snapshot| (snapshot.instance.clone(), snapshot.version)),
        }
    }
}

impl HostProof {
    /// Judges one host. Of one that has left, only that it has nothing of the network.
    pub(super) fn new(number: HostNumber, host: Option<&Host>, mesh: &Mesh) -> HostProof {
        let mut part =
            HostProof { host: number, proven: 0, ipv6: None, max_guest_mtu: None, spoken: None, findings: Vec::new() };
        if mesh.has_member(number) {
            part.judge_member(host, mesh);
        } else {
            part.judge_left(host, mesh);
        }
        part
    }

    /// Largest MTU of a guest, to be compared with those of other hosts: while their kinds differ, what it will be by that which
    /// the network is to have, or which most hosts have. Where guests have an MTU that is known, what it is.
    pub(super) fn comparable_mtu(&self, mesh: &Mesh, usual: Option<TunnelKind>) -> Option<u32> {
        let kind = self.spoken?.sends;
        let to = mesh.kind.or(usual).filter(|_| mesh.guest_mtu.is_none()).unwrap_or(kind);
        self.max_guest_mtu.map(|mtu| (mtu + kind.overhead()).saturating_sub(to.overhead()))
    }

    fn add_finding(&mut self, what: What, to: Option<HostNumber>, evidence: String, remedy: &str) {
        self.findings.push(Finding { what, host: self.host, to, evidence, remedy: remedy.to_owned() });
    }

    fn judge_member(&mut self, host: Option<&Host>, mesh: &Mesh) {
        let Some(host) = host else {
            let evidence = "a host of the network is not registered".to_owned();
            return self.add_finding(What::HostUnknown, None, evidence, "register it with the address of its daemon");
        };
        if !host.is_connected {
            let evidence = "its daemon does not answer; what it said last is judged".to_owned();
            self.add_finding(
                What::HostSilent,
                None,
                evidence,
                "see whether the host and ovstunneld run, and can be reached",
            );
        }
        if let Some(Unmet { evidence, remedy, .. }) = host.switch_fault.as_ref().filter(|_| host.is_connected) {
            self.add_finding(What::SwitchUnreachable, None, evidence.clone(), remedy);
        }
        let Some(snapshot) = &host.snapshot else {
            let evidence = "it has not said yet what it has".to_owned();
            return self.add_finding(What::HostUnseen, None, evidence, "wait until it is connected");
        };
        if mesh.without_address().any(|other| other == self.host) {
            let (evidence, remedy) = match host.has_told_address {
                true => (
                    "the address at which its tunnels end is not known",
                    "set the label of the host to an interface with an address",
                ),
                false => (
                    "it has not said yet at which address its tunnels end",
                    "wait until it has; where it does not, its log says why",
                ),
            };
            self.add_finding(What::AddressUnknown, None, evidence.to_owned(), remedy);
        }
        let bridges: Vec<&Bridge> = snapshot.bridges_of(mesh.key).collect();
        match &bridges[..] {
            [] => {
                let evidence = format!("no bridge has key {}", mesh.key);
                self.add_finding(What::BridgeMissing, None, evidence, "reconcile the network");
            }
            [bridge] => self.judge_bridge(bridge, mesh),
            several => {
                let names: Vec<&str> = several.iter().map(|bridge| bridge.name.as_str()).collect();
                let evidence = format!("the bridges {} have key {}", names.join(", "), mesh.key);
                self.add_finding(What::SeveralBridges, None, evidence, "remove those on which no VM is");
            }
        }
    }

    fn judge_left(&mut self, host: Option<&Host>, mesh: &Mesh) {
        let bridges = host.and_then(|host| host.snapshot.as_ref()).into_iter().flat_map(|s| s.bridges_of(mesh.key));
        for bridge in bridges.filter(|bridge| !bridge.is_vpc()) {
            for tunnel in bridge.tunnels.iter().filter(|tunnel| tunnel.key == mesh.key) {
                let evidence =
                    format!("the host is not of the mesh, and port {} leads to host {}", tunnel.port, tunnel.to);
                self.add_finding(What::TunnelTooMany, tunnel.peer_number(), evidence, "reconcile the network");
            }
        }
    }

    fn judge_bridge(&mut self, bridge: &Bridge, mesh: &Mesh) {
        let name = &bridge.name;
        (self.ipv6, self.max_guest_mtu, self.spoken) =
            (Some(bridge.ipv6), bridge.max_guest_mtu, Some(Spoken::of_bridge(bridge)));
        if let Some(id) = other_id(self.host, bridge) {
            let evidence = format!("bridge {name} has the host id {id}");
            self.add_finding(
                What::HostIdMismatch,
                None,
                evidence,
                "register the host with that number, or mend the bridge's `host_id`",
            );
        }
        match bridge.flows {
            FlowsState::InSync => {}
            FlowsState::Drifted | FlowsState::Unknown => {
                let how = if bridge.flows == FlowsState::Drifted { "others than they must be" } else { "not known" };
                let evidence = format!("the flows of bridge {name} are {how}");
                self.add_finding(
                    What::FlowsNotInSync,
                    None,
                    evidence,
                    "wait for the daemon's next look; else see its log",
                );
            }
        }
        if bridge.health == HealthState::Failed && bridge.unmet.is_empty() {
            let evidence = format!("bridge {name} is {}", bridge.health.as_str());
            self.add_finding(What::Unhealthy, None, evidence, "run `ovstunnelctl doctor` on the host");
        }
        for (unmet, (what, evidence)) in
            bridge.unmet.iter().filter_map(|unmet| Some((unmet, needs::unmet_finding(bridge, unmet)?)))
        {
            self.add_finding(what, None, evidence, &unmet.remedy);
        }
        self.judge_tunnels(bridge, mesh);
    }

    /// Goes through tunnels and desired tunnels side by side, in the order of the other ends.
    fn judge_tunnels(&mut self, bridge: &Bridge, mesh: &Mesh) {
        let mut there: BTreeMap<Option<HostNumber>, Vec<&Tunnel>> = BTreeMap::new();
        for tunnel in &bridge.tunnels {
            // Of a VPC's bridge the other tiers' tunnels are others' to judge.
            if tunnel.key == mesh.key || !bridge.is_vpc() {
                there.entry(tunnel.peer_number()).or_default().push(tunnel);
            }
        }
        for desired in mesh.tunnels_of(self.host) {
            match there.remove(&Some(desired.to)).as_deref() {
                None | Some([]) => {
                    let evidence = format!("bridge {} has no tunnel to host {}", bridge.name, desired.to);
                    self.add_finding(What::TunnelMissing, Some(desired.to), evidence, "reconcile the network");
                }
                Some([tunnel]) => self.judge_tunnel(tunnel, desired.to, desired.remote_ip, mesh),
                Some(several) => {
                    let ports: Vec<&str> = several.iter().map(|tunnel| tunnel.port.as_str()).collect();
                    let evidence = format!("the ports {} lead to host {}", ports.join(", "), desired.to);
                    self.add_finding(What::TunnelTwice, Some(desired.to), evidence, "reconcile the network");
                }
            }
        }
        for tunnel in there.into_values().flatten() {
            // A member without a known address is said to be that.
            if tunnel.peer_number().is_none_or(|to| !mesh.has_member(to) || to == self.host) {
                let evidence = format!("port {} leads to host {}, {}", tunnel.port, tunnel.to, tunnel.remote_ip);
                self.add_finding(
                    What::TunnelTooMany,
                    tunnel.peer_number(),
                    evidence,
                    "register that host, or reconcile the network",
                );
            }
        }
    }

    fn judge_tunnel(&mut self, tunnel: &Tunnel, to: HostNumber, ip: RemoteIp, mesh: &Mesh) {
        let port = &tunnel.port;
        let before = self.findings.len();
        if tunnel.remote_ip != ip {
            let evidence = format!("port {port} leads to {}; the address of host {to} is {ip}", tunnel.remote_ip);
            self.add_finding(What::WrongAddress, Some(to), evidence, "reconcile the network");
        }
        if tunnel.key != mesh.key {
            let evidence = format!("port {port} has key {}; the network's is {}", tunnel.key, mesh.key);
            self.add_finding(What::WrongKey, Some(to), evidence, "remove the tunnel, then reconcile the network");
        }
        if tunnel.state != TunnelState::Up {
            let why = tunnel.error.as_deref().unwrap_or("it has not looked at it yet");
            let evidence = format!("Open vSwitch does not have port {port}: {why}");
            self.add_finding(What::TunnelDown, Some(to), evidence, "run `ovstunnelctl doctor` on the host");
        }
        if !tunnel.protected {
            let evidence = format!("port {port} is not protected");
            self.add_finding(
                What::Unprotected,
                Some(to),
                evidence,
                "wait for the daemon's next look; else see its log",
            );
        }
        if self.findings.len() == before {
            self.proven += 1;
        }
    }
}
