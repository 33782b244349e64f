//! What a hollow host says: the JSON of a daemon whose switch has all that the plan says. Must not serve it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use ovstunnel_api::{
    Bfd, BfdState, Bridge, CountersAnswer, Flows, FlowsState, Health, HealthState, Interface, Ipv6Policy, Position,
    PostProbe, ProbeAction, ProbeAnswer, ProbedTunnel, Tunnel, TunnelCounters, TunnelKind, TunnelState, Vif,
    WatchEvent, WatchSnapshot,
};
use tokio::sync::broadcast;

use crate::plan::Plan;

/// Changes that a reader may be behind.
const BEHIND: usize = 256;

/// A host.
#[derive(Debug)]
pub struct Host {
    number: usize,
    version: AtomicU64,
    /// How often something has changed. It shows in the number of VIFs.
    changes_made: AtomicU32,
    /// Whether the first tunnel of its first network that has tunnels is taken away.
    lacks_a_tunnel: AtomicBool,
    changes: broadcast::Sender<Bytes>,
    /// Whether it takes an epoch, runs BFD and carries probes, as a daemon does that a manager may change.
    acts: bool,
    /// The ports on which BFD runs, by network.
    bfd: Mutex<BTreeMap<usize, BTreeSet<String>>>,
    /// When frames were last sent from its bridge of each network, and the longest time between two such times.
    sent: Mutex<BTreeMap<usize, (Instant, Duration)>>,
}

/// What a daemon can do that is told of tunnels' probes, and one that is only looked at.
const ACTS: &[&str] = &["watch", "epoch", "bfd", "probe", "counters", "addresses"];
const LOOKED_AT: &[&str] = &["addresses"];

fn well() -> Health {
    Health { state: HealthState::Ok, as_of: None, reasons: Vec::new() }
}

/// A session that is up.
fn session() -> Bfd {
    Bfd {
        interval: 1000,
        state: Some(BfdState::Up),
        remote_state: Some(BfdState::Up),
        diagnostic: Some("No Diagnostic".to_owned()),
        remote_diagnostic: Some("No Diagnostic".to_owned()),
        forwarding: true,
        flaps: 1,
    }
}

impl Host {
    /// Host number `number`, from 0.
    pub fn new(number: usize, acts: bool) -> Host {
        let changes = broadcast::Sender::new(BEHIND);
        let (version, changes_made) = (AtomicU64::new(1), AtomicU32::new(0));
        let (lacks_a_tunnel, bfd, sent) = (AtomicBool::new(false), Mutex::default(), Mutex::default());
        Host { number, version, changes_made, lacks_a_tunnel, changes, acts, bfd, sent }
    }

    /// Whether it does what a manager tells it of epochs, BFD and probes.
    pub fn acts(&self) -> bool {
        self.acts
    }

    /// Its bridge of a network.
    pub fn bridge(&self, plan: &Plan, network: usize) -> Bridge {
        let (key, own) = (Plan::key(network), Plan::number(self.number));
        let others = plan.members(network).iter().filter(|other| **other != self.number);
        let lacks = self.lacks_a_tunnel.load(Ordering::Relaxed) && self.first_mesh(plan) == Some(network);
        let bfd = self.bfd.lock().unwrap_or_else(PoisonError::into_inner).get(&network).cloned().unwrap_or_default();
        let name = |other: usize| format!("t{key}-{own}-{}", Plan::number(other));
        let tunnel = |(port, other): (u32, &usize)| Tunnel {
            bfd: bfd.contains(&name(*other)).then(session),
            port: name(*other),
            from: own.to_string(),
            to: Plan::number(*other).to_string(),
            remote_ip: Plan::tunnel_end(*other).to_string(),
            key,
            ofport: Some(port),
            state: TunnelState::Up,
            protected: true,
            error: None,
        };
        let vif = |n: u32| Vif { name: format!("vif{n}.{network}"), ofport: Some(5000 + n), mac: None };
        Bridge {
            name: format!("xapi{network}"),
            key: Some(key),
            vpc: None,
            network_uuid: Some(format!("00000000-0000-4000-8000-{key:012}")),
            host_id: Some(own.to_string()),
            ipv6: Ipv6Policy::Drop,
            kind: TunnelKind::Gre,
            adopted: false,
            tunnels: (10..).zip(others.skip(usize::from(lacks))).map(tunnel).collect(),
            vifs: (0..=self.changes_made.load(Ordering::Relaxed) % 64).map(vif).collect(),
            uplink: None,
            neighbours: Vec::new(),
            second: None,
            dst_port: None,
            other_ports: Vec::new(),
            flows: Flows { state: FlowsState::InSync, expected: 9, installed: Some(9) },
            health: well(),
            max_guest_mtu: Some(1458),
            mtu_request: None,
            claim: None,
        }
    }

    /// All its bridges, by name.
    pub fn bridges(&self, plan: &Plan) -> Vec<Bridge> {
        let mut bridges: Vec<Bridge> = plan.networks_of(self.number).iter().map(|n| self.bridge(plan, *n)).collect();
        bridges.sort_by(|a, b| a.name.cmp(&b.name));
        bridges
    }

    fn event(&self, event: &WatchEvent) -> Result<Bytes> {
        let position =
            Position { instance: format!("hollow{}", self.number), version: self.version.load(Ordering::Relaxed) };
        let data = event.data().context("an event")?;
        Ok(Bytes::from(format!("event: {}\nid: {position}\ndata: {data}\n\n", event.name())))
    }

