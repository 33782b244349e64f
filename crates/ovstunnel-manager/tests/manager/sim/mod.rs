//! A zone in memory, on a clock that stands still: the manager's own zone, inventory and reconciler over hosts in memory.
//!
//! What is left out of the manager is what carries words: HTTPS on both sides, and the database's engine. What it must not do: decide in
//! the manager's place.

mod host;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ovstunnel_api::ClaimSays;
use ovstunnel_manager::hosts::Writers;
use ovstunnel_manager::inventory::{Asked, Inventory, Move, Preparation, Times, WantedNetwork, WantedNic};
use ovstunnel_manager::leader::Leader;
use ovstunnel_manager::reconciler::{Held, Reconciler, Rules};
use ovstunnel_manager::records::Records;
use ovstunnel_manager::rows::Rows;
use ovstunnel_manager::zone::{Fact, Zone};
use ovstunnel_mesh::membership::{self, Witness};
use ovstunnel_store::{HostMode, NewHost, NewPhysicalNetwork, Store};
use ovstunnel_types::GreKey;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

pub use host::{SimHost, Truth, address};

/// How often each daemon gives a sign of life.
const PING: Duration = Duration::from_secs(4);

/// The first key that the zone gives.
pub const FIRST_KEY: u32 = 1001;

pub const BY: Asked<'static> = Asked { actor: "test", dry_run: false };

/// How the manager is configured.
#[derive(Clone, Debug)]
pub struct Setup {
    pub witnesses: Vec<Witness>,
    pub linger: Duration,
    pub dead_after: Duration,
    pub migration: Duration,
    pub gc: Duration,
    pub brakes: (f64, f64),
    /// Whether rows of tunnels are kept.
    pub rows: bool,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            witnesses: vec![Witness::Api, Witness::Bridges, Witness::Vifs],
            linger: Duration::from_secs(30),
            dead_after: Duration::from_secs(600),
            migration: Duration::from_secs(3600),
            gc: Duration::from_secs(1200),
            brakes: (0.1, 0.5),
            rows: false,
        }
    }
}

/// A running manager.
pub struct Running {
    pub zone: Zone,
    pub inventory: Inventory,
    pub reconciler: Reconciler,
    pub writers: Writers,
    tasks: JoinSet<()>,
}

pub struct World {
    pub setup: Setup,
    pub store: Store,
    pub hosts: Vec<Arc<SimHost>>,
    pub truth: Arc<Mutex<Truth>>,
    pub now: Running,
    /// Holds that were there at any time, by their sentences.
    pub held: Arc<Mutex<Vec<String>>>,
}

impl World {
    /// A zone of so many hosts, h1 and on, with the physical network p1.
    pub async fn new(hosts: u64, setup: Setup) -> World {
        let (store, truth) = (Store::in_memory("dc1"), Arc::<Mutex<Truth>>::default());
        let hosts: Vec<Arc<SimHost>> = (1..=hosts).map(|number| SimHost::new(number, Arc::clone(&truth))).collect();
        register(&store, &hosts).await;
        let held = Arc::default();
        let now = start(&store, &hosts, &setup, &held, true).await;
        World { setup, store, hosts, truth, now, held }
    }

    /// The manager is killed, and started anew: with this database, by this configuration.
    pub async fn restart(&mut self, store: Store, setup: Setup) {
        self.now.tasks.shutdown().await;
        (self.store, self.setup) = (store, setup);
        self.now = start(&self.store, &self.hosts, &self.setup, &self.held, false).await;
    }

    pub async fn again(&mut self) {
        self.restart(self.store.clone(), self.setup.clone()).await;
    }

    pub fn host(&self, number: u64) -> &Arc<SimHost> {
        &self.hosts[usize::try_from(number).unwrap() - 1]
    }

    pub fn truth(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().unwrap()
    }

    /// Lets time go by.
    pub async fn pass(&self, seconds: u64) {
        sleep(Duration::from_secs(seconds)).await;
    }

    pub fn holds(&self) -> Vec<Held> {
        self.now.reconciler.holds()
    }

