//! What a hollow host says: the JSON of a daemon whose switch has all that the plan says. Must not serve it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use anyhow::{Context, Result};
use bytes::Bytes;
use ovstunnel_api::{
    Bridge, Flows, FlowsState, Health, HealthState, Interface, Ipv6Policy, Position, Tunnel, TunnelKind, TunnelState,
    Vif, WatchEvent, WatchSnapshot,
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
}

fn well() -> Health {
    Health { state: HealthState::Ok, as_of: None, reasons: Vec::new() }
}

impl Host {
    /// Host number `number`, from 0.
    pub fn new(number: usize) -> Host {
        let changes = broadcast::Sender::new(BEHIND);
        let (version, changes_made) = (AtomicU64::new(1), AtomicU32::new(0));
        Host { number, version, changes_made, lacks_a_tunnel: AtomicBool::new(false), changes }
    }

    /// Its bridge of a network.
    fn bridge(&self, plan: &Plan, network: usize) -> Bridge {
        let (key, own) = (Plan::key(network), Plan::number(self.number));
        let others = plan.members(network).iter().filter(|other| **other != self.number);
        let lacks = self.lacks_a_tunnel.load(Ordering::Relaxed) && self.first_mesh(plan) == Some(network);
        let tunnel = |(port, other): (u32, &usize)| Tunnel {
            bfd: None,
            port: format!("t{key}-{own}-{}", Plan::number(*other)),
            from: own.to_string(),
            to: Plan::number(*other).to_string(),
            remote_ip: Plan::tunnel_end(*other).to_string(),
            key,
            ofport: Some(port),
            state: TunnelState::Up,
            protected: true,
            error: None,
        };
        let vif = |n: u32| Vif { name: format!("vif{n}.{network}"), ofport: Some(5000 + n) };
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
            second: None,
            other_ports: Vec::new(),
            flows: Flows { state: FlowsState::InSync, expected: 9, installed: Some(9) },
            health: well(),
            max_guest_mtu: Some(1458),
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
            capabilities: Vec::new(),
            host_id: Some(Plan::number(self.number).to_string()),
            zone: None,
            epoch: None,
            health: well(),
            bridges: self.bridges(plan),
        })))
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
            mac: Some(format!("02:00:00:00:{high:02x}:{low:02x}")),
            mtu,
            max_guest_mtu: mtu - TunnelKind::Gre.overhead(),
        }
    }
}
