//! The task that looks at the tunnels, and has those to a silent host taken away. Must not judge.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use ovstunnel_ovs::Switch;
use ovstunnel_plan::{BridgeName, DesiredBridge, DesiredTunnel, ObservedBridge, ObservedInterface, PortName, View};
use ovstunnel_types::BfdState;
use tokio::time::Instant;
use uuid::Uuid;

use super::peers::{Peers, Session, TunnelSeen};
use super::{Silence, Silent, counted_every};
use crate::metrics::Metrics;
use crate::writer::{AskedFor, WriteError, Writer, recorded_epoch};

/// The distance between two looks: a part of what is configured, within these.
const LOOKS: u32 = 20;
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// Looks for as long as it is configured, and waits while it is not.
pub(crate) async fn watch_peers(silence: Silence, switch: Switch, writer: Writer, metrics: Metrics) {
    let mut after = silence.after.subscribe();
    loop {
        let Some(forget_after) = *after.borrow_and_update() else {
            metrics.silent_peers(0);
            silence.set_silent(Vec::new());
            // Its sender is never gone before: `silence` has it.
            drop(after.changed().await);
            continue;
        };
        let (silence, switch) = (&silence, &switch);
        let asked_for = writer.asked_for();
        let _kept = asked_for.start_noting();
        let watcher = Watcher { silence, switch, writer: &writer, metrics: &metrics, forget_after, asked_for };
        tokio::select! {
            () = watcher.run() => {}
            _ = after.changed() => {}
        }
    }
}

/// A tunnel of ours on a bridge of ours.
struct Found {
    bridge: BridgeName,
    port: PortName,
    seen: TunnelSeen,
}

struct Watcher<'a> {
    silence: &'a Silence,
    switch: &'a Switch,
    writer: &'a Writer,
    metrics: &'a Metrics,
    forget_after: Duration,
    asked_for: &'a AskedFor,
}