    /// Event `ping`.
    ///
    /// # Errors
    /// None that is known; this holds for each function below.
    pub fn ping(&self) -> Result<Bytes> {
        self.event(&WatchEvent::Ping)
    }

    /// Event `snapshot`.
    pub fn snapshot(&self, plan: &Plan) -> Result<Bytes> {
        self.event(&WatchEvent::Snapshot(Box::new(WatchSnapshot {
            daemon: env!("CARGO_PKG_VERSION").to_owned(),
            capabilities: if self.acts { ACTS } else { LOOKED_AT }.iter().map(ToString::to_string).collect(),
            host_id: Some(Plan::number(self.number).to_string()),
            zone: None,
            epoch: None,
            health: well(),
            bridges: self.bridges(plan),
        })))
    }

    /// Its network whose bridge has this name.
    pub fn network_of(&self, plan: &Plan, bridge: &str) -> Option<usize> {
        let network = bridge.strip_prefix("xapi")?.parse().ok()?;
        plan.networks_of(self.number).contains(&network).then_some(network)
    }

    /// BFD runs on these ports of its bridge of a network from now on, and whoever watches is told.
    pub fn run_bfd(&self, plan: &Plan, network: usize, ports: BTreeSet<String>) -> Result<()> {
        self.bfd.lock().unwrap_or_else(PoisonError::into_inner).insert(network, ports);
        self.tell(plan, network)
    }

    /// What a probe of its bridge of a network says: that each frame has come, or was sent.
    pub fn probe(&self, plan: &Plan, network: usize, body: &PostProbe) -> ProbeAnswer {
        if body.action == ProbeAction::Send {
            let (now, mut sent) = (Instant::now(), self.sent.lock().unwrap_or_else(PoisonError::into_inner));
            let known = sent.entry(network).or_insert((now, Duration::ZERO));
            *known = (now, known.1.max(now - known.0));
        }
        let is_asked = |port: &String| body.tunnels.as_ref().is_none_or(|ports| ports.contains(port));
        let frames = u64::from(body.action != ProbeAction::Arm);
        let tunnels = self.bridge(plan, network).tunnels.into_iter().filter(|tunnel| is_asked(&tunnel.port));
        let probed = |tunnel: Tunnel| {
            let Tunnel { port, to, remote_ip, key, .. } = tunnel;
            ProbedTunnel { port, to, remote_ip, key, frames, bytes: frames * 60 }
        };
        ProbeAnswer { tunnels: tunnels.map(probed).collect() }
    }

    /// Counts anew when frames are sent.
    pub fn forget_sent(&self) {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// How many of its bridges have sent frames, and the longest time in which one of them has not.
    pub fn longest_unsent(&self) -> (usize, Duration) {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        (sent.len(), sent.values().map(|(at, longest)| at.elapsed().max(*longest)).max().unwrap_or_default())
    }

    /// What its tunnels have counted: at both ends the same, and more with each second.
    pub fn counters(&self, plan: &Plan, since: Instant) -> CountersAnswer {
        let packets = since.elapsed().as_secs();
        let all = self.bridges(plan).into_iter().flat_map(|bridge| bridge.tunnels);
        let counted = |tunnel: Tunnel| TunnelCounters {
            port: tunnel.port,
            to: tunnel.to,
            key: tunnel.key,
            rx_packets: packets,
            tx_packets: packets,
        };
        CountersAnswer { every: 5.0, tunnels: all.map(counted).collect(), unexpected: Vec::new() }
    }

    /// What changes from now on.
    pub fn changes(&self) -> broadcast::Receiver<Bytes> {
        self.changes.subscribe()
    }

    /// VIFs come to its bridge of a network or go, and whoever watches is told.
    pub fn change(&self, plan: &Plan, network: usize) -> Result<()> {
        self.changes_made.fetch_add(1, Ordering::Relaxed);
        self.tell(plan, network)
    }

    /// The first of its networks that has other hosts.
    fn first_mesh(&self, plan: &Plan) -> Option<usize> {
        plan.networks_of(self.number).iter().copied().find(|network| plan.members(*network).len() > 1)
    }

    /// The first tunnel of its first network that has tunnels goes or comes back, and whoever watches is told. Gives that network; none
    /// where the host has none.
    pub fn lack_a_tunnel(&self, plan: &Plan, lacks: bool) -> Result<Option<usize>> {
        self.lacks_a_tunnel.store(lacks, Ordering::Relaxed);
        let first = self.first_mesh(plan);
        first.map(|network| self.tell(plan, network).map(|()| network)).transpose()
    }

    fn tell(&self, plan: &Plan, network: usize) -> Result<()> {
        self.version.fetch_add(1, Ordering::Relaxed);
        let event = self.event(&WatchEvent::Bridge(Box::new(self.bridge(plan, network))))?;
        // Without a reader there is nobody to tell.
        let _ = self.changes.send(event);
        Ok(())
    }

    /// The device at which its tunnels end.
    pub fn interface(&self, label: &str) -> Interface {
        let (mtu, [.., high, low]) = (1500, Plan::tunnel_end(self.number).octets());
        Interface {
            label: label.to_owned(),
            device: "eth1".to_owned(),
            ip: Some(Plan::tunnel_end(self.number).to_string()),
            netmask: Some("255.255.0.0".to_owned()),
            ipv6: None,
            mac: Some(format!("02:00:00:00:{high:02x}:{low:02x}")),
            mtu,
            max_guest_mtu: mtu - TunnelKind::Gre.overhead(),
        }
    }
}
