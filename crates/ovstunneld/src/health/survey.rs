//! What is below the tunnels, as the kernel and the mirror show it. Must not judge.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ovstunnel_ovs::Switch;
use ovstunnel_plan::{
    Below, BelowBridge, DesiredBridge, HostFacts, ObservedBridge, Reason, Severity, View, Way, host_health,
};

use ovstunnel_types::TunnelOptions;

use super::Kept;
use crate::host::Interfaces;
use crate::host::Root;
use crate::host::device_facts;

/// One look.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// What is below the tunnels.
    pub underlay: Below,
    /// What is wrong with it.
    pub reasons: Vec<Reason>,
    /// Ports of Linux bridges, each with the bridge's name.
    pub linux_bridges: BTreeMap<String, String>,
    /// What the devices are that are ports of managed bridges, VIFs and tunnels of ours aside.
    pub host: HostFacts,
}

impl Survey {
    /// That what is wrong with the host cuts off tunnels of a bridge, too. What it is, is told of the host, once.
    pub fn of_bridge(&self, bridge: &DesiredBridge) -> Option<Reason> {
        let reason = |evidence, remedy| {
            let subject = bridge.name.to_string();
            Reason { what: "underlay", subject, severity: Severity::Failed, evidence, remedy }
        };
        if let Some(dead) = self.all_dead().filter(|_| !bridge.tunnels.is_empty()) {
            let evidence = format!("no tunnel of this host carries anything: {}", dead.evidence);
            return Some(reason(evidence, dead.remedy.clone()));
        }
        if self.reasons.is_empty() {
            return None;
        }
        let dead: Vec<IpAddr> = tunnel_remotes(bridge).filter(|ip| self.underlay.is_dead(*ip, &self.reasons)).collect();
        let (first, all) = (dead.first()?, bridge.tunnels.len());
        let evidence =
            format!("{} of {all} tunnels of this bridge carry nothing: the way to {first} is cut off", dead.len());
        let remedy = "`ovstunnelctl doctor` says what is wrong below the tunnels".to_owned();
        Some(reason(evidence, remedy))
    }

    /// The largest MTU of a guest whose frames cross all tunnels of a bridge in one piece, by the devices that they leave by; none where
    /// it has no tunnel, or no way is known.
    pub fn max_guest_mtu(&self, bridge: &DesiredBridge, options: &TunnelOptions) -> Option<u32> {
        self.underlay.least_room(tunnel_remotes(bridge), |to| options.overhead(bridge.encap.kind(), to))
    }

    /// Whether the same can be said of each bridge by another look.
    pub fn says_the_same(&self, other: &Survey) -> bool {
        let ways = |survey: &Survey| -> Vec<(IpAddr, Option<u32>, bool)> {
            let of = |(ip, (way, _)): (&IpAddr, &(Option<Way>, usize))| {
                (*ip, way.as_ref().map(|way| way.mtu), survey.underlay.is_dead(*ip, &survey.reasons))
            };
            survey.underlay.ways.iter().map(of).collect()
        };
        let dead = |survey: &Survey| survey.all_dead().map(|reason| reason.evidence.clone());
        self.linux_bridges == other.linux_bridges
            && self.host == other.host
            && dead(self) == dead(other)
            && ways(self) == ways(other)
    }

    /// Why nothing that goes by a tunnel gets anywhere; nothing where some can.
    pub fn all_dead(&self) -> Option<&Reason> {
        self.reasons.first().filter(|_| self.underlay.all_dead(&self.reasons))
    }
}

/// Looks when it is asked. Clones share what was seen.
#[derive(Clone, Debug)]
pub struct Surveyor {
    switch: Switch,
    interfaces: Arc<Interfaces>,
    root: Root,
    last: Kept<Survey>,
}

impl Surveyor {
    /// For this switch and these devices; sysfs is below `root`.
    pub(crate) fn new(switch: Switch, interfaces: Arc<Interfaces>, root: Root) -> Self {
        Surveyor { switch, interfaces, root, last: Kept::default() }
    }

    /// What was seen last.
    pub fn latest(&self) -> Arc<Survey> {
        self.last.latest()
    }

    /// What is seen now, or was a moment ago.
    pub async fn current_survey(&self) -> Arc<Survey> {
        self.last.get(async || self.make_survey().await).await
    }