    /// Records a network.
    pub async fn network(&self, name: &str, key: Option<u32>, adopt: bool) {
        let key = key.map(|key| GreKey::try_from(i64::from(key)).unwrap());
        let name = name.to_owned();
        let wanted =
            WantedNetwork { name, physical_network: "p1".into(), number: None, key, adopt, ipv6: None, mtu: None };
        self.now.inventory.put_network(&wanted, BY).await.unwrap();
    }

    /// Prepares a NIC.
    pub async fn prepare(&self, network: &str, id: &str, host: u64, how: Move) -> Preparation {
        let host = format!("h{host}");
        let wanted = WantedNic { host, vm: None, mac: None, ip: None, bridge: None, how };
        self.now.inventory.prepare_nic(network, id, &wanted, BY).await.unwrap()
    }

    /// A VM starts: its NIC is prepared, and once the bridge is there it is plugged.
    pub async fn start(&self, network: &str, id: &str, host: u64) -> u32 {
        self.start_by(network, id, host, Move::Migrate).await
    }

    /// The same of one that may have been elsewhere.
    pub async fn start_by(&self, network: &str, id: &str, host: u64, how: Move) -> u32 {
        let key = self.prepare(network, id, host, how).await.key.unwrap().get();
        self.wanted(key, host);
        for _ in 0..1000 {
            if self.host(host).plug(key) {
                return key;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("host {host} has no bridge of {network}");
    }

    /// A VM ends.
    pub fn end(&self, key: u32, host: u64) {
        self.host(host).unplug(key);
        self.not_wanted(key, host);
    }

    /// A VM is or is going to be on a host.
    pub fn wanted(&self, key: u32, host: u64) {
        *self.truth().vms.entry((key, host)).or_default() += 1;
    }

    /// A VM is not there any more.
    pub fn not_wanted(&self, key: u32, host: u64) {
        if let Some(vms) = self.truth().vms.get_mut(&(key, host)) {
            *vms = vms.saturating_sub(1);
        }
    }

    /// A VM stops: it ends, and its NIC is released.
    pub async fn stop(&self, network: &str, id: &str, key: u32, host: u64) {
        self.end(key, host);
        self.now.inventory.release_nic(network, id, None, BY).await.unwrap();
    }

    /// A network of the plugin's, with a VM on each of these hosts.
    pub fn plugin_network(&self, key: u32, hosts: impl IntoIterator<Item = u64>) {
        for number in hosts {
            self.host(number).plugin_sets_up(key, ClaimSays::In);
            self.host(number).plug(key);
            self.wanted(key, number);
        }
    }

    /// What is not there of what the VMs need, and what is there beside it: of one network.
    pub fn wrong(&self, key: u32) -> Vec<String> {
        self.wrong_on(key, self.hosts.iter().map(|host| host.number))
    }

    /// The same, as far as these hosts have it, those apart that do not answer.
    pub fn wrong_on(&self, key: u32, hosts: impl IntoIterator<Item = u64>) -> Vec<String> {
        let with = self.with(key);
        let mut wrong = Vec::new();
        for number in hosts {
            let state = self.host(number).state();
            if state.is_down {
                continue;
            }
            let there = state.bridges.values().find(|bridge| bridge.key == key);
            match (there, with.contains(&number)) {
                (None, true) => wrong.push(format!("key {key}: no bridge on host {number}")),
                (Some(_), false) => wrong.push(format!("key {key}: a bridge is left over on host {number}")),
                (None, false) => {}
                (Some(bridge), true) => {
                    let others = with.iter().filter(|other| **other != number);
                    let missing = others.filter(|to| bridge.tunnels.get(to) != Some(&address(**to)));
                    wrong.extend(missing.map(|to| format!("key {key}: no tunnel from host {number} to host {to}")));
                    let more = bridge.tunnels.keys().filter(|to| !with.contains(to));
                    wrong.extend(more.map(|to| format!("key {key}: a tunnel is left over from {number} to {to}")));
                }
            }
        }
        wrong
    }

    /// The hosts with VMs of a network.
    pub fn with(&self, key: u32) -> BTreeSet<u64> {
        let truth = self.truth();
        truth.vms.range((key, 0)..=(key, u64::MAX)).filter(|(_, n)| **n > 0).map(|((_, host), _)| *host).collect()
    }
}

/// Registers hosts in a database, with the physical network p1.
pub async fn register(store: &Store, hosts: &[Arc<SimHost>]) {
    let vnet = format!("{FIRST_KEY}-60000");
    let physical = NewPhysicalNetwork {
        name: "p1".into(),
        isolation: ovstunnel_types::Isolation::Gre,
        vnet,
        label: None,
        label_xen: None,
        label_kvm: None,
    };
    store.put_physical_network(&physical).await.unwrap();
    for host in hosts {
        let row = NewHost {
            number: Some(host.host_number()),
            name: format!("h{}", host.number),
            api: "https://127.0.0.1:1".into(),
            rack: None,
            label: None,
            mode: HostMode::Manage,
            registered: 0,
        };
        store.put_host(&row).await.unwrap();
    }
}

/// As the service does it, but for what carries words. `is_new` is whether nothing was ever there: then no pass has to ask first.
async fn start(
    store: &Store,
    hosts: &[Arc<SimHost>],
    setup: &Setup,
    held: &Arc<Mutex<Vec<String>>>,
    is_new: bool,
) -> Running {
    if is_new {
        store.set_setting("controller", Some("on")).await.unwrap();
    }
    let (zone, mut facts) = Zone::new("dc1");
    let leader = Leader::take_lease(store.clone(), "m1").await.unwrap();
    // As the first host does that knows a newer epoch.
    let epoch = hosts.iter().map(|host| host.state().epoch).max().unwrap_or_default();
    if epoch > leader.epoch().unwrap().number() {
        leader.raise_epoch(epoch).await.unwrap();
    }
    let writers = Writers::new(128);
    let witnesses = setup.witnesses.iter().copied().collect();
    let (linger, dead_after) = (setup.linger, setup.dead_after);
    zone.set_rules(membership::Rules { witnesses, linger, dead_after, ..membership::Rules::default() });
    let times = Times { dead_after, gc: setup.gc, migration: setup.migration };
    let inventory = Inventory::load_from(store.clone(), zone.clone(), times).await.unwrap();
    zone.start_acting();
    let rules = Rules { brakes: setup.brakes, dead_after };
    let reconciler =
        Reconciler::new(zone.clone(), writers.clone(), leader.clone(), store.clone(), rules).await.unwrap();
    let (leads, mut tasks) = (leader.clone(), JoinSet::new());
    let (keep, kept) = mpsc::channel(10_000);
    let held = Arc::clone(held);
    tasks.spawn(async move {
        while let Some(fact) = facts.recv().await {
            match &fact {
                Fact::Happened(happened) if happened.kind == "hold" => held.lock().unwrap().push(happened.text.clone()),
                _ => {}
            }
            keep.send(fact).await.unwrap();
        }
    });
    tasks.spawn(Records::new(store.clone()).write_facts(kept));
    tasks.spawn(zone.clone().keep_proven());
    tasks.spawn(inventory.clone().keep_keys());
    if setup.rows {
        tasks.spawn(Rows::new(zone.clone(), store.clone()).keep_rows());
    }
    for row in Records::new(store.clone()).hosts().await.unwrap() {
        zone.register_host(row);
    }
    tasks.spawn(leader.keep_lease());
    tasks.spawn(reconciler.clone().run());
    for host in hosts.iter().filter(|host| !host.state().is_down) {
        host.state().epoch = leads.epoch().unwrap().number();
        host.connect(&zone, &writers);
    }
    let (all, of) = (hosts.to_vec(), zone.clone());
    tasks.spawn(async move {
        loop {
            sleep(PING).await;
            all.iter().filter(|host| host.is_connected()).for_each(|host| of.host_alive(host.host_number()));
        }
    });
    Running { zone, inventory, reconciler, writers, tasks }
}
