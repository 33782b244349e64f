//! What happens in a zone, thrown by dice that always fall the same for a seed, and what must be true of it each minute.
//!
//! What it must not do: tell the manager anything that a cloud or a host would not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use ovstunnel_manager::inventory::Move;
use ovstunnel_manager::zone::Wrong;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep};

use crate::sim::{BY, FIRST_KEY, Setup, World};

/// How often something of each kind happens to a zone, or to a host of it, in ten minutes.
const KILLS: f64 = 7.0;
const FAILURES: f64 = 2.0;
const STARTS_ON_A_HOST: f64 = 0.33;
const MIGRATIONS_ON_A_HOST: f64 = 0.17;

/// How often the manager starts anew, seconds.
const MANAGER: u64 = 3600;

/// Within this time after an event a network is as it must be: the lingering is 30 s, and a host may be connecting.
const RESTS: Duration = Duration::from_secs(55);

/// From a host's failure until its VMs are started elsewhere, and until it is back, seconds.
const DETECTED: u64 = 60;
const BACK: u64 = 180;

#[derive(Clone, Debug)]
struct Vm {
    network: usize,
    host: u64,
    moving_to: Option<u64>,
    is_plugged: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    Plug(u64),
    Arrive(u64),
    Elsewhere(u64),
    Connect(u64),
}

pub struct Life {
    world: World,
    dice: StdRng,
    networks: usize,
    keys: BTreeMap<usize, u32>,
    vms: BTreeMap<u64, Vm>,
    last_vm: u64,
    /// What is still to happen, by the second.
    later: BTreeSet<(u64, Action)>,
    second: u64,
    /// Networks to look at, and from when on they must be right.
    restless: BTreeMap<u32, Instant>,
    counts: BTreeMap<&'static str, u64>,
}

impl Life {
    /// A zone with ten VMs on a host.
    pub async fn begin(hosts: u64, seed: u64) -> Life {
        let world = World::new(hosts, Setup::default()).await;
        let networks = usize::try_from(hosts * 5 / 4).unwrap();
        let (keys, vms, later) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let (restless, counts) = (BTreeMap::new(), BTreeMap::new());
        let dice = StdRng::seed_from_u64(seed);
        let mut life = Life { world, dice, networks, keys, vms, last_vm: 0, later, second: 0, restless, counts };
        for network in 0..networks {
            life.world.network(&name(network), None, false).await;
        }
        for _ in 0..hosts * 10 {
            life.start().await;
        }
        life.live_quietly(120).await;
        life.check_all();
        life.counts.clear();
        life
    }

    /// So many seconds.
    pub async fn live(&mut self, seconds: u64) {
        let hosts = self.world.hosts.len() as f64;
        let rates = [KILLS, FAILURES, STARTS_ON_A_HOST * hosts, STARTS_ON_A_HOST * hosts, MIGRATIONS_ON_A_HOST * hosts];
        for _ in 0..seconds {
            for (what, rate) in rates.into_iter().enumerate() {
                let mut expected = rate / 600.0;
                while expected > 0.0 {
                    if self.dice.random::<f64>() < expected {
                        self.happen(what).await;
                    }
                    expected -= 1.0;
                }
            }
            self.one_second().await;
            if self.second.is_multiple_of(MANAGER) {
                self.count("starts of the manager");
                self.world.again().await;
                let keys: Vec<u32> = self.keys.values().copied().collect();
                keys.into_iter().for_each(|key| self.touch(key, Duration::from_secs(60)));
            }
        }
    }

    /// All comes to rest, and is as it must be.
    pub async fn end(&mut self) -> String {
        self.live_quietly(BACK + 120).await;
        self.check_all();
        let mut story = String::new();
        for (what, times) in &self.counts {
            write!(story, "{times} {what}, ").unwrap();
        }
        story + "nothing was wrong"
    }