    /// What is seen now: for `doctor`, which must not say what was mended a moment ago.
    pub async fn look_now(&self) -> Arc<Survey> {
        self.last.make_anew(async || self.make_survey().await).await
    }

    async fn make_survey(&self) -> Survey {
        // What the kernel does not tell is nothing that is wrong: `doctor` says that it does not.
        let links = self.interfaces.links().await.inspect_err(log_unknown).ok().flatten().unwrap_or_default();
        let underlay = self.underlay_facts().await;
        let reasons = host_health(&underlay);
        Survey { underlay, reasons, linux_bridges: links.linux_bridges, host: self.host_facts().await }
    }

    /// What the ports of managed bridges stand on that are neither ours nor the bridge's own.
    async fn host_facts(&self) -> HostFacts {
        let Switch::Real(_) = &self.switch else { return HostFacts::default() };
        let names = self.switch.observer().read(|db| {
            let view = db.view();
            let bridges = db.bridge_names().into_iter().filter_map(|name| view.bridge(&name));
            let ours = bridges.filter(|bridge| DesiredBridge::from_record(bridge).is_some());
            let others = |bridge: Arc<ObservedBridge>| {
                let ports = bridge.ports.values().filter(|port| !port.is_tunnel_of_ours() && port.name != bridge.name);
                ports.flat_map(|port| &port.interfaces).map(|interface| interface.name.clone()).collect::<Vec<_>>()
            };
            ours.flat_map(others).collect::<BTreeSet<String>>()
        });
        let root = self.root.clone();
        let looked = tokio::task::spawn_blocking(move || device_facts(&root, names)).await;
        HostFacts { devices: looked.unwrap_or_default(), ..HostFacts::default() }
    }

    async fn underlay_facts(&self) -> Below {
        let (tunnels, userspace, flow_restore_wait) = self
            .switch
            .observer()
            .read(|db| (db.tunnels_by_host(), db.is_userspace(), db.other_config("flow-restore-wait") == Some("true")));
        let routes = self.interfaces.routes(tunnels.keys().copied().collect()).await;
        let routes = routes.inspect_err(log_unknown).unwrap_or_default();
        let way = |(ip, route): (IpAddr, Option<crate::host::Route>)| {
            let way = route.map(|route| Way {
                device: route.device,
                source: route.source,
                local: route.local,
                mtu: route.mtu,
            });
            (ip, (way, tunnels.get(&ip).copied().unwrap_or_default()))
        };
        let ways: BTreeMap<_, _> = routes.into_iter().map(way).collect();
        let bridges = self.underlay_bridges(&ways).await;
        Below { ways, bridges, userspace, flow_restore_wait }
    }

    /// The bridges by whose devices the ways lead.
    async fn underlay_bridges(&self, ways: &BTreeMap<IpAddr, (Option<Way>, usize)>) -> BTreeMap<String, BelowBridge> {
        let devices: BTreeSet<&str> =
            ways.values().filter_map(|(way, _)| way.as_ref()).map(|way| way.device.as_str()).collect();
        let found: Vec<(String, Arc<ObservedBridge>)> = self.switch.observer().read(|db| {
            let view = db.view();
            let bridge = |device: &&str| view.bridge(&view.bridge_of_port(device)?);
            devices.iter().filter_map(|device| Some(((*device).to_owned(), bridge(device)?))).collect()
        });
        let mut bridges = BTreeMap::new();
        for (device, observed) in found {
            let secure = observed.fail_mode.as_deref() == Some("secure");
            let flows = if secure { self.flow_count(&observed.name).await } else { None };
            bridges.insert(device, BelowBridge { observed: Arc::unwrap_or_clone(observed), flows });
        }
        bridges
    }

    /// How many flows a bridge's first table has. Costs a command.
    async fn flow_count(&self, bridge: &str) -> Option<usize> {
        let dump = self.switch.entry_flows(bridge).await.ok()?;
        Some(dump.lines().filter(|line| line.contains("actions=")).count())
    }
}

/// Where the tunnels of a bridge lead.
fn tunnel_remotes(bridge: &DesiredBridge) -> impl Iterator<Item = IpAddr> + '_ {
    bridge.tunnels.values().map(|tunnel| tunnel.remote_ip.get())
}

fn log_unknown(error: &crate::host::Error) {
    tracing::debug!(%error, "what is below the tunnels is not known");
}
