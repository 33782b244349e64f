//! A manager that acts, its daemons and their switches are killed at random instants while a cloud starts, moves and stops VMs: at rest the
//! switches have exactly the meshes that its NICs call for, and no frame came twice at any time.
//!
//! `OVSTUNNEL_ZONE_KILLS` sets how often (default 10; `scripts/soak` kills 200 times), `OVSTUNNEL_SEED` the throws of the dice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_client::{ClientError, Manager};
use ovstunnel_e2e::{Cloud, Dice, Network, NodeConfig, Zone, kill_something, number, read_switches};
use ovstunnel_lab::{Kind, unhurried, wait_until};
use ovstunnel_manager_api::{Isolation, MoveWord, PutNetwork, PutNic, PutPhysicalNetwork};

const HOSTS: u64 = 4;
const NETWORKS: u64 = 3;

/// NICs of a network that come and go.
const NICS: u64 = 3;

/// How long everything may take to be quiet, and a request of the cloud to be answered.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where a NIC is, and where it is moving to.
#[derive(Clone, Copy, Debug)]
struct Place {
    host: u64,
    moving_to: Option<u64>,
}

/// A cloud that repeats each request until it is answered, and knows where its NICs are by the answers.
struct Orders<'a> {
    cloud: &'a Cloud,
    zone: &'a Zone,
    dice: Dice,
    nics: BTreeMap<(u64, String), Place>,
    answered: u64,
}