    async fn live_quietly(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.one_second().await;
        }
    }

    async fn one_second(&mut self) {
        sleep(Duration::from_secs(1)).await;
        self.second += 1;
        self.check_alarms();
        while let Some((at, action)) = self.later.first().copied().filter(|(at, _)| *at <= self.second) {
            self.later.remove(&(at, action));
            match action {
                Action::Plug(vm) => self.plug(vm),
                Action::Arrive(vm) => self.arrive(vm).await,
                Action::Elsewhere(host) => self.elsewhere(host).await,
                Action::Connect(host) => {
                    self.world.host(host).connect(&self.world.now.zone, &self.world.now.writers);
                    self.touch_host(host, Duration::ZERO);
                }
            }
        }
        if self.second.is_multiple_of(60) {
            self.check();
        }
    }

    /// Nobody is told of a fault but of a host that does not answer, while it does not.
    fn check_alarms(&mut self) {
        let zone = &self.world.now.zone;
        zone.look_for_faults(zone.now());
        let told = zone.faults(&Wrong { limit: usize::MAX, ..Wrong::default() });
        for fault in told.faults {
            let place = fault.place.host.as_deref().and_then(|name| name.strip_prefix('h'));
            let host = place.and_then(|number| number.parse().ok());
            let is_down = host.is_some_and(|host: u64| self.world.host(host).state().is_down);
            let is_true = is_down && matches!(&*fault.kind, "host_silent" | "host_unseen");
            assert!(is_true, "at second {}: {}: {}", self.second, fault.id, fault.evidence);
        }
    }

    async fn happen(&mut self, what: usize) {
        match what {
            0 => self.kill(),
            1 => self.fail(),
            2 => {
                self.start().await;
            }
            3 => self.stop().await,
            _ => self.migrate().await,
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Some host that answers.
    fn some_host(&mut self) -> u64 {
        loop {
            let host = self.dice.random_range(1..=self.world.hosts.len() as u64);
            if !self.world.host(host).state().is_down {
                return host;
            }
        }
    }

    /// Some VM that runs, and does not move.
    fn some_vm(&mut self) -> Option<u64> {
        let from = self.dice.random_range(0..=self.last_vm);
        let runs = |(_, vm): &(&u64, &Vm)| vm.is_plugged && vm.moving_to.is_none();
        self.vms.range(from..).find(runs).map(|(id, _)| *id).filter(|id| !self.is_down(self.vms[id].host))
    }

    fn is_down(&self, host: u64) -> bool {
        self.world.host(host).state().is_down
    }

    /// Something happens to a network: it has its time from now on, and as much more.
    fn touch(&mut self, key: u32, more: Duration) {
        let until = Instant::now() + RESTS + more;
        let known = self.restless.entry(key).or_insert(until);
        *known = until.max(*known);
    }

    fn touch_host(&mut self, host: u64, more: Duration) {
        let keys: Vec<u32> = self.world.host(host).state().bridges.values().map(|bridge| bridge.key).collect();
        keys.into_iter().for_each(|key| self.touch(key, more));
        let of_vms: Vec<usize> =
            self.vms.values().filter(|vm| vm.host == host || vm.moving_to == Some(host)).map(|vm| vm.network).collect();
        of_vms.into_iter().for_each(|network| self.touch(self.keys[&network], more));
    }

    async fn start(&mut self) {
        self.count("starts of a VM");
        // Most networks are small, a few are large.
        let network = (self.networks as f64 * self.dice.random::<f64>().powf(1.4)) as usize;
        let host = self.some_host();
        self.last_vm += 1;
        let id = self.last_vm;
        self.vms.insert(id, Vm { network, host, moving_to: None, is_plugged: false });
        self.prepare(id, host, Move::Migrate).await;
        self.later.insert((self.second + 1, Action::Plug(id)));
    }

    async fn prepare(&mut self, vm: u64, host: u64, how: Move) {
        let network = self.vms[&vm].network;
        let key = self.world.prepare(&name(network), &vm.to_string(), host, how).await.key.unwrap().get();
        if let Some(before) = self.keys.insert(network, key).filter(|before| *before != key) {
            self.touch(before, Duration::ZERO);
        }
        self.world.wanted(key, host);
        self.touch(key, Duration::ZERO);
    }

    fn plug(&mut self, id: u64) {
        let Some(vm) = self.vms.get(&id).filter(|vm| !vm.is_plugged).cloned() else { return };
        if self.is_down(vm.host) || !self.world.host(vm.host).plug(self.keys[&vm.network]) {
            // Its host has been lost, or is being reached.
            self.later.insert((self.second + 1, Action::Plug(id)));
            return;
        }
        self.vms.get_mut(&id).unwrap().is_plugged = true;
    }

    async fn stop(&mut self) {
        let Some(id) = self.some_vm() else { return };
        self.count("stops");
        let vm = self.vms.remove(&id).unwrap();
        let key = self.keys[&vm.network];
        self.world.stop(&name(vm.network), &id.to_string(), key, vm.host).await;
        self.touch(key, Duration::ZERO);
    }

    async fn migrate(&mut self) {
        let (Some(id), to) = (self.some_vm(), self.some_host()) else { return };
        if self.vms[&id].host == to {
            return;
        }
        self.count("migrations");
        self.vms.get_mut(&id).unwrap().moving_to = Some(to);
        self.prepare(id, to, Move::Migrate).await;
        self.later.insert((self.second + 10, Action::Arrive(id)));
    }

    async fn arrive(&mut self, id: u64) {
        let Some(vm) = self.vms.get(&id).filter(|vm| vm.is_plugged).cloned() else { return };
        let Some(to) = vm.moving_to else { return };
        let key = self.keys[&vm.network];
        let well = !self.is_down(to) && self.dice.random::<f64>() < 0.9 && self.world.host(to).plug(key);
        self.world.now.inventory.end_migration(&name(vm.network), &id.to_string(), well, BY).await.unwrap();
        if well {
            self.world.end(key, vm.host);
        } else {
            self.world.not_wanted(key, to);
        }
        let known = self.vms.get_mut(&id).unwrap();
        (known.host, known.moving_to) = (if well { to } else { vm.host }, None);
        // The other end may be a daemon that is being started.
        self.touch(key, Duration::ZERO);
    }

    fn kill(&mut self) {
        let host = self.some_host();
        self.count("killed daemons");
        self.world.host(host).silent(&self.world.now.zone, &self.world.now.writers);
        self.later.insert((self.second + 2, Action::Connect(host)));
        self.touch_host(host, Duration::ZERO);
    }

    /// A host loses power. What its switch had is in its database when it is back; its VMs are not.
    fn fail(&mut self) {
        let host = self.some_host();
        self.count("failed hosts");
        self.world.host(host).silent(&self.world.now.zone, &self.world.now.writers);
        self.world.host(host).state().bridges.values_mut().for_each(|bridge| bridge.vifs.clear());
        self.vms.values_mut().filter(|vm| vm.host == host).for_each(|vm| vm.is_plugged = false);
        self.later.insert((self.second + DETECTED, Action::Elsewhere(host)));
        self.later.insert((self.second + BACK, Action::Connect(host)));
        self.touch_host(host, Duration::from_secs(BACK));
    }

    /// High availability starts a host's VMs on others.
    async fn elsewhere(&mut self, host: u64) {
        let lost: Vec<u64> =
            self.vms.iter().filter(|(_, vm)| vm.host == host && !vm.is_plugged).map(|(id, _)| *id).collect();
        for id in lost {
            let to = self.some_host();
            let key = self.keys[&self.vms[&id].network];
            let vm = self.vms.get_mut(&id).unwrap();
            let moving = vm.moving_to.take();
            vm.host = to;
            self.prepare(id, to, Move::Replace).await;
            self.world.not_wanted(key, host);
            if let Some(other) = moving {
                self.world.not_wanted(key, other);
            }
            self.touch(key, Duration::from_secs(BACK - DETECTED));
            self.later.insert((self.second + 1, Action::Plug(id)));
        }
    }

    /// Networks of which something was written, and those whose time is over.
    fn check(&mut self) {
        let now = Instant::now();
        let written = std::mem::take(&mut self.world.truth().written);
        let due: Vec<u32> = self.restless.iter().filter(|(_, until)| **until <= now).map(|(key, _)| *key).collect();
        let late: Vec<u32> = written.keys().filter(|key| !self.restless.contains_key(key)).copied().collect();
        for key in due.into_iter().chain(late) {
            self.restless.remove(&key);
            let hosts: BTreeSet<u64> = (1..=self.world.hosts.len() as u64).collect();
            self.judge(key, hosts);
        }
    }

    /// All networks.
    fn check_all(&mut self) {
        let hosts: BTreeSet<u64> = (1..=self.world.hosts.len() as u64).collect();
        let keys: Vec<u32> = (FIRST_KEY..).take(self.networks * 2).collect();
        keys.into_iter().for_each(|key| self.judge(key, hosts.clone()));
    }

    fn judge(&mut self, key: u32, hosts: BTreeSet<u64>) {
        self.count("looks at a network");
        assert_eq!(self.world.wrong_on(key, hosts), Vec::<String>::new(), "at second {}", self.second);
        assert_eq!(self.world.truth().losses, Vec::<String>::new(), "at second {}", self.second);
        assert_eq!(*self.world.held.lock().unwrap(), Vec::<String>::new(), "at second {}", self.second);
    }
}

fn name(network: usize) -> String {
    format!("net{network}")
}
