//! What is known of the host, beside its switch, when a bridge is to become ours: its devices and by which of them tunnels leave.
//!
//! What it does: asks the kernel, by netlink and sysfs. What it must not do: judge (`ovstunnel-plan` does), or look where
//! nothing becomes ours.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ovstunnel_ovs::{Switch, small_network};
use ovstunnel_plan::{Change, DesiredBridge, HostFacts, Mark, ObservedBridge, View};

use super::State;
use crate::host::{Error, device_facts};

impl State {
    /// A change with what is to be known of the host for it.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub(crate) async fn with_host(&self, mut change: Change) -> Result<Change, Error> {
        let name = change.bridge().clone();
        let (host, remotes) = match &mut change {
            Change::SetupBridge(setup) => {
                let remotes = setup.tunnels.iter().flatten().map(|tunnel| tunnel.remote_ip.get()).collect();
                (&mut setup.host, remotes)
            }
            Change::SetupVpc(setup) => (&mut setup.host, vec![]),
            _ => return Ok(change),
        };
        let foreign = |bridge: &Arc<ObservedBridge>| DesiredBridge::bridge_mark(bridge) == Mark::Foreign;
        let bridge = self.switch.observer().read(|db| db.view().bridge(name.as_str())).filter(foreign);
        if let Some(bridge) = bridge {
            *host = self.host_facts(std::slice::from_ref(&*bridge), remotes).await?;
        }
        Ok(change)
    }

    /// What is to be known of the host when all bridges that are not ours may become so.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub(crate) async fn host_of_foreign(&self) -> Result<HostFacts, Error> {
        let bridges: Vec<ObservedBridge> = self.switch.observer().read(|db| {
            let view = db.view();
            let all = db.bridge_names().into_iter().filter_map(|name| view.bridge(&name));
            let foreign = all.filter(|bridge| DesiredBridge::bridge_mark(bridge) == Mark::Foreign);
            foreign.map(Arc::unwrap_or_clone).collect()
        });
        self.host_facts(&bridges, vec![]).await
    }

    async fn host_facts(&self, bridges: &[ObservedBridge], remotes: Vec<IpAddr>) -> Result<HostFacts, Error> {
        let underlay = self.underlay_devices(bridges, remotes).await?;
        let ports = bridges.iter().flat_map(|bridge| bridge.ports.values()).flat_map(|port| &port.interfaces);
        let names: BTreeSet<String> = ports.map(|one| one.name.clone()).chain(underlay.keys().cloned()).collect();
        // What a simulated switch has are no devices of this host.
        let devices = match &self.switch {
            Switch::Simulated(_) => BTreeMap::new(),
            Switch::Real(_) => {
                let root = self.doctor.root().clone();
                tokio::task::spawn_blocking(move || device_facts(&root, names)).await.unwrap_or_default()
            }
        };
        Ok(HostFacts { devices, underlay })
    }

    /// The devices by which tunnels leave, each with what says so. Where no other host is known yet, a bridge that has an
    /// address of its own may be the one.
    async fn underlay_devices(
        &self,
        bridges: &[ObservedBridge],
        mut remotes: Vec<IpAddr>,
    ) -> Result<BTreeMap<String, String>, Error> {
        remotes.extend(self.switch.observer().read(|db| db.remote_addresses()));
        // One of each small network: the others go the same way.
        remotes.sort_unstable();
        remotes.dedup_by_key(|ip| small_network(*ip));
        let local = self.interfaces.local_addresses().await?;
        if remotes.is_empty() {
            let own = local.iter().filter(|own| bridges.iter().any(|bridge| bridge.name == own.device));
            let why =
                |ip: IpAddr| format!("it has the address {ip}, and no tunnel says yet by which device they leave");
            return Ok(own.map(|own| (own.device.clone(), why(own.ip))).collect());
        }
        let mut underlay = BTreeMap::new();
        for (remote, route) in self.interfaces.routes(remotes).await? {
            let Some(route) = route.filter(|route| !route.local) else { continue };
            let sources = local.iter().filter(|own| Some(own.ip) == route.source);
            for own in sources {
                let why = || format!("those to {remote} come from {}, the address of {}", own.ip, own.device);
                underlay.entry(own.device.clone()).or_insert_with(why);
            }
            let why = || format!("those to {remote} leave by {}", route.device);
            underlay.entry(route.device.clone()).or_insert_with(why);
        }
        Ok(underlay)
    }
}