impl Orders<'_> {
    /// Asks until there is an answer that is no failure of the manager.
    fn order<T, F>(&mut self, ask: impl Fn(Manager) -> F + Clone + Send + 'static) -> Result<()>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ClientError>> + Send + 'static,
    {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.zone.ask(self.cloud, ask.clone()) {
                Ok(_) => {
                    self.answered += 1;
                    return Ok(());
                }
                Err(error) if Instant::now() > end => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn prepare(&mut self, network: u64, id: &str, host: u64, how: MoveWord) -> Result<()> {
        let (name, nic) = (format!("net{network}"), id.to_owned());
        let body = PutNic {
            host: format!("h{host}"),
            vm: None,
            mac: None,
            ip: None,
            bridge: None,
            wait: None,
            how: Some(how),
        };
        self.order(move |client| {
            let (name, nic, body) = (name.clone(), nic.clone(), body.clone());
            async move { client.prepare_nic(&name, &nic, &body, false).await }
        })
    }

    /// What a cloud does with one NIC.
    fn change(&mut self) -> Result<()> {
        let (network, id) = (1 + self.dice.below(NETWORKS), format!("n{}", self.dice.below(NICS)));
        let (at, throw) = (1 + self.dice.below(HOSTS), self.dice.below(4));
        let nic = (network, id.clone());
        let before = self.nics.get(&nic).copied();
        let after = match before {
            None => {
                self.prepare(network, &id, at, MoveWord::Migrate)?;
                Some(Place { host: at, moving_to: None })
            }
            Some(Place { moving_to: Some(to), host }) if throw < 3 => {
                let well = throw < 2;
                let (name, id) = (format!("net{network}"), id.clone());
                self.order(move |client| {
                    let (name, id) = (name.clone(), id.clone());
                    async move {
                        if well {
                            client.nic_migrated(&name, &id, false).await
                        } else {
                            client.roll_back_nic(&name, &id, false).await
                        }
                    }
                })?;
                Some(Place { host: if well { to } else { host }, moving_to: None })
            }
            Some(place) if throw == 0 && place.host != at => {
                self.prepare(network, &id, at, MoveWord::Migrate)?;
                Some(Place { moving_to: Some(at), ..place })
            }
            Some(_) if throw == 1 => {
                self.prepare(network, &id, at, MoveWord::Replace)?;
                Some(Place { host: at, moving_to: None })
            }
            Some(_) => {
                let (name, id) = (format!("net{network}"), id.clone());
                self.order(move |client| {
                    let (name, id) = (name.clone(), id.clone());
                    async move { client.release_nic(&name, &id, None, false).await }
                })?;
                None
            }
        };
        match after {
            Some(place) => drop(self.nics.insert(nic, place)),
            None => drop(self.nics.remove(&nic)),
        }
        self.dice.pause(Duration::from_millis(100));
        Ok(())
    }

    fn work(mut self, stop: &AtomicBool) -> Result<Self> {
        while !stop.load(Ordering::Relaxed) {
            self.change()?;
        }
        Ok(self)
    }

    /// The hosts of each network, by its key.
    fn wanted(&self) -> BTreeMap<u32, BTreeSet<u64>> {
        let mut wanted: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
        for ((network, _), place) in &self.nics {
            let key = 1000 + u32::try_from(*network).unwrap_or_default();
            wanted.entry(key).or_default().extend(std::iter::once(place.host).chain(place.moving_to));
        }
        wanted
    }
}

/// Waits until the switches have exactly these meshes.
fn expect(cloud: &Cloud, wanted: &BTreeMap<u32, BTreeSet<u64>>) -> Result<()> {
    (1..=cloud.nodes().len()).try_for_each(|number| cloud.wait_until_ready(number))?;
    wait_until("the switches to have what the NICs call for", PATIENCE, || {
        let there = read_switches(cloud)?;
        ensure!(there.keys().eq(wanted.keys()), "{:?} are there, {:?} are wanted", there.keys(), wanted.keys());
        for (key, reading) in &there {
            ensure!(
                wanted.get(key) == Some(&reading.hosts) && reading.faults.is_empty(),
                "key {key}: {reading:?}, {:?} are wanted",
                wanted.get(key)
            );
        }
        Ok(())
    })
}

#[test]
fn after_kills_the_switches_have_what_the_nics_call_for() -> Result<()> {
    let (kills, seed) = (number("OVSTUNNEL_ZONE_KILLS", 10), number("OVSTUNNEL_SEED", 1));
    println!("{kills} kills, OVSTUNNEL_SEED={seed}");
    let config = NodeConfig { timeout: "5s".into(), reconcile_interval: "2s".into(), ..NodeConfig::default() };
    let cloud = Cloud::with_config("actkills", usize::try_from(HOSTS)?, config)?;
    let zone = Zone::acting(&cloud)?;
    zone.add_all(&cloud)?;
    zone.ask(&cloud, |client| async move {
        let vnet = "1001-1010".to_owned();
        let physical =
            PutPhysicalNetwork { isolation: Isolation::Gre, vnet, label: None, label_xen: None, label_kvm: None };
        client.put_physical_network("p1", &physical, false).await?;
        for n in 1..=NETWORKS {
            let (key, ipv6) = (u32::try_from(1000 + n).ok(), Some(Ipv6Policy::Allow));
            let network =
                PutNetwork { physical_network: "p1".into(), number: None, key, adopt: false, ipv6, mtu: None };
            client.put_network(&format!("net{n}"), &network, false).await?;
        }
        Ok(())
    })?;
    let mut orders = Orders { cloud: &cloud, zone: &zone, dice: Dice::new(seed), nics: BTreeMap::new(), answered: 0 };
    // Two VMs that stay: what they send must never come twice, whatever dies.
    let network = Network { bridge: "ovt1001".into(), key: 1001, ipv6: Ipv6Policy::Allow };
    for host in [1u16, 2] {
        let id = format!("stays{host}");
        orders.prepare(1, &id, host.into(), MoveWord::Migrate)?;
        orders.nics.insert((1, id), Place { host: host.into(), moving_to: None });
    }
    expect(&cloud, &orders.wanted())?;
    let vms = [1u16, 2].map(|host| cloud.plug(&network, host.into(), host));
    let every = unhurried(Duration::from_millis(20));
    let streams: Vec<_> =
        vms.into_iter().map(|vm| cloud.lab().stream(&vm?, &Kind::FLOODED, every)).collect::<Result<_>>()?;

    let (stop, mut dice) = (AtomicBool::new(false), Dice::new(!seed));
    let mut kill_all = || {
        for n in 0..kills {
            dice.pause(Duration::from_millis(500));
            let what = kill_something(&cloud, &zone, &mut dice).with_context(|| format!("kill {n} of seed {seed}"))?;
            println!("{n}: {what}");
        }
        Ok::<_, anyhow::Error>(())
    };
    let orders = thread::scope(|scope| {
        let worker = scope.spawn(|| orders.work(&stop));
        let killed = kill_all();
        stop.store(true, Ordering::Relaxed);
        let orders = worker.join().map_err(|_| anyhow!("the cloud panicked"))??;
        killed.map(|()| orders)
    })?;
    expect(&cloud, &orders.wanted()).with_context(|| format!("seed {seed}, {:?}", orders.nics))?;
    println!("{kills} kills, {} requests answered; {:?}", orders.answered, orders.wanted());
    for stream in streams {
        stream.stop()?.expect_no_duplicates()?;
    }
    let holds = zone.ask(&cloud, |client| async move { client.holds().await })?.holds;
    ensure!(holds.is_empty(), "{holds:?}");
    zone.stop()
}