impl Watcher<'_> {
    async fn run(&self) {
        let apart = (self.forget_after / LOOKS).clamp(SHORTEST, LONGEST);
        let (mut peers, mut last, mut generation) = (Peers::default(), Instant::now(), None);
        loop {
            tokio::time::sleep(apart).await;
            // A look that comes late has not seen what was meanwhile.
            let passed = last.elapsed().min(2 * apart);
            last = Instant::now();
            let asked_for = self.asked_for.take_requested();
            let before = generation.replace(self.switch.watch_health().borrow().generation);
            match self.read_tunnels().await {
                Some(found) if before == generation => {
                    let seen: Vec<TunnelSeen> = found.iter().map(|one| one.seen.clone()).collect();
                    peers.take_observations(&seen, &asked_for, passed);
                    self.judge_peers(&peers, &found).await;
                }
                // What was silent before `ovs-vswitchd` ended, or while it was not known, counts no more.
                _ => peers.begin_anew(),
            }
        }
    }

    /// All tunnels as they are; nothing where that is not known.
    async fn read_tunnels(&self) -> Option<Vec<Found>> {
        self.expect_live()?;
        let counted = self.switch.tunnel_counters().await.ok()?;
        let mut found = self.managed_tunnels();
        // What was read while it began to hang is a memory.
        self.expect_live()?;
        for one in &mut found {
            one.seen.received = counted.get(one.port.as_str()).map(|counted| counted.rx_packets);
        }
        Some(found)
    }

    /// That Open vSwitch works: one that does not may forward, and neither counts nor tells.
    fn expect_live(&self) -> Option<()> {
        let health = self.switch.watch_health().borrow().clone();
        (health.first_trouble().is_none() && health.busy_reason().is_none()).then_some(())
    }

    fn managed_tunnels(&self) -> Vec<Found> {
        self.switch.observer().read(|db| {
            let view = db.view();
            let bridges = db.bridge_names().into_iter().filter_map(|name| view.bridge(&name));
            bridges
                .filter_map(|bridge| Some(of_bridge(&DesiredBridge::from_record(&bridge)?.name, &bridge)))
                .flatten()
                .collect()
        })
    }

    /// Has the tunnels to one host taken away, if any may go; tells of all that are silent.
    async fn judge_peers(&self, peers: &Peers, found: &[Found]) {
        // What is there and is no epoch may be a manager's, too.
        let manager = !matches!(recorded_epoch(self.switch), Ok(None));
        let silent = peers.silent_for(self.forget_after.max(2 * counted_every(self.switch)), manager);
        let goes = silent.iter().find(|one| one.stays.is_none()).cloned();
        self.metrics.silent_peers(silent.len());
        self.silence.set_silent(silent);
        if let Some(host) = goes {
            self.forget_host(&host, peers.answering_counts(), found).await;
        }
    }

    /// Those on which BFD runs go last: if this is cut short, what is left is still known to have been up.
    async fn forget_host(&self, host: &Silent, (answer, of): (usize, usize), found: &[Found]) {
        let Silent { remote, silent, .. } = *host;
        let of_host = || found.iter().filter(|one| one.seen.remote == remote);
        let ports: Vec<&str> = of_host().map(|one| one.port.as_str()).collect();
        let (silent_s, ports) = (silent.as_secs(), ports.join(" "));
        tracing::warn!(%remote, silent_s, ports, answer, of, "nothing has come from a host for [tunnel] forget_after, and BFD with it is down; removing the tunnels to it");
        for with_bfd in [false, true] {
            let removals = of_host().filter(|one| one.seen.session.is_some() == with_bfd);
            let removed = join_all(removals.map(|one| self.remove_tunnel(one))).await;
            if removed.contains(&false) {
                return;
            }
        }
    }

    /// Whether the tunnel has gone.
    async fn remove_tunnel(&self, tunnel: &Found) -> bool {
        let Found { bridge, port, seen } = tunnel;
        let remote = seen.remote;
        if self.is_heard(remote) {
            tracing::info!(%remote, %bridge, %port, "it is not known any more that the host is silent; the tunnel stays");
            return false;
        }
        let id = format!("forget-{}", Uuid::new_v4());
        match self.writer.remove_unless_asked_for(bridge.clone(), port.clone(), remote, id).await {
            Ok(Some(_)) => {
                self.metrics.tunnel_forgotten();
                true
            }
            Ok(None) => {
                tracing::info!(%remote, %bridge, %port, "the tunnel has been asked for; it stays");
                false
            }
            // Somebody else was faster.
            Err(WriteError::Rejected(error)) => {
                tracing::debug!(%remote, %bridge, %port, %error, "the tunnel is not there any more");
                true
            }
            Err(error) => {
                tracing::warn!(%remote, %bridge, %port, %error, "a tunnel to a silent host could not be removed; trying again");
                false
            }
        }
    }

    /// Whether BFD says by now that something comes from a host, or nobody knows what it says.
    fn is_heard(&self, remote: IpAddr) -> bool {
        let down = |one: &Found| matches!(one.seen.session, None | Some(Session::Down { .. }));
        self.expect_live().is_none() || !self.managed_tunnels().iter().filter(|one| one.seen.remote == remote).all(down)
    }
}

fn of_bridge(name: &BridgeName, bridge: &ObservedBridge) -> Vec<Found> {
    let tunnels = bridge.ports.values().filter_map(|port| Some((DesiredTunnel::from_record(port)?, port.interface()?)));
    let found = |(tunnel, interface): (DesiredTunnel, &ObservedInterface)| Found {
        bridge: name.clone(),
        port: tunnel.name,
        seen: TunnelSeen {
            interface: interface.uuid,
            remote: tunnel.remote_ip.get(),
            received: None,
            session: tunnel.bfd.map(|_| bfd_session(interface)),
        },
    };
    tunnels.map(found).collect()
}

/// What Open vSwitch says of BFD on an interface.
fn bfd_session(interface: &ObservedInterface) -> Session {
    let told = |key: &str| interface.bfd_status.get(key);
    match told("state").and_then(|word| BfdState::from_word(word)) {
        Some(BfdState::Up) => Session::Up,
        Some(BfdState::Down) => {
            let flaps = told("flap_count").and_then(|count| count.parse::<u64>().ok()).unwrap_or_default();
            Session::Down { was_up: flaps > 0 }
        }
        _ => Session::Other,
    }
}
